"""`plan`: do N connections fit, and what makes them fit; and the same plan before `hold` opens anything."""

from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from fourtuple.core.errors import ShortfallError, UsageError
from fourtuple.core.limits.cost import MEMORY_SHARE
from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.limits.ports import PortUse
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.limits.weigh import bound
from fourtuple.core.plan import fit
from fourtuple.core.plan.fit import Fit, Means, Says
from fourtuple.core.plan.nat import ROUTERS, nat_budget
from fourtuple.core.runs.orders import LoopName
from fourtuple.core.space.endpoints import Address
from fourtuple.core.space.interval import Interval
from fourtuple.core.space.ranges import Ranges
from fourtuple.engine.loops.choose import choose
from fourtuple.kernel import addresses
from fourtuple.verbs.request import absent_sources
from fourtuple.verbs.survey import Look, look

RING_FILES = "hold's sockets are in io_uring"
WORKERS_FILES = "hold takes more processes"
FILES, WATCHES = "RLIMIT_NOFILE", "fs.epoll.max_user_watches"
MOST = 10**12


def plan(
    wanted: int,
    destinations: Sequence[str],
    *,
    sources: Sequence[str] = (),
    strategy: Strategy | None = None,
    rate_per_s: float | None = None,
    churn_per_s: float | None = None,
    machines: int | None = None,
    nat: str | None = None,
    nat_addresses: int = 1,
) -> Fit:
    """Do `wanted` more connections fit, and if not, what makes them fit? Opens nothing.

    destinations, sources, strategy: as `hold` takes them; sources need not be there yet
    rate_per_s:    how fast they are opened; None: as fast as bench/RESULTS.md has measured
    churn_per_s:   besides, so many are opened and closed a second, the client closing first
    machines:      split over so many machines like this one
    nat:           a router in between: aws, azure, gcp, linux
    nat_addresses: its public addresses

    Raises UsageError, ShortfallError, CannotError.
    """
    if not 1 <= wanted <= MOST:
        raise UsageError(f"{wanted:,} connections", f"from 1 to {MOST:,} can be planned")
    if nat is not None and nat not in ROUTERS:
        raise UsageError(f"--nat {nat}", f"there are: {', '.join(ROUTERS)}")
    if nat_addresses > 1:
        if nat is None:
            raise UsageError("--nat-addresses", "no router was named", "See --nat.")
        most = ROUTERS[nat].most_addresses
        if most is not None and nat_addresses > most:
            raise UsageError(f"--nat-addresses {nat_addresses}", f"{ROUTERS[nat].title} has at most {most}")
    here_wanted = -(-wanted // (machines or 1))
    seen = look(destinations, sources=sources, strategy=strategy, on_paper=True)
    means = means_of(seen, destinations)
    found = checks_of(seen, here_wanted)
    _, binding = bound([v for v in seen.verdicts if v.limit not in (FILES, WATCHES)])
    room = Interval.tightest(c.room for c in found if c.room is not None)
    others = [c.room.least for c in found if c.room is not None and c.limit not in (*fit.PORT_LIMITS, "4-tuple")]
    rate = rate_per_s or fit.RATE_PER_S
    client_bytes, server_bytes, user_bytes = fit.memory(here_wanted)
    says = min((check.says for check in found), key=(Says.BLOCKS, Says.PERHAPS, Says.OK).index, default=Says.OK)
    addresses_of_source = seen.space.address(seen.space.sources[0])
    return Fit(
        wanted=wanted,
        says=says,
        strategy=seen.strategy,
        sources=seen.space.sources.size,
        first_source=str(addresses_of_source),
        ports=means.ports.ceiling // means.ports.pairs if means else 0,
        destinations=seen.space.destinations.size,
        first_destination=fit.endpoint(seen.space),
        ceiling=means.ports.ceiling if means else 0,
        room=room,
        binding=binding.limit if binding else None,
        because=seen.because,
        absent=tuple(str(address) for address in absent_sources(seen.space)) if sources else (),
        checks=found,
        ways=tuple(fit.ways(found, means, seen.world, here_wanted)),
        here=seen.case.here,
        client_bytes=client_bytes,
        server_bytes=server_bytes,
        user_bytes=user_bytes,
        rate_per_s=rate,
        rate_because="as asked" if rate_per_s else "as two CPUs open them on loopback, both ends there",
        elapsed_s=here_wanted / rate,
        churn=_churn(seen, churn_per_s, here_wanted),
        machine=fit.machine(machines, wanted, means, min(others, default=MOST), rate) if machines and means else None,
        nat=nat_budget(nat, nat_addresses, wanted, seen.space.destinations.size, machines or 1) if nat else None,
    )


def checks_of(seen: Look, wanted: int) -> tuple[fit.Check, ...]:
    """As `hold` would open them: with a ring open files do not count, with epoll it takes processes."""
    name = choose(LoopName.AUTO, log=False).name
    uncounted = {FILES: RING_FILES, WATCHES: RING_FILES}
    if name != LoopName.RING:
        uncounted = {FILES: WORKERS_FILES}
    verdicts = [
        replace(v, room=v.room.scaled(MEMORY_SHARE))
        if v.limit in ("memory", "memory.max") and v.room is not None
        else v
        for v in seen.verdicts
    ]
    return fit.checks(verdicts, wanted, uncounted=uncounted)


def refuse(seen: Look, wanted: int, destinations: Sequence[str], *, but: Sequence[str] = ()) -> None:
    """Raises ShortfallError, with the plan's words, for more than there can be.

    but: limits that are not looked at
    """
    blocking = [c for c in checks_of(seen, wanted) if c.says is Says.BLOCKS and c.limit not in but]
    if not blocking:
        return
    room_max, first = min(((c.room.most if c.room else 0, c) for c in blocking), key=itemgetter(0))
    means = means_of(seen, destinations)
    more = list(fit.ways([first], means, seen.world, wanted))
    command = f"fourtuple plan {wanted} {' '.join(destinations)}"
    raise ShortfallError(*fit.too_many(wanted, room_max, first, command, more=more))


def means_of(seen: Look, destinations: Sequence[str]) -> Means | None:
    """What ways out can be made of; None where the ports are unknown."""
    facts = seen.world.ports
    if seen.ports is None or facts is None:
        return None
    use = seen.uses[0]
    wide = replace(facts, port_range=range(max(fit.WIDEST.start, facts.unprivileged_start), fit.WIDEST.stop))
    return Means(
        space=seen.space,
        strategy=seen.strategy,
        facts=facts,
        ports=seen.ports,
        fresh=_fresh(use, facts, seen.strategy),
        wide=_fresh(use, wide, Strategy.LATE),
        explicit=_fresh(use, facts, Strategy.EXPLICIT, Ranges([fit.WIDEST])),
        spare=_spare(seen),
        here=seen.case.here,
        connected=seen.case.tuples_in_use,
        noport=sum(each.room(facts, Strategy.NOPORT).room.least for each in seen.uses),
        named=destinations[0].rpartition(":")[0].strip("[]"),
    )


def _fresh(use: PortUse, facts: PortFacts, strategy: Strategy, ports: Ranges | None = None) -> int:
    """What a pair without connections has at least."""
    empty = replace(use, towards=use.towards[:0], pairs=use.pairs[:0])
    if ports is not None:
        empty = replace(empty, space=replace(use.space, ports=ports))
    found = empty.room(facts, strategy)
    return found.room.least // (use.space.sources.size if strategy is Strategy.BIND0 else found.pairs)


def _spare(seen: Look) -> list[Address]:
    """Addresses of this host that could be sources too: of the same IP version and kind."""
    first = seen.space.address(seen.space.sources[0])
    return [
        address
        for address in addresses.of_this_host()
        if address.version == first.version
        and not address.is_loopback
        and address.is_link_local == first.is_link_local
        and int(address) not in seen.space.sources
    ]


def _churn(seen: Look, per_s: float | None, wanted: int) -> fit.Churn | None:
    if per_s is None or seen.ports is None or seen.world.ports is None:
        return None
    first = seen.space.address(seen.space.sources[0])
    targets = [seen.space.address(parts.parts[0].start) for parts, _ in seen.space.destinations.parts]
    loopback = first.is_loopback or all(target.is_loopback for target in targets)
    return fit.churn(per_s, seen.ports, seen.world.ports, wanted, loopback=loopback)


class Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A plan as a file, for `hold --plan`."""

    fourtuple_plan: int
    wanted: Annotated[int, msgspec.Meta(ge=1)]
    destinations: list[str]
    sources: list[str] = []
    strategy: Literal["late", "plain", "noport", "explicit"] | None = None
    rate_per_s: Annotated[float, msgspec.Meta(gt=0)] | None = None


VERSION = 1


def write_plan(
    file: str,
    wanted: int,
    destinations: Sequence[str],
    sources: Sequence[str],
    strategy: str | None,
    rate_per_s: float | None,
) -> None:
    """Raises UsageError where it cannot be written, or hold could not run it."""
    if strategy == Strategy.BIND0:
        raise UsageError("--write with --strategy bind0", "hold does not open connections that way")
    written = msgspec.convert(
        {"fourtuple_plan": VERSION, "wanted": wanted, "destinations": list(destinations)}
        | {"sources": list(sources), "strategy": strategy, "rate_per_s": rate_per_s},
        Written,
    )
    try:
        Path(file).write_bytes(msgspec.json.format(msgspec.json.encode(written), indent=2) + b"\n")
    except OSError as error:
        raise UsageError(f"the plan {file}", error.strerror or str(error)) from None


def read_plan(file: str) -> Written:
    """Raises UsageError where it is not there, or is not a plan of this version."""
    try:
        found = msgspec.json.decode(Path(file).read_bytes(), type=Written)
    except OSError as error:
        raise UsageError(f"the plan {file}", error.strerror or str(error)) from None
    except msgspec.DecodeError as error:
        raise UsageError(f"the plan {file}", f"it is not one: {error}") from None
    if found.fourtuple_plan != VERSION:
        raise UsageError(f"the plan {file}", f"it is of version {found.fourtuple_plan}, this program reads {VERSION}")
    return found
