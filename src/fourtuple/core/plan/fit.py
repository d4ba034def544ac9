"""Do N connections fit, and what is the smallest change that makes them fit? Every limit is compared with N.

A limit blocks if it leaves fewer than N at most, and may block if it leaves fewer than N at least. For each such limit
there are ways past it: first those without root, then settings, with the commands that undo them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from fourtuple.core.backports import StrEnum
from fourtuple.core.limits.cost import CLIENT_END_BYTES, SERVER_END_BYTES
from fourtuple.core.limits.facts import PortFacts, World
from fourtuple.core.limits.ports import PortRoom
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.limits.time_wait import TIME_WAIT_MS, TIME_WAIT_S, kept_ms, waiting_text
from fourtuple.core.limits.verdicts import ROOM, Verdict
from fourtuple.core.plan.claims import Reservation
from fourtuple.core.plan.nat import NatBudget
from fourtuple.core.plan.settings import RANGE, RESERVED
from fourtuple.core.plan.traffic import Traffic
from fourtuple.core.record import dataclass
from fourtuple.core.space.endpoints import Address, Endpoint, Resolved, addresses_text
from fourtuple.core.space.interval import Interval, flat
from fourtuple.core.space.ranges import Ranges
from fourtuple.core.space.tuples import TupleSpace
from fourtuple.core.units import format_count, format_things

WIDEST = range(1024, 65536)
USER_BYTES, USER_BYTES_EACH = 25 * 2**20, 6  # resident: a process with a ring, and each connection (bench/RESULTS.md)
RATE_PER_S = 40_000.0  # what two CPUs open on loopback, both ends on them (bench/RESULTS.md)
HEADROOM = 1.1  # a setting is raised to this multiple of what is needed
QUEUE = "accept queue"
PORT_LIMITS = ("net.ipv4.ip_local_port_range", "bind(address, port)", "bind(address, 0)")


class Says(StrEnum):
    OK = "ok"
    PERHAPS = "perhaps"
    UNKNOWN = "unknown"
    BLOCKS = "blocks"


WORST_FIRST = (Says.BLOCKS, Says.UNKNOWN, Says.PERHAPS, Says.OK)


@dataclass(frozen=True, slots=True)
class Check:
    """A limit compared with N. room: what it leaves; None: the limit does not apply here, or is unknown"""

    limit: str
    title: str
    room: Interval | None
    says: Says
    note: str


@dataclass(frozen=True, slots=True)
class Change:
    """A sysctl: its value now and the value it should have."""

    name: str
    before: str
    after: str

    @property
    def command(self) -> str:
        return f"sysctl -w {self.name}={_quoted(self.after)}"

    @property
    def undo(self) -> str:
        return f"sysctl -w {self.name}={_quoted(self.before)}"


def _quoted(value: str) -> str:
    return f'"{value}"' if " " in value or not value else value


@dataclass(frozen=True, slots=True)
class Way:
    """One way past one limit.

    root:    it needs root
    text:    what to do
    options: the options to use instead of the present ones; empty if no option is involved
    changes: sysctls to set
    sure:    it is enough for certain; False: perhaps, for the reason that the text gives
    """

    limit: str
    root: bool
    text: str
    options: str
    changes: tuple[Change, ...]
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Churn:
    """Short connections that are opened and closed continuously; the client closes first.

    kept_s:        how long a 4-tuple stays in use afterwards
    ceiling_per_s: the most per second while the wanted connections are held, for certain
    each_per_s:    the most per second from one source to one destination
    most_per_s:    as `ceiling_per_s`, if every port in doubt is free
    most:          connections until the first of their 4-tuples can be used again, if every port in doubt is free
    """

    per_s: float
    kept_s: float
    ceiling_per_s: float
    each_per_s: float
    fits: bool
    most_per_s: float
    most: int


@dataclass(frozen=True, slots=True)
class Machine:
    """One of several identical machines, by calculation: all are assumed to be like this one."""

    machines: int
    wanted: int  # each
    sources: int  # addresses that each needs, at least
    fits: bool
    kernel_bytes: int
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class Fit:
    """The answer to `plan`.

    ceiling:      4-tuples in total: sources × ports × destinations
    ports:        source ports of each source towards each destination
    room:         connections possible in addition to the existing ones
    server_bytes: kernel memory of the server ends; counted against this host if they are here
    assumed:      values that were taken instead of what this host says, as NAME = VALUE
    reservation:  the ports to reserve if the range becomes wider; None: it need not
    resolved:     names among the destinations that have several addresses
    full:         listeners at the destinations, on this host, whose accept queue is full now
    waiting:      4-tuples in TIME_WAIT that cannot be reused yet
    kept_ms:      how long a connection in TIME_WAIT keeps its 4-tuple, at most
    """

    wanted: int
    says: Says
    strategy: Strategy
    sources: int
    first_source: str
    ports: int
    destinations: int
    first_destination: str
    ceiling: int
    room: Interval | None
    binding: str | None
    because: tuple[str, ...]
    can_probe: bool
    absent: tuple[str, ...]
    checks: tuple[Check, ...]
    ways: tuple[Way, ...]
    here: bool
    client_bytes: int
    server_bytes: int
    user_bytes: int
    rate_per_s: float
    rate_because: str
    elapsed_s: float
    traffic: Traffic
    churn: Churn | None
    machine: Machine | None
    nat: NatBudget | None
    reservation: Reservation | None = None
    assumed: tuple[str, ...] = ()
    resolved: tuple[Resolved, ...] = ()
    full: tuple[str, ...] = ()
    waiting: int = 0
    kept_ms: int = TIME_WAIT_MS

    @property
    def wanted_each(self) -> int:
        """Connections on each machine, if there are several."""
        return -(-self.wanted // self.machine.machines) if self.machine else self.wanted

    @property
    def blocked(self) -> bool:
        """The connections do not fit, or the churn, the split or the NAT gateway does not."""
        extras = (self.churn, self.machine)
        lacking = any(each is not None and not each.fits for each in extras)
        return self.says is Says.BLOCKS or lacking or (self.nat is not None and self.nat.lacks)

    @property
    def fits(self) -> bool:
        """Everything fits for certain."""
        return self.says is Says.OK and not self.blocked and (self.nat is None or self.nat.fits)

    @property
    def changes(self) -> tuple[Change, ...]:
        """The settings of all ways, each once."""
        return tuple({change.name: change for way in self.ways for change in way.changes}.values())

    def to_json(self) -> dict[str, Any]:
        ways = [
            asdict(way) | {"changes": [asdict(c) | {"command": c.command, "undo": c.undo} for c in way.changes]}
            for way in self.ways
        ]
        found = [flat(asdict(check), "room", ROOM) for check in self.checks]
        return flat(asdict(self), "room", ROOM) | {"fits": self.fits, "ways": ways, "checks": found}


def compared(limit: str, title: str, room: Interval, wanted: int, note: str) -> Check:
    """The check of a limit that leaves this room."""
    says = Says.OK if room.least >= wanted else Says.PERHAPS if room.most >= wanted else Says.BLOCKS
    return Check(limit, title, room, says, note)


def checks(verdicts: Sequence[Verdict], wanted: int, *, uncounted: Mapping[str, str]) -> tuple[Check, ...]:
    """Every limit that stops connections, compared with `wanted`.

    uncounted: limits that do not apply to the program that opens them, with the reason
    """
    found = []
    for verdict in verdicts:
        if verdict.limit in uncounted:
            found.append(Check(verdict.limit, verdict.title, None, Says.OK, uncounted[verdict.limit]))
        elif verdict.stops and verdict.room is not None:
            found.append(compared(verdict.limit, verdict.title, verdict.room, wanted, verdict.note))
    return tuple(sorted(found, key=lambda check: WORST_FIRST.index(check.says)))


@dataclass(frozen=True, slots=True)
class Means:
    """What can be used to make more connections fit.

    fresh:     ports that a source has for certain towards a destination without connections
    hoped:     the same at most
    because:   why `fresh` and `hoped` differ; empty: they do not
    wide:      the same with the widest range
    explicit:  the same if the program chose the ports itself, among `own`
    own:       the longest part of the widest range that nobody claims
    reservation: what the widest range needs
    spare:     addresses of this host that are not yet among the sources
    connected: 4-tuples in use, with any source port
    noport:    additional connections that are possible for certain with IP_BIND_ADDRESS_NO_PORT
    """

    space: TupleSpace
    strategy: Strategy
    facts: PortFacts
    ports: PortRoom
    fresh: int
    hoped: int
    because: str
    wide: int
    explicit: int
    own: range
    reservation: Reservation
    spare: Sequence[Address]
    here: bool
    connected: int
    noport: int
    named: str  # host part of the first destination


def ways(found: Sequence[Check], means: Means | None, world: World, wanted: int) -> Iterator[Way]:
    """For each limit that blocks or may block: what makes the connections fit, without root first."""
    ports_block = any(check.limit in PORT_LIMITS and check.says in (Says.BLOCKS, Says.PERHAPS) for check in found)
    for check in found:
        if check.says in (Says.OK, Says.UNKNOWN):
            continue
        if check.limit in PORT_LIMITS and means:
            yield from _port_ways(check, means, wanted)
        elif check.limit == "net.netfilter.nf_conntrack_max":
            yield from _raise(check, world, "net.netfilter.nf_conntrack_count", wanted)
        elif check.limit == "fs.file-max":
            yield from _raise(check, world, "fs.file-nr", (1 + bool(means and means.here)) * wanted)
        elif check.limit == "RLIMIT_NOFILE":
            if check.room and check.room.most:
                yield Way(check.limit, False, "more processes (without --workers, as many as it takes)", "", ())
            yield Way(check.limit, True, "a higher hard limit: LimitNOFILE=, or limits.conf and a new login", "", ())
        elif check.limit == "RLIMIT_MEMLOCK":
            yield Way(
                check.limit,
                False,
                "epoll, in as many processes as it takes, needs no locked memory",
                "--loop epoll",
                (),
            )
            yield Way(check.limit, True, "a higher limit: LimitMEMLOCK=, or limits.conf and a new login", "", ())
        elif check.limit in ("memory", "memory.max", "CPU", "bandwidth"):
            machines = -(-wanted // max(1, check.room.least if check.room else 1))
            yield Way(
                check.limit, False, f"{format_things(machines, 'machine')} like this one: --machines {machines}", "", ()
            )
        elif check.limit == QUEUE:
            text = "let the server accept: it is busy, stopped, or out of files (fourtuple doctor says which)"
            yield Way(check.limit, False, text, "", ())
        elif check.limit == "4-tuple" and not ports_block:  # what makes ports makes 4-tuples
            yield Way(check.limit, False, "more source addresses, or more destination ports", "", ())


def _raise(check: Check, world: World, count: str, more: int) -> Iterator[Way]:
    before = world.sysctls.get(check.limit, "").strip()
    used = world.sysctls.get(count, "0").split() or ["0"]
    after = str(int((int(used[0]) + more) * HEADROOM))
    yield Way(check.limit, True, "raise it", "", (Change(check.limit, before, after),))


def _port_ways(check: Check, means: Means, wanted: int) -> Iterator[Way]:
    space, ports = means.space, means.ports
    sources, destinations = space.sources.size, space.destinations.size
    if 0 < wanted - ports.room.most <= ports.waiting:
        yield Way(check.limit, False, f"wait: {waiting_text(ports.waiting, ports.kept_ms)}", "", ())
    if means.strategy is Strategy.BIND0:
        if means.noport >= wanted:
            text = "set IP_BIND_ADDRESS_NO_PORT before bind(): then each destination has its own ports"
            yield Way(check.limit, False, text, "--strategy noport", ())
        for more, because in _needed(means, wanted, 1):  # all destinations have a share of these
            yield from _more_sources(check, means, more, because)
        return
    for more, because in _needed(means, wanted, sources):
        yield from _more_destinations(check, means, more, because)
    for more, because in _needed(means, wanted, destinations):
        yield from _more_sources(check, means, more, because)
    automatic = means.strategy is not Strategy.EXPLICIT
    if automatic and means.explicit * space.pairs >= wanted:
        ends = _text(means, space.sources.parts, means.own)
        text = "choose the ports yourself; every other program in the namespace then loses these ports"
        yield Way(check.limit, False, text, f"--from {ends} --strategy explicit", ())
    if automatic and means.wide > means.fresh:
        yield from _wider(check, means, wanted)


def _needed(means: Means, wanted: int, pools: int) -> Iterator[tuple[int, str]]:
    """Yield how many more addresses or ports suffice for certain; and how many perhaps do if that is fewer, and why.

    pools: how many times each of them brings the ports of a pair
    """
    room, certain = means.ports.room, None
    if means.fresh:
        certain = -(-(wanted - room.least) // (means.fresh * pools))
        yield certain, ""
    if means.hoped > means.fresh and wanted > room.most:
        perhaps = -(-(wanted - room.most) // (means.hoped * pools))
        if certain is None or perhaps < certain:
            yield perhaps, f" (perhaps enough: {means.because})"


def _wider(check: Check, means: Means, wanted: int) -> Iterator[Way]:
    """The widest range without the reserved ports, alone or with the fewest additional destination ports."""
    space, reservation = means.space, means.reservation
    changes = widening(reservation, means.facts)
    text = "a wider range"
    if reservation.added:
        text += f", with {_ports(reservation.added)} of services reserved"
    missing = wanted - (means.wide * space.pairs - means.connected)
    if missing <= 0:
        yield Way(check.limit, True, text, "", changes)
        return
    for way in _more_destinations(check, means, -(-missing // (means.wide * space.sources.size))):
        short = f"{text}, is {format_count(missing)} too few" if reservation.added else text
        yield Way(check.limit, True, f"{short}; and {way.text}", way.options, changes)


def widening(reservation: Reservation, facts: PortFacts) -> tuple[Change, ...]:
    """The settings for a wider range, after the ports that it must leave alone, so that nothing takes one meanwhile."""
    before = f"{facts.port_range.start} {facts.port_range.stop - 1}"
    change = Change(RANGE, before, f"{reservation.first} {reservation.last}")
    reserve = Change(RESERVED, reservation.before, reservation.after)
    return (reserve, change) if reservation.added else (change,)


def _ports(count: int) -> str:
    return f"{format_count(count)} port{'s' * (count != 1)}"


def _more_destinations(check: Check, means: Means, more: int, because: str = "") -> Iterator[Way]:
    """The ports that follow the present ones, if all belong to one address and enough ports follow."""
    parts = means.space.destinations.parts
    text = f"{format_count(more)} more destination port{'s' * (more > 1)}, if the server can listen there{because}"
    addresses, ports = parts[0]
    last = ports.parts[-1].stop - 1
    if more > 65535:
        return
    if len(parts) > 1 or addresses.size > 1 or len(ports.parts) > 1 or last + more > 65535:
        yield Way(check.limit, False, text, "", (), not because)
        return
    first = ports.parts[0].start
    yield Way(check.limit, False, text, _with_ports(means.named, first, last + more), (), not because)


def _with_ports(host: str, first: int, last: int) -> str:
    return f"[{host}]:{first}-{last}" if ":" in host else f"{host}:{first}-{last}"


def _more_sources(check: Check, means: Means, more: int, because: str = "") -> Iterator[Way]:
    space = means.space
    first = space.address(space.sources[0])
    text = f"{format_count(more)} more source address{'es' * (more > 1)}"
    if first.is_loopback and first.version == 4:
        last = space.sources.parts[-1].stop - 1 + more
        parts = (*space.sources.parts[:-1], range(space.sources.parts[-1].start, last + 1))
        if space.address(last).is_loopback:
            available = f"{text}: all of 127.0.0.0/8 is available{because}"
            yield Way(check.limit, False, available, _from(means, parts), (), not because)
        return
    if len(means.spare) >= more:
        spare = [range(int(address), int(address) + 1) for address in means.spare[:more]]
        parts = Ranges([*space.sources.parts, *spare]).parts
        yield Way(
            check.limit, False, f"{text} that this host already has{because}", _from(means, parts), (), not because
        )
        return
    text = f"{text}: ip address add ADDRESS/{32 if space.version == 4 else 128} dev DEVICE; ip address del undoes it"
    yield Way(check.limit, True, f"{text}{because}", "", (), not because)


def _from(means: Means, parts: Sequence[range]) -> str:
    """The options for these sources, including the ports and the strategy they need."""
    if means.strategy is Strategy.EXPLICIT:
        ports = means.space.ports.parts
        return f"--from {_text(means, parts, ports[0])}" if len(ports) == 1 else ""
    plain = " --strategy late" if means.strategy is Strategy.PLAIN else ""
    return f"--from {_text(means, parts)}{plain}"


def _text(means: Means, parts: Sequence[range], ports: range | None = None) -> str:
    """Addresses in the form of --from."""
    texts = [addresses_text(means.space.address(part.start), means.space.address(part.stop - 1)) for part in parts]
    if ports:
        texts = [_with_ports(text, ports.start, ports.stop - 1) for text in texts]
    return ",".join(texts)


def churn(per_s: float, ports: PortRoom, facts: PortFacts, wanted: int, *, loopback: bool) -> Churn:
    """The rate of short connections that is possible.

    4-tuples that are in TIME_WAIT now do not lower it: they are free again after that time, as those of this churn are.

    loopback: all 4-tuples have an address of 127.0.0.0/8 or ::1
    """
    kept_s = kept_ms(facts, loopback=loopback) / 1000
    least, most = (max(0, bound + ports.waiting - wanted) for bound in (ports.room.least, ports.room.most))
    soon = ports.waiting if kept_s < TIME_WAIT_S else 0  # free again before this churn needs them
    return Churn(
        per_s,
        kept_s,
        ceiling_per_s=least / kept_s,
        each_per_s=ports.ceiling / ports.pairs / kept_s,
        fits=per_s <= least / kept_s,
        most_per_s=most / kept_s,
        most=ports.room.most + soon,
    )


def machine(count: int, wanted: int, means: Means, room_each: int, rate_per_s: float) -> Machine:
    """One of `count` machines. room_each: connections that one machine can hold, excluding its ports"""
    each = -(-wanted // count)
    per_source = (means.fresh or means.hoped) * means.space.destinations.size
    return Machine(
        machines=count,
        wanted=each,
        sources=-(-each // max(1, per_source)),
        fits=room_each >= each,
        kernel_bytes=each * CLIENT_END_BYTES,
        elapsed_s=each / rate_per_s,
    )


def memory(wanted: int) -> tuple[int, int, int]:
    """(kernel memory of the client ends, of the server ends, user memory of one process with a ring), in bytes."""
    return wanted * CLIENT_END_BYTES, wanted * SERVER_END_BYTES, USER_BYTES + wanted * USER_BYTES_EACH


def product(sources: int, ports: int, destinations: int) -> str:
    """How many 4-tuples there are, as a product in words. ports: of each source; 0: unknown"""
    each = f"{format_count(ports) if ports else 'unknown'} ports"
    return f"{format_things(sources, 'source')} × {each} × {format_things(destinations, 'destination')}"


def _reason(check: Check, means: Means | None) -> str:
    """Why the limit has this room: what the numbers of ports are made of, or else its own note."""
    if means is None or check.limit not in PORT_LIMITS:
        return check.note
    space, ports = means.space, means.ports
    used = f", {format_count(ports.in_use)} in use" if ports.in_use else ""
    return f"{product(space.sources.size, ports.ceiling // ports.pairs, space.destinations.size)}{used}"


def too_many(
    wanted: int, room_max: int, check: Check, command: str, means: Means | None, *, more: Sequence[Way]
) -> tuple[str, str, str]:
    """The three parts of the error that `hold` gives if N is not possible."""
    reason = _reason(check, means)
    do = "; ".join(f"{way.text} ({way.options})" if way.options else way.text for way in more[:2] if not way.root)
    return (
        f"{format_things(wanted, 'connection')}, room for {format_count(room_max)}",
        f"{check.title} ({check.limit}){': ' * bool(reason)}{reason}",
        f"{do}{'. ' if do else ''}{command} shows every way; --anyway opens as many as possible.",
    )


def endpoint(space: TupleSpace) -> str:
    """The first destination as ADDRESS:PORT."""
    value, port = space.destinations[0]
    return str(Endpoint(space.address(value), port))
