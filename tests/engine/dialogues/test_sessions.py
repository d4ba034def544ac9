"""Sessions over a scripted loop: when they are established, what they say, how they end, and what is left of them."""

import errno
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fourtuple.core.runs import reasons
from fourtuple.core.runs.counters import COUNTERS, Phase
from fourtuple.core.space.endpoints import Endpoint, FourTuple
from fourtuple.core.talk.template import parse_template
from fourtuple.engine.dialogues.sessions import Sessions, _outgoing
from fourtuple.engine.loops.contract import Op, Slots
from fourtuple.engine.protocols.contract import Answers, Failure, FailureKind, Turn
from fourtuple.engine.states import Life
from tests.engine.scripted import Clock, Run, ScriptedLoop
from tests.engine.workloads.test_hold import a_run, opened

NUMBERED, SAME = parse_template(b"message {connection}"), parse_template(b"the same")
REFUSED = Failure(FailureKind.TEXT, "refused")
UNASKED = Failure(FailureKind.TEXT, "an answer to nothing")
ENDED = Failure(FailureKind.TEXT, "ended by the peer", by_peer=True)
SILENT = Failure(FailureKind.TEXT, "ended without a word", by_peer=True)
CUT = Failure(FailureKind.TEXT, "ended in the middle of a line")


class Lines:
    """`hello N` is answered by `ok`; then each line is answered by a line: `no` is a wrong answer, `bye` an end.

    A line that answers nothing is an error, too.
    """

    def __init__(self, connection: int, *, established: bool) -> None:
        self._hello, self._established, self._part = f"hello {connection}\n".encode(), established, b""
        self._asked = 0

    @property
    def idle(self) -> bool:
        return self._established and not self._part and not self._asked

    def begin(self) -> Turn:
        return Turn(send=self._hello, secured=True)

    def say(self, message: bytes) -> Turn:
        self._asked += 1
        return Turn(send=message + b"\n")

    def received(self, data: bytes) -> Turn:
        if not data:
            return Turn(failed=CUT if self._part else SILENT)
        *lines, self._part = (self._part + data).split(b"\n")
        right, ready = 0, False
        for line in lines:
            if line == b"bye":
                return Turn(send=b"bye\n", failed=ENDED)
            if not self._established:
                if line != b"ok":
                    return Turn(failed=REFUSED)
                self._established = ready = True
            elif not self._asked:
                return Turn(failed=UNASKED)
            else:
                self._asked -= 1
                right += line != b"no"
        return Turn(ready=ready, answers=right, wrong=len(lines) - right - ready)

    def goodbye(self) -> bytes:
        return b"bye\n"


class ManyLines:
    """The same protocol on arrays."""

    def begin(self, connections: NDArray[np.integer]) -> NDArray[np.uint8]:
        return np.array([list(b"hello %04d\n" % number) for number in connections.tolist()], np.uint8)

    def asked(self, connection: int) -> Lines:
        return Lines(connection, established=False)

    def established(
        self, connections: NDArray[np.integer], data: NDArray[np.uint8], sizes: NDArray[np.int32]
    ) -> NDArray[np.bool_]:
        return np.array([row[:size].tobytes() == b"ok\n" for row, size in zip(data, sizes.tolist(), strict=True)])

    def say(self, message: bytes, count: int) -> NDArray[np.uint8]:
        return np.frombuffer(message + b"\n", np.uint8).reshape(1, -1)

    def answered(self, data: NDArray[np.uint8], sizes: NDArray[np.int32]) -> NDArray[np.bool_]:
        answers = [row[:size].tobytes() for row, size in zip(data, sizes.tolist(), strict=True)]
        return np.array([answer == b"the same\n" for answer in answers], bool)


