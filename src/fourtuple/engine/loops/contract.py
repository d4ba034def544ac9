"""What a loop is and promises: the contract between workloads (hold, churn, serve) and the loops that make connections.

A loop has `capacity` slots, and a slot holds at most one connection. Operations are started on arrays of slots and
return, in any order, as an array of completions: slot, operation, result ≥ 0 or −errno.

    start                              completes with
    connect(slots, block, how)   CONNECT   0, or −errno: then the slot is empty again
                                           with `first`, then as send() of it, and then as watch()
    accept(room)                 ACCEPT    0 in a slot that the loop chose, at most `room` more; or −errno, slot −1
    watch(slots)                 WATCH     0: data or the end of the connection can be read
    send(slots, buffers, …)      SEND      bytes sent, all of them, or −errno
    close(slots, reset)          CLOSE     0: the slot is empty again

Reading is not one of them: `receive` returns what has arrived, so that no buffer is occupied while data is waited for.
Rules: at most one write operation (connect, send) at a time on a slot. Closing cancels everything pending on the slot,
without a completion. A buffer row that is sent belongs to the loop until the completion.
"""

import socket
from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.record import dataclass
from fourtuple.core.space.endpoints import FourTuple
from fourtuple.core.space.tuples import Block
from fourtuple.core.space.unix import UnixBlock

Slots = NDArray[np.int32]
NO_SLOTS: Slots = np.zeros(0, np.int32)


class Op:
    """The operations, as plain numbers: NumPy takes ten times as long to compare with members of an enumeration."""

    CONNECT: Final = 1
    ACCEPT: Final = 2
    WATCH: Final = 3
    SEND: Final = 4
    CLOSE: Final = 5


COMPLETION = np.dtype([("op", "u1"), ("slot", "i4"), ("result", "i4")])
Completions = NDArray[Any]  # of dtype COMPLETION
NO_COMPLETIONS: Completions = np.zeros(0, COMPLETION)


@dataclass(frozen=True, slots=True)
class How:
    """How a connection is prepared.

    bind:       bind() to the block's source address (and port, if it is not 0)
    port_range: IP_LOCAL_PORT_RANGE for the socket; None: not set
    timeout_s:  abort a connection if sent data is not acknowledged for this time; None: the kernel's default
    """

    bind: bool
    port_range: range | None
    timeout_s: float | None


Targets = Block | UnixBlock  # where connections go; of TCP also where they come from
First = NDArray[np.uint8]  # a message: (bytes,), the same for many connects; it must not change


class Loop(Protocol):
    """Makes, accepts, reads, writes and closes the connections in its slots; see the head of this module."""

    name: str
    capacity: int
    batch: int  # the best number of connects to start together
    links: bool  # a connect can be followed by a first message and a watch, without a step in between

    def connect(self, slots: Slots, block: Targets, how: How, first: First | None = None) -> None:
        """Connect row i of `block` in slot slots[i], which must be empty. Source port 0: the kernel chooses.

        A connect to a Unix socket never waits: it fails with EAGAIN while the accept queue is full.

        first: sent on each connection as soon as it is open, and then the slot is watched; None: nothing, as it has to
               be where the loop does not link
        """

    def listen(self, listeners: Sequence[socket.socket]) -> None:
        """Set the listeners to accept from; called once, before `accept`.

        They are non-blocking and already listening; the loop does not close them.
        """

    def accept(self, room: int) -> None:
        """Accept at most `room` more connections from now on; further ones stay in the kernel's queue, not lost."""

    def watch(self, slots: Slots) -> None:
        """Complete once for each slot, when data or the end of its connection can be read.

        A slot that is watched already completes once, too.
        """
        ...

    def receive(self, slots: Slots, buffers: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Read what has arrived on slots[i] into buffers[i] → how many bytes; 0: the peer closed; −EAGAIN: nothing yet.

        buffers: (at least as many rows as slots, bytes) uint8. Another negative result is the −errno by which the
        connection broke.
        """
        ...

    def send(self, slots: Slots, buffers: NDArray[np.uint8], rows: NDArray[np.intp], sizes: NDArray[np.int64]) -> None:
        """Send the first sizes[i] bytes of buffers[rows[i]] on slots[i]; slots may share a row."""

    def close(self, slots: Slots, reset: bool) -> None:
        """Close the connections; reset: by RST, which leaves no TIME_WAIT, otherwise by FIN. Unix sockets have no RST.

        Many are closed fastest in the reverse of the order in which they are watched.
        """

    def describe(self, slot: int) -> FourTuple | None:
        """The 4-tuple of a slot's connection, local end first; None if it is no longer connected."""

    def handshake_us(self, slot: int) -> int | None:
        """The round-trip time of a slot's handshake in µs, as the kernel measured it; None: it cannot be read now."""

    def cookies(self, slots: Slots) -> NDArray[np.uint64]:
        """(slots,): the cookie of each slot's socket, which sock_diag lists, too (SO_COOKIE); 0: not known."""
        ...

    def wait(self, timeout_s: float) -> Completions:
        """Wait for completions, at most `timeout_s`, and return all that have arrived."""

    def shut(self) -> None:
        """Release everything at once, without completions."""
