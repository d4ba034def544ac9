"""The run of a fleet: machines begin together, their samples become one, and each one's end is accounted for.

A machine that is gone, or says nothing for `silent_s`, is counted out: what it held is lost. Its share can be given to
others. Nobody else's connections depend on it, so the run goes on.
"""

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace

from fourtuple.core.record import dataclass
from fourtuple.core.runs.orders import HoldOptions, from_text
from fourtuple.core.runs.records import Sample, Standing
from fourtuple.core.runs.together import witnesses
from fourtuple.engine.control import Control, interruptible, now_ns
from fourtuple.fleet.far_ends import FarEnds
from fourtuple.fleet.links import Links
from fourtuple.fleet.messages import (
    AskCount,
    Begin,
    CountMade,
    Finished,
    FromMachine,
    Gone,
    HoldOver,
    Interrupt,
    Joined,
    Moment,
    Prepare,
    Prepared,
    Refused,
    ToMachine,
    sample_from,
)
from fourtuple.fleet.order import FleetOrder, MachinePart
from fourtuple.fleet.seats import FleetEnding, Seat, Seats, with_servers
from fourtuple.store.reading import KINDS

TOO_LATE = "the run ended before it could begin"


@dataclass(frozen=True, slots=True)
class FleetTimes:
    """When a coordinator does something.

    lead_s:   from the agreement to the moment at which all begin
    tick_s:   between two samples of the run
    silent_s: without a sample: a machine is counted out
    count_s:  how long the servers' kernels may take to be counted
    """

    lead_s: float = 0.2
    tick_s: float = 0.25
    silent_s: float = 30.0
    count_s: float = 5.0


USUAL = FleetTimes()

# (the part of a machine that is gone, those of the others) → the parts that take its share over
Heirs = Callable[[MachinePart, Sequence[MachinePart]], Sequence[MachinePart]]


