"""Which connections are closed, and when: lost ones, those that are due, and all of them in the end; in batches."""

import numpy as np

from fourtuple.core.runs.counters import Phase
from fourtuple.engine.control import TICK_S
from fourtuple.engine.loops.contract import NO_SLOTS, Completions, Slots
from fourtuple.engine.states import Life
from fourtuple.engine.workloads.contract import Worker
from fourtuple.engine.workloads.retries import Retries

_CLOSING = int(Phase.CLOSING)
PART_NS, PART_STEP_S = 1_000_000_000, 0.001  # how long a session's last words may take to be sent
CLOSE_BATCH = 2048  # sockets closed per step; then the worker does its other work


class Closer:
    """Closes sockets a batch at a time.

    reset:     close by RST, otherwise by FIN
    peer:      the name of the remote end in the log
    closed_by: the detail that the log gives for a planned close
    retries:   receives the slots of lost connections, to open them again; None: lost connections stay lost
    """

    def __init__(
        self,
        worker: Worker,
        *,
        reset: bool,
        peer: str,
        closed_by: str = "",
        retries: Retries | None = None,
    ) -> None:
        self._worker, self._reset, self._retries = worker, reset, retries
        self._peer_closed, self._closed_by = f"{peer} closed", closed_by
        self._gone: list[Slots] = []  # lost and still to be closed
        self._closing = NO_SLOTS  # still to be closed, in the end
        self._parting = NO_SLOTS  # of these: their session is being ended
        self._part_until_ns = 0
        self._under_way = 0

    @property
    def is_closing(self) -> bool:
        """Is something still to be closed, or being closed?"""
        return len(self._closing) + len(self._parting) + len(self._gone) + self._under_way > 0

    def lost(self, ended: Completions) -> None:
        """Count these connections as lost, and plan their close: the peer closed (result 0) or they broke (−errno).

        Once all connections are being closed, one that the peer ends first is not lost: it counts as closed.
        """
        worker, counters = self._worker, self._worker.counters
        ended = ended[(worker.state[ended["slot"]] & Life.OPEN) > 0]  # a read and a send may both report it
        if not len(ended):
            return
        if counters["phase"] == _CLOSING:
            self.close(ended["slot"])
            return
        worker.notes.lost(ended, self._peer_closed)
        np.add.at(counters["lost_by"], -ended["result"], 1)
        counters["lost"] += len(ended)
        self._leave(ended["slot"], lost=True)
        worker.state[ended["slot"]] = Life.GONE
        self._gone.append(ended["slot"])

    def close(self, slots: Slots) -> None:
        """Close these open connections, as planned."""
        worker = self._worker
        worker.notes.end("closed", slots, self._closed_by)
        worker.counters["closed"] += len(slots)
        self._leave(slots, lost=False)
        self.let_go(slots, reset=self._reset)

    def close_all(self) -> None:
        """From now on each `start` closes a batch of the open connections, the last one first."""
        self._closing = self._worker.all_open()[::-1]

    def let_go(self, slots: Slots, *, reset: bool, state: int = Life.EMPTY) -> None:
        """Close the sockets of these slots, whose connections are no longer open or have never been.

        state: the `Life` of the slots from now on
        """
        self._worker.state[slots] = state
        self._under_way += len(slots)
        self._worker.loop.close(slots, reset)

    def start(self) -> float:
        """Close a batch of lost connections; if there are none, the next batch once the previous one is closed."""
        if not self._gone and (self._under_way or not (len(self._closing) or len(self._parting))):
            return TICK_S
        if self._gone:
            gone = np.concatenate(self._gone)
            self._gone = [gone[CLOSE_BATCH:]] if len(gone) > CLOSE_BATCH else []
            self.let_go(gone[:CLOSE_BATCH], reset=False, state=Life.AGAIN if self._retries else Life.EMPTY)
            return TICK_S
        if not len(self._parting):
            batch, self._closing = self._closing[:CLOSE_BATCH], self._closing[CLOSE_BATCH:]
            self._part(self._worker.still_open(batch))
        batch = self._parted()
        if not len(batch):
            return PART_STEP_S if len(self._parting) else 0.0
        self.close(batch)
        return TICK_S

    def _part(self, slots: Slots) -> None:
        """End the sessions of these connections properly, unless they are closed by reset."""
        worker = self._worker
        self._parting, self._part_until_ns = slots, worker.clock_ns() + PART_NS
        if worker.dialogue and not self._reset:
            worker.dialogue.goodbye(slots)

    def _parted(self) -> Slots:
        """Those that have said goodbye, or have taken too long for it: they can be closed."""
        worker = self._worker
        slots = worker.still_open(self._parting)
        waits = (worker.state[slots] & Life.SENDING) > 0
        if self._reset or worker.dialogue is None or worker.clock_ns() >= self._part_until_ns:
            waits[:] = False
        self._parting = slots[waits]
        return slots[~waits]

    def take(self, closes: Completions) -> None:
        self._under_way -= len(closes)
        if self._retries:
            slots = closes["slot"]
            again = slots[self._worker.state[slots] == Life.AGAIN]
            self._worker.state[again] = Life.EMPTY
            self._retries.add(again, self._worker.clock_ns())

    def _leave(self, slots: Slots, *, lost: bool) -> None:
        """Stop reading from these connections, and end their dialogue: they are no longer open."""
        worker = self._worker
        worker.counters["open"] -= len(slots)
        worker.reads.forget(slots)
        if worker.dialogue:
            worker.dialogue.ended(slots, worker.clock_ns(), lost=lost)
