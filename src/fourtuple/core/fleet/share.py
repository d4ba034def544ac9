"""Which machine of a fleet opens how many connections: divided by CPUs, and never more than a machine has room for."""

import ipaddress
from collections.abc import Callable, Sequence
from fractions import Fraction

from fourtuple.core.errors import UsageError
from fourtuple.core.fleet.member import Member, Offer
from fourtuple.core.record import dataclass
from fourtuple.core.space.endpoints import parse_addresses
from fourtuple.core.space.interval import Interval
from fourtuple.core.talk.stages import Ramp, Stages
from fourtuple.core.units import format_count

# What all network namespaces of a kernel use up together: each of them offers the whole of it.
OF_KERNEL = ("memory", "fs.file-max")

MachineOffer = tuple[Member, Offer]


@dataclass(frozen=True, slots=True)
class MachineShare:
    """The connections that a machine is to open, in the order of the fleet.

    wanted:  0: it is left out
    room:    connections that it can open by itself; machines that share a kernel or a namespace have it together
    sources: as in Offer
    """

    machine: str
    wanted: int
    room: Interval
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """The division of N connections.

    shares:  of the machines that open connections, whose sum is `wanted` - `lacking`
    servers: machines that own destinations, and open nothing
    room:    connections that all of `shares` can open together
    lacking: how many of `wanted` do not fit
    because: what decided, in words
    """

    wanted: int
    shares: tuple[MachineShare, ...]
    servers: tuple[str, ...]
    room: Interval
    lacking: int
    because: str


def share_of(wanted: int, machines: Sequence[MachineOffer], *, hoped: bool = False) -> Split:
    """Divide `wanted` connections among machines in the proportion of their CPUs, within the room that each has.

    What a machine has no room for is divided among the others in the same proportion. A machine that owns destinations
    is a server and opens nothing, unless every machine owns some. Workers of one network namespace have their room
    together, and network namespaces of one kernel its memory, its file table and its CPUs.

    hoped: a machine has room for as many as perhaps fit (`room.most`), and not only for those that fit for certain

    Raises UsageError if two network namespaces have a source address in common; loopback addresses are each one's own.
    """
    serves_all = all(offer.owns for _, offer in machines)
    openers = [each for each in machines if serves_all or not each[1].owns]
    _check_sources(openers)
    total = Interval(_total(openers, _least), _total(openers, _most))
    bound = _most if hoped else _least
    found: dict[str, int] = {}
    kernels = _grouped(openers, lambda member: member.boot)
    for kernel, of_kernel in zip(kernels, _filled(wanted, kernels, bound, _kernel_room), strict=True):
        namespaces = _grouped(kernel, lambda member: member.namespace)
        parts = _filled(of_kernel, namespaces, bound, _namespace_room)
        for workers, part in zip(namespaces, parts, strict=True):
            weights = [max(1, member.cpus) for member, _ in workers]
            for (_, offer), number in zip(workers, divided(part, weights), strict=True):
                found[offer.machine] = number
    shares = tuple(MachineShare(o.machine, found[o.machine], o.room, o.sources) for _, o in openers)
    servers = () if serves_all else tuple(offer.machine for _, offer in machines if offer.owns)
    lacking = wanted - sum(found.values())
    return Split(wanted, shares, servers, total, lacking, _because(openers, shares, lacking))


