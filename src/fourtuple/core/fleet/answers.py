"""The answers of `fleet hosts`, `fleet limits` and `fleet plan` as records, made of what each machine says."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from fourtuple.core.fleet.far import EndStop, stops_of
from fourtuple.core.fleet.member import LimitRoom, Member, Offer
from fourtuple.core.fleet.share import MachineOffer, Split, share_of
from fourtuple.core.limits.table import LIMITS
from fourtuple.core.limits.verdicts import ROOM
from fourtuple.core.plan.fit import RATE_PER_S, Says
from fourtuple.core.record import dataclass
from fourtuple.core.space.interval import Interval, flat
from fourtuple.core.units import format_count

RATE_PER_CPU_PER_S = RATE_PER_S / 2  # `plan` assumes what two CPUs open
RATE_BECAUSE = "as measured on loopback with two CPUs, both ends there"
FIXES = {limit.name: limit.fix for limit in LIMITS}


# fleet hosts


@dataclass(frozen=True, slots=True)
class UnusedMember:
    """A worker that takes no part, and why."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class FleetHosts:
    """The machines of a fleet, and the workers that are not used."""

    members: tuple[Member, ...]
    unused: tuple[UnusedMember, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def hosts_of(
    members: Iterable[Member],
    *,
    fourtuple: str,
    python: str,
    several: bool = False,
    silent: Sequence[UnusedMember] = (),
) -> FleetHosts:
    """Which workers are used: one of each network namespace, with this version of fourtuple and this Python.

    fourtuple, python: versions of the program that asks; of Python the first two numbers count
    several:           all workers of a network namespace are used
    silent:            workers that did not say what they are, and why
    """
    used: list[Member] = []
    unused = list(silent)
    by_namespace: dict[str, str] = {}
    for member in members:
        first = by_namespace.get(member.namespace)
        if member.fourtuple != fourtuple:
            why = f"it has fourtuple {member.fourtuple}, and not {fourtuple}"
        elif _minor(member.python) != _minor(python):
            why = f"it has Python {_minor(member.python)}, and not {_minor(python)}"
        elif first is not None and not several:
            why = f"it is in the network namespace of {first}, which has its addresses and ports"
        else:
            by_namespace.setdefault(member.namespace, member.name)
            used.append(member)
            continue
        unused.append(UnusedMember(member.name, why))
    return FleetHosts(tuple(used), tuple(unused))


def _minor(version: str) -> str:
    """3.11 of 3.11.9."""
    return ".".join(version.split(".")[:2])


# fleet limits


@dataclass(frozen=True, slots=True)
class FleetLimits:
    """What each machine has room for.

    destinations: as asked for
    offers:       of the machines that would open connections
    servers:      of those that own destinations, and open nothing
    room:         of all of them together: what several machines have together counts once
    stops:        limits of servers on machines of the fleet, in the order in which they stop a run that uses `room`
    """

    destinations: tuple[str, ...]
    offers: tuple[Offer, ...]
    servers: tuple[Offer, ...]
    room: Interval
    stops: tuple[EndStop, ...]

    @property
    def is_used_up(self) -> bool:
        """Whether not one more connection fits."""
        return not self.room.most

    @property
    def tightest(self) -> dict[str, tuple[str, ...]]:
        """The titles of the limits that decide, each with the machines on which it does."""
        return tightest_of(self.offers)

    def to_json(self) -> dict[str, Any]:
        """Each `room` becomes two keys: `room`, at least, and `room_max`, at most."""
        return flat(asdict(self), "room", ROOM) | {
            "offers": [_offer_json(offer) for offer in self.offers],
            "servers": [_offer_json(offer) for offer in self.servers],
            "tightest": {title: list(machines) for title, machines in self.tightest.items()},
        }


def limits_of(destinations: Sequence[str], machines: Sequence[MachineOffer]) -> FleetLimits:
    """Each machine's limits, their sum, and those of the servers. Raises UsageError as `share_of`."""
    room = share_of(0, machines).room
    split = share_of(room.least, machines)
    serving = set(split.servers)
    opening, served = ([o for _, o in machines if (o.machine in serving) is each] for each in (False, True))
    return FleetLimits(tuple(destinations), tuple(opening), tuple(served), room, stops_of(split, machines))


def tightest_of(offers: Iterable[Offer]) -> dict[str, tuple[str, ...]]:
    """The titles of the limits that decide, each with the machines on which it does, the most machines first."""
    found: dict[str, list[str]] = {}
    for offer in offers:
        if offer.bounds and offer.bounds[0].room is not None:
            found.setdefault(offer.bounds[0].title, []).append(offer.machine)
    return {title: tuple(names) for title, names in sorted(found.items(), key=lambda each: -len(each[1]))}


def _offer_json(offer: Offer) -> dict[str, Any]:
    servers = [asdict(end) | {"bounds": [_bound_json(bound) for bound in end.bounds]} for end in offer.servers]
    bounds = [_bound_json(bound) for bound in offer.bounds]
    return flat(asdict(offer), "room", ROOM) | {"bounds": bounds, "servers": servers}


def _bound_json(bound: LimitRoom) -> dict[str, Any]:
    return flat(asdict(bound), "room", ROOM)


# fleet plan


@dataclass(frozen=True, slots=True)
class FleetWay:
    """What makes more connections fit. machines: on which; none: in addition to them"""

    machines: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """The answer to `fleet plan`.

    tightest:   as in FleetLimits
    stops:      limits of servers on machines of the fleet, in the order in which they stop the run
    ways:       each makes the connections fit on the machines that open them
    server_ways: what raises the limit of each server that stops the run too early
    elapsed_s:  how long opening takes, if all machines begin at once
    rate_per_s: as requested; None: RATE_PER_CPU_PER_S for each CPU
    """

    wanted: int
    destinations: tuple[str, ...]
    split: Split
    tightest: dict[str, tuple[str, ...]]
    stops: tuple[EndStop, ...]
    ways: tuple[FleetWay, ...]
    server_ways: tuple[FleetWay, ...]
    elapsed_s: float
    rate_per_s: float | None
    rate_because: str

    @property
    def says(self) -> Says:
        """Whether the machines that open connections have room for them."""
        room = self.split.room
        return Says.OK if self.wanted <= room.least else Says.PERHAPS if self.wanted <= room.most else Says.BLOCKS

    @property
    def stopped_by(self) -> EndStop | None:
        """The server that stops the run before all connections are open; None: no known limit of a server does."""
        return next((stop for stop in self.stops[:1] if stop.at < self.wanted), None)

    @property
    def fits(self) -> bool:
        """Everything fits for certain, at both ends."""
        return self.says is Says.OK and self.stopped_by is None

    def to_json(self) -> dict[str, Any]:
        """Each `room` of a machine, and that of all, becomes two keys, as in FleetLimits."""
        split = flat(asdict(self.split), "room", ROOM)
        shares = [flat(asdict(share), "room", ROOM) for share in self.split.shares]
        return asdict(self) | {"says": self.says, "fits": self.fits, "split": split | {"shares": shares}}


def plan_of(
    wanted: int, destinations: Sequence[str], machines: Sequence[MachineOffer], rate_per_s: float | None = None
) -> FleetPlan:
    """Who opens how many of `wanted` connections, what is lacking, and which end stops first.

    rate_per_s: of all machines together; None: as fast as their CPUs allow

    Raises UsageError as `share_of`.
    """
    split = share_of(wanted, machines)
    opening = {share.machine for share in split.shares}
    opened = sum(share.wanted for share in split.shares)
    stops = stops_of(split, machines)
    return FleetPlan(
        wanted=wanted,
        destinations=tuple(destinations),
        split=split,
        tightest=tightest_of(offer for _, offer in machines if offer.machine in opening),
        stops=stops,
        ways=_ways(split, machines),
        server_ways=tuple(_server_ways(wanted, stops)),
        elapsed_s=opened / rate_per_s if rate_per_s else _elapsed_s(split, machines),
        rate_per_s=rate_per_s,
        rate_because="as requested" if rate_per_s else RATE_BECAUSE,
    )


def _elapsed_s(split: Split, machines: Sequence[MachineOffer]) -> float:
    """Until the slowest kernel has opened what its machines are to open; these share its CPUs."""
    wanted = {share.machine: share.wanted for share in split.shares}
    opens: dict[str, int] = {}
    cpus: dict[str, int] = {}
    for member, offer in machines:
        opens[member.boot] = opens.get(member.boot, 0) + wanted.get(offer.machine, 0)
        cpus[member.boot] = max(cpus.get(member.boot, 1), member.cpus)
    return max((opens[boot] / cpus[boot] for boot in opens), default=0.0) / RATE_PER_CPU_PER_S


def _ways(split: Split, machines: Sequence[MachineOffer]) -> tuple[FleetWay, ...]:
    """What makes the lacking ones fit: the best way of each machine without more room, or more machines."""
    if not split.lacking:
        return ()
    wanted = {share.machine: share.wanted for share in split.shares}
    opens: dict[str, int] = {}  # by network namespace, whose workers have their room together
    for member, offer in machines:
        opens[member.namespace] = opens.get(member.namespace, 0) + wanted.get(offer.machine, 0)
    by_text: dict[str, list[str]] = {}
    for member, offer in machines:
        if offer.machine in wanted and offer.ways and opens[member.namespace] >= offer.room.least:
            by_text.setdefault(offer.ways[0], []).append(offer.machine)
    found = [FleetWay(tuple(names), text) for text, names in sorted(by_text.items(), key=lambda each: -len(each[1]))]
    largest = max(split.shares, key=lambda share: share.room.least, default=None)
    if largest is not None and largest.room.least:
        more, each = -(-split.lacking // largest.room.least), format_count(largest.room.least)
        machines_like = f"more machine{'s' * (more > 1)} like {largest.machine}"
        found.append(FleetWay((), f"{format_count(more)} {machines_like}, which has room for {each}"))
    return tuple(found)


def _server_ways(wanted: int, stops: Sequence[EndStop]) -> Iterator[FleetWay]:
    """Yield what raises each limit of a server that stops the run before all connections are open."""
    for stop in stops:
        if stop.at < wanted:
            yield FleetWay((stop.machine,), f"{stop.process or stop.title}: {FIXES.get(stop.limit, 'raise it')}")
