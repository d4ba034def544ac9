"""The counters of a run: one table, from which workers' memory, samples and stored columns are derived.

A worker adds to one row of COUNTERS in place; everything else is derived. To add a counter, add a row to TABLE, a
field to `Sample` (and to the record, if it belongs there), and, if it is stored, a migration in store/file.py. Tests
fail if one of these is missing.
"""

from enum import IntEnum
from typing import Any

import numpy as np

from fourtuple.core.backports import StrEnum
from fourtuple.core.record import dataclass
from fourtuple.core.runs import destinations, reasons
from fourtuple.core.runs.histogram import BUCKETS
from fourtuple.core.runs.spread import BINS

WORDS_BYTES = 256  # of the last data from a peer that ended a connection
MOST_STAGES = 64  # of a run with --stages


class Phase(IntEnum):
    """The phase of a worker."""

    OPENING = 0
    HOLDING = 1  # nothing more will be opened
    CLOSING = 2
    CLOSED = 3


class Merge(StrEnum):
    """How the values of several workers become one."""

    SUM = "sum"
    LEAST = "least"
    APART = "apart"  # by separate code: it becomes part of another value


class Kept(StrEnum):
    """How the store keeps a counter."""

    COLUMN = "column"  # a number for each sample
    MAP = "map"  # JSON by errno or by text, for each sample
    GROWTH = "growth"  # the buckets that have grown since the previous sample
    NOT = "not"


@dataclass(frozen=True, slots=True)
class RunCounter:
    """A row of TABLE.

    size: how many numbers it consists of; 1: a plain number
    """

    name: str
    meaning: str
    kept: Kept = Kept.COLUMN
    merge: Merge = Merge.SUM
    size: int = 1

    @property
    def field(self) -> str:
        """Its name in a Sample, where `connect_us` means the latencies of the histogram."""
        return f"{self.name.removesuffix('_us')}_histogram" if self.name.endswith("_us") else self.name

    @property
    def column(self) -> str:
        """Its name in the store."""
        return f"{self.name.removesuffix('_us')}_grown" if self.kept is Kept.GROWTH else self.name


