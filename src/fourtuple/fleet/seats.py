"""What is known about each machine's part in a run, and the samples of all of them together."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from fourtuple.core.record import dataclass
from fourtuple.core.runs.counters import COUNTERS
from fourtuple.core.runs.records import MachineMoment, Sample, Seen, Standing, Witness
from fourtuple.core.runs.start import Start
from fourtuple.core.runs.stored import RunRecord
from fourtuple.core.runs.together import gone, not_reopened, reports, together, total_of
from fourtuple.fleet.order import MachinePart

QUIET_S = 2.0  # without a sample: a machine is shown as silent
NOTHING = replace(Sample.of(np.zeros(1, COUNTERS), 0), workers=0)


@dataclass(slots=True)
class Seat:
    """What is known about a machine's part. Moments are on the clock of the coordinator.

    sample:  its last one; None: none has arrived
    heard_ns: when it was last heard
    record:  its result; None: it has not ended
    run:     the number of its part in its own store
    gone:    why it takes part no more; empty: it does
    held:    its connections when all were counted
    counted: its connections in the servers' kernels, (established, accepted), when all were counted
    """

    share: MachinePart
    began: bool
    heard_ns: int
    sample: Sample | None = None
    record: RunRecord | None = None
    run: int | None = None
    gone: str = ""
    gone_ns: int = 0
    handed: bool = False
    held: int = 0
    counted: tuple[int, int] | None = None

    @property
    def over(self) -> bool:
        return bool(self.record or self.gone)

    def standing(self, at_ns: int) -> Standing:
        if self.gone:
            return Standing.GONE
        if self.record:
            return Standing.ENDED
        if at_ns - self.heard_ns > QUIET_S * 1e9:
            return Standing.SILENT
        return Standing.RUNNING if self.sample else Standing.READY


@dataclass(frozen=True, slots=True)
class FleetEnding:
    """What is known when all machines have ended, or are gone.

    seats:         of all machines, those that took over a share included
    began_ns, held_until_ns: of the run
    servers_at_end: of each machine, its connections in the servers' kernels when closing began: (established, accepted)
    """

    seats: tuple[Seat, ...]
    began_ns: int
    held_until_ns: int
    servers_at_end: tuple[tuple[int, int], ...] | None
    interrupted: bool


def with_servers(total: Witness, at_servers: Iterable[tuple[int, int]]) -> Witness:
    """The count of the machines' kernels with that of the servers'. at_servers: (established, accepted), to be added"""
    both = list(at_servers)
    return replace(total, server=sum(one for one, _ in both), accepted=sum(two for _, two in both))


def of_namespaces(seats: Iterable[Seat]) -> list[Seat]:
    """The first part in each network namespace: what its kernel reported covers those of the others there."""
    found: dict[str, Seat] = {}
    for seat in seats:
        found.setdefault(seat.share.member.namespace, seat)
    return list(found.values())


class Seats:
    """The parts of all machines, by seat; the shares of those that are gone can be taken over by others.

    start:  of the run of all machines
    untried: what a machine that is gone had not opened has failed: of a hold
    census: the count of all kernels, once it is complete
    """

    def __init__(self, start: Start, parts: Iterable[MachinePart], *, untried: bool) -> None:
        self._start, self._untried = start, untried
        self.by_number: dict[int, Seat] = {part.seat: Seat(part, began=True, heard_ns=0) for part in parts}
        self.census: Witness | None = None

    def __iter__(self) -> Iterator[Seat]:
        return iter(self.by_number.values())

    def number_of(self, seat: int) -> int:
        """The number of a machine in the run, from 1."""
        return list(self.by_number).index(seat) + 1

    def living(self) -> list[Seat]:
        """Those that are not gone."""
        return [seat for seat in self if not seat.gone]

    def last_heard_ns(self) -> int:
        """When the last of the machines took its last sample; 0: none has taken one."""
        return max((seat.sample.at_ns for seat in self if seat.sample), default=0)

    def sample(self, at_ns: int) -> Sample:
        """The sum of all machines, which is known at this moment."""
        parts = self._parts(at_ns)
        total = together([replace(part, wanted=0) if self._is_heir(n) else part for n, part in parts.items()])
        return replace(
            total,
            at_ns=at_ns,
            start=self._start,
            census=self.census,
            seen=self._reports(parts),
            machines=tuple(self._moment(n, seat, parts[seat.share.seat], at_ns) for n, seat in enumerate(self, 1)),
        )

    def _parts(self, at_ns: int) -> dict[int, Sample]:
        """Each machine's sample; what a machine lost, and another one opened again, is there a reopened connection."""
        parts = {number: self._part(seat, at_ns) for number, seat in self.by_number.items()}
        opened = {number: part.opened for number, part in parts.items()}  # of its share, by whomever
        for seat in reversed(list(self)):  # those that take over come after those that are gone
            if seat.handed:
                opened[seat.share.seat] = self._hand_over(seat, parts, opened)
        return parts

    def _hand_over(self, seat: Seat, parts: dict[int, Sample], opened: Mapping[int, int]) -> int:
        """Set off what this machine lost against what others opened → how many of its share were ever opened.

        What they could not open has not failed if this machine had opened it: then it was not reopened.
        """
        own = parts[seat.share.seat]
        lost = own.lost - own.reconnected
        heirs = [each.share.seat for each in self if each.share.instead_of == seat.share.seat]
        several = sum(opened[number] for number in heirs)
        left = reopened = min(lost, several)
        for number in heirs:
            here = min(left, opened[number])
            parts[number] = replace(parts[number], reconnected=parts[number].reconnected + here)
            left -= here
        others = [number for heir in heirs for number in self._line(heir)]
        never = seat.share.wanted - sum(own.failed.values()) - lost
        excess = sum(sum(parts[number].failed.values()) for number in others) - never
        for number in others:
            parts[number], excess = not_reopened(parts[number], excess)
        return lost + several - reopened

    def _line(self, number: int) -> Iterator[int]:
        """This seat, and those that took over its share."""
        yield number
        for each in self:
            if each.share.instead_of == number:
                yield from self._line(each.share.seat)

    def _part(self, seat: Seat, at_ns: int) -> Sample:
        """A machine's sample, as it counts from now on; before its first one, it has nothing."""
        sample = seat.sample or replace(NOTHING, wanted=seat.share.wanted, at_ns=at_ns)
        if not seat.gone:
            return sample
        return gone(sample, untried=self._untried and not seat.handed)

    def _reports(self, parts: Mapping[int, Sample]) -> Seen | None:
        """What the kernels reported: of each network namespace once, and of each kernel's memory once."""
        total = reports([parts[seat.share.seat].seen for seat in of_namespaces(self)])
        if total is None:
            return None
        taken: dict[str, int | None] = {}
        for seat in self:
            seen, boot = parts[seat.share.seat].seen, seat.share.member.boot
            several = [taken.get(boot, 0), seen.memory_bytes if seen else None]
            taken[boot] = None if None in several else max(each for each in several if each is not None)
        return replace(total, memory_bytes=total_of(taken.values()))

    def _is_heir(self, number: int) -> bool:
        return bool(self.by_number[number].share.instead_of)

    def _moment(self, number: int, seat: Seat, part: Sample, at_ns: int) -> MachineMoment:
        return MachineMoment(
            number=number,
            name=self.name_of(seat.share),
            standing=seat.standing(at_ns),
            sample=part,
            silent_s=0.0 if seat.over else max(0, at_ns - seat.heard_ns) / 1e9,
            why=seat.gone,
            instead_of=self._instead_of(seat.share),
        )

    def _instead_of(self, share: MachinePart) -> str:
        return self.by_number[share.instead_of].share.member.name if share.instead_of else ""

    def name_of(self, share: MachinePart) -> str:
        """The name of the machine; of one that took over a share, also whose."""
        if not share.instead_of:
            return share.member.name
        return f"{share.member.name} (for {self._instead_of(share)})"
