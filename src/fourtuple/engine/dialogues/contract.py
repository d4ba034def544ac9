"""What a dialogue is: the rules for what is sent on open connections, and for what is expected in return.

A dialogue works on arrays of slots: the worker reports which connections were opened, what was received and what ended,
and the dialogue returns what to send now. It never uses the loop. There are two ways to write one:

- on arrays, if every connection sends the same (`fixed.py`): no Python code runs for a single connection;
- with a session for each connection that is busy (engine/protocols): bytes in and bytes out.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.record import dataclass
from fourtuple.engine.loops.contract import Completions, Slots

NEVER_S = float("inf")
ON_ITS_WAY_NS = 1_000_000_000  # a request younger than this is not counted as unanswered when its connection ends


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Data to send now: the first sizes[i] bytes of buffers[rows[i]] on slots[i]; slots may share a row.

    buffers: (rows, bytes) uint8, which must not change until the sends have completed
    """

    slots: Slots
    buffers: NDArray[np.uint8]
    rows: NDArray[np.intp]
    sizes: NDArray[Any]  # of an integer type


class Dialogue(Protocol):
    """What is sent and expected on all connections of a worker.

    It shares the worker's (slots,) array of `Life`. On open slots it sets ASKED and SENDING there; SENDING from the
    decision to send until the data is sent. It counts into the worker's row of counters.

    half_duplex: a slot is not read while it is SENDING, so that a peer that reads slowly cannot make us queue more
    hears:       `received` is called; otherwise received data is only counted as bytes
    """

    half_duplex: bool
    hears: bool

    def opened(self, slots: Slots, now_ns: int) -> None:
        """These connections are open from now on."""

    def say(self, now_ns: int) -> Sequence[Outgoing]:
        """The data to send now; called once in each step of the worker."""

    def wait_s(self, now_ns: int) -> float:
        """How long until there may be something to send; infinite if a completion has to come first."""

    def sent(self, slots: Slots) -> None:
        """Everything that was to be sent on these slots has been sent."""

    def received(
        self, slots: Slots, data: NDArray[np.uint8], sizes: NDArray[np.int32], now_ns: int
    ) -> NDArray[np.bool_]:
        """Take in received data, the first sizes[i] bytes of data[i] → a mask of the slots with unexpected data.

        data: (slots, bytes) uint8, which the dialogue may keep
        """

    def ended(self, slots: Slots, now_ns: int, *, lost: bool) -> None:
        """Nothing more is received or may be sent on these connections.

        lost: the peer ended them, or they broke; otherwise this end closes them, as planned or for want of patience
        """

    def over(self) -> Completions:
        """Connections that must be closed because of what the peer sent, or did not send; each is returned once.

        They are lost; the result is that of a read: 0 if the peer ended the session, otherwise −errno.
        """
        ...

    def goodbye(self, slots: Slots) -> None:
        """Say what ends a session properly, before these connections are closed by FIN: once `sent`, if SENDING now."""
