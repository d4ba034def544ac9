"""Counts by a short text in a worker's counters: why sessions ended.

A few rows of fixed size, in memory that the workers share with the run: a count, and its text.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

ROWS, WORDS = 32, 16  # 8 bytes each; the first word of a row is the count, the rest the text
SIZE = ROWS * WORDS
TEXT_BYTES = (WORDS - 1) * 8
KEEPS_NONE = "the server keeps no connection open (Connection: close, or HTTP/1.0)"
OTHERS = "other reasons"  # the last row, for what has no row of its own


def add(words: NDArray[np.int64], text: str, count: int = 1) -> None:
    """Count `text`, whose first TEXT_BYTES bytes are kept.

    words: (SIZE,)
    """
    rows = words.reshape(ROWS, WORDS)
    wanted = _packed(text)
    for row in rows[:-1]:
        if not row[0]:
            row[1:] = wanted
        if (row[1:] == wanted).all():
            row[0] += count
            return
    rows[-1, 1:] = _packed(OTHERS)
    rows[-1, 0] += count


def total(words: NDArray[np.int64]) -> dict[str, int]:
    """The counts of all workers by text, most frequent first.

    words: (workers, SIZE)
    """
    found: dict[str, int] = {}
    for row in words.reshape(-1, WORDS):
        if row[0]:
            text = row[1:].tobytes().rstrip(b"\0").decode(errors="replace")
            found[text] = found.get(text, 0) + int(row[0])
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _packed(text: str) -> NDArray[Any]:
    cut = text.encode(errors="replace")[:TEXT_BYTES].decode(errors="ignore").encode()
    return np.frombuffer(cut.ljust(TEXT_BYTES, b"\0"), np.int64)