def divided(number: int, weights: Sequence[int]) -> tuple[int, ...]:
    """`number` in whole parts in the proportion of the weights; they sum to it exactly.

    The parts with the largest remainders are rounded up, among equals the first ones. Raises ValueError if there is no
    weight above 0.
    """
    total = sum(weights)
    if total <= 0:
        raise ValueError("there is no weight above 0")
    parts = [number * weight // total for weight in weights]
    remainders = [number * weight % total for weight in weights]
    for place in sorted(range(len(weights)), key=lambda each: -remainders[each])[: number - sum(parts)]:
        parts[place] += 1
    return tuple(parts)


def stages_of(stages: Stages, split: Split) -> tuple[Stages, ...]:
    """The stages of each machine of `split.shares`: at each stage their targets sum to the target exactly.

    A machine without connections has stages without connections. Raises ValueError if no machine has any.
    """
    weights = [share.wanted for share in split.shares]
    targets = [divided(ramp.target, weights) for ramp in stages.ramps]
    return tuple(
        Stages(tuple(Ramp(each[place], ramp.within_ns) for each, ramp in zip(targets, stages.ramps, strict=True)))
        for place in range(len(weights))
    )


def rates_of(rate_per_s: float, split: Split) -> tuple[float, ...]:
    """The rate of each machine of `split.shares`, in the proportion of their connections.

    Raises ValueError if no machine has any.
    """
    total = sum(share.wanted for share in split.shares)
    if not total:
        raise ValueError("no machine has connections")
    return tuple(rate_per_s * share.wanted / total for share in split.shares)


# Water filling


Bound = Callable[[Interval], int]
Room = Callable[[Sequence[MachineOffer], Bound], int]


def _least(room: Interval) -> int:
    return room.least


def _most(room: Interval) -> int:
    return room.most


def _filled(amount: int, groups: Sequence[Sequence[MachineOffer]], bound: Bound, room_of: Room) -> list[int]:
    """The amount by CPUs, none more than its room; less than the amount in total if the rooms are too small.

    Those that would get more than their room get their room; what is left is divided among the others.
    """
    weights = [max(1, *(member.cpus for member, _ in group)) for group in groups]
    rooms = [room_of(group, bound) for group in groups]
    parts, left, weight, open_to_more = [0] * len(groups), amount, sum(weights), set(range(len(groups)))
    for place in sorted(open_to_more, key=lambda each: Fraction(rooms[each], weights[each])):
        if left * weights[place] < rooms[place] * weight:
            break  # and so have all that follow
        parts[place] = rooms[place]
        left, weight = left - rooms[place], weight - weights[place]
        open_to_more.remove(place)
    rest = sorted(open_to_more)
    if rest:
        for place, part in zip(rest, divided(left, [weights[each] for each in rest]), strict=True):
            parts[place] = part
    return parts


def _total(openers: Sequence[MachineOffer], bound: Bound) -> int:
    return sum(_kernel_room(kernel, bound) for kernel in _grouped(openers, lambda member: member.boot))


def _kernel_room(machines: Sequence[MachineOffer], bound: Bound) -> int:
    """What network namespaces of one kernel have together."""
    rooms = [_namespace_room(each, bound) for each in _grouped(machines, lambda member: member.namespace)]
    shared = [
        bound(limit.room)
        for _, offer in machines
        for limit in offer.bounds
        if limit.limit in OF_KERNEL and limit.room is not None
    ]
    return min([sum(rooms), *shared])


def _namespace_room(workers: Sequence[MachineOffer], bound: Bound) -> int:
    """What workers of one network namespace have together: each has offered all of it."""
    return min(bound(offer.room) for _, offer in workers)


def _grouped(machines: Sequence[MachineOffer], name: Callable[[Member], str]) -> list[list[MachineOffer]]:
    """The machines by a name that several may have, in the order of the first of each."""
    found: dict[str, list[MachineOffer]] = {}
    for each in machines:
        found.setdefault(name(each[0]), []).append(each)
    return list(found.values())


# Addresses and words


def _check_sources(openers: Sequence[MachineOffer]) -> None:
    """Raise UsageError if two network namespaces have a source address in common."""
    ranges = sorted(
        (version, values.start, values.stop, number)
        for number, (_, offer) in enumerate(openers)
        for version, values in map(parse_addresses, offer.sources)
    )
    last = (0, 0, 0, 0)  # of those that begin earlier, the one that ends last
    for each in ranges:
        version, first, stop, number = each
        if version != last[0] or stop > last[2]:
            last, before = each, last
        else:
            before = last
        if version == before[0] and first < before[2]:
            _check_pair(openers[before[3]][0], openers[number][0], version, first)


def _check_pair(one: Member, other: Member, version: int, value: int) -> None:
    """Raise UsageError if these two may not both have the address."""
    address = ipaddress.IPv4Address(value) if version == 4 else ipaddress.IPv6Address(value)
    if one.namespace == other.namespace or address.is_loopback:
        return
    raise UsageError(
        f"two machines have the address {address}",
        f"{one.name} and {other.name}, in different network namespaces: answers reach only one of them",
        "Give each machine an address of its own, or leave one of them out (--on).",
    )


def _because(openers: Sequence[MachineOffer], shares: Sequence[MachineShare], lacking: int) -> str:
    """What decided the division."""
    if not openers:
        return "no machine opens connections"
    cpus = sorted({member.cpus for member, _ in openers})
    even = f"{_some(cpus[0], 'CPU')} each" if len(cpus) == 1 else f"{cpus[0]} to {_some(cpus[-1], 'CPU')} each"
    full = sum(0 < share.room.least <= share.wanted for share in shares)
    none = sum(not share.room.least for share in shares)
    parts = [f"in the proportion of CPUs ({even})"]
    if not lacking and full:
        parts.append(f"{_some(full, 'machine')} {'has' if full == 1 else 'have'} no more room")
    if none:
        parts.append(f"{_some(none, 'machine')} {'has' if none == 1 else 'have'} none")
    return "; ".join(parts)


def _some(count: int, noun: str) -> str:
    return f"{format_count(count)} {noun}{'s' * (count != 1)}"
