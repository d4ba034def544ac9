"""The state of the host that a text is weighed against, and how far what it says now bears on the text."""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from enum import IntEnum

from fourtuple.core.census.records import PairCount
from fourtuple.core.limits.cures import Cure
from fourtuple.core.limits.facts import World
from fourtuple.core.limits.meters import Meter
from fourtuple.core.limits.ports import PortRoom
from fourtuple.core.limits.time_wait import permits_reuse
from fourtuple.core.limits.verdicts import Queue
from fourtuple.core.record import dataclass
from fourtuple.core.units import format_count
from fourtuple.core.why.findings import Finding

NEAR = 64  # a count this close below a limit stopped at that limit: listeners, pipes and libraries use a few
HALF, FULL = 0.5, 0.97  # share of the usable ports from which connect() is slow, and from which it fails
_ADVICE = re.compile(r"\bsysctl -w ([\w.]+)=(\d+)\b")
SWITCHES = 3  # a value up to this one is a switch or a count of tries, of which more is not better
NEARLY = 0.9  # share of a limit that is used in bursts: part of the use is over before it is read


class Bearing(IntEnum):
    """How far the state of this host, now, bears on a text.

    THEN:    not at all: the text is of another time, or of another host
    PERHAPS: what supports a cause counts; what contradicts it does not, because the moment may be over
    NOW:     in full
    """

    THEN = 0
    PERHAPS = 1
    NOW = 2


@dataclass(frozen=True, slots=True)
class UnixQueue:
    """A listening Unix socket: connections that wait to be accepted, and its backlog."""

    path: str
    waiting: int
    backlog: int

    @property
    def is_full(self) -> bool:
        """Whether connect() fails with EAGAIN (unix_stream_connect() in net/unix/af_unix.c, v6.18)."""
        return self.waiting > self.backlog