class LinesKind:
    many: ManyLines | None
    answers, says_source = Answers.EACH, True

    def __init__(self, keepalive_s: float = float("inf"), *, many: bool = False) -> None:
        self.keepalive_s, self.many = keepalive_s, ManyLines() if many else None
        self.resumed = 0

    def make(self, connection: int, source: str) -> Lines:
        return Lines(connection, established=False)

    def resume(self, connection: int) -> Lines:
        self.resumed += 1
        return Lines(connection, established=True)

    def beat(self, session: object) -> Turn:
        return Turn(send=b"ping\n")


class Server(ScriptedLoop):
    """Answers `hello` by `ok` and other lines by themselves, but for the slots that `instead` names."""

    def __init__(self, instead: dict[int, bytes] | None = None, **others: Any) -> None:
        super().__init__(Clock(), **others)
        self.instead = instead or {}

    def send(self, slots: Slots, buffers: Any, rows: Any, sizes: Any) -> None:
        super().send(slots, buffers, rows, sizes)
        for slot, row, size in zip(slots.tolist(), rows.tolist(), sizes.tolist(), strict=True):
            said = buffers[row, :size].tobytes()
            answer = b"ok\n" if said.startswith(b"hello") else b"" if said in (b"ping\n", b"bye\n") else said
            if answer := self.instead.get(slot, answer):
                self.incoming.setdefault(slot, []).append(answer)


