"""The session of plain text: what is said first, and whether the answers are the expected ones; and a server's echo.

A connection that is ready and waits for nothing is idle. An answer that is complete or wrong ends the judgement of its
message: what follows is ignored until the next message, once it was counted if the script says where answers end.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from enum import Enum, auto
from math import inf
from typing import TYPE_CHECKING

from fourtuple.core.talk.expectation import Expectation, Judge, Judged, shown
from fourtuple.core.talk.script import Exchange, Script
from fourtuple.engine.protocols.contract import NOTHING, Answers, Failure, FailureKind, Turn

if TYPE_CHECKING:
    from numpy.random import Generator

_HEAD_BYTES = 64  # of an answer, kept to be shown
_LONG_NUMBER = re.compile(rb"\d{4,}|[0-9a-fA-F]{8,}")  # differs between connections: a port, a time, an identifier


class Stand(Enum):
    """Where a session of text stands."""

    OPENING = auto()
    READY = auto()
    ASKED = auto()  # a message was sent, and its answer is not complete
    STRAY = auto()  # what arrives belongs to no message
    OVER = auto()


class TextKind:
    """The sessions of a client that speaks plain text.

    random: for {random} in --first
    now_ns: Unix time, for {now} in --first
    """

    keepalive_s = inf
    many = None

    def __init__(
        self, script: Script, *, random: "Generator | None" = None, now_ns: Callable[[], int] = lambda: 0
    ) -> None:
        self.script, self._random, self._now_ns = script, random, now_ns
        self.expect = script.message.expect if script.message else ()
        self.framed = script.framed
        self.answers = Answers.EACH if self.expect else Answers.ANY
        self.says_source = any(exchange.say.says_source for exchange in script.opening if exchange.say)

    def make(self, connection: int, source: str) -> "TextSession":
        return TextSession(self, connection, source, Stand.OPENING)

    def resume(self, connection: int) -> "TextSession":
        return TextSession(self, connection, "", Stand.READY)

    def beat(self, session: object) -> Turn:
        return NOTHING

    def first(self, exchange: Exchange, connection: int, source: str) -> bytes:
        """What an exchange of the opening says on a connection."""
        if exchange.say is None:
            return b""
        return exchange.say.render(connection, source=source, now_ns=self._now_ns(), random=self._random)


class TextSession:
    """One connection of plain text, see engine/protocols/contract.py."""

    __slots__ = ("_asked", "_connection", "_expect", "_head", "_judge", "_kind", "_source", "_stand", "_step")

    def __init__(self, kind: TextKind, connection: int, source: str, stand: Stand) -> None:
        self._kind, self._connection, self._source, self._stand = kind, connection, source, stand
        self._step = 0  # of the opening
        self._asked = 0  # messages whose answers are missing
        self._expect: tuple[Expectation, ...] = ()  # the parts of the answer that is being judged, from this one on
        self._judge: Judge | None = None
        self._head = b""

    @property
    def idle(self) -> bool:
        return self._stand is Stand.READY

    def begin(self) -> Turn:
        return self._go_on(b"")

    def say(self, message: bytes) -> Turn:
        if self._stand is Stand.OVER:
            return NOTHING
        if self._stand is not Stand.ASKED:
            self._listen(self._kind.expect)
            self._stand = Stand.ASKED
            self._asked = 0
        self._asked += 1
        return Turn(send=message)

    def received(self, data: bytes) -> Turn:
        if self._stand is Stand.OVER:
            return NOTHING
        if not data:
            return self._ended()
        return self._open(data) if self._stand is Stand.OPENING else self._answered(data)

    def goodbye(self) -> bytes:
        return b""

    def _go_on(self, rest: bytes) -> Turn:
        """Say what comes next in the opening; with `rest`, which was received already."""
        opening, send = self._kind.script.opening, b""
        while self._step < len(opening):
            exchange = opening[self._step]
            send += self._kind.first(exchange, self._connection, self._source)
            if exchange.expect:
                self._listen(exchange.expect)
                turn = self._open(rest) if rest else NOTHING
                return replace(turn, send=send + turn.send)
            self._step += 1
        self._stand = Stand.READY
        turn = self._answered(rest) if rest else NOTHING
        return Turn(send, ready=True, wrong=turn.wrong, because=turn.because)

    def _open(self, data: bytes) -> Turn:
        """Received during the opening."""
        judged, rest = self._heard(data)
        if judged is Judged.WAITING:
            return NOTHING
        if judged is Judged.WRONG:
            return self._fail(f"{self._answer()} {_not(self._expect[0])}: {_sample(self._head)}")
        self._step += 1
        return self._go_on(rest)

    def _answered(self, data: bytes) -> Turn:
        """Received after the opening."""
        answers, wrong, because = 0, 0, ""
        while data and self._stand is Stand.ASKED:
            judged, data = self._heard(data)
            if judged is Judged.WAITING:
                break
            if judged is Judged.WRONG:
                because = wrong_answer(self._expect[0], self._head)
                wrong, self._asked, data, self._stand = self._asked, 0, b"", Stand.STRAY
                break
            answers += 1
            self._asked -= 1
            self._listen(self._kind.expect)
            if not self._asked:
                self._stand = Stand.READY
        if data and self._stand is Stand.READY and self._kind.framed:
            self._stand = Stand.STRAY
            wrong, because = wrong + 1, because or more_than_the_answer(data)
        return Turn(answers=answers, wrong=wrong, because=because) if answers or wrong else NOTHING

    def _listen(self, expect: tuple[Expectation, ...]) -> None:
        """An answer with these parts comes next."""
        self._expect, self._head = expect, b""
        self._judge = expect[0].judge() if expect else None

    def _heard(self, data: bytes) -> tuple[Judged, bytes]:
        """Judge a piece of the answer that comes next → the verdict on the whole answer, and what follows it."""
        if self._judge is None:  # anything is an answer, and all that were missing have come
            self._asked = min(self._asked, 1)
            return Judged.COMPLETE, b""
        self._head = (self._head + data)[:_HEAD_BYTES]
        while True:
            judged = self._judge.take(data)
            if judged is not Judged.COMPLETE or len(self._expect) == 1:
                return judged, self._judge.rest
            data, self._expect = self._judge.rest, self._expect[1:]
            self._judge, self._head = self._expect[0].judge(), data[:_HEAD_BYTES]
            if not data:
                return Judged.WAITING, b""

    def _ended(self) -> Turn:
        """The peer sends nothing more."""
        if self._stand is Stand.OPENING:
            what = f", after {_sample(self._head)}" if self._head else ""
            return self._fail(f"closed before {self._answer()} was complete{what}", by_peer=True)
        if self._stand is Stand.ASKED and self._kind.expect:
            return self._fail("closed before the answer was complete", by_peer=True)
        return self._fail("closed", by_peer=True)

    def _answer(self) -> str:
        said = self._kind.script.opening[self._step].say
        return "the greeting" if said is None else "the answer to --first"

    def _fail(self, reason: str, *, by_peer: bool = False) -> Turn:
        self._stand = Stand.OVER
        return Turn(failed=Failure(FailureKind.TEXT, reason, by_peer))


def wrong_answer(expectation: Expectation, head: bytes) -> str:
    """The reason of an answer that begins so, where another one was expected."""
    return f"{FailureKind.TEXT}: an answer {_not(expectation)}: {_sample(head)}"


def more_than_the_answer(rest: bytes) -> str:
    """The reason of an answer that was right, but for the rest."""
    return f"{FailureKind.TEXT}: more than the answer: {_sample(rest)}"


def _not(expectation: Expectation) -> str:
    """Why an answer is wrong: `is not "OK"`, `does not match ^OK`, `does not have 3 bytes`."""
    verb, _, rest = str(expectation).partition(" ")
    return f"is not {rest}" if verb == "is" else f"does not {_PLAIN[verb]} {rest}"


_PLAIN = {"matches": "match", "has": "have", "ends": "end"}


def _sample(head: bytes) -> str:
    """The first line of an answer, without what differs between connections."""
    line = head.lstrip(b"\r\n").partition(b"\n")[0].rstrip(b"\r") or head
    return shown(_LONG_NUMBER.sub(b"N", line))


class EchoKind:
    """The sessions of a server that greets, echoes or both; each is idle from the beginning.

    greet: sent on each connection; may be empty
    echo:  send received data back
    """

    keepalive_s = inf
    many = replies = None
    answers, says_source = Answers.NONE, False

    def __init__(self, greet: bytes = b"", *, echo: bool = True) -> None:
        self._greet, self._echo = greet, echo

    def make(self, connection: int, source: str) -> "EchoSession":
        return EchoSession(self._greet, echo=self._echo)

    def resume(self, connection: int) -> "EchoSession":
        return EchoSession(b"", echo=self._echo)

    def beat(self, session: object) -> Turn:
        return NOTHING


class EchoSession:
    """One connection of a server of plain text, see engine/protocols/contract.py."""

    __slots__ = ("_echo", "_greet")

    def __init__(self, greet: bytes, *, echo: bool) -> None:
        self._greet, self._echo = greet, echo

    @property
    def idle(self) -> bool:
        return True

    def begin(self) -> Turn:
        return Turn(self._greet, ready=True)

    def say(self, message: bytes) -> Turn:
        return Turn(message)

    def received(self, data: bytes) -> Turn:
        if not data:
            return Turn(failed=Failure(FailureKind.TEXT, "closed", by_peer=True))
        return Turn(data) if self._echo else NOTHING

    def goodbye(self) -> bytes:
        return b""
