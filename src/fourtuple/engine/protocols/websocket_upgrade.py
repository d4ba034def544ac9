"""How a connection becomes a WebSocket: the request and its answer, at both ends (RFC 6455, 4). h11 reads them.

The key of a request has to be random for each connection. It follows from a secret and the number of the connection, so
that nothing is kept until the answer is there.
"""

import base64
import binascii
import hashlib
import os
from collections.abc import Iterable, Sequence

import h11
import numpy as np
from numpy.typing import NDArray

from fourtuple.core.errors import UsageError
from fourtuple.core.record import dataclass
from fourtuple.core.talk.session import WebSocketOptions
from fourtuple.core.visible import visible
from fourtuple.engine.protocols.foreign import WORD_BYTES, foreign

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
VERSION = b"13"
KEY_BYTES, ACCEPT_BYTES = 24, 28  # in base64
HTTP = b"HTTP/"
_NONCE_BYTES, _DIGEST_BYTES = 16, 20  # of a key, and of its SHA-1
_NO_KEY = b"?" * KEY_BYTES


@dataclass(frozen=True, slots=True)
class Upgraded:
    """How an upgrade ended.

    refused: why there is no WebSocket; empty: there is one
    send:    what the server sends in any case
    rest:    what the peer has sent after it
    """

    refused: str = ""
    send: bytes = b""
    rest: bytes = b""


