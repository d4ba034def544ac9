"""Which states a slot can have and which transitions are allowed, for workloads and for loops.

Both keep one byte per slot. A workload's byte is a `Life`: one of `STAGES`, and with OPEN the bits of its dialogue.
A loop's byte is a `Pending`: any combination of its bits. All are plain numbers: NumPy takes ten times as long to
compare with members of an enumeration.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray


class Life:
    """The life of a slot as a workload sees it."""

    EMPTY: Final = 0  # no connection, or one whose close has been started and that will not be opened again
    OPENING: Final = 1  # connect() has been started and has no result yet
    OPEN: Final = 2  # connected or accepted
    ASKED: Final = 4  # with OPEN: an answer is due, from the peer (client) or from us (server)
    SENDING: Final = 8  # with OPEN: data is being sent, or will be before anything else happens
    AGAIN: Final = 16  # lost, and being closed in order to be opened again; with OPENING: opening again
    GONE: Final = 32  # lost, and still to be closed
    GREETING: Final = 64  # with OPEN: its session is not established yet
    ANEW: Final = 128  # closed as planned, and being closed in order to be opened again; with OPENING: opening again


# Being closed; the slot is used again when more connections are to be open.
VACATED: Final = Life.GONE | Life.ANEW


class Pending:
    """The pending operations and events of a slot as a loop sees it.

    The ring loop uses CONNECTING to CLOSED. A poll that is armed when a connection is closed completes by itself, and
    the slot is empty once both have completed. The epoll loop remembers DATA and END, because the kernel reports each
    only once: that data can be read, until it is read; and the end of the connection, for good.
    """

    CONNECTING: Final = 1
    SENDING: Final = 2
    ARMED: Final = 4  # the kernel polls it
    CLOSING: Final = 8  # only the completion of the close is still reported
    CLOSED: Final = 16  # the close has completed, and the poll has not
    DATA: Final = 32  # there may be data to read
    END: Final = 64  # the peer closed, or the connection broke


STAGE_BITS: Final = Life.OPENING | Life.OPEN | Life.AGAIN | Life.GONE | Life.ANEW
STAGES: Mapping[int, str] = {
    Life.EMPTY: "empty",
    Life.OPENING: "opening for the first time",
    Life.OPENING | Life.AGAIN: "opening again after it was lost",
    Life.OPEN: "open",
    Life.GONE: "lost, still to be closed",
    Life.AGAIN: "lost, being closed in order to be opened again",
    Life.OPENING | Life.ANEW: "opening again after it was closed as planned",
    Life.ANEW: "closed as planned, being closed in order to be opened again",
    VACATED: "being closed, and free again after that",
}
TRANSITIONS: Mapping[tuple[int, int], str] = {
    (Life.EMPTY, Life.OPENING): "a connect is started",
    (Life.EMPTY, Life.OPENING | Life.AGAIN): "a connect is started for one that was lost",
    (Life.EMPTY, Life.OPEN): "the loop accepted a connection into the slot",
    (Life.OPENING, Life.OPEN): "it is connected",
    (Life.OPENING, Life.EMPTY): "it was refused, took too long, or opening was stopped",
    (Life.OPENING | Life.AGAIN, Life.OPEN): "it is connected again",
    (Life.OPENING | Life.AGAIN, Life.EMPTY): "it was refused again, took too long, or opening was stopped",
    (Life.OPEN, Life.GONE): "the peer closed it, or it broke",
    (Life.OPEN, Life.EMPTY): "closed by us, as planned",
    (Life.GONE, Life.EMPTY): "closed after it was lost",
    (Life.GONE, Life.AGAIN): "its close is started, and it is to be opened again",
    (Life.AGAIN, Life.EMPTY): "it is closed, and waits for its turn to be opened again",
    (Life.OPEN, Life.ANEW): "closed by us, to be replaced",
    (Life.ANEW, Life.EMPTY): "it is closed, and waits for its turn to be opened again",
    (Life.EMPTY, Life.OPENING | Life.ANEW): "a connect is started for one that was replaced",
    (Life.OPENING | Life.ANEW, Life.OPEN): "it is replaced",
    (Life.OPENING | Life.ANEW, Life.EMPTY): "it was refused, took too long, or opening was stopped",
    (Life.OPEN, VACATED): "closed by us, because fewer are to be open",
    (Life.GONE, VACATED): "its close is started after it was lost",
    (Life.EMPTY, VACATED): "its connect took too long",
    (VACATED, Life.EMPTY): "it is closed",
}


def empty_slots(count: int) -> NDArray[np.uint8]:
    """The Life of `count` slots, all empty."""
    return np.zeros(count, np.uint8)
