"""Which limit of the servers of a fleet is reached first, and with how many connections of the whole run.

Connections are divided evenly over the destinations, so each server is to accept its share of those that reach it. A
limit of a process counts that process alone; a limit of a machine counts all servers there; memory and the file table
of a kernel count every end on it, those of clients too.
"""

from collections.abc import Iterator, Sequence

from fourtuple.core.fleet.member import LimitRoom, Member, Offer, ServerEnd
from fourtuple.core.fleet.share import OF_KERNEL, MachineOffer, Split
from fourtuple.core.limits.table import LIMITS
from fourtuple.core.limits.verdicts import Scope
from fourtuple.core.record import dataclass

_OF_ONE = frozenset(limit.name for limit in LIMITS if limit.scope in (Scope.PROCESS, Scope.SOCKET))


@dataclass(frozen=True, slots=True)
class EndStop:
    """A limit of servers, and where it stops the run.

    machine:  of the first of these servers
    process:  its name and PID, if the limit is its own; empty: the limit counts all servers there
    arriving: connections that are to arrive there
    room:     connections for which the limit leaves room for certain
    at:       connections of the whole run with which it is reached
    """

    machine: str
    process: str
    limit: str
    title: str
    arriving: int
    room: int
    at: int


@dataclass(frozen=True, slots=True)
class _Load:
    """What uses up a limit: connections that arrive at a server, or that a client opens, and the limit's room there."""

    machine: str
    process: str
    bound: LimitRoom
    connections: float
    arrives: bool

    @property
    def part(self) -> float:
        """The part of the limit that they use up."""
        room = self.bound.room.least if self.bound.room else 0
        return self.connections / room if room else float("inf") if self.connections else 0.0


def stops_of(split: Split, machines: Sequence[MachineOffer]) -> tuple[EndStop, ...]:
    """The limits of all servers in the order in which they stop the run; those without a number are left out.

    machines: those that were divided by `share_of`
    """
    total = sum(share.wanted for share in split.shares)
    loads: dict[tuple[str, ...], list[_Load]] = {}
    for key, load in _server_loads(split, machines):
        loads.setdefault(key, []).append(load)
    for key, load in _client_loads(split, machines):
        if key in loads:
            loads[key].append(load)
    found = [_stop(total, each) for each in loads.values() if sum(load.part for load in each)]
    return tuple(sorted(found, key=lambda stop: stop.at))


def _stop(total: int, loads: Sequence[_Load]) -> EndStop:
    arriving = [load for load in loads if load.arrives]
    first = arriving[0]
    return EndStop(
        machine=first.machine,
        process=first.process,
        limit=first.bound.limit,
        title=first.bound.title,
        arriving=round(sum(load.connections for load in arriving)),
        room=min(load.bound.room.least for load in arriving if load.bound.room),
        at=int(total / sum(load.part for load in loads) + 1e-6),  # a share such as a third is not exact
    )


def _server_loads(split: Split, machines: Sequence[MachineOffer]) -> Iterator[tuple[tuple[str, ...], _Load]]:
    """Yield what each limit of each server has to take, with what identifies that limit."""
    wanted = {share.machine: share.wanted for share in split.shares}
    seen: set[tuple[str, int]] = set()
    for member, offer in machines:
        for end in offer.servers:
            if (member.namespace, end.pid) in seen:  # each worker of a namespace sees the same servers
                continue
            seen.add((member.namespace, end.pid))
            reaching = [(other, wanted.get(o.machine, 0)) for other, o in machines if _reaches(other, o, member, offer)]
            everywhere = sum(number for _, number in reaching) * end.share
            elsewhere = sum(number for other, number in reaching if other.namespace != member.namespace) * end.share
            for bound in end.bounds:
                if bound.room is not None:
                    key, process = _key(member, end, bound)
                    # The memory and files of both ends are in the room of a client whose server is beside it.
                    connections = elsewhere if bound.limit in OF_KERNEL else everywhere
                    yield key, _Load(offer.machine, process, bound, connections, arrives=True)


def _client_loads(split: Split, machines: Sequence[MachineOffer]) -> Iterator[tuple[tuple[str, ...], _Load]]:
    """Yield what the clients use of the limits that servers on the same kernel use, too."""
    wanted = {share.machine: share.wanted for share in split.shares}
    for member, offer in machines:
        for bound in offer.bounds:
            if bound.limit in OF_KERNEL and bound.room is not None:
                load = _Load(offer.machine, "", bound, wanted.get(offer.machine, 0), arrives=False)
                yield (member.boot, bound.limit), load


def _key(member: Member, end: ServerEnd, bound: LimitRoom) -> tuple[tuple[str, ...], str]:
    """(what identifies the limit, the process whose own it is; empty: several have it)."""
    if bound.limit in _OF_ONE:
        return (member.namespace, str(end.pid), bound.limit), f"{end.process} ({end.pid})"
    if bound.limit in OF_KERNEL:
        return (member.boot, bound.limit), ""
    return (member.namespace, bound.limit), ""


def _reaches(client: Member, opening: Offer, server: Member, serving: Offer) -> bool:
    """Whether connections of one machine arrive at the other: not if it has all of the other's addresses itself."""
    return client.namespace == server.namespace or not set(serving.owns) <= set(opening.owns)