class UpgradeRequest:
    """The request of a client: the same for every connection but for its key.

    A connection's key follows from its number in the run. One that is opened in its place later has the same number,
    and therefore the same key.
    """

    def __init__(self, host: str, path: str, options: WebSocketOptions, secret: bytes = b"") -> None:
        """Raises UsageError for a header or a path that HTTP does not allow.

        host:   HOST:PORT, the Host header, unless the options have another
        path:   with its query
        secret: 16 bytes from which the keys are made; none: random ones
        """
        self.subprotocols = options.subprotocols
        self._seeds = np.frombuffer(secret or os.urandom(_NONCE_BYTES), np.uint64)
        self._request, data = _request(host, path, options)
        self._row = np.frombuffer(data, np.uint8)
        self._key_at = data.index(b"\r\nSec-WebSocket-Key: " + _NO_KEY) + len(b"\r\nSec-WebSocket-Key: ")

    def rows(self, connections: NDArray[np.integer]) -> NDArray[np.uint8]:
        """The requests of these connections → (connections, bytes) uint8."""
        made = np.repeat(self._row[None, :], len(connections), axis=0)
        made[:, self._key_at : self._key_at + KEY_BYTES] = self.keys(connections)
        return made

    def data(self, connection: int) -> bytes:
        """The request of one connection."""
        return self.rows(np.array([connection])).tobytes()

    def keys(self, connections: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Sec-WebSocket-Key of these connections → (connections, 24) uint8.

        SplitMix64 (Steele, Lea, Flood, 2014) of the number of the connection, with two secret seeds.
        """
        mixed = connections.astype(np.uint64)[:, None] * np.uint64(0x9E3779B97F4A7C15) + self._seeds
        mixed = (mixed ^ mixed >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ mixed >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
        return _base64(mixed.view(np.uint8).reshape(-1, _NONCE_BYTES))

    def accepts(self, connections: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Sec-WebSocket-Accept that these connections have to be sent → (connections, 28) uint8."""
        return accepts_of(self.keys(connections))

    def reader(self, connection: int) -> "UpgradeAnswer":
        """What reads the answer to the request of this connection."""
        http = h11.Connection(h11.CLIENT)
        http.send(self._request)
        return UpgradeAnswer(http, self.accepts(np.array([connection])).tobytes(), self.subprotocols)


class UpgradeAnswer:
    """Reads the answer of a server."""

    def __init__(self, http: h11.Connection, accept: bytes, subprotocols: Sequence[str]) -> None:
        self._http, self._accept, self._subprotocols = http, accept, subprotocols
        self._first = b""

    def received(self, data: bytes) -> Upgraded | None:
        """Take in what was received; empty: the peer sends nothing more. None: the answer is not yet complete."""
        if not data:
            return Upgraded("closed in the middle of the upgrade" if self._first else "closed before the upgrade")
        self._first += data[: WORD_BYTES - len(self._first)]
        if not self._first.startswith(HTTP[: len(self._first)]):
            return Upgraded(foreign("HTTP", self._first))
        try:
            self._http.receive_data(data)
            while isinstance(event := self._http.next_event(), h11.InformationalResponse):
                if event.status_code == 101:
                    return Upgraded(self._judged(event), rest=self._http.trailing_data[0])
        except h11.RemoteProtocolError as error:
            return Upgraded(_malformed(error))
        return Upgraded(f"status {event.status_code}") if isinstance(event, h11.Response) else None

    def _judged(self, answer: h11.InformationalResponse) -> str:
        """What is wrong with the answer (RFC 6455, 4.1); empty: nothing."""
        if answer.http_version != b"1.1":
            return f"the server's answer is HTTP/{_named(answer.http_version)}"
        values = _values(answer.headers)
        if not _has(values, b"upgrade", b"websocket"):
            return "the server's answer has no Upgrade: websocket"
        if not _has(values, b"connection", b"upgrade"):
            return "the server's answer has no Connection: Upgrade"
        if values.get(b"sec-websocket-accept") != [self._accept]:
            return "wrong Sec-WebSocket-Accept"
        if extensions := _tokens(values, b"sec-websocket-extensions"):
            return f"extension {_named(extensions[0].split(b';')[0].strip())} was not offered"
        chosen = _tokens(values, b"sec-websocket-protocol")
        if not chosen:
            return "no subprotocol was chosen" if self._subprotocols else ""
        if len(chosen) > 1:
            return "more than one subprotocol was chosen"
        offered = chosen[0].decode("latin-1") in self._subprotocols
        return "" if offered else f"subprotocol {_named(chosen[0])} was not offered"


class UpgradeOffer:
    """Reads the request of a client at the server, and answers it."""

    def __init__(self) -> None:
        self._http = h11.Connection(h11.SERVER)
        self._begun = False

    def received(self, data: bytes) -> Upgraded | None:
        """Take in what was received; empty: the peer sends nothing more. None: the request is not yet complete."""
        if not data:
            return Upgraded("closed in the middle of the upgrade" if self._begun else "closed before the upgrade")
        self._begun = True
        try:
            self._http.receive_data(data)
            event = self._http.next_event()
        except h11.RemoteProtocolError as error:
            return Upgraded(_malformed(error), self._answer(400))
        if not isinstance(event, h11.Request):
            return None
        values = _values(event.headers)
        key = b"".join(values.get(b"sec-websocket-key", ()))
        if wrong := _unasked(event.method, values):
            return Upgraded(wrong, self._answer(426, [(b"Upgrade", b"websocket"), (b"Sec-WebSocket-Version", VERSION)]))
        if not _is_key(key):
            return Upgraded("the client's Sec-WebSocket-Key is no key", self._answer(400))
        return Upgraded(
            send=self._accepted(key, _tokens(values, b"sec-websocket-protocol")), rest=self._http.trailing_data[0]
        )

    def _accepted(self, key: bytes, offered: Sequence[bytes]) -> bytes:
        headers = [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"), (b"Sec-WebSocket-Accept", accept_of(key))]
        headers += [(b"Sec-WebSocket-Protocol", each) for each in offered[:1]]
        answer = h11.InformationalResponse(status_code=101, headers=headers, reason=b"Switching Protocols")
        return self._http.send(answer) or b""

    def _answer(self, status: int, headers: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
        """A refusal without a body, after which the connection is closed."""
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return b""
        all_headers = [*headers, (b"Content-Length", b"0"), (b"Connection", b"close")]
        return self._http.send(h11.Response(status_code=status, headers=all_headers)) or b""


def _request(host: str, path: str, options: WebSocketOptions) -> tuple[h11.Request, bytes]:
    """The request as a record and as bytes, with question marks in the place of its key."""
    headers = [] if any(name.lower() == "host" for name, _ in options.headers) else [("Host", host)]
    headers += [("Upgrade", "websocket"), ("Connection", "Upgrade")]
    headers += [("Sec-WebSocket-Key", _NO_KEY.decode()), ("Sec-WebSocket-Version", VERSION.decode())]
    if options.subprotocols:
        headers.append(("Sec-WebSocket-Protocol", ", ".join(options.subprotocols)))
    try:
        request = h11.Request(method="GET", target=path, headers=[*headers, *options.headers])
        return request, h11.Connection(h11.CLIENT).send(request) or b""
    except (h11.LocalProtocolError, UnicodeEncodeError) as error:
        raise UsageError(f"an upgrade to a WebSocket of {path}", visible(str(error))) from None


def _unasked(method: bytes, values: dict[bytes, list[bytes]]) -> str:
    """Why a request asks for no WebSocket of this version (RFC 6455, 4.2.1); empty: it does."""
    if method != b"GET" or not _has(values, b"upgrade", b"websocket") or not _has(values, b"connection", b"upgrade"):
        return "the client asked for no upgrade"
    right = values.get(b"sec-websocket-version") == [VERSION]
    return "" if right else "the client asked for another version of WebSocket"


def _is_key(key: bytes) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == _NONCE_BYTES
    except binascii.Error:
        return False


def accept_of(key: bytes) -> bytes:
    """Sec-WebSocket-Accept for a key (RFC 6455, 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest())


def accepts_of(keys: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same for (rows, 24) keys → (rows, 28) uint8. SHA-1 takes 0.4 µs for each, and no column makes it faster."""
    questions = np.empty((len(keys), KEY_BYTES + len(GUID)), np.uint8)
    questions[:, :KEY_BYTES], questions[:, KEY_BYTES:] = keys, np.frombuffer(GUID, np.uint8)
    each = questions.view(f"S{questions.shape[1]}").ravel().tolist()
    digests = b"".join([hashlib.sha1(question, usedforsecurity=False).digest() for question in each])
    return _base64(np.frombuffer(digests, np.uint8).reshape(len(keys), _DIGEST_BYTES))


def _base64(raw: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Each row in base64; all of them are encoded at once, filled up to whole groups of three bytes."""
    rows, size = raw.shape
    missing = -size % 3
    filled = np.zeros((rows, size + missing), np.uint8)
    filled[:, :size] = raw
    text = np.frombuffer(binascii.b2a_base64(filled.tobytes(), newline=False), np.uint8)
    made = text.reshape(rows, filled.shape[1] // 3 * 4).copy()
    made[:, made.shape[1] - missing :] = ord("=")
    return made


def _values(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, list[bytes]]:
    """Each header's name, which h11 has in lower case, with its values."""
    found: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        found.setdefault(name, []).append(value)
    return found


def _tokens(values: dict[bytes, list[bytes]], name: bytes) -> list[bytes]:
    """What a header lists, separated by commas, over all its lines."""
    return [token for value in values.get(name, ()) for each in value.split(b",") if (token := each.strip())]


def _has(values: dict[bytes, list[bytes]], name: bytes, token: bytes) -> bool:
    return any(each.lower() == token for each in _tokens(values, name))


def _named(token: bytes) -> str:
    return visible(token[:40].decode("latin-1"))


def _malformed(error: h11.RemoteProtocolError) -> str:
    too_long = error.error_status_hint == 431
    return "HTTP headers that are too long" if too_long else "malformed HTTP"