TABLE: tuple[RunCounter, ...] = (
    RunCounter("phase", "a Phase, of the slowest worker", merge=Merge.LEAST),
    RunCounter("wanted", "connections requested"),
    RunCounter("capacity", "connections that the workers can hold at once"),
    RunCounter("arrivals", "connections of a churn that were due so far"),
    RunCounter("started", "connects started"),
    RunCounter("opening", "connects started and not completed"),
    RunCounter("open", "connections open now"),
    RunCounter("opened", "connections opened so far: a client's connects, a server's accepts"),
    RunCounter("closed", "connections closed by this end, as planned"),
    RunCounter("lost", "connections ended by the peer, by an error or by the death of the worker"),
    RunCounter("greeted", "greetings sent"),
    RunCounter("greeting", "open connections whose session is not established yet"),
    RunCounter("sessions", "sessions established so far"),
    RunCounter("reconnected", "lost connections that were reopened"),
    RunCounter("replaced", "connections that were closed as planned and reopened (--churn)"),
    RunCounter("stage", "the current stage of --stages, from 0", merge=Merge.LEAST),
    RunCounter("target", "connections that are to be open now, by --stages; otherwise 0"),
    RunCounter("stage_open", "connections open at the end of each stage", Kept.NOT, Merge.APART, MOST_STAGES),
    RunCounter("requests", "messages sent"),
    RunCounter("answers", "expected messages received"),
    RunCounter("unexpected", "other messages received"),
    RunCounter("unanswered", "expected messages not received when the connection ended"),
    RunCounter("late", "messages not sent, or connections of a churn not started, when they were due"),
    RunCounter("unsent", "messages that were due and had not been sent when the connection ended"),
    RunCounter("received_bytes", "bytes received"),
    RunCounter("sent_bytes", "bytes sent"),
    RunCounter("first_start_ns", "when the first connect started, CLOCK_MONOTONIC; 0: not yet", Kept.NOT, Merge.APART),
    RunCounter("last_open_ns", "when the last connection was opened", Kept.NOT, Merge.APART),
    RunCounter("cost_ns", "when the next three counters were read", Kept.NOT, Merge.APART),
    RunCounter("identified", "the last identification of connections that was done", Kept.NOT, Merge.LEAST),
    RunCounter("open_at_end", "connections open when closing began", Kept.NOT),
    RunCounter("last_words", "what a peer sent before it ended a connection", Kept.NOT, Merge.APART, WORDS_BYTES // 8),
    RunCounter("rss_bytes", "resident memory of the workers"),
    RunCounter("cpu_user_us", "processor time in user space", Kept.NOT, Merge.APART),
    RunCounter("cpu_system_us", "processor time in the kernel", Kept.NOT, Merge.APART),
    RunCounter("failed", "connections wanted and not opened, by errno", Kept.MAP, size=destinations.ERRNOS),
    RunCounter("lost_by", "connections lost, by errno; 0: the peer closed", Kept.MAP, size=destinations.ERRNOS),
    RunCounter(
        "reconnect_failed", "failed attempts to reopen a lost connection, by errno", Kept.MAP, size=destinations.ERRNOS
    ),
    RunCounter(
        "reasons",
        "sessions that failed or ended, and unexpected answers, by reason",
        Kept.MAP,
        Merge.APART,
        reasons.SIZE,
    ),
    RunCounter(
        "connect_us",
        "histogram of the durations of connect() with its batch; of a churn from the due moment",
        Kept.GROWTH,
        size=BUCKETS,
    ),
    RunCounter("handshake_us", "histogram of the round-trip times of some handshakes", Kept.GROWTH, size=BUCKETS),
    RunCounter(
        "answer_us", "histogram of the times from a message's due moment to its answer", Kept.GROWTH, size=BUCKETS
    ),
    RunCounter("service_us", "the same from when the message was sent", Kept.GROWTH, size=BUCKETS),
    RunCounter("tls_us", "histogram of the durations of TLS handshakes", Kept.GROWTH, size=BUCKETS),
    RunCounter("session_us", "histogram of the times from connected to session established", Kept.GROWTH, size=BUCKETS),
    RunCounter(
        "lag_us", "histogram of the times from a connection's due moment to its start", Kept.GROWTH, size=BUCKETS
    ),
    RunCounter("connecting_us", "the same from its start until it was open", Kept.GROWTH, size=BUCKETS),
    RunCounter("first_us", "the same from its due moment to its first answer", Kept.GROWTH, size=BUCKETS),
    RunCounter("first_service_us", "the same from its start to its first answer", Kept.GROWTH, size=BUCKETS),
    RunCounter("last_us", "the same from its due moment to its last answer", Kept.GROWTH, size=BUCKETS),
    RunCounter("last_service_us", "the same from its start to its last answer", Kept.GROWTH, size=BUCKETS),
    RunCounter("pairs", "connections opened, by the pair's bin (core/runs/spread.py)", Kept.GROWTH, size=BINS),
    RunCounter(
        "destinations",
        "connections opened, failed and lost, by destination (core/runs/destinations.py)",
        Kept.GROWTH,
        size=destinations.SIZE,
    ),
)

COUNTERS = np.dtype([(each.name, "i8") if each.size == 1 else (each.name, "i8", (each.size,)) for each in TABLE])
Counters = Any  # one row (np.void) or all rows (array) of COUNTERS; NumPy's stubs do not know the types of fields

# The numbers of one sample, as stored: counters, values derived from several, and what the kernel reported.
# NaN in a float column: the kernel did not report it.
COLUMN = np.dtype(
    [
        ("at_ns", "i8"),
        *((each.name, "i8") for each in TABLE if each.kept is Kept.COLUMN),
        ("workers", "i8"),
        ("elapsed_s", "f8"),
        ("cpu_user_s", "f8"),
        ("cpu_system_s", "f8"),
        ("connections", "f8"),
        ("memory_bytes", "f8"),
        ("time_wait", "f8"),
    ]
)
MAPS = tuple(each for each in TABLE if each.kept is Kept.MAP)
GROWTHS = tuple(each for each in TABLE if each.kept is Kept.GROWTH)
DURATIONS = tuple(each for each in GROWTHS if each.name.endswith("_us"))


def merged(rows: Counters) -> dict[str, Any]:
    """Merge the rows of all workers into the fields of a Sample: plain numbers as int, the others as arrays.

    rows: (workers,) of COUNTERS
    """
    found: dict[str, Any] = {}
    for each in TABLE:
        if each.merge is Merge.LEAST:
            found[each.field] = int(rows[each.name].min())
        elif each.merge is Merge.SUM:
            total = rows[each.name].sum(axis=0)
            found[each.field] = int(total) if each.size == 1 else total
    return found


def first_and_last_ns(rows: Counters) -> tuple[int, int]:
    """When the first connect() started, and when the last connection was opened; 0: not yet."""
    starts = rows["first_start_ns"][rows["first_start_ns"] > 0]
    return (int(starts.min()) if len(starts) else 0), int(rows["last_open_ns"].max())
