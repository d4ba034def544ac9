"""A run as numbers: what each worker counts while it works, a sample of it at one moment, and the final record.

The engine adds to one row of COUNTERS per worker, in place; every other record here is frozen.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.endpoints import FourTuple
from fourtuple.core.fold import BUCKETS, Latency
from fourtuple.core.symptoms import name_of

ERRNOS = 134  # Linux numbers its errors from 1 to 133 (EHWPOISON)

COUNTERS = np.dtype(
    [
        ("phase", "i8"),  # a Phase
        ("wanted", "i8"),
        ("capacity", "i8"),  # how many this worker can hold at once
        ("started", "i8"),  # connects begun
        ("opening", "i8"),  # begun and undecided
        ("open", "i8"),  # connected now
        ("opened", "i8"),  # connected so far: a client's connects, a server's accepts
        ("closed", "i8"),  # closed by us, as planned
        ("lost", "i8"),  # connected, then ended by the peer, by an error or with its worker
        ("greeted", "i8"),  # greetings sent, or connections that received something
        ("received_bytes", "i8"),
        ("sent_bytes", "i8"),
        ("first_start_ns", "i8"),  # CLOCK_MONOTONIC, 0: not yet
        ("last_open_ns", "i8"),
        ("cost_ns", "i8"),  # when the next three were read
        ("rss_bytes", "i8"),
        ("cpu_user_us", "i8"),
        ("cpu_system_us", "i8"),
        ("failed", "i8", (ERRNOS,)),  # wanted and not opened, by the errno that stopped it
        ("lost_by", "i8", (ERRNOS,)),  # lost, by errno; 0: the peer closed
        ("connect_us", "i8", (BUCKETS,)),  # histogram of connect() durations
    ]
)
Counters = Any  # one row (np.void) or all rows (array) of COUNTERS: NumPy's stubs cannot tell fields apart


class Phase(IntEnum):
    OPENING = 0
    HOLDING = 1  # nothing more will be opened
    CLOSING = 2
    CLOSED = 3


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a log: what happened to which connection; `detail` is what was received, or how it ended."""

    kind: str  # connected, accepted, received, closed, lost
    four_tuple: FourTuple
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """All workers together at one moment."""

    at_ns: int  # CLOCK_MONOTONIC
    phase: Phase  # of the slowest worker
    wanted: int
    capacity: int
    opening: int
    open: int
    opened: int
    closed: int
    lost: int
    greeted: int
    received_bytes: int
    sent_bytes: int
    elapsed_s: float  # from the first start to the last one open
    workers: int
    rss_bytes: int
    cpu_user_s: float
    cpu_system_s: float
    failed: Mapping[str, int]
    lost_by: Mapping[str, int]
    connect_us: Latency
    events: tuple[Event, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, rows: Counters, at_ns: int, events: tuple[Event, ...] = ()) -> Self:
        """rows: (workers,) of COUNTERS"""
        starts = rows["first_start_ns"][rows["first_start_ns"] > 0]
        elapsed_ns = max(0, int(rows["last_open_ns"].max()) - int(starts.min())) if len(starts) else 0
        sums = ("wanted", "capacity", "opening", "open", "opened", "closed", "lost")
        totals = ("greeted", "received_bytes", "sent_bytes", "rss_bytes")
        return cls(
            at_ns=at_ns,
            phase=Phase(int(rows["phase"].min())),
            elapsed_s=elapsed_ns / 1e9,
            workers=len(rows),
            cpu_user_s=int(rows["cpu_user_us"].sum()) / 1e6,
            cpu_system_s=int(rows["cpu_system_us"].sum()) / 1e6,
            failed=_by_name(rows["failed"].sum(axis=0)),
            lost_by=_by_name(rows["lost_by"].sum(axis=0)),
            connect_us=Latency.of(rows["connect_us"].sum(axis=0)),
            events=events,
            **{name: int(rows[name].sum()) for name in (*sums, *totals)},
        )

    @property
    def rate_per_s(self) -> float:
        return self.opened / self.elapsed_s if self.elapsed_s > 0 else 0.0