def dialogues(monkeypatch: pytest.MonkeyPatch) -> list[Sessions]:
    """The dialogues that are made from now on."""
    made: list[Sessions] = []
    begin = Sessions.__init__

    def init(self: Sessions, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        made.append(self)

    monkeypatch.setattr(Sessions, "__init__", init)
    return made


def why(run: Run) -> dict[str, int]:
    return reasons.total(run.counters["reasons"][None])


def after(run: Run, loop: ScriptedLoop, seconds: float) -> None:
    until_ns = loop.clock.ns + int(seconds * 1e9)
    run.until(lambda: loop.clock.ns >= until_ns)


@pytest.mark.parametrize("wanted", [1, 23, 997])
def test_opening_ends_when_all_sessions_are_established(wanted: int) -> None:
    """Each connection says its own number; none is greeting any more; each handshake is timed."""
    loop = Server()
    run = opened(a_run(wanted, loop, kind=LinesKind()))

    assert (run.counters["open"], run.counters["sessions"], run.counters["greeting"]) == (wanted, wanted, 0)
    assert loop.sent == {slot: b"hello %d\n" % slot for slot in range(wanted)}
    assert run.counters["session_us"].sum() == run.counters["tls_us"].sum() == wanted


@pytest.mark.parametrize("says_source", [True, False])
def test_this_end_is_asked_for_only_where_something_says_it(*, says_source: bool) -> None:
    asked: list[int] = []
    sources: list[str] = []

    class Asked(Server):
        def describe(self, slot: int) -> FourTuple | None:
            asked.append(slot)
            return FourTuple(Endpoint.parse(f"10.0.0.1:{40_000 + slot}"), Endpoint.parse("10.0.0.2:80"))

    class Named(LinesKind):
        def make(self, connection: int, source: str) -> Lines:
            sources.append(source)
            return super().make(connection, source)

    kind = Named()
    kind.says_source = says_source
    opened(a_run(3, Asked(), kind=kind))

    assert asked == ([0, 1, 2] if says_source else [])
    assert sources == (["10.0.0.1:40000", "10.0.0.1:40001", "10.0.0.1:40002"] if says_source else ["", "", ""])


def test_an_idle_session_costs_no_object(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once they are established, no session is left; one that got half a line is kept until it has the rest."""
    loop, made = Server(), dialogues(monkeypatch)
    run = opened(a_run(100, loop, kind=LinesKind()))
    (dialogue,) = made

    assert dialogue._sessions == {}
    loop.incoming[7] = [b"half a"]
    after(run, loop, 1)
    assert list(dialogue._sessions) == [7]
    loop.incoming[7] = [b" line\n"]
    after(run, loop, 1)
    assert dialogue._sessions == {}
    assert why(run) == {"text: an answer to nothing": 1}


def test_messages_and_their_answers_are_counted_and_timed() -> None:
    """20 connections, one message every 2 s each, with the words of each connection."""
    loop, kind = Server(), LinesKind()
    run = opened(a_run(20, loop, kind=kind, message=NUMBERED, every_s=2.0))
    after(run, loop, 10)

    assert run.counters["requests"] == pytest.approx(100, abs=3)
    assert run.counters["answers"] == pytest.approx(run.counters["requests"], abs=1)
    assert run.counters["answer_us"].sum() == run.counters["service_us"].sum() == run.counters["answers"]
    assert loop.sent[3].startswith(b"hello 3\nmessage 3\nmessage 3\n")
    assert (run.counters["unexpected"], run.counters["late"]) == (0, 0)
    assert kind.resumed == run.counters["requests"]


def test_a_wrong_answer_is_no_end() -> None:
    """Slot 3 answers `no` each time: counted as unexpected, and the session goes on."""
    loop = Server()
    run = opened(a_run(5, loop, kind=LinesKind(), message=NUMBERED, every_s=1.0))
    loop.instead = {3: b"no\n"}
    after(run, loop, 5)

    assert run.counters["unexpected"] == pytest.approx(5, abs=1)
    assert run.counters["open"] == 5


def test_a_session_that_fails_is_a_lost_connection_with_its_reason() -> None:
    """Of 23, two are refused in the handshake: EPROTO. The others are held, and all are accounted for."""
    loop = Server({4: b"sorry\n", 9: b"sorry\n"})
    run = opened(a_run(23, loop, kind=LinesKind()))
    after(run, loop, 1)

    assert (run.counters["open"], run.counters["lost"], run.counters["greeting"]) == (21, 2, 0)
    assert run.counters["lost_by"][errno.EPROTO] == 2
    assert why(run) == {"text: refused": 2}
    assert sorted(slot for slot, _ in loop.closed) == [4, 9]


def test_a_session_that_the_peer_ends_says_its_last_words_first() -> None:
    """`bye` is answered by `bye`, then the connection is closed; it counts as closed by the peer."""
    loop = Server()
    run = opened(a_run(5, loop, kind=LinesKind()))
    loop.incoming[2] = [b"bye\n"]
    after(run, loop, 1)

    assert loop.sent[2] == b"hello 2\nbye\n"
    assert (run.counters["lost"], run.counters["lost_by"][0]) == (1, 1)
    assert why(run) == {"text: ended by the peer": 1}


def test_an_end_in_the_middle_has_its_reason() -> None:
    """Half a line and then FIN: the session says what was missing. What FIN means on an idle one is said, too."""
    loop = Server()
    run = opened(a_run(5, loop, kind=LinesKind()))
    loop.incoming |= {2: [b"half", b""], 3: [b""]}
    after(run, loop, 1)

    assert (run.counters["lost"], run.counters["lost_by"][0]) == (2, 2)
    assert why(run) == {"text: ended in the middle of a line": 1, "text: ended without a word": 1}


@pytest.mark.parametrize("many", [False, True])
def test_an_end_before_a_session_is_established_has_its_reason(*, many: bool) -> None:
    """With an object for each session, and on arrays, where there is none yet."""
    loop = Server({1: b"", 2: b""})
    run = a_run(5, loop, kind=LinesKind(many=many))
    run.until(lambda: run.counters["sessions"] == 3)
    loop.incoming |= {1: [b""], 2: [b""]}
    opened(run)

    assert run.counters["lost"] == 2
    assert why(run) == {"text: ended without a word": 2}


def test_a_session_that_is_not_established_in_time_has_failed() -> None:
    """No answer to slot 1: after the timeout it is lost, and opening ends."""
    loop = Server({1: b""})
    run = a_run(5, loop, kind=LinesKind(), timeout_s=2)
    run.until(lambda: run.counters["phase"] == Phase.HOLDING)

    assert (run.counters["open"], run.counters["lost_by"][errno.ETIMEDOUT]) == (4, 1)
    assert why(run) == {"session: not established in time": 1}
    assert loop.clock.ns >= 3_000_000_000


def test_what_arrives_while_something_is_sent_is_answered_after_it() -> None:
    """Two sends never overlap on a slot: the reply waits until the message has been sent."""
    loop = Server()
    run = opened(a_run(3, loop, kind=LinesKind(), message=NUMBERED, every_s=0.2))
    loop.stuck = {1}
    run.until(lambda: b"message 1" in loop.sent[1])
    loop.incoming[1] = [b"bye\n"]
    after(run, loop, 1)
    said = loop.sent[1]

    assert b"bye" not in said
    assert run.counters["lost"] == 0
    loop.stuck = set()
    loop._done.append((Op.SEND, 1, len(b"message 1\n")))
    after(run, loop, 1)
    assert loop.sent[1] == said + b"bye\n"
    assert run.counters["lost"] == 1


def test_idle_sessions_are_kept_alive() -> None:
    """With a keepalive of 4 s, each connection sends a ping every 3 s; no answer is expected to it."""
    loop = Server()
    run = opened(a_run(20, loop, kind=LinesKind(keepalive_s=4)))
    after(run, loop, 9)

    assert {loop.sent[slot].count(b"ping\n") for slot in range(20)} <= {2, 3, 4}
    assert run.counters["requests"] == run.counters["answers"] == run.counters["unexpected"] == 0


def test_a_server_can_shorten_the_keepalive() -> None:
    """From no pings at all to one every 3 s, also on the connections that are open already."""
    loop, kind = Server(), LinesKind()
    run = opened(a_run(20, loop, kind=kind))
    after(run, loop, 9)
    assert not any(b"ping" in said for said in loop.sent.values())
    kind.keepalive_s = 4
    after(run, loop, 9)

    assert {loop.sent[slot].count(b"ping\n") for slot in range(20)} <= {2, 3, 4}


def test_messages_that_come_often_enough_keep_a_session_alive() -> None:
    """With a message every 2 s and a keepalive of 4 s, no ping is sent."""
    loop = Server()
    run = opened(a_run(20, loop, kind=LinesKind(keepalive_s=4), message=NUMBERED, every_s=2.0))
    after(run, loop, 9)

    assert not any(b"ping" in said for said in loop.sent.values())


@pytest.mark.parametrize("reset", [False, True])
def test_sessions_are_ended_properly_where_connections_are_closed_by_fin(reset: bool) -> None:
    """Each says goodbye before it is closed; a reset sends nothing."""
    loop = Server()
    run = opened(a_run(5000, loop, kind=LinesKind(), reset=reset))
    run.finish()

    assert sum(said.endswith(b"bye\n") for said in loop.sent.values()) == (0 if reset else 5000)
    assert (run.counters["closed"], run.counters["open"], len(loop.closed)) == (5000, 0, 5000)


def test_a_peer_that_does_not_read_does_not_keep_the_run_from_ending() -> None:
    """The goodbye to slot 1 is never sent: it is closed all the same, a second later."""
    loop = Server()
    run = opened(a_run(5, loop, kind=LinesKind(), reset=False))
    loop.stuck = {1}
    run.finish()

    assert (run.counters["closed"], loop.open) == (5, set())


def test_a_lost_session_is_opened_again_from_its_beginning() -> None:
    """With reconnect, the session of the new connection is established, too."""
    loop = Server()
    run = opened(a_run(5, loop, kind=LinesKind(), reconnect=True))
    loop.incoming[2] = [errno.ECONNRESET]
    run.until(lambda: run.counters["reconnected"] == 1 and not run.counters["greeting"])

    assert (run.counters["sessions"], run.counters["open"]) == (6, 5)
    assert loop.sent[2] == b"hello 2\nhello 2\n"


def test_many_sessions_need_no_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Handshakes and answers that come whole are judged on arrays: no session is made; all are counted and timed."""
    made = dialogues(monkeypatch)
    loop, kind = Server(), LinesKind(many=True)
    run = opened(a_run(997, loop, kind=kind, message=SAME, every_s=1.0))
    after(run, loop, 3)

    assert (kind.resumed, made[0]._sessions) == (0, {})
    assert (run.counters["sessions"], run.counters["greeting"], run.counters["session_us"].sum()) == (997, 0, 997)
    assert run.counters["answers"] == pytest.approx(3 * 997, abs=997)
    assert run.counters["answer_us"].sum() == run.counters["answers"]
    assert loop.sent[5].startswith(b"hello 0005\nthe same\n")


def test_what_the_arrays_do_not_know_is_left_to_sessions() -> None:
    """Slot 1 gets its `ok` in two pieces, slot 2 is refused, slot 3 answers otherwise: as if there were no arrays."""
    loop = Server({1: b"o", 2: b"sorry\n"})
    run = a_run(50, loop, kind=LinesKind(many=True), message=SAME, every_s=1.0)
    run.until(lambda: run.counters["sessions"] == 48)
    del loop.instead[1]
    loop.incoming[1] = [b"k\n"]
    opened(run)
    loop.instead = {3: b"no\n"}
    after(run, loop, 5)

    assert (run.counters["sessions"], run.counters["lost"], run.counters["open"]) == (49, 1, 49)
    assert why(run) == {"text: refused": 1}
    assert run.counters["unexpected"] == pytest.approx(5, abs=1)
    assert run.counters["answers"] == pytest.approx(5 * 48, abs=48)


def test_large_messages_take_little_memory_more_than_their_own() -> None:
    """One message of 3 MB among 900 of 4 bytes: no table has a row of 3 MB for each of them."""
    said = dict.fromkeys(range(900), b"tiny") | {900: bytes(3_000_000)}
    tables = list(_outgoing(said))

    assert sum(table.buffers.nbytes for table in tables) < 4_000_000
    assert {
        int(slot): table.buffers[row, :size].tobytes()
        for table in tables
        for slot, row, size in zip(table.slots, table.rows, table.sizes, strict=True)
    } == said


@pytest.mark.parametrize("many", [True, False])
def test_large_messages_are_sent_whole(many: bool) -> None:
    """3 MB on each of 5 connections, by column and by sessions."""
    text = bytes(range(1, 10)) * 333_333
    loop = Server()
    run = opened(a_run(5, loop, kind=LinesKind(many=many), message=parse_template(text), every_s=10.0))
    loop.instead = dict.fromkeys(range(5), b"the same\n")
    run.until(lambda: run.counters["answers"] >= 5)
    after(run, loop, 0.1)

    assert all(text + b"\n" in said for said in loop.sent.values())


def test_a_session_that_has_failed_is_not_kept_alive() -> None:
    """Not even if its turn comes before its connection is closed: no other session takes its place."""
    kind, state, slots = LinesKind(keepalive_s=1.0), np.full(1, Life.OPEN, np.uint8), np.array([0], np.int32)
    dialogue = Sessions(
        kind,
        None,
        0.0,
        connection=0,
        source=lambda _: "",
        state=state,
        counters=np.zeros(1, COUNTERS)[0],
        timeout_s=9.0,
        clock_ns=lambda: 0,
    )

    def hear(data: bytes) -> None:
        dialogue.received(slots, np.frombuffer(data, np.uint8)[None, :], np.array([len(data)], np.int32), 0)

    dialogue.opened(slots, 0)
    dialogue.say(0)
    dialogue.sent(slots)
    hear(b"ok\n")
    assert kind.resumed == 0
    hear(b"an answer to nothing\n")
    assert kind.resumed == 1

    assert list(dialogue.say(10**9)) == []
    assert kind.resumed == 1
    assert list(dialogue.over()["slot"]) == [0]