@dataclass(frozen=True, slots=True)
class Scene:
    """A finding, and the state of one network namespace against which its causes are weighed.

    subject:    the namespace or process that the state is of, in words; empty: this one
    target:     the destination in question, as ADDRESS:PORT; None: not given, or a name without an address
    pair:       the busiest (source, destination), or the busiest to the target; None: there is no connection
    owners:     the processes that own the pair's sockets, as far as this user may see them
    ports:      what the port range leaves for the target, or for any new destination; None: unknown
    destinations: how many (source, destination) pairs this namespace uses; None: unknown
    single:     ports of the range that exactly one connection uses, in the reading of `pair`; None: unknown
    queue:      the accept queues of the listeners in question, together; None: unknown
    full:       the listeners in question whose accept queue is full, as text
    full_elsewhere: whether the queue of another listener is full, so that what all listeners drop may be its loss
    unix:       the accept queue of the Unix socket in question, or a full one if the text names no end; None: it is
                none, or unknown
    local:      whether the target is an address of this host; None: no target, or unknown
    listens:    whether a socket listens at the target; None: no target, or it is on another host
    has_source: whether this namespace has the source address that the text names; None: it names none, or unknown
    tentative:  whether that address waits for duplicate address detection; None: unknown
    holders:    the sockets that hold the port in question, as text
    close_wait: the number of sockets of the namespace in CLOSE_WAIT; None: unknown
    close_wait_owners: the processes that own them, as text
    asked:      whether `world.process` is the process in question; False: it is this program, whose limits say nothing
    limits:     other ceilings that were read, by setting, and what is in use of each; None: unknown
    logged:     causes that the kernel's log of the host reports, each with its line; a snapshot may have that log
    settings:   what the program's own configuration sets, by the key of the row of the catalogue, as texts
    """

    world: World
    finding: Finding = field(default_factory=Finding)
    bearing: Bearing = Bearing.NOW
    subject: str = ""
    target: str | None = None
    pair: PairCount | None = None
    owners: str = ""
    ports: PortRoom | None = None
    destinations: int | None = None
    single: int | None = None
    queue: Queue | None = None
    full: Sequence[str] = ()
    full_elsewhere: bool = False
    unix: UnixQueue | None = None
    local: bool | None = None
    listens: bool | None = None
    has_source: bool | None = None
    tentative: bool | None = None
    holders: Sequence[str] = ()
    close_wait: int | None = 0
    close_wait_owners: str = ""
    asked: bool = False
    limits: Mapping[str, tuple[int, int | None]] = field(default_factory=dict)
    settings: Mapping[str, Sequence[str]] = field(default_factory=dict)
    logged: Mapping[str, str] = field(default_factory=dict)

    @property
    def number(self) -> int | None:
        return self.finding.number

    @property
    def error(self) -> str:
        return self.finding.error

    @property
    def up_to(self) -> str:
        """The words before a number of free ports: it is an upper bound where some may be held unseen."""
        return "up to " if self.ports and self.ports.unattributed + self.ports.hidden else ""

    @property
    def can_search_in_turn(self) -> bool:
        """Whether connect() tries all ports in turn on this kernel if IP_LOCAL_PORT_RANGE is set on the socket."""
        return self.world.ports is None or self.world.ports.range_is_quick

    @property
    def range_size(self) -> int | None:
        return len(self.world.ports.port_range) if self.world.ports else None

    @property
    def reserved(self) -> int:
        """How many ports of the range are reserved (net.ipv4.ip_local_reserved_ports)."""
        facts = self.world.ports
        return len(facts.port_range) - facts.automatic_ports.size if facts else 0

    @property
    def usable(self) -> int | None:
        """The number of ports that connect() can choose for each destination; None: unknown."""
        return self.ports.ceiling // self.ports.pairs if self.ports and self.ports.pairs else None

    @property
    def reuses(self) -> bool:
        """Whether connect() reuses ports in TIME_WAIT here, to the pair's destination or the target, after a delay."""
        ends = [self.pair.source, self.pair.destination] if self.pair else [self.target] if self.target else []
        facts = self.world.ports
        if facts is None or self.bearing is Bearing.THEN:
            return False
        return permits_reuse(facts, loopback=any(map(_is_loopback, ends)))

    @property
    def used(self) -> int:
        """The ports that the pair keeps from connect(); 0 if there is none."""
        return self.pair.used - (self.pair.time_wait if self.reuses else 0) if self.pair else 0

    @property
    def in_use(self) -> float:
        """The share of the usable ports that the pair keeps from connect(); 0 if either is unknown."""
        return self.used / self.usable if self.usable else 0.0

    def has(self, cure: Cure) -> bool:
        """Whether the setting that the remedy advises is in force already, or goes further."""
        return self.bearing is not Bearing.THEN and any(
            self._is_in_force(name, int(value)) for name, value in advised(cure)
        )

    def _is_in_force(self, name: str, value: int) -> bool:
        now = self.world.number(name)
        if now is None or value <= SWITCHES:
            return now == value
        return now <= value if "timeout" in name else now >= value

    def counter(self, name: str) -> int:
        return self.world.counters.get(name, 0)

    def moved(self, meter: Meter) -> int:
        """The number of times the meter's ceiling was reached since the namespace was made."""
        return sum(map(self.counter, meter.counters))


@dataclass(frozen=True, slots=True)
class Evidence:
    """One observation that bears on a cause.

    weight: above 0 it supports the cause, below 0 it contradicts it, 0 it is only a note
    text:   the observation, as a sentence or phrase
    said:   the text itself says so, so that it counts whenever and wherever the text is from
    """

    weight: int
    text: str
    said: bool = False


Numbers = Sequence[int | None]


def nowhere(_: Scene) -> Numbers:
    """Return no numbers: the cause has none of its own, or its number is another host's."""
    return ()


def quiet(_: Scene) -> Iterator[Evidence]:
    """Yield nothing: no observation on this host supports or contradicts such a cause."""
    return iter(())


