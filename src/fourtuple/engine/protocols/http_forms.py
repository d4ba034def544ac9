"""Which of many HTTP messages are like one that h11 has read, by column: no Python for each of them.

What h11 makes of a message follows from its first line, from a few headers (RFC 9112, 6 and 9), and from how many bytes
there are. Where all these are the same, and no other byte ends a line, its judgement is the same.
"""

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.record import dataclass

END_OF_LINE, END_OF_HEAD = b"\r\n", b"\r\n\r\n"
DECISIVE = (b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"expect")
_FIRST, _LAST = ord("!"), ord("~")  # the visible characters


@dataclass(frozen=True, slots=True)
class Form:
    """What messages that are judged alike have in common.

    size:    how many bytes each has
    pattern: (bytes,) uint8, its first bytes: the head; all of it, if the body says itself where it ends (chunked)
    free:    (bytes,) bool, where the pattern may have any other visible character: in the values of headers that
             decide nothing, such as Date, and in the path of a request
    """

    size: int
    pattern: NDArray[np.uint8]
    free: NDArray[np.bool_]

    @staticmethod
    def of(message: bytes) -> "Form | None":
        """The form of a message that h11 has read whole; None: one of its lines is continued, or ends otherwise."""
        head, _, _ = message.partition(END_OF_HEAD)
        first, *lines = head.split(END_OF_LINE)
        if b"\n" in b"".join([first, *lines]) or any(line[:1] in b" \t" for line in lines):
            return None
        fields = [line.partition(b":") for line in lines]
        is_chunked = any(name.lower() == b"transfer-encoding" for name, _, _ in fields)
        pattern = np.frombuffer(message if is_chunked else head + END_OF_HEAD, np.uint8)
        free = np.zeros(len(pattern), bool)
        if not first.startswith(b"HTTP/"):
            free[first.index(b" ") + 1 : first.rindex(b" ")] = True
        end = len(first)
        for name, _, value in fields:
            start = end + len(END_OF_LINE) + len(name) + 1
            end = start + len(value)
            free[start:end] = name.lower() not in DECISIVE
        return Form(len(message), pattern, free & _visible(pattern))

    def matches(self, data: NDArray[np.uint8], sizes: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Which rows have this form, whole and with nothing after it.

        data:  (rows, bytes) uint8
        sizes: (rows,) how many bytes of each row count
        → (rows,) bool
        """
        if data.shape[1] < self.size:
            return np.zeros(len(data), bool)
        same = ((data[:, : len(self.pattern)] == self.pattern) | self.free).all(axis=1)
        right: NDArray[np.bool_] = (
            same & _visible(data[:, np.flatnonzero(self.free)]).all(axis=1) & (sizes == self.size)
        )
        return right


def _visible(characters: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return (characters >= _FIRST) & (characters <= _LAST)
