"""What a session is: the protocol of one connection, as bytes in and bytes out, with no I/O and no clock.

A dialogue keeps a session object only while it is in its handshake or in the middle of a message: a session that is
`idle` is thrown away, and its kind makes another when something happens on the connection again. A connection that has
nothing to say costs no memory, then. TLS is never idle: it keeps the keys.

    event                             call
    the connection is open            begin()
    a message is to be sent           say(message), only after a turn with `ready`
    data was received                 received(data)
    the peer ended its side (FIN)     received(b"")
    the connection is to be closed    goodbye()
"""

from dataclasses import field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.backports import StrEnum
from fourtuple.core.record import dataclass


class FailureKind(StrEnum):
    """Which protocol a session failed in."""

    TLS = "tls"
    PROXY = "proxy"
    HTTP = "http"
    WEBSOCKET = "websocket"
    MQTT = "mqtt"
    TEXT = "text"  # an expectation about plain data
    SESSION = "session"  # of any protocol: it was not established in time


class Answers(StrEnum):
    """Which answers there are to the messages of a kind of session."""

    NONE = "none"
    ANY = "any"  # whatever arrives is one; the next message does not wait for it, and one that is missing is no failure
    EACH = "each"  # each message has one: the next message waits for it, and one that is missing is counted


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a session ended, in words that are the same for every connection with the same cause.

    kind:   the protocol
    reason: a short phrase without numbers that differ between connections, such as `certificate has expired`,
            `status 503`, `closed with 1008 (policy violation)`, `refused: not authorized (135)`, `not HTTP: "SSH-2.0"`
    by_peer: the peer ended the session properly (a close frame, DISCONNECT, close_notify); otherwise something was
            wrong with what it sent, or did not send
    """

    kind: FailureKind
    reason: str
    by_peer: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """The reaction of a session to an event.

    send:    data to send now; empty: nothing
    secured: the TLS handshake was completed with this event
    ready:   the session was established with this event: from now on messages may be sent
    answers: how many messages were answered as expected with this event
    wrong:   how many messages were answered otherwise (an unexpected status, text that does not match); the session
             goes on
    failed:  the session is over; after `send` the connection is closed
    last:    the peer closes the connection after this (Connection: close), which is no loss of a session
    because: what was wrong, with the protocol in front: `http: status 503`; the same for every connection
    """

    send: bytes = b""
    secured: bool = False
    ready: bool = False
    answers: int = 0
    wrong: int = 0
    failed: Failure | None = None
    last: bool = False
    because: str = field(default="", compare=False)


NOTHING = Turn()


class Session(Protocol):
    """The protocol of one connection. Its methods never raise, whatever the peer sends."""

    @property
    def idle(self) -> bool:
        """Whether it can be thrown away now, and `resume` of its kind makes one that goes on in its place."""
        ...

    def begin(self) -> Turn:
        """The connection is open."""
        ...

    def say(self, message: bytes) -> Turn:
        """Send a message, for which one answer is expected."""
        ...

    def received(self, data: bytes) -> Turn:
        """Data was received; pieces may begin and end anywhere in a message. Empty: the peer sends nothing more."""
        ...

    def goodbye(self) -> bytes:
        """What to send before this end closes the connection (close_notify, a close frame, DISCONNECT); or nothing."""
        ...


class Many(Protocol):
    """What the sessions of many connections say and hear at once, on arrays.

    It accepts only what a session would accept, too; what it does not know is left to a session.
    """

    def begin(self, connections: NDArray[np.integer]) -> NDArray[np.uint8]:
        """What these connections send first → (connections, bytes) uint8; without a byte: they are established."""
        ...

    def asked(self, connection: int) -> Session:
        """The session of a connection that has sent its row of `begin`, and has received nothing yet."""
        ...

    def established(
        self, connections: NDArray[np.integer], data: NDArray[np.uint8], sizes: NDArray[np.int32]
    ) -> NDArray[np.bool_]:
        """Which of these connections are established by what they received, and idle → (connections,) bool.

        data: (connections, bytes) uint8, of which the first sizes[i] count
        """
        ...

    def say(self, message: bytes, count: int) -> NDArray[np.uint8]:
        """The same message on `count` connections → (count, bytes) uint8; one row can be for all of them."""
        ...

    def answered(self, data: NDArray[np.uint8], sizes: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Which rows are exactly one answer as expected, received by an idle session → (rows,) bool."""
        ...


class SessionKind(Protocol):
    """Makes the sessions of all connections of a worker."""

    @property
    def keepalive_s(self) -> float:
        """Something must be sent at least that often; infinite: nothing. A server can shorten it when it answers."""
        ...

    @property
    def answers(self) -> Answers:
        """Which answers there are to messages."""
        ...

    @property
    def says_source(self) -> bool:
        """Whether something that its sessions say depends on the source; asking the kernel for it takes 20 µs."""
        ...

    @property
    def many(self) -> Many | None:
        """What does the same for many connections at once; None: nothing."""
        ...

    def make(self, connection: int, source: str) -> Session:
        """The session of a connection that was just opened.

        connection: its number in the run, from 0
        source:     ADDRESS:PORT of this end; empty: it is not known, as without `says_source`
        """
        ...

    def resume(self, connection: int) -> Session:
        """A session that is established and idle, for a connection whose object was thrown away."""
        ...

    def beat(self, session: Session) -> Turn:
        """What is sent on an idle session to keep it alive (a ping), for which no answer is counted."""
        ...


Replied = tuple[NDArray[np.bool_], NDArray[np.uint8], NDArray[np.int32]]


class ManyReplies(Protocol):
    """How a server answers many clients at once, on arrays; what it does not know is left to a session.

    Both take what was received as (connections, bytes) uint8, of which the first sizes[i] count, and return which rows
    are known, the answers as (connections, bytes) uint8, and how many bytes of each count.

    at_once: a session is established with its connection, before the client has said anything
    """

    at_once: bool

    def greeted(self, data: NDArray[np.uint8], sizes: NDArray[np.int32]) -> Replied:
        """The rows that establish a session, which is idle then."""
        ...

    def replied(self, data: NDArray[np.uint8], sizes: NDArray[np.int32]) -> Replied:
        """The rows that are one whole message to an idle session."""
        ...


class ServerKind(SessionKind, Protocol):
    """Makes the sessions of a server, which only answer."""

    @property
    def replies(self) -> ManyReplies | None:
        """What does the same for many connections at once; None: nothing."""
        ...
