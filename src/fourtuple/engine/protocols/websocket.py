"""WebSockets (RFC 6455), at both ends: the upgrade, messages, pings, and the words for how one ends.

wsproto decodes frames. No extension is offered, so that nothing has to be remembered between two messages.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from wsproto.frame_protocol import CloseReason, FrameDecoder, MessageDecoder, Opcode, ParseFailed

from fourtuple.core.talk.session import WebSocketOptions
from fourtuple.engine.protocols.contract import NOTHING, Answers, Failure, FailureKind, Replied, Session, Turn
from fourtuple.engine.protocols.peer_words import own_words
from fourtuple.engine.protocols.websocket_frames import echoes, frame, frames, is_whole_message, payload_of
from fourtuple.engine.protocols.websocket_upgrade import UpgradeAnswer, Upgraded, UpgradeOffer, UpgradeRequest
from fourtuple.engine.protocols.websocket_upgrades import UpgradeAnswers, UpgradeOffers

LARGEST_BYTES = 16 << 20  # of a message that has to be kept until it is complete
NORMAL = 1000
_DIFFERENT = 4  # messages that are compared with what is expected for all connections at once
# What close codes mean: RFC 6455, 7.4.1, and IANA's registry "WebSocket Close Code Number".
CODES = {
    1000: "normal closure",
    1001: "going away",
    1002: "protocol error",
    1003: "unsupported data",
    1007: "invalid payload data",
    1008: "policy violation",
    1009: "message too big",
    1010: "extension missing",
    1011: "internal error",
    1012: "service restart",
    1013: "try again later",
    1014: "bad gateway",
    1015: "TLS handshake failed",
    3000: "unauthorized",
    3003: "forbidden",
    3008: "timeout",
}
_LIBRARIES, _PROGRAMS = range(3000, 4000), range(4000, 5000)
OTHERWISE = f"{FailureKind.WEBSOCKET}: a message that is not the expected one"
UNASKED = f"{FailureKind.WEBSOCKET}: a message that answers none"
# What wsproto's errors contain, and what is wrong then.
_BROKEN = (
    ("Reserved bit", "a reserved bit is set"),
    ("unexpected masked", "a frame of a server is masked"),
    ("unexpected unmasked", "a frame of a client is not masked"),
    ("opcode", "an unknown opcode"),
    ("fragment control", "a control frame in fragments"),
    ("payload len > 125", "a control frame with more than 125 bytes"),
    ("sufficed", "a length in more bytes than it needs"),
    ("MSB", "a length of more than 63 bits"),
    ("unexpected CONTINUATION", "a continuation of no message"),
    ("expected CONTINUATION", "a message within another"),
)


class WebSocketSession:
    """One end of a WebSocket.

    request:  what a client sends first, if this object sends it
    upgrade:  what reads the answer or the request; None: it is a WebSocket already
    expected: whether a message is as expected; None: every message is
    echoes:   this end is a server, which sends each message back
    """

    def __init__(
        self,
        upgrade: UpgradeAnswer | UpgradeOffer | None,
        *,
        request: bytes = b"",
        opcode: Opcode = Opcode.TEXT,
        expected: Callable[[bytes], bool] | None = None,
        echoes: bool = False,
    ) -> None:
        self._upgrade, self._request, self._opcode = upgrade, request, opcode
        self._expected, self._echoes = expected, echoes
        self._frames, self._messages = FrameDecoder(client=not echoes), MessageDecoder()
        self._kept = bytearray()  # the message so far, if someone wants it
        self._asked = 0  # messages that wait for an answer, if it is to be as expected
        self._over = False

    @property
    def idle(self) -> bool:
        return self._upgrade is None and not self._over and not self._asked and self._between_messages

    @property
    def _between_messages(self) -> bool:
        return self._frames.header is None and not len(self._frames.buffer) and self._messages.opcode is None

    def begin(self) -> Turn:
        return Turn(self._request)

    def say(self, message: bytes) -> Turn:
        self._asked += self._expected is not None
        return Turn(self._frame(self._opcode, message))

    def received(self, data: bytes) -> Turn:
        if self._over:
            return NOTHING
        if self._upgrade is not None:
            return self._upgraded(self._upgrade.received(data))
        return self._read(data) if data else self._failed(self._unfinished())

    def goodbye(self) -> bytes:
        if self._over or self._upgrade is not None:
            return b""
        self._over = True
        return self._frame(Opcode.CLOSE, NORMAL.to_bytes(2, "big"))

    def _upgraded(self, ended: Upgraded | None) -> Turn:
        if ended is None:
            return NOTHING
        if ended.refused:
            return self._failed(ended.refused, ended.send)
        self._upgrade = None
        after = self._read(ended.rest)
        send = ended.send + after.send
        return Turn(send, False, True, after.answers, after.wrong, after.failed, because=after.because)

    def _read(self, data: bytes) -> Turn:
        """Take in frames, which may begin and end anywhere."""
        self._frames.receive_bytes(data)
        send, answers, wrong, because = bytearray(), 0, 0, ""
        failed: Failure | None = None
        while failed is None and (turn := self._next()) is not None:
            send += turn.send
            answers, wrong, failed = answers + turn.answers, wrong + turn.wrong, turn.failed
            because = because or turn.because
        self._over = failed is not None
        return Turn(bytes(send), answers=answers, wrong=wrong, failed=failed, because=because)

    def _next(self) -> Turn | None:
        """The reaction to the next frame, or to the part of it that is here; None: nothing is here."""
        try:
            part = self._frames.process_buffer()
            if part is None:
                return None
            if not part.opcode.iscontrol():
                message = self._messages.process_frame(part)
                return self._taken(message.opcode, message.payload, whole=message.message_finished)
        except ParseFailed as error:
            return self._broken(error.code, _words(error))
        payload = bytes(part.payload)  # type: ignore[arg-type]  # of a control frame, which is not decoded
        if part.opcode is Opcode.CLOSE:
            return self._closed(payload)
        return Turn(self._frame(Opcode.PONG, payload)) if part.opcode is Opcode.PING else NOTHING

    def _taken(self, opcode: Opcode, part: str | bytes | tuple[int, str], *, whole: bool) -> Turn:
        """Take in the next part of a message."""
        if self._echoes or self._expected:
            self._kept += part.encode() if isinstance(part, str) else bytes(part)  # type: ignore[arg-type]
            if len(self._kept) > LARGEST_BYTES:
                return self._broken(CloseReason.MESSAGE_TOO_BIG, f"a message larger than {LARGEST_BYTES >> 20} MiB")
        if not whole:
            return NOTHING
        message = bytes(self._kept)
        self._kept.clear()
        if self._echoes:
            return Turn(self._frame(opcode, message), answers=1)
        if self._expected is None:
            return Turn(answers=1)
        if not self._asked:
            return Turn(wrong=1, because=UNASKED)
        self._asked -= 1
        right = self._expected(message)
        return Turn(answers=int(right), wrong=int(not right), because="" if right else OTHERWISE)

    def _closed(self, payload: bytes) -> Turn:
        """Answer a close frame with the same code (RFC 6455, 5.5.1)."""
        code, text = int.from_bytes(payload[:2], "big"), payload[2:]
        if payload and code not in CODES and code not in _LIBRARIES and code not in _PROGRAMS:
            return self._broken(CloseReason.PROTOCOL_ERROR, "a close code that may not be sent")
        try:
            reason = closed_with(code, text.decode()) if payload else "closed without a close code"
        except UnicodeDecodeError:
            return self._broken(CloseReason.INVALID_FRAME_PAYLOAD_DATA, "text that is not UTF-8")
        return Turn(self._frame(Opcode.CLOSE, payload[:2]), failed=Failure(FailureKind.WEBSOCKET, reason, by_peer=True))

    def _broken(self, code: int, reason: str) -> Turn:
        """End the connection because of what the peer sends (RFC 6455, 7.1.7)."""
        return Turn(self._frame(Opcode.CLOSE, code.to_bytes(2, "big")), failed=Failure(FailureKind.WEBSOCKET, reason))

    def _failed(self, reason: str, send: bytes = b"") -> Turn:
        self._over = True
        return Turn(send, failed=Failure(FailureKind.WEBSOCKET, reason))

    def _unfinished(self) -> str:
        """What a peer broke off that sends nothing more."""
        if self._between_messages:
            return "closed without a close frame"
        between_frames = self._frames.header is None and not len(self._frames.buffer)
        return f"closed in the middle of a {'message' if between_frames else 'frame'}"

    def _frame(self, opcode: Opcode, payload: bytes) -> bytes:
        return frame(opcode, payload, masked=not self._echoes)


class WebSocketClient:
    """The sessions of clients."""

    says_source = False

    def __init__(
        self,
        host: str,
        path: str,
        options: WebSocketOptions,
        *,
        expected: Callable[[bytes], bool] | None = None,
        keepalive_s: float = math.inf,
    ) -> None:
        """Raises UsageError for a header or a path that HTTP does not allow.

        host:        HOST:PORT of the destination, as in a URL
        path:        with its query
        expected:    whether a message of the server is as expected; None: every message is
        keepalive_s: how often to send a ping
        """
        self.keepalive_s = keepalive_s
        self._request = UpgradeRequest(host, path, options)
        self._opcode, self._expected = Opcode.BINARY if options.binary else Opcode.TEXT, expected
        self.many = ManyWebSockets(self, self._request, self._opcode, expected)
        self.answers = Answers.ANY if expected is None else Answers.EACH

    def make(self, connection: int, source: str) -> WebSocketSession:
        return self._session(self._request.reader(connection), self._request.data(connection))

    def asked(self, connection: int) -> WebSocketSession:
        """The session of a connection whose request has been sent: its answer comes next."""
        return self._session(self._request.reader(connection))

    def resume(self, connection: int) -> WebSocketSession:
        return self._session(None)

    def beat(self, session: Session) -> Turn:
        return Turn(frame(Opcode.PING, b"", masked=True))

    def _session(self, upgrade: UpgradeAnswer | None, request: bytes = b"") -> WebSocketSession:
        return WebSocketSession(upgrade, request=request, opcode=self._opcode, expected=self._expected)


class ManyWebSockets:
    """The sessions of many clients at once."""

    def __init__(
        self,
        client: WebSocketClient,
        request: UpgradeRequest,
        opcode: Opcode,
        expected: Callable[[bytes], bool] | None,
    ) -> None:
        self._client, self._request, self._opcode, self._expected = client, request, opcode, expected
        self._answers = UpgradeAnswers(request)

    def begin(self, connections: NDArray[np.integer]) -> NDArray[np.uint8]:
        return self._request.rows(connections)

    def asked(self, connection: int) -> WebSocketSession:
        return self._client.asked(connection)

    def established(
        self, connections: NDArray[np.integer], data: NDArray[np.uint8], sizes: NDArray[np.int32]
    ) -> NDArray[np.bool_]:
        return self._answers.established(connections, data, sizes)

    def say(self, message: bytes, count: int) -> NDArray[np.uint8]:
        return frames(message, count, opcode=self._opcode)

    def answered(self, data: NDArray[np.uint8], sizes: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Of messages that have to be as expected, a few different ones are looked at, each once for all its rows."""
        whole = is_whole_message(data, sizes)
        if self._expected is None:
            return whole
        right = np.zeros(len(sizes), bool)
        for _ in range(_DIFFERENT):
            if not whole.any():
                break
            row = int(np.argmax(whole))
            size = int(sizes[row])
            same = whole & (sizes == size) & (data[:, :size] == data[row, :size]).all(axis=1)
            right |= same & self._expected(payload_of(data[row, :size].tobytes()))
            whole &= ~same
        return right


