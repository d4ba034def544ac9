"""TLS, at both ends: the handshake, and what carries another session inside it.

OpenSSL speaks the protocol, in an `ssl.SSLObject` between two memory BIOs. What it is told is in tls_contexts.py, what
it says of failures in tls_reasons.py.
"""

import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from fourtuple.core.errors import UsageError
from fourtuple.core.talk.session import TlsOptions
from fourtuple.engine.protocols.contract import NOTHING, Failure, FailureKind, Session, SessionKind, Turn
from fourtuple.engine.protocols.foreign import WORD_BYTES
from fourtuple.engine.protocols.tls_contexts import client_context, server_context
from fourtuple.engine.protocols.tls_reasons import not_tls, reason_of
from fourtuple.engine.protocols.turns import joined

RECORD_BYTES = 16_384  # the most that one read gives (RFC 8446, 5.1)
UNFINISHED = "unexpected EOF in the middle of the handshake"
CLOSE_NOTIFY = Failure(FailureKind.TLS, "the peer ended the session (close_notify)", by_peer=True)
NO_CLOSE_NOTIFY = Failure(FailureKind.TLS, "the peer ended the connection without close_notify", by_peer=True)


class TlsSession:
    """One end of TLS. It is never idle, as it keeps the keys; the session inside is thrown away whenever it is idle."""

    __slots__ = (
        "_connection", "_first", "_incoming", "_inside", "_kind", "_last", "_outgoing", "_over", "_remembered",
        "_secured", "_source", "_tls",
    )  # fmt: skip
    idle = False

    def __init__(self, kind: "TlsEnd", connection: int, source: str) -> None:
        self._kind, self._connection, self._source = kind, connection, source
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = kind.wrap(self._incoming, self._outgoing)
        self._inside: Session | None = None  # None: it is idle, or there is none yet
        self._first = b""  # what the peer sent first, during the handshake
        self._secured = False
        self._last = False  # the peer will end the connection, as the session inside has said
        self._over = False
        self._remembered = False

    def begin(self) -> Turn:
        return self._advance()

    def say(self, message: bytes) -> Turn:
        return self.tell(lambda inside: inside.say(message))

    def received(self, data: bytes) -> Turn:
        if self._over:
            return NOTHING
        if not self._secured:
            self._first += data[: WORD_BYTES - len(self._first)]
        if data:
            self._incoming.write(data)
            return self._advance()
        if self._secured:
            return self._end(NO_CLOSE_NOTIFY, [])
        return self._fail(not_tls(self._first) or UNFINISHED, [])

    def goodbye(self) -> bytes:
        if self._over or not self._secured:
            return b""
        self._over = True
        with suppress(ssl.SSLError):
            self._tls.write(self._session().goodbye())
        return self._close()

    def tell(self, event: Callable[[Session], Turn]) -> Turn:
        """Let something happen to the session inside; what it sends is encrypted."""
        if self._over or not self._secured:
            return NOTHING
        turns: list[Turn] = []
        try:
            self._inform(event, turns)
        except ssl.SSLError as error:
            return self._fail(reason_of(error, self._first), turns)
        return self._turn(turns)

    def _advance(self) -> Turn:
        """Take in what was received: the handshake, and then data for the session inside."""
        turns: list[Turn] = []
        try:
            if not self._secured:
                self._tls.do_handshake()
                if refused := self._establish(turns):
                    return self._end(refused, turns)
            while not self._over:
                data = self._tls.read(RECORD_BYTES)
                if not data:  # as Python reports close_notify, unless this end has sent its own
                    return self._end(CLOSE_NOTIFY, turns)
                self._inform(lambda inside, data=data: inside.received(data), turns)  # type: ignore[misc]
        except ssl.SSLWantReadError:
            if self._secured:
                self._rest()
        except ssl.SSLZeroReturnError:
            return self._end(CLOSE_NOTIFY, turns) if self._secured else self._fail(UNFINISHED, turns)
        except ssl.SSLError as error:
            return self._fail(reason_of(error, self._first), turns)
        return self._turn(turns)

    def _establish(self, turns: list[Turn]) -> Failure | None:
        """The handshake is done → why the session inside cannot begin, or None."""
        self._secured, self._first = True, b""
        turns.append(Turn(secured=True))
        if refused := self._kind.refused(self._tls):
            return Failure(FailureKind.TLS, refused)
        self._inside, self._source = self._kind.inside.make(self._connection, self._source), ""
        self._inform(lambda inside: inside.begin(), turns)
        return None

    def _inform(self, event: Callable[[Session], Turn], turns: list[Turn]) -> None:
        session = self._session()
        turn = event(session)
        turns.append(turn)
        self._last |= turn.last
        self._over = turn.failed is not None
        self._inside = None if session.idle else session
        if turn.send:
            self._tls.write(turn.send)  # all of it: Python does not set SSL_MODE_ENABLE_PARTIAL_WRITE

    def _session(self) -> Session:
        """The session inside, which may have been thrown away."""
        return self._inside or self._kind.inside.resume(self._connection)

    def _rest(self) -> None:
        """Nothing more is here to be read: free memory, and keep a ticket.

        A ticket makes OpenSSL allocate its buffer for writing, of 16 KiB, which it frees at the end of a write, even of
        an empty one (SSL_MODE_RELEASE_BUFFERS, which Python sets; openssl 3.0, ssl3_write_bytes).
        """
        with suppress(ssl.SSLError):
            self._tls.write(b"")
        self._remembered = self._remembered or self._kind.remember(self._tls)

    def _end(self, failed: Failure, turns: list[Turn]) -> Turn:
        """The session ends. It is no failure if that was to come; the session inside may know a better reason."""
        if failed.by_peer:
            with suppress(ssl.SSLError):
                self._inform(lambda inside: inside.received(b""), turns)
        if not (self._last or self._over):
            turns.append(Turn(failed=failed))
        self._over = True
        return self._turn(turns)

    def _fail(self, reason: str, turns: list[Turn]) -> Turn:
        """TLS itself failed; what is left to be sent is an alert."""
        self._over = True
        failed = joined([*turns, Turn(failed=Failure(FailureKind.TLS, reason))])
        return _sending(self._outgoing.read(), failed)

    def _turn(self, turns: list[Turn]) -> Turn:
        return _sending(self._close() if self._over else self._outgoing.read(), joined(turns))

    def _close(self) -> bytes:
        """What is left to be sent, and close_notify. The peer's is not waited for (RFC 8446, 6.1)."""
        with suppress(ssl.SSLError):
            self._tls.unwrap()
        return self._outgoing.read()


