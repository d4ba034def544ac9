"""`plan`: do N connections fit, and what makes them fit? `hold` asks the same before it opens anything."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from fourtuple.core.decoding import from_json
from fourtuple.core.errors import ShortfallError, UsageError
from fourtuple.core.limits.cost import MEMORY_SHARE, fitting
from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.limits.load import Load
from fourtuple.core.limits.ports import PortUse
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.limits.table import LIMITS
from fourtuple.core.limits.time_wait import TIME_WAIT_MS
from fourtuple.core.limits.weigh import bound
from fourtuple.core.plan import fit
from fourtuple.core.plan.assume import NOTHING, parse_assumptions
from fourtuple.core.plan.claims import Claim, Reservation, quietest
from fourtuple.core.plan.fit import Fit, Means, Says
from fourtuple.core.plan.nat import KEPT, PORTS, ROUTERS, nat_budget
from fourtuple.core.plan.servers import LocalServer, listening, server_checks, server_ways, shares
from fourtuple.core.plan.settings import RANGE
from fourtuple.core.plan.traffic import traffic
from fourtuple.core.plan.unknown import WATCHES, PlanCase, with_unknown
from fourtuple.core.record import dataclass
from fourtuple.core.runs.loop_name import LoopName
from fourtuple.core.snapshot.host import Host
from fourtuple.core.space.endpoints import Address, several
from fourtuple.core.space.interval import Interval
from fourtuple.core.space.ranges import Ranges
from fourtuple.core.units import LEAST_PER_S, MOST_PER_S
from fourtuple.store.input import read_file
from fourtuple.verbs.hosts import here
from fourtuple.verbs.output import write_output
from fourtuple.verbs.request import absent_sources
from fourtuple.verbs.reservations import reservation_for
from fourtuple.verbs.survey import Look, destinations_here, look

if TYPE_CHECKING:
    from fourtuple.engine.loops.choose import Choice

FILES = "RLIMIT_NOFILE"
RING_FILES = "hold's sockets need no descriptor"
WORKERS_FILES = "hold uses more processes"
MOST = 10**12


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What `plan` is to calculate.

    destinations, sources, strategy, first_address: as `hold` takes them; the sources need not exist yet
    rate_per_s:    connections opened per second; None: as many as bench/RESULTS.md has measured
    churn_per_s:   additional connections that are opened and closed per second, the client closing first
    machines:      number of machines like this one that share the connections
    nat:           a gateway on the path, a name of ROUTERS
    nat_addresses: its public addresses
    assume:        NAME=VALUE, in place of what this host or the table of gateways says
    load:          what each connection sends
    """

    wanted: int
    destinations: tuple[str, ...]
    sources: tuple[str, ...] = ()
    strategy: Strategy | None = None
    first_address: bool = False
    rate_per_s: float | None = None
    churn_per_s: float | None = None
    machines: int | None = None
    nat: str | None = None
    nat_addresses: int = 1
    assume: tuple[str, ...] = ()
    load: Load = Load()

    @property
    def wanted_each(self) -> int:
        """Connections on each machine."""
        return -(-self.wanted // (self.machines or 1))

    def check(self) -> None:
        """Raise UsageError if these options cannot be meant."""
        if not 1 <= self.wanted <= MOST:
            raise UsageError(f"{self.wanted:,} connections", f"N must be between 1 and {MOST:,}", "Write 10k, or 1.5M.")
        if self.nat is not None and self.nat not in ROUTERS:
            raise UsageError(f"--nat {self.nat}", f"known gateways: {', '.join(ROUTERS)}")
        if self.nat_addresses > 1:
            if self.nat is None:
                raise UsageError("--nat-addresses", "it needs a gateway", "Add --nat.")
            router = ROUTERS[self.nat]
            if router.most_addresses is not None and self.nat_addresses > router.most_addresses:
                most = f"{router.title} has at most {router.most_addresses}"
                raise UsageError(
                    f"--nat-addresses {self.nat_addresses}", most, "Write fewer, or plan with several gateways."
                )


def plan(
    wanted: int,
    destinations: str | Sequence[str],
    *,
    sources: str | Sequence[str] = (),
    assume: str | Sequence[str] = (),
    host: Host | None = None,
    **options: Any,
) -> Fit:
    """Whether `wanted` more connections fit, and if not, what makes them fit. Opens nothing.

    host:    the host that is asked (verbs/hosts.py); None: this one
    options: the other fields of PlanOptions

    Raises UsageError, ShortfallError, CannotError.
    """
    asked = PlanOptions(wanted, several(destinations), sources=several(sources), assume=several(assume), **options)
    asked.check()
    host = host or here()
    assumed = parse_assumptions(asked.assume)
    if asked.nat is None and (ours := [name for name in (PORTS, KEPT) if name in assumed]):
        raise UsageError(f"--assume {ours[0]}", "it needs a gateway", "Add --nat.")
    seen = look(
        asked.destinations,
        sources=asked.sources,
        strategy=asked.strategy,
        first_address=asked.first_address,
        host=host,
        on_paper=True,
        assumed=assumed,
        load=asked.load,
    )
    absent = tuple(str(address) for address in absent_sources(seen.space, host)) if asked.sources else ()
    each = asked.wanted_each
    choice = loop_here(seen, each, asked.rate_per_s) if host.origin is None else None
    counted = frozenset({WATCHES, FILES})
    if choice is not None:  # hold uses more processes than one, or sockets without a descriptor
        counted = frozenset() if choice.name is LoopName.RING else frozenset({WATCHES})
    planned = PlanCase(seen.case, each, counted, asked.churn_per_s is not None)
    servers = local_servers(seen, host)
    checks = with_unknown((*checks_of(seen, each, choice), *server_checks(servers, seen.full, each)), planned)
    means = means_of(seen, asked.destinations, reservation_of(seen, checks))
    return fit_of(asked, seen, means, checks, absent, assumed, servers)


def loop_here(
    seen: Look,
    wanted: int,
    rate_per_s: float | None = None,
    *,
    loop: LoopName = LoopName.AUTO,
    workers: int | None = None,
) -> "Choice":
    """The loop that `hold` would take on this host, with the processes that it would start.

    loop, workers: as in HoldOptions

    Raises CannotError as `choose`.
    """
    from fourtuple.engine.loops.choose import choose

    free = seen.world.free_memory
    return choose(
        loop,
        connections=fitting(wanted, free),
        workers=workers,
        rate_per_s=rate_per_s,
        free_bytes=free.free_bytes,
    )


def local_servers(seen: Look, host: Host) -> tuple[LocalServer, ...]:
    """The processes of this host that listen at the destinations, as far as this user may see them."""
    listeners = seen.listeners
    if listeners is None or not len(listeners):
        return ()
    holders = host.holders(listeners["inode"])
    at, found = listening(listeners, holders), []
    here, destinations = destinations_here(host, seen.space), seen.space.destinations.size
    for number, share in shares(listeners, here, destinations, holders).items():
        pid, name = holders.processes[number]
        with suppress(UsageError):  # it has ended, or the snapshot does not have it
            found.append(LocalServer(pid, name, share, host.world(pid), at[number]))
    return tuple(found)


def fit_of(
    options: PlanOptions,
    seen: Look,
    means: Means | None,
    checks: Sequence[fit.Check],
    absent: tuple[str, ...],
    assumed: Mapping[str, str] = NOTHING,
    servers: Sequence[LocalServer] = (),
) -> Fit:
    """What follows from the options and from what was seen. Pure: it reads nothing."""
    space, each, machines = seen.space, options.wanted_each, options.machines
    _, binding = bound([v for v in seen.verdicts if v.limit not in (FILES, WATCHES)])
    others = [c.room.least for c in checks if c.room is not None and c.limit not in (*fit.PORT_LIMITS, "4-tuple")]
    rate = options.rate_per_s or fit.RATE_PER_S
    client_bytes, server_bytes, user_bytes = fit.memory(each)
    machine = None
    if machines and means:
        machine = fit.machine(machines, options.wanted, means, min(others, default=MOST), rate)
    nat = None
    if options.nat:
        nat = nat_budget(
            options.nat,
            options.nat_addresses,
            options.wanted,
            space.destinations.size,
            machines or 1,
            churn_per_s=options.churn_per_s or 0.0,
            assumed={name: int(value) for name, value in assumed.items() if name in (PORTS, KEPT)},
        )
    ways = (*fit.ways(checks, means, seen.world, each), *server_ways(servers, checks, each))
    says = min((check.says for check in checks), key=fit.WORST_FIRST.index, default=Says.OK)
    known = Interval.tightest(c.room for c in checks if c.room is not None)
    return Fit(
        wanted=options.wanted,
        says=says,
        strategy=seen.strategy,
        sources=space.sources.size,
        first_source=str(space.address(space.sources[0])),
        ports=means.ports.ceiling // means.ports.pairs if means else 0,
        destinations=space.destinations.size,
        first_destination=fit.endpoint(space),
        ceiling=means.ports.ceiling if means else 0,
        room=None if says is Says.UNKNOWN else known,
        binding=binding.limit if binding else None,
        because=seen.ports.because if seen.ports else (),
        can_probe=seen.can_probe,
        absent=absent,
        checks=tuple(checks),
        ways=ways,
        here=seen.case.here,
        client_bytes=client_bytes,
        server_bytes=server_bytes,
        user_bytes=user_bytes,
        rate_per_s=rate,
        rate_because="as requested" if options.rate_per_s else "as measured on loopback with two CPUs, both ends there",
        elapsed_s=each / rate,
        traffic=traffic(each, seen.case),
        churn=_churn(seen, options.churn_per_s, each),
        machine=machine,
        nat=nat,
        reservation=means.reservation
        if means and any(change.name == RANGE for w in ways for change in w.changes)
        else None,
        assumed=tuple(f"{name} = {value or 'none'}" for name, value in assumed.items()),
        resolved=seen.resolved,
        full=seen.full,
        waiting=means.ports.waiting if means else 0,
        kept_ms=means.ports.kept_ms if means else TIME_WAIT_MS,
    )


def checks_of(seen: Look, wanted: int, choice: "Choice | None") -> tuple[fit.Check, ...]:
    """Every limit as it applies to `hold` with this loop, which may have room for fewer; None: to any program."""
    ring = choice is not None and choice.name is LoopName.RING
    uncounted = {FILES: RING_FILES, WATCHES: RING_FILES} if ring else {FILES: WORKERS_FILES} if choice else {}
    verdicts = [
        replace(v, room=v.room.scaled(MEMORY_SHARE))
        if v.limit in ("memory", "memory.max") and v.room is not None
        else v
        for v in seen.verdicts
    ]
    checks = fit.checks(verdicts, wanted, uncounted=uncounted)
    if choice is None or not choice.lacks(fitting(wanted, seen.world.free_memory)):
        return checks
    room = choice.room
    title = next(limit.title for limit in LIMITS if limit.name == room.limit)
    short = fit.Check(room.limit, title, Interval.of(room.connections), Says.BLOCKS, room.because)
    return (short, *(check for check in checks if check.limit != room.limit))


def refuse(
    seen: Look,
    wanted: int,
    destinations: Sequence[str],
    choice: "Choice",
    *,
    first_address: bool = False,
    but: Sequence[str] = (),
) -> None:
    """Raise ShortfallError, with the plan's words, if the connections do not fit.

    first_address: only the first address of a name is used
    but:           limits to ignore
    """
    blocking = [c for c in checks_of(seen, wanted, choice) if c.says is Says.BLOCKS and c.limit not in but]
    if not blocking:
        return
    room_max, first = min(((c.room.most if c.room else 0, c) for c in blocking), key=itemgetter(0))
    means = means_of(seen, destinations, reservation_of(seen, [first]))
    more = list(fit.ways([first], means, seen.world, wanted))
    command = f"fourtuple plan {wanted} {' '.join(destinations)}{' --first-address' * first_address}"
    raise ShortfallError(*fit.too_many(wanted, room_max, first, command, means, more=more))


def means_of(seen: Look, destinations: Sequence[str], reservation: Reservation | None = None) -> Means | None:
    """What can be used to make the connections fit; None if the ports are unknown.

    reservation: what a wider range must leave alone; None: nothing is known to be in danger
    """
    facts = seen.world.ports
    if seen.ports is None or facts is None:
        return None
    use = seen.uses[0]
    start = max(fit.WIDEST.start, facts.unprivileged_start)
    reservation = reservation or Reservation.of(facts, range(start, fit.WIDEST.stop), ())
    own = quietest(fit.WIDEST, reservation.reserved(facts))
    fresh, because = _fresh(use, facts, seen.strategy)
    return Means(
        space=seen.space,
        strategy=seen.strategy,
        facts=facts,
        ports=seen.ports,
        fresh=fresh.least,
        hoped=fresh.most,
        because=because,
        wide=_fresh(use, reservation.widened(facts), Strategy.LATE)[0].least,
        explicit=_fresh(use, facts, Strategy.EXPLICIT, Ranges([own]))[0].least,
        own=own,
        reservation=reservation,
        spare=_spare(seen),
        here=seen.case.here,
        connected=seen.case.tuples_in_use,
        noport=sum(each.room(facts, Strategy.NOPORT).room.least for each in seen.uses),
        named=destinations[0].rpartition(":")[0].strip("[]"),
    )


def reservation_of(seen: Look, checks: Sequence[fit.Check]) -> Reservation | None:
    """What a wider range must leave alone; None if the ports do not block, so that none is advised.

    It includes the destinations that are on this host: what listens there may be down now.
    """
    facts = seen.world.ports
    lacking = [c for c in checks if c.limit in fit.PORT_LIMITS and c.says in (Says.BLOCKS, Says.PERHAPS)]
    if facts is None or not lacking:
        return None
    parts = seen.space.destinations.parts if seen.case.here else ()
    also = [Claim(part.start, part.stop - 1, "destination here") for _, ports in parts for part in ports.parts]
    return reservation_for(facts, also, host=seen.host)


def _fresh(use: PortUse, facts: PortFacts, strategy: Strategy, ports: Ranges | None = None) -> tuple[Interval, str]:
    """(the ports that a pair without connections has, why that is not exact)."""
    empty = replace(use, towards=use.towards[:0], pairs=use.pairs[:0])
    if ports is not None:
        empty = replace(empty, space=replace(use.space, ports=ports))
    found = empty.room(facts, strategy)
    pools = use.space.sources.size if strategy is Strategy.BIND0 else found.pairs
    return Interval(found.room.least // pools, found.room.most // pools), "; ".join(found.because)


def _spare(seen: Look) -> list[Address]:
    """Addresses of this host that could also be sources: of the same IP version and kind."""
    first = seen.space.address(seen.space.sources[0])
    return [
        address
        for address in (seen.host or here()).addresses()
        if address.version == first.version
        and not address.is_loopback
        and address.is_link_local == first.is_link_local
        and int(address) not in seen.space.sources
    ]


def _churn(seen: Look, per_s: float | None, wanted: int) -> fit.Churn | None:
    if per_s is None or seen.ports is None or seen.world.ports is None:
        return None
    return fit.churn(per_s, seen.ports, seen.world.ports, wanted, loopback=seen.space.stays_on_loopback)


class Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A plan as a file, for `hold --plan`. Names stay names: `hold` resolves them again."""

    fourtuple_plan: int
    wanted: Annotated[int, msgspec.Meta(ge=1)]
    destinations: list[str]
    first_address: bool = False
    sources: list[str] = []
    strategy: Literal["late", "plain", "noport", "explicit"] | None = None
    rate_per_s: Annotated[float, msgspec.Meta(ge=float(LEAST_PER_S), le=float(MOST_PER_S))] | None = None


VERSION = 1
MOST_PLAN_BYTES = 2**20


def write_plan(
    file: str,
    wanted: int,
    destinations: Sequence[str],
    sources: Sequence[str],
    strategy: str | None,
    rate_per_s: float | None,
    *,
    first_address: bool = False,
) -> None:
    """Write the plan to a file. Raises UsageError if the file cannot be written or hold cannot run the plan."""
    if strategy == Strategy.BIND0:
        raise UsageError("--write with --strategy bind0", "hold does not support that strategy")
    written = msgspec.convert(
        {"fourtuple_plan": VERSION, "wanted": wanted, "destinations": list(destinations)}
        | {"sources": list(sources), "strategy": strategy, "rate_per_s": rate_per_s, "first_address": first_address},
        Written,
    )
    write_output(Path(file), msgspec.json.format(msgspec.json.encode(written), indent=2) + b"\n")


def read_plan(file: str) -> Written:
    """Read a plan from a file. Raises as read_file, and UsageError if the file is not a plan of this version."""
    content = read_file(file, MOST_PLAN_BYTES, f"the plan {file}")
    try:
        found = from_json(content, Written)
    except ValueError as error:
        raise UsageError(
            f"{file} is not a plan", str(error), "Write one: fourtuple plan N DEST --write FILE."
        ) from None
    if found.fourtuple_plan != VERSION:
        raise UsageError(
            f"the plan {file}", f"it has version {found.fourtuple_plan}; this program reads version {VERSION}"
        )
    return found