class Coordinator:
    """Follows the machines of an order; heirs: who takes over the share of one that is gone; None: nobody."""

    def __init__(
        self,
        links: Links,
        order: FleetOrder,
        heirs: Heirs | None = None,
        times: FleetTimes = USUAL,
    ) -> None:
        self._times = times
        self._links, self._order, self._heirs = links, order, heirs
        self._seats = Seats(order.whole.start, order.parts, untried=order.brief.kind == "hold")
        self._control = Control()
        # What the servers' machines say when they are asked for a count; None: nothing so far.
        self._counts: dict[int, CountMade | Refused | Gone | None] = {}
        self._question, self._counts_until_ns = 0, 0
        self._at_end: tuple[tuple[int, int], ...] | None = None
        self._stopped = self._ended = False  # whether the machines have been told to
        self._until_ns = math.inf
        self._held_until_ns = 0

    def run(self) -> Generator[Sample, None, FleetEnding]:
        """Begin, and follow until all have ended: yields a sample every tick."""
        began_ns = due_ns = now_ns() + int(self._times.lead_s * 1e9)
        with interruptible(self._control):
            for seat in self._seats:
                seat.heard_ns = began_ns
                self._begin(seat, began_ns)
            while True:
                self._listen(due_ns)
                due_ns = max(due_ns + int(self._times.tick_s * 1e9), now_ns())
                self._miss()
                yield (sample := self._seats.sample(now_ns()))
                if all(seat.over for seat in self._seats):
                    break
                self._decide(sample)
        return FleetEnding(
            tuple(self._seats),
            began_ns,
            self._held_until_ns or self._seats.last_heard_ns() or now_ns(),
            self._at_end,
            self._control.interrupted,
        )

    def _begin(self, seat: Seat, at_ns: int) -> None:
        seat.began = True
        self._links.send(seat.share.seat, Begin(at_ns + seat.share.member.offset_ns))

    def _prepare(self, share: MachinePart) -> Prepare:
        """The message to a machine that takes over a share."""
        gone_one = self._seats.by_number[share.instead_of].share.member.name
        return self._order.brief.message(share, self._seats.number_of(share.seat), gone_one)

    # What machines say

    def _listen(self, until_ns: int) -> None:
        """Take in what is said until then, and what has been said before."""
        is_over = False
        while not is_over:
            left_ns = until_ns - now_ns()
            is_over = left_ns <= 0
            for number, message in self._links.receive(max(0, left_ns) / 1e9):
                if number in self._seats.by_number:
                    self._take(self._seats.by_number[number], message)
                else:
                    self._take_count(number, message)

    def _take(self, seat: Seat, message: FromMachine) -> None:
        """Take in what a machine says; what one says that is over changes nothing any more."""
        if seat.over:
            return
        seat.heard_ns = now_ns()
        try:
            self._understand(seat, message)
        except ValueError as error:
            self._lose(seat, f"it says what this version does not understand: {error}")

    def _understand(self, seat: Seat, message: FromMachine) -> None:
        match message:
            case Moment(sample):
                seat.sample = sample_from(sample, seat.share.member.offset_ns)
            case Finished(record, run, _):
                seat.record = from_text(record, KINDS[self._order.brief.kind])
                seat.run = run
                self._links.leave([seat.share.seat])
            case Refused():
                error = message.error("")
                why = f"{error.wanted} ({error.stopped_by})" if error.stopped_by else error.wanted
                self._lose(seat, why, hand_over=not seat.share.instead_of)  # or one refuses again and again
            case Gone(why):
                self._lose(seat, why)
            case Joined() | Prepared() if self._ended or self._control.interrupted:
                self._lose(seat, TOO_LATE)
            case Joined(member) if not seat.began:  # an heir
                known = seat.share.member
                member = replace(member, offset_ns=known.offset_ns, error_ns=known.error_ns)
                seat.share = replace(seat.share, member=member)
                self._links.send(seat.share.seat, self._prepare(seat.share))
            case Prepared() if not seat.began:
                self._begin(seat, now_ns())
            case CountMade():
                self._take_count(seat.share.seat, message)

    def _take_count(self, number: int, message: FromMachine) -> None:
        """Take in what a server's machine says; an answer to an earlier question has come too late."""
        is_late = isinstance(message, CountMade) and message.number != self._question
        if number in self._counts and isinstance(message, CountMade | Refused | Gone) and not is_late:
            self._counts[number] = message

    def _miss(self) -> None:
        """Count out machines that have been silent for too long."""
        for seat in list(self._seats):
            if not seat.over and now_ns() - seat.heard_ns > self._times.silent_s * 1e9:
                self._lose(seat, f"nothing was heard from it for {self._times.silent_s:g} s")

    def _lose(self, seat: Seat, why: str, *, hand_over: bool = True) -> None:
        if seat.over:
            return
        seat.gone, seat.gone_ns = why, now_ns()
        self._links.leave([seat.share.seat])
        if self._heirs is None or not (hand_over and seat.began) or self._ended or self._control.interrupted:
            return
        left = seat.share.wanted - (sum(seat.sample.failed.values()) if seat.sample else 0)
        speaking = (Standing.READY, Standing.RUNNING)  # to ask another one could take long
        living = [each.share for each in self._seats if each.began and each.standing(now_ns()) in speaking]
        for share in self._heirs(replace(seat.share, wanted=left), living) if left else ():
            seat.handed = True
            self._seats.by_number[share.seat] = Seat(share, began=False, heard_ns=now_ns())

    # What the coordinator decides

    def _decide(self, sample: Sample) -> None:
        """When to count, when to close, and whether Ctrl-C was pressed."""
        if self._control.interrupted and not self._stopped:
            self._stopped = True
            self._held_until_ns = self._held_until_ns or now_ns()
            self._tell(Interrupt())
        if self._stopped or self._ended or self._order.brief.kind != "hold":
            return
        if self._seats.census is None:
            self._count(sample)
        elif now_ns() >= self._until_ns:
            self._held_until_ns = self._held_until_ns or now_ns()
            if self._are_counted():
                at_servers = self._servers()
                self._at_end = None if at_servers is None else tuple(at_servers.values())
                self._ended = True
                self._tell(HoldOver())

    def _tell(self, message: ToMachine) -> None:
        """Tell all machines that the run ends; one that has not begun will not begin."""
        for number, seat in self._seats.by_number.items():
            if not seat.began:
                self._lose(seat, TOO_LATE)
            elif not seat.over:
                self._links.send(number, message)

    def _count(self, sample: Sample) -> None:
        """Once the kernel of every machine has counted, count those of the servers; then the time to hold begins."""
        living = self._seats.living()
        total = witnesses([seat.sample.census if seat.sample else None for seat in living]) if living else None
        if total is None or not self._are_counted():
            return
        for seat in living:
            seat.held = seat.sample.open if seat.sample else 0
        if (at_servers := self._servers()) is not None:
            total = with_servers(total, at_servers.values())
            parts = [seat.share.sources for seat in living]
            for seat in living:  # the parts of one machine cannot be told apart there
                seat.counted = at_servers[seat.share.sources] if parts.count(seat.share.sources) == 1 else None
        options = self._order.whole.options
        if isinstance(options, HoldOptions) and not options.stages:  # these the machines follow by themselves
            self._until_ns = sample.at_ns + options.run_s * 1e9
        self._seats.census = total

    def _are_counted(self) -> bool:
        """Whether the servers' kernels have said what they list; they are asked first."""
        if not self._counts and self._order.counts:
            self._question += 1
            self._counts = dict.fromkeys(self._order.counts)
            self._counts_until_ns = now_ns() + int(self._times.count_s * 1e9)
            for number in self._counts:
                self._links.send(number, AskCount(self._question, self._order.destinations))
        return all(self._counts.values()) or now_ns() > self._counts_until_ns

    def _servers(self) -> dict[tuple[str, ...], tuple[int, int]] | None:
        """By source, the connections in the servers' kernels: (established, accepted); None: not all have answered.

        A machine that took over a share has one entry for all of its parts. They can be asked again afterwards.
        """
        answers, self._counts = list(self._counts.values()), {}
        made = [each for each in answers if isinstance(each, CountMade)]
        if not made or len(made) < len(answers):
            return None
        found = FarEnds(made, self._order.before)
        return {seat.share.sources: found.of(seat.share.sources) for seat in self._seats.living()}
