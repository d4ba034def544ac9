"""What the stages of a hold ask for at each moment: how many connections, and when the most of them are counted."""

from bisect import bisect_right
from functools import cached_property
from itertools import accumulate

from fourtuple.core.runs.slices import Slice
from fourtuple.core.talk.stages import Stages

# A connection is begun this long before it is to be open, or its close before it is to be gone, so that at the end of a
# stage as many are open as its target says; but never before its stage begins.
LEAD_NS = 100_000_000


class Timetable:
    """The stages on a clock, in ns since they began.

    ends_ns:      when each stage ends
    top_ns:       when the most connections are open for the longest time; they are counted from then on
    top_until_ns: how long they are: the same moment if the next stage changes their number at once
    """

    def __init__(self, stages: Stages) -> None:
        self.stages = stages
        self.ends_ns = tuple(accumulate(ramp.within_ns for ramp in stages.ramps))
        self.top_ns, self.top_until_ns = self._top

    def stage(self, elapsed_ns: int) -> int:
        """The number of the current stage, from 0; after the last one, how many there are."""
        return bisect_right(self.ends_ns, elapsed_ns)

    def asked(self, elapsed_ns: int) -> int:
        """How many connections are to be open, LEAD_NS ahead; at most as far ahead as the stage lasts."""
        stage, ahead_ns = self.stage(elapsed_ns), elapsed_ns + LEAD_NS
        if stage < len(self.ends_ns) and ahead_ns >= self.ends_ns[stage]:
            return self.stages.ramps[stage].target  # a jump may follow at the same moment
        return self.stages.target(ahead_ns)

    def asked_of(self, elapsed_ns: int, share: Slice) -> int:
        """The part of it that a worker has. The parts of all workers are `asked` at any moment."""
        asked, most = self.asked(elapsed_ns), self.stages.most
        return (share.first + share.wanted) * asked // most - share.first * asked // most

    def next_ns(self, elapsed_ns: int) -> int | None:
        """When `asked` or the stage changes next, or earlier, but after `elapsed_ns`; None: neither changes."""
        stage = self.stage(elapsed_ns)
        if stage == len(self.ends_ns):
            return None
        end_ns, ahead_ns = self.ends_ns[stage], elapsed_ns + LEAD_NS
        change_ns = self.stages.changes_ns(ahead_ns) if ahead_ns < end_ns else None
        return end_ns if change_ns is None else min(change_ns - LEAD_NS, end_ns)

    @cached_property
    def _top(self) -> tuple[int, int]:
        most, ramps = self.stages.most, self.stages.ramps
        stays = [
            (begin_ns, end_ns)
            for before, ramp, begin_ns, end_ns in zip(
                (0, *(each.target for each in ramps)), ramps, (0, *self.ends_ns), self.ends_ns, strict=False
            )
            if before == ramp.target == most
        ]
        if stays:
            return max(stays, key=lambda each: each[1] - each[0])
        end_ns = next(end for ramp, end in zip(ramps, self.ends_ns, strict=True) if ramp.target == most)
        return end_ns, end_ns
