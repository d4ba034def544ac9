"""What this machine is, and what it could do for a run of a fleet: asked on each machine, by a process there."""

import math
import platform
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeAlias

from fourtuple import __version__
from fourtuple.core.errors import UsageError
from fourtuple.core.fleet.member import LimitRoom, Member, Offer, ServerEnd
from fourtuple.core.limits.cost import fitting
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.limits.verdicts import Case
from fourtuple.core.limits.weigh import weigh
from fourtuple.core.plan import fit
from fourtuple.core.plan.fit import Check, Way
from fourtuple.core.plan.servers import LocalServer
from fourtuple.core.plan.unknown import WATCHES, PlanCase, with_unknown
from fourtuple.core.runs.loop_name import LoopName
from fourtuple.core.snapshot.host import Host
from fourtuple.core.sockets.role import Role
from fourtuple.core.space.endpoints import EndpointSpec, addresses_text, parse_addresses
from fourtuple.core.space.interval import Interval
from fourtuple.core.space.ranges import Ranges
from fourtuple.core.space.tuples import TupleSpace
from fourtuple.engine.loops.choose import Choice
from fourtuple.kernel import process
from fourtuple.kernel.proc.alive import boot_id
from fourtuple.kernel.proc.cgroups import read_cpu_quota
from fourtuple.verbs.hosts import here
from fourtuple.verbs.plan import (
    FILES,
    PlanOptions,
    checks_of,
    local_servers,
    loop_here,
    means_of,
    reservation_of,
)
from fourtuple.verbs.request import MOST_ADDRESSES
from fourtuple.verbs.survey import Look, destinations_here, look_to_connect

# The loop that so many connections would take; None: that of another host is unknown
Choose: TypeAlias = Callable[[int], Choice] | None

MOST_LISTENING = 3  # listeners that a server is named with
NEEDS_MACHINES = ("memory", "memory.max")  # past these, only more machines lead, which the plan of the fleet counts


def member_of(name: str, worker: str) -> Member:
    """This machine as the network namespace of this thread sees it. name, worker: as in Member

    Raises CannotError without /proc, OSError if its addresses cannot be read.
    """
    host = here()
    world, (hostname, _) = host.world(details=False), host.taken()
    return Member(
        name=name,
        worker=worker,
        host=hostname,
        namespace=f"{boot_id() or hostname} {world.netns}",
        addresses=tuple(str(each) for each in host.addresses() if not (each.is_loopback or each.is_link_local)),
        cpus=cpus_of(world.cpus, read_cpu_quota()),
        memory_bytes=world.memory_bytes,
        free_bytes=world.free_memory.free_bytes,
        files=process.read_files().hard,
        kernel=world.kernel,
        python=platform.python_version(),
        fourtuple=__version__,
    )


def cpus_of(usable: int, quota: float | None) -> int:
    """CPUs that processes can keep busy. usable: by their affinity; quota: of their cgroups, None: none"""
    return usable if quota is None else min(usable, math.ceil(quota))


def offer_of(
    name: str,
    destinations: Sequence[str],
    *,
    sources: Sequence[str] = (),
    strategy: Strategy | None = None,
    first_address: bool = False,
    wanted: int = 1,
    loop: LoopName = LoopName.AUTO,
    workers: int | None = None,
    host: Host | None = None,
) -> Offer:
    """What this machine could open, for a run to these destinations: as `hold` would find it now.

    destinations, strategy, first_address, loop, workers: as in HoldOptions
    sources: those of them that this machine has are used (`own_sources`)
    wanted:  connections for which `ways` are sought, if the room is smaller; N / machines makes N fit on all of them
    host:    None: this one

    Raises UsageError, ShortfallError (no route), CannotError.
    """
    host = host or here()
    own = own_sources(sources, host)
    seen = look_to_connect("hold", PlanOptions(wanted, tuple(destinations), own, strategy, first_address), host)
    choose = partial(loop_here, seen, loop=loop, workers=workers) if host.origin is None else None
    bounds = _bounds(seen, choose, wanted)
    room = Interval.tightest(each.room for each in bounds if each.room is not None) or Interval.of(0)
    origins = Ranges(part for use in seen.uses for part in use.space.sources.parts)
    owned = Ranges(part for addresses, _ in destinations_here(host, seen.space).parts for part in addresses.parts)
    return Offer(
        machine=name,
        sources=_texts(seen.space, origins),
        owns=_texts(seen.space, owned),
        room=room,
        bounds=bounds,
        ways=_ways(seen, choose, wanted, destinations) if room.least < wanted else (),
        servers=tuple(map(_server, local_servers(seen, host))),
    )


