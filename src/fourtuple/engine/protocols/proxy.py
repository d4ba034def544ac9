"""A tunnel through a proxy, and the session that begins inside once it stands.

How the tunnel is asked for is in http_connect.py and in socks.py.
"""

from collections.abc import Callable
from typing import Protocol

from fourtuple.core.record import dataclass
from fourtuple.engine.protocols.contract import NOTHING, Failure, FailureKind, Session, SessionKind, Turn
from fourtuple.engine.protocols.turns import joined


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What a negotiation makes of data.

    send:   data to send now
    failed: why there will be no tunnel; empty: nothing is wrong so far
    rest:   the tunnel stands, and this came through it; None: it does not yet stand
    """

    send: bytes = b""
    failed: str = ""
    rest: bytes | None = None


class Negotiation(Protocol):
    """How a tunnel is asked for. Its methods never raise."""

    def begin(self) -> bytes:
        """What to send first."""
        ...

    def received(self, data: bytes) -> Negotiated:
        """Data of the proxy was received; pieces may begin and end anywhere. Never empty."""
        ...


class ProxySession:
    """The client of a proxy on one connection, and then the session inside."""

    __slots__ = ("_connection", "_inside", "_kind", "_negotiation", "_over", "_source")

    def __init__(self, kind: "ProxyClient", connection: int, source: str) -> None:
        self._kind, self._connection, self._source = kind, connection, source
        self._negotiation = kind.negotiate()
        self._inside: Session | None = None  # None: the tunnel does not yet stand
        self._over = False

    @property
    def idle(self) -> bool:
        return self._inside is not None and self._inside.idle

    def begin(self) -> Turn:
        return Turn(self._negotiation.begin())

    def say(self, message: bytes) -> Turn:
        return self._inside.say(message) if self._inside else NOTHING

    def received(self, data: bytes) -> Turn:
        if self._inside:
            return self._inside.received(data)
        if self._over:
            return NOTHING
        if not data:
            return self._fail("ended before the tunnel stood")
        negotiated = self._negotiation.received(data)
        if negotiated.failed:
            return self._fail(negotiated.failed)
        if negotiated.rest is None:
            return Turn(negotiated.send)
        self._inside = self._kind.inside.make(self._connection, self._source)
        turns = [Turn(negotiated.send), self._inside.begin()]
        if negotiated.rest:
            turns.append(self._inside.received(negotiated.rest))
        return joined(turns)

    def goodbye(self) -> bytes:
        return self._inside.goodbye() if self._inside else b""

    def beat(self, beat: Callable[[Session], Turn]) -> Turn:
        """What keeps the session inside alive."""
        return beat(self._inside) if self._inside else NOTHING

    def _fail(self, reason: str) -> Turn:
        self._over = True
        return Turn(failed=Failure(FailureKind.PROXY, reason))


class ProxyClient:
    """Tunnels through a proxy, all of them to one destination.

    negotiate: how each is asked for: an HttpConnect, a Socks5
    inside:    makes the sessions inside; an idle one has no need of this module
    """

    many = None

    def __init__(self, negotiate: Callable[[], Negotiation], inside: SessionKind) -> None:
        self.negotiate, self.inside = negotiate, inside
        self.answers, self.says_source = inside.answers, inside.says_source

    @property
    def keepalive_s(self) -> float:
        return self.inside.keepalive_s

    def make(self, connection: int, source: str) -> ProxySession:
        return ProxySession(self, connection, source)

    def resume(self, connection: int) -> Session:
        return self.inside.resume(connection)

    def beat(self, session: Session) -> Turn:
        return session.beat(self.inside.beat) if isinstance(session, ProxySession) else self.inside.beat(session)
