"""What a peer sent last on a connection that it then ended, such as the error message of a full server."""

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.runs.counters import WORDS_BYTES, Counters
from fourtuple.engine.loops.contract import Slots

KEPT = 64  # connections whose last data is remembered: the end usually follows within milliseconds
AT_ONCE = 8  # of each batch of reads


class LastWords:
    """Remembers the last data of a few connections; the words of the first one that ends go into `counters`."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._heard: OrderedDict[int, bytes] = OrderedDict()

    def heard(self, slots: Slots, buffers: NDArray[np.uint8], rows: NDArray[np.intp], sizes: NDArray[np.int32]) -> None:
        """Remember the data of the first few slots: sizes[i] bytes in buffers[rows[i]]."""
        for slot, row, size in zip(slots[:AT_ONCE].tolist(), rows.tolist(), sizes.tolist(), strict=False):
            self._heard.pop(slot, None)
            self._heard[slot] = buffers[row, : min(size, WORDS_BYTES)].tobytes()
        while len(self._heard) > KEPT:
            self._heard.popitem(last=False)

    def ended(self, slots: Sequence[int]) -> None:
        """These connections were ended by the peer."""
        words = next((self._heard[slot] for slot in slots if slot in self._heard), b"")
        if words and not self._counters["last_words"].any():
            self._counters["last_words"].view(np.uint8)[: len(words)] = np.frombuffer(words, np.uint8)
