"""The contract between those who want connections (hold, serve) and those who make them (a loop per kernel facility).

A loop has `capacity` slots, and a slot holds at most one connection. Operations are started on arrays of slots and
come back, in any order, as an array of completions: slot, operation, result ≥ 0 or −errno. No other way back exists.

    start                              completes with
    connect(slots, block, how)   CONNECT   0, or −errno: then the slot is empty again
    accept(room)                 ACCEPT    0 in a slot the loop chose, at most `room` more; or −errno, slot −1
    watch(slots)                 WATCH     0: there is something to read, which may be the end
    receive(slots, buffers, …)   RECEIVE   at once: bytes read into the slot's row, 0: the peer closed, or −errno
    send(slots, buffers, …)      SEND      bytes sent, all of them, or −errno
    close(slots, reset)          CLOSE     0: the slot is empty again

Only watch waits for the peer; receive says −EAGAIN where there is nothing, so that no buffer waits with it.
Rules: one operation of reading (watch, receive) and one of writing (connect, send) at a time on a slot. Closing drops
whatever is pending on the slot without a completion. A buffer row belongs to the loop until its completion.
"""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.space.endpoints import FourTuple
from fourtuple.core.space.tuples import Block

Slots = NDArray[np.int32]
NO_SLOTS: Slots = np.zeros(0, np.int32)


class Op:
    """Plain numbers: NumPy takes ten times as long to compare with members of an enumeration."""

    CONNECT: Final = 1
    ACCEPT: Final = 2
    WATCH: Final = 3
    RECEIVE: Final = 4
    SEND: Final = 5
    CLOSE: Final = 6


COMPLETION = np.dtype([("op", "u1"), ("slot", "i4"), ("result", "i4")])
Completions = NDArray[Any]  # of dtype COMPLETION


@dataclass(frozen=True, slots=True)
class How:
    """How a connection is prepared.

    bind:       bind() to the block's source address (and port, if it is not 0)
    port_range: IP_LOCAL_PORT_RANGE for the socket; None: not set
    timeout_s:  give up a connection where what was sent is not acknowledged for that long; None: as the kernel does
    """

    bind: bool
    port_range: range | None
    timeout_s: float | None


class Loop(Protocol):
    name: str
    capacity: int
    batch: int  # how many connects are best started together

    def connect(self, slots: Slots, block: Block, how: How) -> None:
        """Row i of `block` in slot slots[i], which must be empty. Source port 0: chosen by the kernel at connect()."""

    def listen(self, listeners: Sequence[socket.socket]) -> None:
        """Accept from these; non-blocking, already listening, and not closed by the loop. Once, before `accept`."""

    def accept(self, room: int) -> None:
        """From now on take at most `room` more connections; the others stay in the kernel's queue, not lost."""

    def watch(self, slots: Slots) -> None: ...

    def receive(self, slots: Slots, buffers: NDArray[np.uint8], rows: NDArray[np.intp]) -> None:
        """Into buffers[rows[i]]; buffers: (rows, bytes)"""

    def send(self, slots: Slots, buffers: NDArray[np.uint8], rows: NDArray[np.intp], sizes: NDArray[np.int64]) -> None:
        """The first sizes[i] bytes of buffers[rows[i]]; slots may share a row"""

    def close(self, slots: Slots, reset: bool) -> None:
        """reset: by RST, which leaves no TIME_WAIT; otherwise by FIN"""

    def describe(self, slot: int) -> FourTuple | None:
        """Both ends of a slot, the local end first; None where it is not connected any more."""

    def wait(self, timeout_s: float) -> Completions:
        """The completions that are there; waits for the first, at most `timeout_s`."""

    def shut(self) -> None:
        """Let go of everything at once, without a completion."""
