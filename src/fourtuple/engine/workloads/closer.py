"""Which connections are closed, and when: lost ones, those that are due, and all of them in the end; in batches."""

import errno
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.runs.counters import Phase
from fourtuple.core.sockets.columns import distinct
from fourtuple.engine.control import TICK_S
from fourtuple.engine.loops.contract import NO_SLOTS, Completions, Slots
from fourtuple.engine.states import VACATED, Life
from fourtuple.engine.workloads.contract import Worker
from fourtuple.engine.workloads.retries import Retries
from fourtuple.engine.workloads.toward import Toward

_CLOSING = int(Phase.CLOSING)
PART_NS, PART_STEP_S = 1_000_000_000, 0.001  # how long a session's last words may take to be sent
CLOSE_BATCH = 2048  # sockets closed per step; then the worker does its other work
# Connections whose session is being ended: until when that may take, and the `Life` of the slot after it.
_PARTING = np.dtype([("slot", "i4"), ("until_ns", "i8"), ("state", "u1")])


class Closer:
    """Closes sockets a batch at a time.

    reset:     close by RST, otherwise by FIN
    peer:      the name of the remote end in the log
    closed_by: the detail that the log gives for a planned close
    retries:   receives the slots that are opened again, once they are empty; None: none are
    reconnect: lost connections are opened again; otherwise they stay lost
    refills:   slots are used again when more connections are to be open
    toward:    counts losses by destination; None: of a server
    can_reset: they are TCP connections; those of Unix sockets are closed in one way only
    """

    def __init__(
        self,
        worker: Worker,
        *,
        reset: bool,
        peer: str,
        closed_by: str = "",
        retries: Retries | None = None,
        reconnect: bool = False,
        refills: bool = False,
        toward: Toward | None = None,
        can_reset: bool = True,
    ) -> None:
        self._toward = toward
        self._worker, self._reset, self._retries, self._reconnect = worker, reset, retries, reconnect
        self._vacated, self._can_reset = VACATED if refills else Life.EMPTY, can_reset
        self._peer_closed, self._closed_by = f"{peer} closed", closed_by
        self._gone: list[Slots] = []  # lost and still to be closed
        self._closing = NO_SLOTS  # still to be closed, in the end
        self._parting: NDArray[Any] = np.zeros(0, _PARTING)
        self._under_way = 0

    @property
    def is_closing(self) -> bool:
        """Is something still to be closed, or being closed?"""
        return len(self._closing) + len(self._parting) + len(self._gone) + self._under_way > 0

    def lost(self, ended: Completions) -> None:
        """Count these connections as lost, and plan their close: the peer closed (result 0) or they broke (−errno).

        One that is about to be closed as planned, whose peer ends it first, is not lost: it counts as closed.
        """
        worker, counters = self._worker, self._worker.counters
        ended = ended[(worker.state[ended["slot"]] & Life.OPEN) > 0]  # a read and a send may both report it
        if counters["phase"] == _CLOSING:
            self.close(ended["slot"])
            return
        if len(self._parting):
            parts = np.isin(ended["slot"], self._parting["slot"])
            self._close_parting(np.isin(self._parting["slot"], ended["slot"][parts]))
            ended = ended[~parts]
        if not len(ended):
            return
        worker.notes.lost(ended, self._peer_closed)
        np.add.at(counters["lost_by"], -ended["result"], 1)
        if self._toward:
            self._toward.lost(ended)
        counters["lost"] += len(ended)
        given_up = ended["result"] == -errno.ETIMEDOUT  # the peer has not ended these
        for slots, lost in ((ended["slot"][~given_up], True), (ended["slot"][given_up], False)):
            if len(slots):
                self._leave(slots, lost=lost)
        worker.state[ended["slot"]] = Life.GONE
        self._gone.append(ended["slot"])

    def close(self, slots: Slots, state: int | None = None) -> None:
        """Close these open connections, as planned.

        state: as in `let_go`
        """
        if not len(slots):
            return
        worker = self._worker
        worker.notes.end("closed", slots, self._closed_by)
        worker.counters["closed"] += len(slots)
        self._leave(slots, lost=False)
        self.let_go(slots, reset=self._reset, state=state)

    def part(self, slots: Slots, state: int | None = None) -> None:
        """End the sessions of these open connections properly, unless they are closed by reset; `start` closes them.

        state: as in `let_go`
        """
        worker, state = self._worker, self._vacated if state is None else state
        if len(self._parting):
            slots = slots[~np.isin(slots, self._parting["slot"])]
        if not len(slots):
            return
        parting = np.zeros(len(slots), _PARTING)
        parting["slot"], parting["until_ns"], parting["state"] = slots, worker.clock_ns() + PART_NS, state
        self._parting = np.concatenate((self._parting, parting)) if len(self._parting) else parting
        if worker.dialogue and not self._reset:
            worker.dialogue.goodbye(slots)

    def close_all(self) -> None:
        """From now on each `start` closes a batch of the open connections, the last one first."""
        self._closing = np.setdiff1d(self._worker.all_open(), self._parting["slot"], assume_unique=True)[::-1]

    def let_go(self, slots: Slots, *, reset: bool, state: int | None = None) -> None:
        """Close the sockets of these slots, whose connections are no longer open or have never been.

        state: the `Life` of the slots from now on; None: they are not opened again by themselves
        """
        self._worker.state[slots] = self._vacated if state is None else state
        self._under_way += len(slots)
        self._worker.loop.close(slots, reset and self._can_reset)

    def start(self) -> float:
        """Close what has said goodbye, and the next batch once the previous one is closed; lost connections first."""
        self._close_parted()
        if self._gone and self._under_way < CLOSE_BATCH:
            gone = np.concatenate(self._gone)
            now, later = np.split(gone, [CLOSE_BATCH - self._under_way])
            self._gone = [later] if len(later) else []
            self.let_go(now, reset=False, state=Life.AGAIN if self._reconnect else None)
        elif len(self._closing) and not (self._under_way or len(self._parting)):
            batch, self._closing = self._closing[:CLOSE_BATCH], self._closing[CLOSE_BATCH:]
            self.part(self._worker.still_open(batch))
            self._close_parted()
            if not (self._under_way or len(self._parting)):
                return 0.0
        return PART_STEP_S if len(self._parting) else TICK_S

    def _close_parted(self) -> None:
        """Close those that have said goodbye, or have taken too long for it."""
        if not len(self._parting):
            return
        worker = self._worker
        state = worker.state[self._parting["slot"]]
        waits = ((state & Life.SENDING) > 0) & (self._parting["until_ns"] > worker.clock_ns())
        if self._reset or worker.dialogue is None:
            waits[:] = False
        self._close_parting(~waits)

    def _close_parting(self, which: NDArray[np.bool_]) -> None:
        parted, self._parting = self._parting[which], self._parting[~which]
        for state in distinct(parted["state"]).tolist():
            self.close(self._worker.still_open(parted["slot"][parted["state"] == state]), state)

    def take(self, closes: Completions) -> None:
        slots = closes["slot"]
        self._under_way -= len(slots)
        if self._retries is None:
            return
        state = self._worker.state[slots]
        for queue in (Life.AGAIN, Life.ANEW, VACATED):
            empty = slots[state == queue]
            self._worker.state[empty] = Life.EMPTY
            if queue != VACATED:
                self._retries.add(empty, self._worker.clock_ns(), queue)

    def _leave(self, slots: Slots, *, lost: bool) -> None:
        """Stop reading from these connections, and end their dialogue: they are no longer open.

        lost: the peer ended them, or they broke
        """
        worker = self._worker
        worker.counters["open"] -= len(slots)
        worker.reads.forget(slots)
        if worker.dialogue:
            worker.dialogue.ended(slots, worker.clock_ns(), lost=lost)
