"""The dialogue of a client whose connections run a session each: TLS, HTTP, WebSocket, MQTT, or text with a beginning.

A session object exists only while its connection is busy: in its handshake, or in the middle of a message
(engine/protocols/contract.py). Between messages a connection costs its columns, and nothing else.
"""

import errno
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.runs import histogram, reasons
from fourtuple.core.runs.counters import Counters, Phase
from fourtuple.engine.dialogues.beats import Beats
from fourtuple.engine.dialogues.contract import NEVER_S, Outgoing
from fourtuple.engine.dialogues.course import Course
from fourtuple.engine.dialogues.schedule import Schedule
from fourtuple.engine.dialogues.waiting import Waiting
from fourtuple.engine.dialogues.wording import Words
from fourtuple.engine.loops.contract import COMPLETION, NO_COMPLETIONS, Completions, Slots
from fourtuple.engine.protocols.contract import (
    Answers,
    Failure,
    FailureKind,
    Many,
    ManyReplies,
    Session,
    SessionKind,
    Turn,
)
from fourtuple.engine.states import Life

TABLE_BYTES = 4 << 20  # of a table of messages; larger ones gain nothing, and rows of different sizes waste much
CHECK_NS = 500_000_000  # how often it is checked which sessions take too long to be established


class Sessions:
    """The dialogue of all slots of a worker: of a client, or of a server, which only answers.

    kind:      makes the session of each connection
    words:     the messages; None: none are sent
    every_s:   the interval between two messages on a connection; 0: a message follows the answer to the previous one
    connection: the number of the connection in slot 0; the others follow
    source:    ADDRESS:PORT of a slot's own end
    state:     (slots,) uint8, the worker's array of `Life`
    timeout_s: a session that is not established after this time has failed
    clock_ns:  the current time in ns; the run begins now, and times count from there
    half_duplex: a slot is not read while it is sending; only without messages and keepalive, which come unasked
    course:    counts the messages of each connection, which are sent one after the other; None: there is no end to them
    replies:   of a server: answers many connections at once
    """

    hears = True

    def __init__(
        self,
        kind: SessionKind,
        words: Words | None,
        every_s: float,
        *,
        connection: int,
        source: Callable[[int], str],
        state: NDArray[np.uint8],
        counters: Counters,
        timeout_s: float,
        clock_ns: Callable[[], int],
        half_duplex: bool = False,
        course: Course | None = None,
        replies: ManyReplies | None = None,
    ) -> None:
        self.half_duplex, self._replies, self._clock_ns = half_duplex, replies, clock_ns
        begin_ns = clock_ns()
        self._kind, self._words, self._connection, self._source = kind, words, connection, source
        self._state, self._counters, self._timeout_us = state, counters, int(timeout_s * 1e6)
        self._course = course
        self._waits = kind.answers is Answers.EACH or (course is not None and kind.answers is Answers.ANY)
        busy = Life.SENDING | Life.ASKED if self._waits else Life.SENDING
        self._schedule = Schedule(state, counters, every_s, busy, begin_ns, course)
        has_moments = bool(words) and self._schedule.has_moments
        self._waiting = Waiting(state, counters, has_moments=has_moments, begin_ns=begin_ns)
        self._rests_s = every_s if words and every_s else NEVER_S
        self._keepalive_s, self._beats = kind.keepalive_s, self._beats_from(begin_ns)
        self._sessions: dict[int, Session] = {}  # of the slots that are busy
        self._has_session = np.zeros(len(state), bool)
        self._has_parted = np.zeros(len(state), bool)  # it has said goodbye, and says nothing more
        self._rows: list[Outgoing] = []  # to be sent at once: the same for many slots
        self._to_say: dict[int, bytes] = {}  # to be sent at once
        self._held: dict[int, bytes] = {}  # to be sent when what is being sent before it has been sent
        self._failed: dict[int, int] = {}  # slots to be closed once they have sent everything, and the result
        self._check_ns = begin_ns + CHECK_NS

    def opened(self, slots: Slots, now_ns: int) -> None:
        self._has_parted[slots] = False
        self._counters["greeting"] += len(slots)
        self._state[slots] |= Life.GREETING
        self._waiting.mark(slots, now_ns)
        if self._kind.many:
            rows = self._kind.many.begin(slots + self._connection)
            if rows.shape[1]:
                self._put_rows(slots, rows)
            else:
                self._ready(slots)
            return
        if self._replies:  # the client speaks first
            if self._replies.at_once:
                self._ready(slots)
            return
        for slot in slots.tolist():
            session = self._keep(slot, self._make(slot))
            self._take(slot, session, session.begin(), now_ns)

    def say(self, now_ns: int) -> Sequence[Outgoing]:
        if now_ns >= self._check_ns:
            self._check_ns = now_ns + CHECK_NS
            self._give_up_late(now_ns)
        if self._words:
            self._speak(self._words, self._schedule.take(now_ns, self._waiting.count), now_ns)
        if self._kind.keepalive_s != self._keepalive_s:  # a server has shortened it
            self._keepalive_s, self._beats = self._kind.keepalive_s, self._beats_from(now_ns)
        if self._beats:
            due = self._beats.take(now_ns)
            for slot in due[~self._has_parted[due]].tolist():
                if slot not in self._failed:
                    session = self._session(slot)
                    self._take(slot, session, self._kind.beat(session), now_ns)
        outgoing, self._rows = self._rows, []
        if self._to_say:
            said, self._to_say = self._to_say, {}
            outgoing += _outgoing(said)
        return outgoing

    def wait_s(self, now_ns: int) -> float:
        if self._to_say or self._rows:
            return 0.0
        wait_s = self._schedule.wait_s(now_ns, self._waiting.count) if self._words else NEVER_S
        return min(wait_s, self._beats.wait_s(now_ns)) if self._beats else wait_s

    def sent(self, slots: Slots) -> None:
        self._state[slots] &= ~np.uint8(Life.SENDING)
        for slot in slots.tolist() if self._held else ():
            self._queue(slot, self._held.pop(slot, b""))
        if self._words:
            if self._course and not self._waits:  # a message that is sent is all there is to it
                self._schedule.answered(slots[(self._state[slots] & Life.GREETING) == 0])
            self._schedule.go_on(slots)

    def received(
        self, slots: Slots, data: NDArray[np.uint8], sizes: NDArray[np.int32], now_ns: int
    ) -> NDArray[np.bool_]:
        wrong = np.zeros(len(slots), bool)
        known = wrong
        if self._kind.many:
            known = self._known(self._kind.many, slots, data, sizes, now_ns)
        elif self._replies:
            known = self._replied(self._replies, slots, data, sizes, now_ns)
        left = np.flatnonzero(~known)
        for row, slot, size in zip(left.tolist(), slots[left].tolist(), sizes[left].tolist(), strict=True):
            if slot not in self._failed:
                session = self._session(slot)
                turn = session.received(data[row, :size].tobytes())
                self._take(slot, session, turn, self._clock_ns())  # a thousand TLS handshakes take half a second
                wrong[row] = bool(turn.wrong or turn.failed)
        return wrong

    def ended(self, slots: Slots, now_ns: int, *, lost: bool) -> None:
        state = self._state[slots]
        self._counters["greeting"] -= int(np.count_nonzero(state & Life.GREETING))
        if lost:
            self._note_without_object(slots)
        for slot in slots.tolist():
            session = self._drop(slot)
            if session and lost and slot not in self._failed and (failure := session.received(b"").failed):
                self._note(failure)
            for waits in (self._to_say, self._held, self._failed):
                waits.pop(slot, None)
        self._rows = [_without(slots, rows) for rows in self._rows]
        self._waiting.end(slots, now_ns, counts=self._waits)
        if self._words:
            self._schedule.end(slots)

    def over(self) -> Completions:
        if not self._failed:
            return NO_COMPLETIONS
        failed = np.array(list(self._failed.items()), np.int32)
        failed = failed[(self._state[failed[:, 0]] & Life.SENDING) == 0]
        over = np.zeros(len(failed), COMPLETION)
        over["slot"], over["result"] = failed.T
        return over

    def goodbye(self, slots: Slots) -> None:
        self._has_parted[slots] = True
        for slot in slots.tolist():
            if slot not in self._failed:
                self._put(slot, self._session(slot).goodbye())

    def _beats_from(self, now_ns: int) -> Beats | None:
        """The pings from now on; None: the messages are sent often enough."""
        keepalive_s = self._kind.keepalive_s
        return Beats(self._state, keepalive_s, now_ns) if keepalive_s < self._rests_s else None

    def _session(self, slot: int) -> Session:
        """The session of a slot; a new one goes on where an idle one was thrown away."""
        session = self._sessions.get(slot)
        if session is None and self._replies and self._state[slot] & Life.GREETING:
            session = self._keep(slot, self._kind.make(self._connection + slot, ""))
            session.begin()
        if session is None:
            number, many, state = self._connection + slot, self._kind.many, self._state[slot]
            greeting = many and state & Life.GREETING
            session = self._keep(slot, many.asked(number) if many and greeting else self._kind.resume(number))
            if many and state & Life.ASKED and self._words and self._words.constant is not None:
                session.say(self._words.constant)  # it was sent already, by `Many`
        return session

    def _make(self, slot: int) -> Session:
        """The session of a connection that was just opened."""
        return self._kind.make(self._connection + slot, self._source(slot) if self._kind.says_source else "")

    def _keep(self, slot: int, session: Session) -> Session:
        self._sessions[slot] = session
        self._has_session[slot] = True
        return session

    def _drop(self, slot: int) -> Session | None:
        self._has_session[slot] = False
        return self._sessions.pop(slot, None)

    def _known(
        self, many: Many, slots: Slots, data: NDArray[np.uint8], sizes: NDArray[np.int32], now_ns: int
    ) -> NDArray[np.bool_]:
        """Take in what needs no session: whole handshakes, and whole answers to idle sessions → which slots."""
        state = self._state[slots]
        known = ~self._has_session[slots]
        if self._failed:
            known &= ~np.isin(slots, list(self._failed))
        greeting = known & ((state & Life.GREETING) > 0)
        if greeting.any():
            numbers = slots[greeting] + self._connection
            known[greeting] = many.established(numbers, data[greeting], sizes[greeting])
            self._established(slots[greeting & known], now_ns)
        asked = known & ((state & (Life.GREETING | Life.ASKED)) == Life.ASKED)
        known &= greeting | asked
        if asked.any():
            known[asked] = many.answered(data[asked], sizes[asked])
            answered = slots[asked & known]
            self._counters["answers"] += len(answered)
            self._over(answered, now_ns)
        return known

    def _replied(
        self, replies: ManyReplies, slots: Slots, data: NDArray[np.uint8], sizes: NDArray[np.int32], now_ns: int
    ) -> NDArray[np.bool_]:
        """Answer what needs no session → which slots."""
        idle = (self._state[slots] & Life.SENDING) == 0
        idle &= ~self._has_session[slots]
        greeting = (self._state[slots] & Life.GREETING) > 0
        known = np.zeros(len(slots), bool)
        for these, reply in ((idle & greeting, replies.greeted), (idle & ~greeting, replies.replied)):
            if not these.any():
                continue
            right, answers, lengths = reply(data[these], sizes[these])
            known[these] = right
            if reply == replies.greeted:
                self._established(slots[these][right], now_ns)
            some = right & (lengths > 0)
            self._put_rows(slots[these][some], answers[some], lengths[some])
        return known

    def _speak(self, words: Words, slots: Slots, now_ns: int) -> None:
        """Send the next message on each of these slots, which are SENDING."""
        self._state[slots] &= ~np.uint8(Life.SENDING)
        if self._failed:
            slots = slots[~np.isin(slots, list(self._failed))]
        parted = self._has_parted[slots]
        if parted.any():
            for slot in slots[parted].tolist():
                self._queue(slot, self._held.pop(slot, b""))
            slots = slots[~parted]
        if not len(slots):
            return
        self._waiting.ask(slots, now_ns, self._schedule.due_us(slots, now_ns) if self._schedule.has_moments else None)
        self._schedule.sent(slots)
        self._counters["requests"] += len(slots)
        if self._kind.many and words.constant is not None:
            idle = ~self._has_session[slots]
            at_once = max(1, TABLE_BYTES // (len(words.constant) or 1))
            for some in np.array_split(slots[idle], range(at_once, int(np.count_nonzero(idle)), at_once)):
                if len(some):
                    self._put_rows(some, self._kind.many.say(words.constant, len(some)))
            slots = slots[~idle]
        for slot, message in zip(slots.tolist(), words.of(slots), strict=True):
            session = self._session(slot)
            turn = session.say(message)
            self._queue(slot, self._held.pop(slot, b""))
            self._take(slot, session, turn, now_ns)

    def _take(self, slot: int, session: Session, turn: Turn, now_ns: int) -> None:
        """Do what the turn of a session says."""
        self._put(slot, turn.send)
        if turn.secured:
            histogram.add_values(self._counters["tls_us"], self._waiting.age_us(_one(slot), now_ns))
        if turn.ready:
            self._established(_one(slot), now_ns)
        if turn.answers or turn.wrong:
            self._answered(slot, turn, now_ns)
        failure = turn.failed or (_CLOSES if turn.last else None)
        if failure:
            self._fail(slot, failure)
        elif session.idle:
            self._drop(slot)

    def _established(self, slots: Slots, now_ns: int) -> None:
        """Count these sessions, and how long it took to establish them."""
        histogram.add_values(self._counters["session_us"], self._waiting.age_us(slots, now_ns))
        if self._counters["phase"] == Phase.OPENING:  # which ends with the last of them
            self._counters["last_open_ns"] = now_ns
        self._ready(slots)

    def _ready(self, slots: Slots) -> None:
        """Count these sessions; nothing had to be exchanged, or it has been."""
        self._counters["greeting"] -= len(slots)
        self._counters["sessions"] += len(slots)
        self._state[slots] &= ~np.uint8(Life.GREETING)
        if self._words:
            self._schedule.begin(slots)
        elif self._course:
            self._course.begin(slots)

    def _answered(self, slot: int, turn: Turn, now_ns: int) -> None:
        self._counters["answers"] += turn.answers
        self._counters["unexpected"] += turn.wrong
        if turn.because:
            reasons.add(self._counters["reasons"], turn.because, turn.wrong)
        if not self._state[slot] & Life.ASKED:
            return
        if turn.answers:
            self._over(_one(slot), now_ns)
        else:
            self._waiting.over(_one(slot))
            self._schedule.answered(_one(slot))

    def _over(self, slots: Slots, now_ns: int) -> None:
        """These slots have their answer as expected."""
        self._waiting.time(slots, now_ns)
        self._waiting.over(slots)
        self._schedule.answered(slots)

    def _fail(self, slot: int, failure: Failure) -> None:
        self._note(failure)
        self._drop(slot)
        self._failed[slot] = 0 if failure.by_peer else -errno.EPROTO

    def _note(self, failure: Failure, count: int = 1) -> None:
        reasons.add(self._counters["reasons"], f"{failure.kind}: {failure.reason}", count)

    def _note_without_object(self, lost: Slots) -> None:
        """Note what the end means of sessions that are idle, or have only asked: the same for each of them."""
        bare = lost[~self._has_session[lost]]
        if self._failed:
            bare = bare[~np.isin(bare, list(self._failed))]
        greets = (self._state[bare] & Life.GREETING) > 0
        made = ((bare[~greets], self._kind.resume), (bare[greets], self._kind.many and self._kind.many.asked))
        for slots, make in made:
            if len(slots) and make and (failure := make(self._connection + int(slots[0])).received(b"").failed):
                self._note(failure, len(slots))

    def _put(self, slot: int, data: bytes) -> None:
        """Send this, after what is being sent."""
        if data and self._state[slot] & Life.SENDING and slot not in self._to_say:
            self._held[slot] = self._held.get(slot, b"") + data
        else:
            self._queue(slot, data)

    def _put_rows(self, slots: Slots, rows: NDArray[np.uint8], sizes: NDArray[np.int32] | None = None) -> None:
        """Send these rows, or the only one, on slots that are sending nothing; sizes: how many bytes count."""
        if not len(slots):
            return
        numbers = np.arange(len(slots)) if len(rows) > 1 else np.zeros(len(slots), np.intp)
        self._rows.append(
            Outgoing(slots, rows, numbers, np.full(len(slots), rows.shape[1]) if sizes is None else sizes)
        )
        self._state[slots] |= np.uint8(Life.SENDING)

    def _queue(self, slot: int, data: bytes) -> None:
        if data:
            self._to_say[slot] = self._to_say.get(slot, b"") + data
            self._state[slot] |= Life.SENDING

    def _give_up_late(self, now_ns: int) -> None:
        """Fail the sessions that are not established in time."""
        if not self._counters["greeting"]:
            return
        greeting = np.flatnonzero(self._state & Life.GREETING).astype(np.int32)
        for slot in greeting[self._waiting.age_us(greeting, now_ns) > self._timeout_us].tolist():
            if slot not in self._failed:
                self._note(_LATE)
                self._failed[slot] = -errno.ETIMEDOUT
                self._state[slot] &= ~np.uint8(Life.SENDING)  # not waited for


_LATE = Failure(FailureKind.SESSION, "not established in time")
_CLOSES = Failure(FailureKind.HTTP, reasons.KEEPS_NONE, by_peer=True)


def _one(slot: int) -> Slots:
    return np.array([slot], np.int32)


def _outgoing(said: dict[int, bytes]) -> Iterator[Outgoing]:
    """One row of data for each slot, in tables of at most TABLE_BYTES, or of one row."""
    by_size = sorted(said.items(), key=lambda item: len(item[1]))
    while by_size:
        count = len(by_size)
        while count > 1 and count * len(by_size[count - 1][1]) > TABLE_BYTES:
            count //= 2
        some, by_size = by_size[:count], by_size[count:]
        sizes = np.array([len(text) for _, text in some], np.int64)
        buffers = np.zeros((count, int(sizes[-1])), np.uint8)
        for row, (_, text) in enumerate(some):
            buffers[row, : len(text)] = np.frombuffer(text, np.uint8)
        yield Outgoing(np.array([slot for slot, _ in some], np.int32), buffers, np.arange(count), sizes)


def _without(slots: Slots, outgoing: Outgoing) -> Outgoing:
    stays = ~np.isin(outgoing.slots, slots)
    return Outgoing(outgoing.slots[stays], outgoing.buffers, outgoing.rows[stays], outgoing.sizes[stays])
