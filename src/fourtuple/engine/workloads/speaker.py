"""How the data of a dialogue is sent on open connections, and what follows when a send completes."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fourtuple.engine.control import TICK_S
from fourtuple.engine.dialogues.contract import Dialogue, Outgoing
from fourtuple.engine.loops.contract import Completions, Slots
from fourtuple.engine.workloads.contract import Worker


class Speaker:
    """Sends the data of the dialogue.

    listen: called with slots that may be read again
    lost:   called with the completions of failed sends, and with the connections that the dialogue gives up
    linked: (slots,) bool: the next message of these slots was sent along with their connect; None: of none
    """

    def __init__(
        self,
        worker: Worker,
        dialogue: Dialogue,
        listen: Callable[[Slots], None],
        lost: Callable[[Completions], None],
        linked: NDArray[np.bool_] | None = None,
    ) -> None:
        self._linked = linked
        self._worker, self._dialogue, self._listen, self._lost = worker, dialogue, listen, lost

    def start(self) -> float:
        now_ns = self._worker.clock_ns()
        for outgoing in self._dialogue.say(now_ns):
            self._send(outgoing)
        return min(self.give_up(), self._dialogue.wait_s(now_ns))

    def give_up(self) -> float:
        """Lose the connections that the dialogue gives up; also before any are read, or the peer's end would count."""
        if len(over := self._dialogue.over()):
            self._lost(over)
        return TICK_S

    def _send(self, outgoing: Outgoing) -> None:
        slots, rows, sizes = outgoing.slots, outgoing.rows, outgoing.sizes
        if self._linked is not None:
            unsent = ~self._linked[slots]
            self._linked[slots] = False
            if not unsent.any():
                return
            slots, rows, sizes = slots[unsent], rows[unsent], sizes[unsent]
        self._worker.loop.send(slots, outgoing.buffers, rows, sizes)

    def take(self, sends: Completions) -> None:
        good = sends["result"] >= 0
        failed = None
        if not good.all():
            sends, failed = sends[good], sends[~good]
        slots = sends["slot"]
        self._worker.counters["sent_bytes"] += int(sends["result"].sum())
        self._dialogue.sent(slots)
        if self._dialogue.half_duplex:
            self._listen(slots)
        if failed is not None:
            self._lost(failed)