@dataclass(frozen=True, slots=True)
class Cause:
    """One known cause.

    says:     the cause in one line
    cures:    remedies for any case, the best first
    evidence: yields what supports and what contradicts the cause in a scene
    stops_at: the numbers of connections at which this cause stops them on this host
    here:     yields the remedies for the case of a scene instead; None: those for any case
    """

    says: str
    cures: Sequence[Cure]
    evidence: Callable[[Scene], Iterator[Evidence]] = quiet
    stops_at: Callable[[Scene], Numbers] = nowhere
    here: Callable[[Scene], Iterator[Cure]] | None = None

    def cures_in(self, scene: Scene) -> tuple[Cure, ...]:
        """The remedies for the case of the scene, without settings that are in force already."""
        return tuple(cure for cure in (self.here(scene) if self.here else self.cures) if not scene.has(cure))


def advised(cure: Cure) -> list[tuple[str, str]]:
    """The settings that a remedy advises, each with its value, where that is a number."""
    return _ADVICE.findall(cure.do)


def _is_loopback(end: str) -> bool:
    """Whether ADDRESS or ADDRESS:PORT is a loopback address."""
    host = end.rpartition(":")[0] if "]" in end or end.count(":") == 1 else end
    return ipaddress.ip_address(host.strip("[]")).is_loopback


def near(number: int | None, limit: int | None) -> bool:
    """Whether `number` is close enough to `limit` to have stopped there; the margin is smaller for small limits."""
    if number is None or limit is None:
        return False
    return limit in rounded(number) or limit - min(NEAR, limit // 10) <= number <= limit + 1


def rounded(number: int) -> range:
    """The numbers that people round to this one: 28,000 is said of 27,500 to 28,999; 28,232 of itself alone."""
    digits = len(str(number)) - len(str(number).rstrip("0"))
    if digits < 2 or not number:
        return range(number, number + 1)
    grain = min(10**digits, number // 20)
    return range(number - grain // 2, number + grain)


def ceiling(meter: Meter) -> Callable[[Scene], Numbers]:
    return lambda scene: (meter.ceiling(scene.world),)


def filled(scene: Scene, meter: Meter, share: float, weights: tuple[int, int], what: str) -> Iterator[Evidence]:
    """Yield how much of the meter's ceiling is in use. weights: from `share` of the ceiling on, and below it."""
    reading = meter.read(scene.world)
    if reading.ceiling is not None and reading.in_use is not None:
        full, other = weights
        weight = full if reading.in_use >= share * reading.ceiling else other
        yield Evidence(weight, f"{format_count(reading.in_use)} of {format_count(reading.ceiling)} {what}")


def limited(scene: Scene, setting: str, what: str) -> Iterator[Evidence]:
    """Yield how much of a ceiling in `scene.limits` is in use."""
    if found := scene.limits.get(setting):
        most, used = found
        if used is None:
            yield Evidence(0, f"{setting} is {format_count(most)}")
        else:
            weight = 4 if used >= NEARLY * most else -2
            yield Evidence(weight, f"{format_count(used)} of {format_count(most)} {what} ({setting})")


def same(scene: Scene, limit: int | None, what: str, *, against: bool = True) -> Iterator[Evidence]:
    """Yield whether the finding's number is near this limit."""
    if scene.number is None or limit is None:
        return
    if near(scene.number, limit):
        yield Evidence(4, f"{what}: {format_count(limit)}")
    elif against:
        yield Evidence(-2, f"{what} is {format_count(limit)}")


def counted(scene: Scene, names: Sequence[str]) -> Iterator[Evidence]:
    """Yield each counter: above zero it supports the cause, at zero it contradicts it."""
    for name in names:
        count = scene.counter(name)
        yield Evidence(2 if count else -1, f"{name} {format_count(count)} in this namespace so far")
