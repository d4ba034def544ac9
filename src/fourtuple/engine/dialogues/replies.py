"""The dialogue of a server: a greeting to each client, and an echo of what it receives."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.runs.counters import Counters
from fourtuple.engine.dialogues.contract import NEVER_S, Outgoing
from fourtuple.engine.loops.contract import NO_COMPLETIONS, Completions, Slots
from fourtuple.engine.states import Life


class Replies:
    """The dialogue of a server that greets, echoes or both.

    greet: sent on each connection when it opens; may be empty
    echo:  send received data back; otherwise it is only counted
    state: (slots,) uint8, the worker's array of `Life`
    """

    half_duplex = True

    def __init__(self, greet: bytes, *, echo: bool, state: NDArray[np.uint8], counters: Counters) -> None:
        self.hears = echo
        self._greet, self._state, self._counters = greet, state, counters
        self._greeting = np.frombuffer(greet or b"\0", np.uint8).reshape(1, -1)
        self._to_say: list[Outgoing] = []

    def opened(self, slots: Slots, now_ns: int) -> None:
        if self._greet:
            self._state[slots] |= Life.SENDING
            sizes = np.full(len(slots), len(self._greet))
            self._to_say.append(Outgoing(slots, self._greeting, np.zeros(len(slots), np.intp), sizes))

    def say(self, now_ns: int) -> Sequence[Outgoing]:
        to_say, self._to_say = self._to_say, []
        return to_say

    def wait_s(self, now_ns: int) -> float:
        return 0.0 if self._to_say else NEVER_S

    def sent(self, slots: Slots) -> None:
        state = self._state[slots]
        self._counters["greeted"] += int(np.count_nonzero((state & Life.ASKED) == 0))
        self._state[slots] = state & ~np.uint8(Life.SENDING | Life.ASKED)

    def received(
        self, slots: Slots, data: NDArray[np.uint8], sizes: NDArray[np.int32], now_ns: int
    ) -> NDArray[np.bool_]:
        self._state[slots] |= Life.SENDING | Life.ASKED
        self._to_say.append(Outgoing(slots, data, np.arange(len(slots)), sizes))
        return np.zeros(len(slots), bool)

    def over(self) -> Completions:
        return NO_COMPLETIONS

    def goodbye(self, slots: Slots) -> None:
        pass

    def ended(self, slots: Slots, now_ns: int, *, lost: bool) -> None:
        self._to_say = [_without(slots, outgoing) for outgoing in self._to_say]


def _without(slots: Slots, outgoing: Outgoing) -> Outgoing:
    stays = ~np.isin(outgoing.slots, slots)
    return Outgoing(outgoing.slots[stays], outgoing.buffers, outgoing.rows[stays], outgoing.sizes[stays])
