"""What a dialogue is: what is said on a connection once it is open.

A dialogue works by column: it is told which slots were opened, what came in and what ended, and says what is sent now.
It never touches the loop. There are two ways to write one:

- by column, where every connection says the same (`fixed.py`): no Python code runs for a single connection;
- as a `SlotProtocol`, an object a slot, bytes in and bytes out, where each has a state of its own; `each.py` drives
  such objects through the contract of columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fourtuple.engine.loops.contract import Slots

NEVER_S = float("inf")
ON_ITS_WAY_NS = 1_000_000_000  # an answer asked for within that time is not missed when its connection ends


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What is sent now: the first sizes[i] bytes of buffers[rows[i]] on slots[i]; slots may share a row.

    buffers: (rows, bytes) uint8, not changed until the sends have completed
    """

    slots: Slots
    buffers: NDArray[np.uint8]
    rows: NDArray[np.intp]
    sizes: NDArray[Any]  # of an integer type


class Dialogue(Protocol):
    """What is said on all connections of a worker, by column.

    It shares the worker's (slots,) array of `Life` and sets ASKED and SENDING in it, on open slots alone; SENDING from
    when it decides to say something until that is sent. It counts into the worker's row.

    half_duplex: a slot is not read while it is SENDING, so that a peer who is slow to read cannot make us queue more
    hears:       `received` is wanted; without, what comes in is only counted as bytes
    """

    half_duplex: bool
    hears: bool

    def opened(self, slots: Slots, now_ns: int) -> None:
        """These are open from now on."""

    def say(self, now_ns: int) -> Sequence[Outgoing]:
        """What is to be sent now; asked for once in each step of the worker."""

    def wait_s(self, now_ns: int) -> float:
        """How long until there may be something to say; infinite where that takes a completion first."""

    def sent(self, slots: Slots) -> None:
        """All that was said on these is sent."""

    def received(
        self, slots: Slots, data: NDArray[np.uint8], sizes: NDArray[np.int32], now_ns: int
    ) -> NDArray[np.bool_]:
        """What came in: the first sizes[i] bytes of data[i] → which of the slots got something unexpected.

        data: (slots, bytes), the dialogue's own to keep
        """

    def ended(self, slots: Slots, now_ns: int) -> None:
        """These open connections are lost or about to be closed: nothing more comes in, and nothing may be said."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What a connection's protocol makes of what came in.

    send:     to be sent now; empty: nothing
    requests: how many requests that makes
    answers:  how many requests were answered
    done:     it has nothing more to say, and expects nothing more; what comes in is only counted as bytes
    failed:   the peer broke the protocol, and how; what comes in is only counted as bytes. Empty: it did not
    """

    send: bytes = b""
    requests: int = 0
    answers: int = 0
    done: bool = False
    failed: str = ""


class SlotProtocol(Protocol):
    """What is said on one connection: bytes in, bytes out, no I/O and no clock."""

    def opened(self) -> Turn: ...

    def received(self, data: bytes) -> Turn:
        """data: what came in, cut anywhere"""
