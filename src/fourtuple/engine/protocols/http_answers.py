"""Which of many HTTP answers are like one that h11 has read, by column: no Python for each of them.

What h11 makes of an answer follows from its status line, from three headers (RFC 9112, 6 and 9.3), and from how many
bytes there are. Where all these are the same, and the other bytes end no line, its judgement is the same.
"""

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.record import dataclass
from fourtuple.engine.protocols.contract import Session, Turn
from fourtuple.engine.protocols.http import HttpClient

END_OF_LINE, END_OF_HEAD = b"\r\n", b"\r\n\r\n"
INTERIM = b"HTTP/1.1 1"  # an answer that another one follows (RFC 9110, 15.2)
DECISIVE = (b"content-length", b"transfer-encoding", b"connection")
FORMS = 4  # of answers that are known at a time
_FIRST, _LAST = ord("!"), ord("~")  # the visible characters


@dataclass(frozen=True, slots=True)
class Learned:
    """The form of an answer that was read whole.

    turn:    what a session makes of it: one answer, as expected or wrong, after which it goes on
    size:    how many bytes it has
    pattern: (bytes,) uint8, its first bytes: the head; all of it, if the body says itself where it ends (chunked)
    free:    (bytes,) bool, where the pattern may have any other visible character: in the values of headers that
             decide nothing, such as Date
    """

    turn: Turn
    size: int
    pattern: NDArray[np.uint8]
    free: NDArray[np.bool_]

    @staticmethod
    def from_response(kind: HttpClient, message: bytes, response: bytes) -> "Learned | None":
        """Learn from what was received after a message; None: it is not one whole answer after which another may come.

        It holds for every message of this kind that is sent by the same method.
        """
        session = kind.make(0, "")
        session.say(message)
        turn = session.received(response)
        head, _, _ = response.partition(END_OF_HEAD)
        lines = head.split(END_OF_LINE)
        is_plain = b"\n" not in b"".join(lines) and not any(line[:1] in b" \t" for line in lines[1:])
        if turn not in (Turn(answers=1), Turn(wrong=1)) or response.startswith(INTERIM) or not is_plain:
            return None
        fields = [line.partition(b":") for line in lines[1:]]
        is_chunked = any(name.lower() == b"transfer-encoding" for name, _, _ in fields)
        pattern = np.frombuffer(response if is_chunked else head + END_OF_HEAD, np.uint8)
        free = np.zeros(len(pattern), bool)
        end = len(lines[0])
        for name, _, value in fields:
            start, end = end + len(END_OF_LINE) + len(name) + 1, end + len(END_OF_LINE) + len(name) + 1 + len(value)
            free[start:end] = name.lower() not in DECISIVE
        return Learned(turn, len(response), pattern, free & _visible(pattern))

    def matches(self, data: NDArray[np.uint8], sizes: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Which rows are such an answer, whole and with nothing after it; the others are for a session to judge.

        data:  (rows, bytes) uint8, what was received after a request each
        sizes: (rows,) how many bytes of each row count
        → (rows,) bool
        """
        if data.shape[1] < self.size:
            return np.zeros(len(data), bool)
        begun = data[:, : len(self.pattern)]
        same = ((begun == self.pattern) | self.free).all(axis=1)
        right: NDArray[np.bool_] = (
            same & _visible(data[:, np.flatnonzero(self.free)]).all(axis=1) & (sizes == self.size)
        )
        return right


class ManyHttp:
    """The requests of many clients at once, all with the same path; and their answers, where they are as expected."""

    def __init__(self, kind: HttpClient) -> None:
        self._kind = kind
        self._message = b""  # the last one
        self._learned: list[Learned] = []

    def begin(self, connections: NDArray[np.integer]) -> NDArray[np.uint8]:
        return np.zeros((len(connections), 0), np.uint8)

    def asked(self, connection: int) -> Session:
        return self._kind.resume(connection)

    def established(
        self, connections: NDArray[np.integer], data: NDArray[np.uint8], sizes: NDArray[np.int32]
    ) -> NDArray[np.bool_]:
        return np.zeros(len(connections), bool)

    def say(self, message: bytes, count: int) -> NDArray[np.uint8]:
        self._message = message
        return np.frombuffer(self._kind.resume(0).say(message).send, np.uint8).reshape(1, -1)

    def answered(self, data: NDArray[np.uint8], sizes: NDArray[np.int32]) -> NDArray[np.bool_]:
        right = np.zeros(len(data), bool)
        for learned in self._learned:
            right |= learned.matches(data, sizes)
        for _ in range(FORMS):
            if right.all():
                break
            row = int(np.argmin(right))
            learned_now = Learned.from_response(self._kind, self._message, data[row, : sizes[row]].tobytes())
            if learned_now is None or not learned_now.turn.answers:
                break
            self._learned = [learned_now, *self._learned][:FORMS]
            right |= learned_now.matches(data, sizes)
        return right


def _visible(characters: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return (characters >= _FIRST) & (characters <= _LAST)
