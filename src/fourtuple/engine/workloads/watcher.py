"""Which open connections have data to read, where that data goes, and which of them are lost.

Connections are read in batches with few buffers. Without `watch`, all are read when the control says so, until nothing
more can be read. While connections are being opened quickly, new ones without a dialogue are polled a little later:
once no others come, or after LATER_NS. What happened to them before is noticed then.
"""

import errno
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.sockets.columns import distinct
from fourtuple.engine.control import TICK_S
from fourtuple.engine.loops.contract import COMPLETION, Completions, Slots
from fourtuple.engine.states import Life
from fourtuple.engine.workloads.contract import Worker
from fourtuple.engine.workloads.last_words import LastWords

LATER_NS = 1_000_000_000
SOON_S = 0.001  # no other connection came for this long
BATCH = 4096  # connections polled together


class Watcher:
    """Reads received data, and passes it to the dialogue.

    lost:       called with the slots of connections that have ended, and by what, as completions (`op` is 0)
    watch:      poll all connections for data
    log_data:   log received data
    last_words: remember what peers send before they end a connection
    stays:      called with slots that were read → those that may be read again; None: all
    """

    def __init__(
        self,
        worker: Worker,
        lost: Callable[[Completions], None],
        *,
        watch: bool,
        log_data: bool,
        last_words: bool = False,
        stays: Callable[[Slots], Slots] | None = None,
    ) -> None:
        self._worker, self._lost, self._watch, self._log_data = worker, lost, watch, log_data
        self._hears = worker.dialogue is not None and worker.dialogue.hears
        self._half_duplex = worker.dialogue is not None and worker.dialogue.half_duplex
        self._looks, self._stays = worker.control.looks, stays
        self._new: list[Slots] = []  # open, and not polled yet
        self._new_ns = 0  # when the oldest of them was opened
        self._are_coming = False  # others were opened since the last step
        self._last_words = LastWords(worker.counters) if last_words else None

    def opened(self, slots: Slots, now_ns: int) -> None:
        if self._worker.dialogue:
            self._worker.dialogue.opened(slots, now_ns)
            self._listen_next(slots)
        elif self._watch:
            self._new_ns = now_ns if not self._new else self._new_ns
            self._new.append(slots)
            self._are_coming = True

    def listen(self, slots: Slots) -> None:
        """Wait until data or the end can be read on these slots; does nothing without `watch`."""
        if self._watch and len(slots):
            self._worker.loop.watch(slots)

    def start(self) -> float:
        """Read from as many waiting connections as there are buffers."""
        worker = self._worker
        wait_s = self._poll_new() if self._new else TICK_S
        if not self._watch and worker.control.looks != self._looks and not worker.reads.waiting:
            self._looks = worker.control.looks
            worker.reads.add(worker.all_open())
        slots = worker.reads.take()
        if len(slots):
            self._read(slots)
        return 0.0 if worker.reads.waiting else wait_s

    def _poll_new(self) -> float:
        """Poll new connections if it is time → how long until there may be more to poll."""
        if self._are_coming and self._worker.clock_ns() < self._new_ns + LATER_NS:
            self._are_coming = False
            return SOON_S
        new = self._worker.still_open(distinct(*self._new))  # a slot may have been opened again
        self._new = []
        for start in range(0, len(new), BATCH):
            self.listen(new[start : start + BATCH])
        return TICK_S

    def take_watches(self, watches: Completions) -> None:
        self._worker.reads.add(self._worker.still_open(watches["slot"]))

    def _read(self, slots: Slots) -> None:
        worker = self._worker
        results = worker.loop.receive(slots, worker.reads.buffers)
        idle, has_data = results == -errno.EAGAIN, results > 0
        goes_on = idle | has_data
        if has_data.any():
            got, rows, sizes = slots[has_data], np.flatnonzero(has_data), results[has_data]
            worker.counters["received_bytes"] += int(sizes.sum())
            if self._last_words:
                self._last_words.heard(got, worker.reads.buffers, rows, sizes)
            if self._hears or self._log_data:
                self._hear(got, rows, sizes)
            if not self._watch:
                worker.reads.add(got)
        if self._watch:
            again = slots[goes_on]
            self._listen_next(self._stays(again) if self._stays else again)
        if not goes_on.all():
            self._end(slots[~goes_on], results[~goes_on])

    def _end(self, slots: Slots, results: NDArray[np.int32]) -> None:
        ended = np.zeros(len(slots), COMPLETION)
        ended["slot"], ended["result"] = slots, results
        if self._last_words:
            self._last_words.ended(slots.tolist())
        self._lost(ended)

    def _listen_next(self, slots: Slots) -> None:
        """Listen on these slots, except where data is to be sent first; the speaker calls `listen` for those later."""
        if self._half_duplex:
            slots = slots[(self._worker.state[slots] & Life.SENDING) == 0]
        self.listen(slots)

    def _hear(self, slots: Slots, rows: NDArray[np.intp], sizes: NDArray[np.int32]) -> None:
        data = self._worker.reads.buffers[rows, : sizes.max()]
        notes, dialogue = self._worker.notes, self._worker.dialogue
        if self._hears and dialogue:
            wrong = dialogue.received(slots, data, sizes, self._worker.clock_ns())
            for row in np.flatnonzero(wrong).tolist() if self._log_data else ():
                notes.add("unexpected", int(slots[row]), _shown(data[row, : sizes[row]]))
        for row, slot in enumerate(slots.tolist() if self._log_data else ()):
            notes.add("received", slot, _shown(data[row, : sizes[row]]))


def _shown(data: NDArray[np.uint8]) -> str:
    return repr(data.tobytes())[2:-1]