class WebSocketReplies:
    """How that server answers many clients at once."""

    at_once = False

    def __init__(self) -> None:
        self._offers = UpgradeOffers()

    def greeted(self, data: NDArray[np.uint8], sizes: NDArray[np.int32]) -> Replied:
        return self._offers.accepted(data, sizes)

    def replied(self, data: NDArray[np.uint8], sizes: NDArray[np.int32]) -> Replied:
        opcodes, answers, lengths = echoes(data, sizes)
        return opcodes > 0, answers, lengths


class WebSocketServer:
    """The sessions of a server that sends every message back."""

    keepalive_s = math.inf
    many = None
    answers, says_source = Answers.NONE, False

    def __init__(self) -> None:
        self.replies = WebSocketReplies()

    def make(self, connection: int, source: str) -> WebSocketSession:
        return WebSocketSession(UpgradeOffer(), echoes=True)

    def resume(self, connection: int) -> WebSocketSession:
        return WebSocketSession(None, echoes=True)

    def beat(self, session: Session) -> Turn:
        return Turn(frame(Opcode.PING, b"", masked=False))


def closed_with(code: int, text: str = "") -> str:
    """`closed with 1008 (policy violation): no such room`, with the peer's own words if they are few."""
    private = "a library's code" if code in _LIBRARIES else "a program's code"
    return f"closed with {code} ({CODES.get(code, private)}){own_words(text)}"


def _words(error: ParseFailed) -> str:
    if error.code is CloseReason.INVALID_FRAME_PAYLOAD_DATA:
        return "text that is not UTF-8"
    return next((words for part, words in _BROKEN if part in str(error)), "a frame that is not valid")