class TlsEnd:
    """What both ends have in common: the session inside, which TLS has to carry.

    inside:  makes the session inside
    context: made once for all connections
    """

    many = replies = None

    def __init__(self, inside: SessionKind, context: ssl.SSLContext) -> None:
        self.inside, self.context = inside, context
        self.answers, self.says_source = inside.answers, inside.says_source

    @property
    def keepalive_s(self) -> float:
        return self.inside.keepalive_s

    def make(self, connection: int, source: str) -> TlsSession:
        return TlsSession(self, connection, source)

    def resume(self, connection: int) -> TlsSession:
        raise AssertionError("TLS is never idle")

    def beat(self, session: Session) -> Turn:
        return session.tell(self.inside.beat) if isinstance(session, TlsSession) else NOTHING

    def wrap(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject:
        """TLS of a new connection."""
        return self.context.wrap_bio(incoming, outgoing, server_side=True)

    def refused(self, tls: ssl.SSLObject) -> str:
        """Why the session inside cannot begin, after a handshake that succeeded; empty: it can."""
        return ""

    def remember(self, tls: ssl.SSLObject) -> bool:
        """Keep what later connections can use → whether there will be no more of it from this one."""
        return True


class TlsClient(TlsEnd):
    """TLS as a client, around another session."""

    def __init__(self, options: TlsOptions, host: str, inside: SessionKind, alpn: Sequence[str] = ()) -> None:
        """Raises UsageError for options that cannot be, or CannotError for a file that this user may not read.

        host: of the destination, a name or an address: what the certificate has to name, unless `options.sni` is there
        alpn: the protocols that the session inside is, which are offered unless the options have others; none: any
        """
        super().__init__(inside, client_context(options, options.alpn or alpn))
        self._name = options.sni or host.partition("%")[0]  # without the zone of an IPv6 address (RFC 4007, 11)
        self._alpn, self._resumes = alpn, options.resume
        self._ticket: ssl.SSLSession | None = None
        if not (self._name or options.insecure):
            raise UsageError(
                "TLS", "there is no name that the certificate must have", "Name it by --sni, or --insecure."
            )
        self._try()

    def wrap(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject:
        return self.context.wrap_bio(incoming, outgoing, server_hostname=self._name or None, session=self._ticket)

    def refused(self, tls: ssl.SSLObject) -> str:
        chosen = tls.selected_alpn_protocol()
        spoken = not self._alpn or chosen is None or chosen in self._alpn
        return "" if spoken else f"ALPN {chosen}, which is not spoken inside"

    def remember(self, tls: ssl.SSLObject) -> bool:
        if not self._resumes or tls.session_reused:  # a ticket serves many times; a copy of it costs 0.1 ms
            return True
        ticket = tls.session
        if ticket is None or not (ticket.has_ticket or ticket.id):  # in TLS 1.3 it comes after the handshake
            return False
        self._ticket = ticket
        return True

    def _try(self) -> None:
        """Make a ClientHello, which shows whether OpenSSL can do what the options say."""
        try:
            self.wrap(ssl.MemoryBIO(), ssl.MemoryBIO()).do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            raise UsageError("TLS", reason_of(error, b"")) from None
        except (TypeError, ValueError):  # what is no name in the DNS, or has a NUL
            raise UsageError(f"TLS to {self._name!r}", "it is not the name of a server", "Name it by --sni.") from None


class TlsServer(TlsEnd):
    """TLS as a server, around another session."""

    def __init__(self, certificate: bytes, inside: SessionKind, alpn: Sequence[str] = ()) -> None:
        """Raises UsageError.

        certificate: PEM, with its key, as certificate.py makes one
        alpn:        the protocols to accept, the preferred one first; none: it takes no part in ALPN
        """
        super().__init__(inside, server_context(certificate, alpn))


def _sending(send: bytes, turn: Turn) -> Turn:
    """The turn with encrypted data to send."""
    if turn is NOTHING:  # as in most of a handshake; `replace` is slow
        return Turn(send) if send else NOTHING
    return replace(turn, send=send)
