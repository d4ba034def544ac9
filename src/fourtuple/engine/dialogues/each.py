"""The dialogue made of one `SlotProtocol` object per connection.

It runs Python code for each connection and each message, so it is for protocols that need a state per connection.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.runs import histogram
from fourtuple.core.runs.counters import Counters
from fourtuple.engine.dialogues.contract import NEVER_S, ON_ITS_WAY_NS, Outgoing, SlotProtocol, Turn
from fourtuple.engine.loops.contract import Slots
from fourtuple.engine.states import Life


class EachSlot:
    """The dialogue of all slots, with an object for each.

    make:  creates the protocol of a connection that was just opened
    state: (slots,) uint8, the worker's array of `Life`
    """

    half_duplex = True
    hears = True

    def __init__(self, make: Callable[[], SlotProtocol], state: NDArray[np.uint8], counters: Counters) -> None:
        self._make, self._state, self._counters = make, state, counters
        self._protocols: dict[int, SlotProtocol] = {}  # of slots that still send or expect something
        self._asked_ns: dict[int, list[int]] = {}  # when each unanswered request was sent
        self._to_say: dict[int, bytes] = {}

    def opened(self, slots: Slots, now_ns: int) -> None:
        for slot in slots.tolist():
            protocol = self._protocols[slot] = self._make()
            self._asked_ns[slot] = []
            self._take(slot, protocol.opened(), now_ns)

    def say(self, now_ns: int) -> Sequence[Outgoing]:
        if not self._to_say:
            return ()
        texts = list(self._to_say.values())
        sizes = np.array([len(text) for text in texts], np.int64)
        buffers = np.zeros((len(texts), int(sizes.max())), np.uint8)
        for row, text in enumerate(texts):
            buffers[row, : len(text)] = np.frombuffer(text, np.uint8)
        slots = np.array(list(self._to_say), np.int32)
        self._to_say.clear()
        return (Outgoing(slots, buffers, np.arange(len(slots)), sizes),)

    def wait_s(self, now_ns: int) -> float:
        return 0.0 if self._to_say else NEVER_S

    def sent(self, slots: Slots) -> None:
        self._state[slots] &= ~np.uint8(Life.SENDING)

    def received(
        self, slots: Slots, data: NDArray[np.uint8], sizes: NDArray[np.int32], now_ns: int
    ) -> NDArray[np.bool_]:
        failed = np.zeros(len(slots), bool)
        for row, (slot, size) in enumerate(zip(slots.tolist(), sizes.tolist(), strict=True)):
            if protocol := self._protocols.get(slot):
                turn = protocol.received(data[row, :size].tobytes())
                self._take(slot, turn, now_ns)
                failed[row] = bool(turn.failed)
        self._counters["unexpected"] += int(np.count_nonzero(failed))
        return failed

    def ended(self, slots: Slots, now_ns: int) -> None:
        for slot in slots.tolist():
            if self._protocols.pop(slot, None):
                missing_ns = [at_ns for at_ns in self._asked_ns.pop(slot) if at_ns < now_ns - ON_ITS_WAY_NS]
                self._counters["unanswered"] += len(missing_ns)
                self._time(missing_ns, now_ns)
            self._to_say.pop(slot, None)

    def _take(self, slot: int, turn: Turn, now_ns: int) -> None:
        asked_ns = self._asked_ns[slot]
        asked_ns += [now_ns] * turn.requests
        answered_ns, asked_ns[: turn.answers] = asked_ns[: turn.answers], []
        self._counters["requests"] += turn.requests
        self._counters["answers"] += turn.answers
        self._time(answered_ns, now_ns)
        if turn.send:
            self._to_say[slot] = self._to_say.get(slot, b"") + turn.send
            self._state[slot] |= Life.SENDING
        over = turn.done or bool(turn.failed)
        bit = np.uint8(Life.ASKED)
        self._state[slot] = self._state[slot] & ~bit if over or not asked_ns else self._state[slot] | bit
        if over:
            del self._protocols[slot], self._asked_ns[slot]

    def _time(self, asked_ns: Sequence[int], now_ns: int) -> None:
        """Count how long these requests have waited until now: an object asks at once, so that none is late."""
        took_us = (now_ns - np.array(asked_ns, np.float64)) / 1e3
        for name in ("answer_us", "service_us"):
            histogram.add_values(self._counters[name], took_us)