def own_sources(sources: Sequence[str], host: Host | None = None) -> tuple[str, ...]:
    """Those of the sources that this machine has, in the form of --from; none if none are given.

    Of more than MOST_ADDRESSES, only addresses of its interfaces are found. A range of loopback is kept as it is.

    Raises UsageError if it has none of them.
    """
    host = host or here()
    found = [text for source in sources for text in _own(EndpointSpec.parse(source), host)]
    if sources and not found:
        what = f"the source addresses {', '.join(sources)}"
        raise UsageError(what, "this machine has none of them", "Name addresses of each machine, or leave --from out.")
    return tuple(found)


def _own(spec: EndpointSpec, host: Host) -> Iterator[str]:
    """Yield the parts of one --from that this machine has."""
    version, values = parse_addresses(spec.host)
    space = TupleSpace.whole(version)
    if space.address(values.start).is_loopback and space.address(values.stop - 1).is_loopback:
        yield str(spec)
        return
    if len(values) <= MOST_ADDRESSES:
        own = [value for value in values if host.is_source(space.address(value))]
    else:
        own = [int(each) for each in host.addresses() if each.version == version and int(each) in values]
    for text in _texts(space, Ranges(range(value, value + 1) for value in own)):
        yield str(EndpointSpec(text, spec.ports))


def _texts(space: TupleSpace, values: Ranges) -> tuple[str, ...]:
    return tuple(addresses_text(space.address(part.start), space.address(part.stop - 1)) for part in values.parts)


def _bounds(seen: Look, choose: Choose, wanted: int) -> tuple[LimitRoom, ...]:
    """The room that each limit leaves `hold`, the tightest first, with the loop that it would take for all of it."""
    rooms = [check.room for check in checks_of(seen, 1, None) if check.room and check.limit not in (FILES, WATCHES)]
    most = max(1, fitting(min(room.most for room in rooms), seen.world.free_memory)) if rooms else wanted
    found = [LimitRoom(check.limit, check.title, check.room) for check in _checks(seen, choose, most)]
    return tuple(sorted(found, key=_tightness))


def _tightness(each: LimitRoom) -> tuple[bool, int, int]:
    """What is unknown comes last."""
    room = each.room or Interval.of(0)
    return each.room is None, room.least, room.most


def _checks(seen: Look, choose: Choose, wanted: int) -> tuple[Check, ...]:
    """Every limit compared with `wanted`, as `plan` does."""
    checks = checks_of(seen, wanted, choose(wanted) if choose else None)
    known = with_unknown(checks, PlanCase(seen.case, wanted, frozenset(), churns=False))
    return tuple(check for check in known if check.room is not None or check.says is fit.Says.UNKNOWN)


def _ways(seen: Look, choose: Choose, wanted: int, destinations: Sequence[str]) -> tuple[str, ...]:
    """What makes `wanted` connections fit, in the words of `plan`: without root first, then what is sure."""
    checks = _checks(seen, choose, wanted)
    means = means_of(seen, destinations, reservation_of(seen, checks))
    ways = [way for way in fit.ways(checks, means, seen.world, wanted) if way.limit not in NEEDS_MACHINES]
    return tuple(map(_words, sorted(ways, key=lambda way: (way.root, not way.sure))))


def _words(way: Way) -> str:
    commands = [*filter(None, [way.options]), *(change.command for change in way.changes)]
    return f"{way.text}: {'; '.join(commands)}" if commands else way.text


def _server(server: LocalServer) -> ServerEnd:
    """The server with the room of its limits, as `limits --role server --pid` has them."""
    case = Case(server.world, Role.SERVER, Strategy.LATE, None, cpus=server.world.cpus, running=True)
    found = [LimitRoom(v.limit, v.title, v.room) for v in weigh(case) if v.stops and v.room is not None]
    return ServerEnd(
        pid=server.pid,
        process=server.name,
        listening=server.listening[:MOST_LISTENING],
        bounds=tuple(sorted(found, key=_tightness)),
        share=server.share,
    )
