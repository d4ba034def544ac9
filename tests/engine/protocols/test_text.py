"""A session of plain text says what it is to say, and tells right answers from wrong ones however they are cut."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.talk.expectation import parse_expectation
from fourtuple.core.talk.script import Say, Script, script_of
from fourtuple.core.talk.template import parse_template
from fourtuple.engine.protocols.contract import NOTHING, Failure, FailureKind, Session, SessionKind, Turn
from fourtuple.engine.protocols.text import EchoKind, TextKind

PING = ["--send", "PING\r\n", "--expect", "PONG\r\n"]
HELLO = ["--first", "HELLO {connection} {source}\r\n", "--expect", "re:^OK", *PING]
FRAMED = [
    "--expect",
    "until:\r\n",
    "--first",
    "HI",
    "--expect",
    "2B",
    "--send",
    "x",
    "--expect",
    "PO",
    "--expect",
    "NG",
]


def script(words: list[str]) -> Script:
    pairs = zip(words[::2], words[1::2], strict=True)
    return script_of(
        [
            parse_expectation(text) if option == "--expect" else (Say(option), parse_template(text.encode()))
            for option, text in pairs
        ]
    )


class Line:
    """One connection as a dialogue drives it: an idle session is thrown away. total: all turns, with what was sent"""

    def __init__(self, kind: SessionKind, connection: int = 7) -> None:
        self.kind, self.connection, self.total = kind, connection, NOTHING
        self.session: Session | None = kind.make(connection, "127.0.0.1:40000")
        self._take(self.session, self.session.begin())

    def hear(self, *pieces: bytes) -> "Line":
        for piece in pieces:
            session = self._session()
            self._take(session, session.received(piece))
        return self

    def say(self, message: bytes) -> "Line":
        session = self._session()
        return self._take(session, session.say(message))

    def _session(self) -> Session:
        return self.session or self.kind.resume(self.connection)

    def _take(self, session: Session, turn: Turn) -> "Line":
        before = self.total
        self.session = None if session.idle else session
        self.total = Turn(
            before.send + turn.send,
            ready=before.ready or turn.ready,
            answers=before.answers + turn.answers,
            wrong=before.wrong + turn.wrong,
            failed=before.failed or turn.failed,
        )
        return self


def line(words: list[str]) -> Line:
    return Line(TextKind(script(words)))


def test_a_dialogue_from_first_to_last() -> None:
    kind = line(HELLO)
    assert kind.total == Turn(b"HELLO 7 127.0.0.1\r\n")
    assert not kind.hear(b"O").total.ready

    assert kind.hear(b"K 1.0\r\n").total.ready
    assert kind.session is None
    assert kind.say(b"PING\r\n").session is not None
    assert kind.hear(b"PONG\r", b"\n").session is None
    assert kind.total == Turn(b"HELLO 7 127.0.0.1\r\nPING\r\n", ready=True, answers=1)


def test_without_an_opening_a_session_is_ready_at_once_and_costs_nothing() -> None:
    kind = line(["--send", "PING", "--expect", "PONG"])

    assert kind.session is None
    assert kind.total == Turn(ready=True)


def test_what_is_said_first_without_an_answer_is_said_at_once() -> None:
    both = line(["--first", "A", "--first", "B", "--expect", "C"])

    assert both.total == Turn(b"AB")
    assert line(["--first", "A", "--first", "B"]).total == Turn(b"AB", ready=True)


def test_a_greeting_and_several_firsts_come_in_order() -> None:
    smtp = line(
        ["--expect", "re:^220 .*\r\n", "--first", "EHLO x\r\n", "--expect", "re:250 .*\r\n", "--first", "NOOP\r\n"]
    )

    assert smtp.total == NOTHING
    assert smtp.hear(b"220 mail\r\n").total == Turn(b"EHLO x\r\n")
    assert not smtp.hear(b"250-PIPELINING\r\n").total.ready
    assert smtp.hear(b"250 8BITMIME\r\n").total == Turn(b"EHLO x\r\nNOOP\r\n", ready=True)


@pytest.mark.parametrize(
    ("words", "data", "reason"),
    [
        (HELLO, b"-ERR max number of clients reached\r\n", 'the answer to --first does not match ^OK: "-ERR'),
        (["--expect", "PONG\r\n"], b"\r\nno\r\nx", r'the greeting is not "PONG\r\n": "no"'),
        (
            ["--expect", "len:2-3"],
            b"at 40001 from deadbeef77",
            'the greeting does not have 2 to 3 bytes: "at N from N"',
        ),
        (["--expect", "a", "--expect", "b"], b"ac", 'the greeting is not "b": "c"'),
    ],
)
def test_a_wrong_answer_in_the_opening_is_a_failure_with_what_came(words: list[str], data: bytes, reason: str) -> None:
    """The words are the same on every connection: numbers that differ are left out. A pattern waits for more."""
    opened = line(words).hear(data)
    if opened.total.failed is None:
        opened.hear(b"", b"x", b"").say(b"x")
        reason = reason.replace("does not match ^OK: ", "was complete, after ").replace(
            "the answer", "closed before the answer"
        )

    assert opened.total.failed is not None
    assert opened.total.failed.kind is FailureKind.TEXT
    assert opened.total.failed.reason.startswith(reason)


@pytest.mark.parametrize(
    ("words", "heard", "said", "reason"),
    [
        (["--expect", "OK"], [], 0, "closed before the greeting was complete"),
        (["--expect", "OK"], [b"O"], 0, 'closed before the greeting was complete, after "O"'),
        (["--expect", "re:OK"], [b"-ERR busy\r\n"], 0, 'closed before the greeting was complete, after "-ERR busy"'),
        (["--send", "x", "--expect", "OK"], [], 0, "closed"),
        (["--send", "x", "--expect", "OK"], [b"O"], 1, "closed before the answer was complete"),
        (["--send", "x", "--expect", "OK"], [b"OK"], 1, "closed"),
        (["--send", "x"], [], 1, "closed"),
    ],
)
def test_the_end_of_the_peer_is_a_failure_by_the_peer(
    words: list[str], heard: list[bytes], said: int, reason: str
) -> None:
    ended = line(words)
    for _ in range(said):
        ended.say(b"x")
    ended.hear(*heard, b"")

    assert ended.total.failed == Failure(FailureKind.TEXT, reason, by_peer=True)
    total = ended.total
    assert ended.hear(b"x", b"").say(b"x").total == total  # nothing happens after the end


def test_a_wrong_answer_is_counted_once_and_the_next_message_starts_anew() -> None:
    pings = line(["--send", "PING\r\n", "--expect", "PONG\r\n"]).say(b"PING\r\n").hear(b"-ERR", b" no\r\n", b"PONG\r\n")
    assert pings.total == Turn(b"PING\r\n", ready=True, wrong=1)

    assert pings.say(b"PING\r\n").hear(b"PONG\r\n").total == Turn(b"PING\r\n" * 2, ready=True, answers=1, wrong=1)
    assert pings.session is None


def test_an_answer_that_comes_twice_is_unexpected_once() -> None:
    once = line(["--send", "PING", "--expect", "PONG"]).say(b"PING").hear(b"PONGPONG", b"PONG")
    later = line(["--send", "PING", "--expect", "PONG"]).say(b"PING").hear(b"PONG", b"PONG", b"PONG")

    assert once.total == later.total == Turn(b"PING", ready=True, answers=1, wrong=1)
    assert once.say(b"PING").hear(b"PONG").total.answers == 2


def test_what_follows_a_match_belongs_to_it() -> None:
    matched = line(["--send", "x", "--expect", "re:^OK"]).say(b"x").hear(b"OK 1", b" and more", b"OK")

    assert matched.total == Turn(b"x", ready=True, answers=1)
    assert matched.say(b"x").hear(b"OK").total.answers == 2


def test_without_an_expectation_any_data_is_an_answer() -> None:
    anything = line(["--send", "x"]).hear(b"greeting").say(b"x").say(b"x").hear(b"a", b"b")

    assert anything.total == Turn(b"xx", ready=True, answers=1)


def test_messages_that_are_sent_before_their_answers_are_answered_in_order() -> None:
    pipelined = line(["--send", "x", "--expect", "ab"]).say(b"x").say(b"x").say(b"x")

    assert pipelined.hear(b"abab").total.answers == 2
    assert pipelined.hear(b"ab").session is None
    assert pipelined.say(b"x").say(b"x").hear(b"b").total == Turn(b"x" * 5, ready=True, answers=3, wrong=2)


@given(
    st.lists(
        st.sampled_from([b"220\r\n", b"OK", b"PONG", b"PO", b"NG", b"x", b"\r\n"]) | st.integers(1, 3), max_size=8
    ),
    st.lists(st.integers(1, 6), min_size=1),
)
def test_a_framed_dialogue_is_the_same_however_it_is_cut(events: list[bytes | int], sizes: list[int]) -> None:
    """Also whether its sessions were thrown away between two pieces, or not. A number: so many messages are sent."""
    whole, cut = line(FRAMED), line(FRAMED)
    for event in events:
        if isinstance(event, int):
            for _ in range(event if whole.total.ready else 0):
                whole.say(b"PING")
                cut.say(b"PING")
            continue
        whole.hear(event)
        at, turn = 0, 0
        while at < len(event):
            size = sizes[turn % len(sizes)]
            cut.hear(event[at : at + size])
            at, turn = at + size, turn + 1

        assert _told(cut.total) == _told(whole.total)
        assert cut.session is None or whole.session is not None


def _told(total: Turn) -> Turn:
    """Without the sample of a wrong greeting, which is what had arrived of it."""
    return replace(total, failed=total.failed and replace(total.failed, reason=total.failed.reason.partition(":")[0]))


@given(
    st.sampled_from([HELLO, FRAMED, ["--send", "x"], ["--send", "x", "--expect", "len:2-4"], ["--expect", "re:a*b"]]),
    st.lists(st.binary(max_size=12) | st.none(), max_size=12),
)
def test_nothing_that_a_peer_sends_raises(words: list[str], events: list[bytes | None]) -> None:
    """None: a message is sent. No message is answered twice."""
    fuzzed = line(words)
    said = 0
    for event in events:
        if event is not None:
            fuzzed.hear(event)
        elif fuzzed.total.ready and not fuzzed.total.failed:
            fuzzed.say(b"PING")
            said += 1

    assert fuzzed.total.answers <= said
    assert not (fuzzed.total.failed and not fuzzed.total.ready and fuzzed.total.answers)


def test_random_text_and_the_time_of_what_is_said_first_come_from_outside() -> None:
    now = script(["--first", "{now:ms} {random:3}"])
    kind = TextKind(now, random=np.random.default_rng(1), now_ns=lambda: 5_000_000)

    assert kind.make(0, "").begin().send.startswith(b"5 ")
    assert kind.beat(kind.resume(0)) == NOTHING
    assert kind.make(0, "").goodbye() == b""


def test_a_server_greets_and_sends_back_what_it_receives() -> None:
    kind = EchoKind(b"hello\r\n")
    assert kind.make(0, "").begin() == Turn(b"hello\r\n", ready=True)
    assert kind.resume(0).received(b"x") == Turn(b"x")
    assert kind.resume(0).received(b"").failed == Failure(FailureKind.TEXT, "closed", by_peer=True)
    assert kind.beat(kind.resume(0)) == NOTHING

    assert EchoKind(b"", echo=False).resume(0).received(b"x") == NOTHING
    assert kind.resume(0).say(b"x") == Turn(b"x")
    assert kind.resume(0).goodbye() == b""
    assert kind.resume(0).idle


def test_only_what_says_this_end_has_to_know_it() -> None:
    """A message that says it is made elsewhere."""
    for words, says_source in (
        (HELLO, True),
        (["--first", "from {port}", *PING], True),
        (["--first", "{connection}", "--send", "{source}"], False),
        (PING, False),
    ):
        assert TextKind(script(words)).says_source is says_source, words


def test_what_follows_the_opening_too_soon_is_shown() -> None:
    """The answer to --first, and then more, before a message was sent: counted, and with what it was."""
    line = Line(TextKind(script([*FRAMED[2:]])))
    session = line.session
    assert session is not None
    turn = session.received(b"OKwhat?")

    assert (turn.ready, turn.wrong, turn.because) == (True, 1, 'text: more than the answer: "what?"')
