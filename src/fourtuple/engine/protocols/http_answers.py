"""The requests of many HTTP clients at once, and their answers, where these are like one that a session has judged."""

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.record import dataclass
from fourtuple.engine.protocols.contract import Session, Turn
from fourtuple.engine.protocols.http import HttpClient
from fourtuple.engine.protocols.http_forms import Form

INTERIM = b"HTTP/1.1 1"  # an answer that another one follows (RFC 9110, 15.2)
FORMS = 4  # of answers that are known at a time


@dataclass(frozen=True, slots=True)
class Learned:
    """What a session makes of answers of one form: one answer, as expected or wrong, after which it goes on."""

    turn: Turn
    form: Form

    @staticmethod
    def from_response(kind: HttpClient, message: bytes, response: bytes) -> "Learned | None":
        """Learn from what was received after a message; None: it is not one whole answer after which another may come.

        It holds for every message of this kind that is sent by the same method.
        """
        session = kind.make(0, "")
        session.say(message)
        turn = session.received(response)
        if turn not in (Turn(answers=1), Turn(wrong=1)) or response.startswith(INTERIM):
            return None
        form = Form.of(response)
        return Learned(turn, form) if form else None

    def matches(self, data: NDArray[np.uint8], sizes: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Which rows, received after a request each, are such an answer; the others are for a session to judge."""
        return self.form.matches(data, sizes)


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
