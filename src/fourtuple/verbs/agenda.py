"""When the connections of a hold are counted, replaced and closed: after a time, or as its stages say."""

from fourtuple.core.runs.orders import HoldOptions
from fourtuple.core.runs.records import Sample
from fourtuple.core.runs.timetable import Timetable
from fourtuple.engine.control import Control, now_ns

LATE_S = 3.0  # how long workers may take at the end of the last stage to close what is too many
READY_S = 3.0  # how long workers may take to be ready before stages begin without them


class Agenda:
    """The course of a hold, from its beginning.

    began_ns:      when the workers were ready, and stages began, CLOCK_MONOTONIC; 0: not yet
    held_until_ns: when the time to hold was over; 0: not yet
    """

    def __init__(self, options: HoldOptions, control: Control) -> None:
        self._options, self._control = options, control
        self._table = Timetable(options.stages) if options.stages else None
        self.began_ns = self.held_until_ns = 0
        self._prepared_ns, self._until_ns = now_ns(), 0

    @property
    def stays_until_ns(self) -> int | None:
        """How long the number of connections stays the same once it is to be counted; None: until the end."""
        return self.began_ns + self._table.top_until_ns if self._table else None

    def begin(self, sample: Sample) -> None:
        """Let the stages begin once all workers can open connections, or have had READY_S for it."""
        late = now_ns() - self._prepared_ns > READY_S * 1e9
        if not self.began_ns and (sample.capacity >= self._options.wanted or late):
            self.began_ns = now_ns()
            self._control.begin(self.began_ns)

    def counted(self, full: Sample) -> None:
        """All connections are open and were counted: from now on they are held and replaced."""
        run_ns = int(self._options.run_s * 1e9)
        self._until_ns = self.began_ns + self._table.ends_ns[-1] if self._table else full.at_ns + run_ns
        if self._options.churn_per_s:
            self._control.replace_from(full.at_ns)

    def is_over(self, sample: Sample) -> bool:
        """Whether the connections are to be counted for the last time, and closed.

        Nothing is replaced any more then, so that all that were replaced can be open again.
        """
        if not self.held_until_ns:
            stopped = self._control.interrupted or (self._table and self._control.stopping)
            over = self._control.ended or self._time_is_over(sample)
            if not (stopped or over or self._nothing_is_left(sample)):
                return False
            self.held_until_ns = now_ns()
            self._control.replace_from(0)
        return True

    def _time_is_over(self, sample: Sample) -> bool:
        """Whether they have been held for long enough. What the last stage closes is waited for, LATE_S at most."""
        late_ns = now_ns() - self._until_ns
        if self._table and sample.open > self._table.stages.ramps[-1].target:
            return late_ns >= LATE_S * 1e9
        return late_ns >= 0

    def wanted_at_end(self, sample: Sample) -> int | None:
        """How many are to be open at the end, if those that are not are being opened again; None: any number."""
        options = self._options
        wanted = options.stages.ramps[-1].target if options.stages else options.wanted
        if options.reconnect:
            return wanted
        gone = sample.lost - sample.reconnected + sum(sample.failed.values())
        return max(0, wanted - gone) if options.churn_per_s else None

    def _nothing_is_left(self, sample: Sample) -> bool:
        """Whether no connection is open, and none will be."""
        if sample.open or self._options.reconnect:
            return False
        if self._table:
            return sum(sample.failed.values()) >= sample.wanted
        return sample.lost >= sample.opened