def _by_name(counts: NDArray[np.int64]) -> dict[str, int]:
    """Most frequent first; the number 0 (no error: the peer closed) is called FIN."""
    order = sorted(np.flatnonzero(counts), key=lambda number: -counts[number])
    return {name_of(int(number)) if number else "FIN": int(counts[number]) for number in order}


@dataclass(frozen=True, slots=True)
class Witness:
    """What the kernel's own table says of a run's connections.

    client: established sockets towards the destinations, without those that were there before the run
    server: the same at the other end; None where that end is not in this network namespace
    accepted: those of them that accept() has handed out; the others wait in a listener's queue
    by:     sock_diag or /proc/net/tcp
    """

    client: int
    server: int | None
    accepted: int | None
    by: str


@dataclass(frozen=True, slots=True)
class HoldRecord:
    """What became of `hold`. The three witnesses: `predicted` by the plan, `held` by the engine, `census`."""

    wanted: int
    predicted: int
    held: int  # at the same time, once opening ended
    failed: Mapping[str, int]  # wanted and not opened, by the errno that stopped them
    lost: int  # connected, then ended by someone else before we closed them
    lost_while_opening: int  # those of them that were gone when opening ended: wanted = held + failed + these
    lost_by: Mapping[str, int]
    census: Witness
    agree: bool
    elapsed_s: float  # from the first start to the last one open
    rate_per_s: float
    connect_us: Latency
    received_bytes: int
    held_s: float
    interrupted: bool
    loop: str
    loop_because: str  # why this one
    strategy: str
    workers: int
    rss_bytes: int
    cpu_user_s: float
    cpu_system_s: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(
        cls,
        *,
        wanted: int,
        predicted: int,
        full: Sample,
        last: Sample,
        census: Witness,
        held_s: float,
        interrupted: bool,
        loop: str,
        loop_because: str,
        strategy: str,
    ) -> Self:
        """full: when opening had ended; last: when all was closed"""
        return cls(
            wanted=wanted,
            predicted=predicted,
            held=full.open,
            failed=dict(full.failed),
            lost=last.lost,
            lost_while_opening=full.lost,
            lost_by=dict(last.lost_by),
            census=census,
            agree=census.client == full.open
            and census.server in (None, full.open)
            and (full.open == predicted or interrupted),
            elapsed_s=round(full.elapsed_s, 6),
            rate_per_s=round(full.rate_per_s, 1),
            connect_us=full.connect_us,
            received_bytes=last.received_bytes,
            held_s=round(held_s, 3),
            interrupted=interrupted,
            loop=loop,
            loop_because=loop_because,
            strategy=strategy,
            workers=full.workers,
            rss_bytes=full.rss_bytes,
            cpu_user_s=round(last.cpu_user_s, 3),
            cpu_system_s=round(last.cpu_system_s, 3),
        )


@dataclass(frozen=True, slots=True)
class ServeRecord:
    """What became of `serve`."""

    listening: tuple[str, ...]
    accepted: int
    most_open: int  # at the same time, as sampled
    open: int  # when it was told to stop
    closed: int  # by us: --close-after, or at the end
    lost: int  # closed or reset by the client
    lost_by: Mapping[str, int]
    failed: Mapping[str, int]  # accepts that failed, by errno
    greeted: int
    received_bytes: int
    sent_bytes: int
    listen_overflows: int | None  # ListenOverflows while it ran, of the whole namespace; None: not readable
    elapsed_s: float  # from listening to the end
    interrupted: bool
    loop: str
    loop_because: str
    workers: int
    workers_killed: int  # that ended before they were told to
    rss_bytes: int
    cpu_user_s: float
    cpu_system_s: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
