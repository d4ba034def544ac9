"""Which connections end: those that are lost, those whose time has come, and all of them in the end; in batches."""

import numpy as np

from fourtuple.engine.control import TICK_S
from fourtuple.engine.loops.contract import NO_SLOTS, Completions, Slots
from fourtuple.engine.states import Life
from fourtuple.engine.workloads.contract import Worker
from fourtuple.engine.workloads.retries import Retries

CLOSE_BATCH = 2048  # sockets closed between two looks at everything else


class Closer:
    """Closes sockets a batch at a time.

    reset:     close by RST, else by FIN
    peer:      what the log calls the other end
    closed_by: what the log says of a planned close
    patient:   close nothing while something is being read: finding out what else is lost comes first
    retries:   where lost ones go that are to be opened again; None: lost ones stay lost
    """

    def __init__(
        self,
        worker: Worker,
        *,
        reset: bool,
        peer: str,
        closed_by: str = "",
        patient: bool = False,
        retries: Retries | None = None,
    ) -> None:
        self._worker, self._reset, self._patient, self._retries = worker, reset, patient, retries
        self._peer_closed, self._closed_by = f"{peer} closed", closed_by
        self._gone: list[Slots] = []  # lost and still to be closed
        self._closing = NO_SLOTS  # still to be closed, in the end
        self._under_way = 0

    @property
    def is_closing(self) -> bool:
        return len(self._closing) + len(self._gone) + self._under_way > 0

    def lost(self, ended: Completions) -> None:
        """The peer closed (result 0) or the connection broke (−errno)."""
        worker, counters = self._worker, self._worker.counters
        ended = ended[(worker.state[ended["slot"]] & Life.OPEN) > 0]  # reading and sending may both have found out
        if not len(ended):
            return
        worker.notes.lost(ended, self._peer_closed)
        np.add.at(counters["lost_by"], -ended["result"], 1)
        counters["lost"] += len(ended)
        self._leave(ended["slot"])
        worker.state[ended["slot"]] = Life.GONE
        self._gone.append(ended["slot"])

    def close(self, slots: Slots) -> None:
        """These open connections, as planned."""
        worker = self._worker
        worker.notes.end("closed", slots, self._closed_by)
        worker.counters["closed"] += len(slots)
        self._leave(slots)
        self.let_go(slots, reset=self._reset)

    def close_all(self) -> None:
        """From now on each `start` closes some of what is open."""
        self._closing = self._worker.all_open()

    def let_go(self, slots: Slots, *, reset: bool, state: int = Life.EMPTY) -> None:
        """Close the sockets of these, which are not open any more, or have never been."""
        self._worker.state[slots] = state
        self._under_way += len(slots)
        self._worker.loop.close(slots, reset)

    def start(self) -> float:
        """A batch of what is to be closed, once the one before is closed; lost ones first."""
        if self._under_way or not (self._gone or len(self._closing)) or (self._patient and self._worker.reads.busy):
            return TICK_S
        if self._gone:
            gone = np.concatenate(self._gone)
            self._gone = [gone[CLOSE_BATCH:]] if len(gone) > CLOSE_BATCH else []
            self.let_go(gone[:CLOSE_BATCH], reset=False, state=Life.AGAIN if self._retries else Life.EMPTY)
            return TICK_S
        batch, self._closing = self._closing[:CLOSE_BATCH], self._closing[CLOSE_BATCH:]
        batch = self._worker.still_open(batch)
        if not len(batch):
            return 0.0
        self.close(batch)
        return TICK_S

    def take(self, closes: Completions) -> None:
        self._under_way -= len(closes)
        if self._retries:
            slots = closes["slot"]
            again = slots[self._worker.state[slots] == Life.AGAIN]
            self._worker.state[again] = Life.EMPTY
            self._retries.add(again, self._worker.clock_ns())

    def _leave(self, slots: Slots) -> None:
        """These are not open any more: they are not read, and their dialogue is over."""
        worker = self._worker
        worker.counters["open"] -= len(slots)
        worker.reads.forget(slots)
        if worker.dialogue:
            worker.dialogue.ended(slots, worker.clock_ns())
