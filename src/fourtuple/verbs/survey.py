"""The survey behind `limits`, `plan`, `why` and `hold`: the world, the ports, and the room that each limit leaves."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from fourtuple.core.errors import CannotError, UsageError
from fourtuple.core.limits.facts import PortFacts, World
from fourtuple.core.limits.load import Load
from fourtuple.core.limits.ports import PortRoom, PortUse
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.limits.verdicts import Case, Queue, Verdict
from fourtuple.core.limits.weigh import weigh
from fourtuple.core.plan.assume import NOTHING, assumed_world
from fourtuple.core.record import dataclass
from fourtuple.core.snapshot.host import Host
from fourtuple.core.sockets.columns import is_in
from fourtuple.core.sockets.ends import serving
from fourtuple.core.sockets.role import Role
from fourtuple.core.sockets.table import SOCK_DIAG, Sockets, State, full_queues
from fourtuple.core.space.endpoints import Resolved, several
from fourtuple.core.space.ranges import Ranges
from fourtuple.core.space.tuples import Destinations, TupleSpace
from fourtuple.verbs.hosts import here
from fourtuple.verbs.request import MOST_ADDRESSES, by_source, space_of, use_of

ANYWHERE = Destinations.of([(range(1), range(1, 2))])  # represents a destination without a connection
NO_PORTS = PortFacts(range(0), Ranges([]))  # of an unknown range
CONNTRACK = "net.netfilter.nf_conntrack_count"


@dataclass(frozen=True)
class Look:
    """The result of a survey.

    space:    the sources and destinations in question
    resolved: names among the destinations that have several addresses
    host:     the one that was asked; None: this one
    listeners: the relevant listeners of this host: those of the server, or those at the destinations; None: unknown
    uses:     port use of the space, or of its parts, each with its own source; empty if the port range is unknown
    ports:    the room of all uses together; None: the port range is unknown, or the role is server
    full:     relevant listeners whose accept queue is full now
    probed:   how many ports were tested; None: not requested
    """

    world: World
    role: Role
    space: TupleSpace
    strategy: Strategy
    uses: tuple[PortUse, ...]
    ports: PortRoom | None
    full: tuple[str, ...]
    probed: int | None
    case: Case
    verdicts: tuple[Verdict, ...]
    resolved: tuple[Resolved, ...] = ()
    host: Host | None = None
    listeners: Sockets | None = None

    @property
    def can_probe(self) -> bool:
        """Whether testing ports (`limits --probe`) can tell more here."""
        facts, ports = self.world.ports, self.ports
        if facts is None or ports is None or (self.host and not self.host.can_test):
            return False
        return facts.can_probe(ports.unattributed, ports.hidden)


def look(
    destinations: str | Sequence[str] = (),
    *,
    sources: str | Sequence[str] = (),
    strategy: Strategy | None = None,
    first_address: bool = False,
    pid: int | None = None,
    role: Role | None = None,
    probe: bool = False,
    host: Host | None = None,
    on_paper: bool = False,
    assumed: Mapping[str, str] = NOTHING,
    load: Load | None = None,
) -> Look:
    """Survey with the arguments of `limits`.

    on_paper: source addresses need not be on the host
    assumed:  values in place of what the host says (core/plan/assume.py)
    """
    host = host or here()
    destinations, sources = several(destinations), several(sources)
    if role is Role.SERVER and pid is None:
        raise UsageError("--role server", "a server is a running process", "Give its --pid.")
    world = assumed_world(host.world(pid), assumed)
    if world.ports:
        world = replace(world, ports=replace(world.ports, any_port=world.process.may_bind_any_port))
    space, strategy, resolved = _asked(
        host, world, destinations, sources, strategy, first_address=first_address, on_paper=on_paper
    )
    uses: list[PortUse] = []
    probed, by = None, ""
    if world.ports:
        asked = [
            use_of(each, world.ports, host) for each in (by_source(space, sources, host) if destinations else [space])
        ]
        uses = [use for use, _ in asked]
        by = asked[0][1]
        if hidden := world.most_hidden(by):
            uses = [replace(use, hidden=hidden) for use in uses]
        if probe:
            uses, probed = _probed(host, uses, world.ports)
            world = replace(world, tracked=_is_tracked(host, world))
    listeners = _listeners(uses[0].listens, world) if uses and pid is not None else None
    if pid is not None and world.process.sockets is None:
        world = replace(world, why_not={**world.why_not, "whether it listens": "root may see its sockets"})
    role = role or (Role.SERVER if pid is not None and not destinations and listeners is not None else Role.CLIENT)
    ports = None
    if world.ports and role is Role.CLIENT:
        ports = PortRoom.together([use.room(world.ports, strategy, anywhere=not destinations) for use in uses])
    case = Case(
        world=world,
        role=role,
        strategy=strategy,
        ports=ports,
        tuples_in_use=sum(int((use.towards["state"] != State.LISTEN).sum()) for use in uses),
        queue=queue_of(listeners, by),
        cpus=world.cpus,
        running=pid is not None,
        load=load or Load(),
        **_far_ends(host, space, ports, anywhere=not destinations),
    )
    if role is Role.CLIENT:
        listeners = _listening_at(host, space, uses[0].listens) if uses and destinations else None
    verdicts = weigh(case)
    return Look(
        world,
        role,
        space,
        strategy,
        tuple(uses),
        ports,
        () if listeners is None else tuple(full_queues(listeners)),
        probed,
        case,
        verdicts,
        resolved,
        host,
        listeners,
    )


class Connecting(Protocol):
    """Options of a command that opens connections, as far as the survey needs them."""

    @property
    def destinations(self) -> Sequence[str]: ...
    @property
    def sources(self) -> Sequence[str]: ...
    @property
    def strategy(self) -> Strategy | None: ...
    @property
    def first_address(self) -> bool: ...


def look_to_connect(verb: str, options: Connecting, host: Host | None = None) -> Look:
    """The host and its limits as a command needs them that is to open connections; `ports` is known.

    host: None: this one

    Raises UsageError; CannotError if the range of source ports cannot be read.
    """
    seen = look(
        options.destinations,
        sources=options.sources,
        strategy=options.strategy,
        first_address=options.first_address,
        host=host,
    )
    if seen.world.ports is None:
        what = "the range of source ports"
        raise CannotError(what, seen.world.why_not.get(what, "it cannot be read"))
    if seen.ports is None or seen.strategy is Strategy.BIND0:
        raise UsageError(f"--strategy {seen.strategy}", f"{verb} does not support it", f"See {verb} --help.")
    return seen


def _asked(
    host: Host,
    world: World,
    destinations: Sequence[str],
    sources: Sequence[str],
    strategy: Strategy | None,
    *,
    first_address: bool,
    on_paper: bool,
) -> tuple[TupleSpace, Strategy, tuple[Resolved, ...]]:
    """The space in question, its strategy and the resolved names.

    A placeholder space without destinations; without ports if the range is unknown.
    """
    if destinations:
        facts = world.ports or NO_PORTS
        return space_of(facts, destinations, sources, strategy, host, first_address=first_address, on_paper=on_paper)
    if sources and not destinations:
        raise UsageError("--from needs a destination", do="fourtuple limits 10.0.0.9:80 --from 10.0.0.4")
    ports = Ranges([world.ports.port_range] if world.ports else [])
    return TupleSpace(4, Ranges([range(1)]), ports, ANYWHERE), strategy or Strategy.LATE, ()


def _probed(host: Host, uses: Sequence[PortUse], facts: PortFacts) -> tuple[list[PortUse], int]:
    """The uses after the ports in question were tested, and how many these are."""
    asked, blocked = host.tested(uses[0].unsure(facts), uses[0].connected, facts)
    return [use.probed(asked, blocked) for use in uses], int(asked.sum())


def _is_tracked(host: Host, before: World) -> bool | None:
    """Whether connection tracking counted the connections of the probe; None: tracking is not available."""
    if CONNTRACK not in before.sysctls:
        return None
    return host.sysctl(CONNTRACK) not in ("", "0")


def _listeners(listens: Sockets, world: World) -> Sockets | None:
    """The listeners of the process; None: it has none, or they are not readable."""
    if world.process.sockets is None:
        return None
    listens = listens[is_in(listens["inode"], np.sort(np.fromiter(world.process.sockets, np.uint64)))]
    return listens if len(listens) else None


def _listening_at(host: Host, space: TupleSpace, listens: Sockets) -> Sockets:
    """The listeners of this namespace at those destinations that are on this host, by their address or the wildcard."""
    found: Sockets = listens[serving(listens, space.destinations)]
    if not len(found):
        return found
    at_destinations: Sockets = found[serving(found, destinations_here(host, space))]
    return at_destinations


def destinations_here(host: Host, space: TupleSpace) -> Destinations:
    """Those destinations that are on this host; only the first MOST_ADDRESSES of each part are examined."""
    parts = [(Ranges(_local(host, space, addresses)), ports) for addresses, ports in space.destinations.parts]
    return Destinations(tuple((addresses, ports) for addresses, ports in parts if addresses.size))


def _local(host: Host, space: TupleSpace, addresses: Ranges) -> Iterator[range]:
    """Those of the addresses that are on this host; only the first MOST_ADDRESSES are examined."""
    for value in itertools.islice(addresses, MOST_ADDRESSES):
        if host.is_local(space.address(value)):
            yield range(value, value + 1)


def queue_of(listeners: Sockets | None, by: str) -> Queue | None:
    """The accept queues of the listeners; None: no listeners, or unknown backlogs. by: the source of the listing"""
    if listeners is None or not len(listeners) or by != SOCK_DIAG:
        return None
    backlogs = listeners["send_q"].astype(np.int64)
    return Queue(
        listeners=len(listeners),
        recv_q=int(listeners["recv_q"].sum()),
        ceiling=int((backlogs + 1).sum()),
        backlog_most=int(backlogs.max()),
    )


def _far_ends(host: Host, space: TupleSpace, ports: PortRoom | None, *, anywhere: bool) -> dict[str, Any]:
    """`here`, `peers` and `per_peer` of a Case; only the first MOST_ADDRESSES of each part are examined."""
    if anywhere:
        return {}
    count = sum(min(each.size, MOST_ADDRESSES) for each, _ in space.destinations.parts)
    here = sum(1 for each, _ in space.destinations.parts for _ in _local(host, space, each))
    return {
        "here": here == count,
        "peers": count - here,
        "per_peer": ports.ceiling // count if ports else 0,
    }
