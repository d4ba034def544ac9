"""A run as records: all workers together at one moment, what the kernel said beside them, and the final result."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.errnos import name_of
from fourtuple.core.runs.counters import MAPS, Counters, Phase, elapsed_s, merged
from fourtuple.core.runs.histogram import Latency
from fourtuple.core.runs.memory import MemoryUse
from fourtuple.core.runs.spread import Sharing
from fourtuple.core.runs.start import Start
from fourtuple.core.space.endpoints import FourTuple


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a log: what happened to which connection; `detail` is what was received, or how it ended."""

    kind: str  # connected, accepted, received, closed, lost
    four_tuple: FourTuple
    detail: str = ""


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
class Seen:
    """What the kernel said beside a run, since it began. What others did meanwhile is in it. None: it does not say.

    connections:  by how much the namespace's number of TCP sockets has grown, halved where both ends are here
    memory_bytes: by how much the free memory has shrunk
    moved:        counters of /proc/net/snmp and netstat that have grown
    """

    connections: int | None
    memory_bytes: int | None
    moved: Mapping[str, int]


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
    reconnected: int
    requests: int
    answers: int
    unexpected: int
    unanswered: int
    late: int
    received_bytes: int
    sent_bytes: int
    elapsed_s: float  # from the first start to the last one open
    workers: int
    rss_bytes: int
    cpu_user_s: float
    cpu_system_s: float
    failed: Mapping[str, int]
    lost_by: Mapping[str, int]
    reconnect_failed: Mapping[str, int]
    connect_histogram: NDArray[np.int64] = field(repr=False)  # of microseconds, see core/runs/histogram.py
    answer_histogram: NDArray[np.int64] = field(repr=False)
    pairs: NDArray[np.int64] = field(repr=False)  # opened so far, by the pair's bin, see core/runs/spread.py
    events: tuple[Event, ...] = field(default=(), repr=False)
    start: Start | None = field(default=None, repr=False)  # of the run it belongs to
    seen: Seen | None = None
    census: Witness | None = None  # once opening has ended and the kernel's table was counted

    @classmethod
    def of(cls, rows: Counters, at_ns: int, events: tuple[Event, ...] = ()) -> Self:
        """rows: (workers,) of COUNTERS"""
        found = merged(rows)
        return cls(
            **found | {each.field: _by_name(found[each.field]) for each in MAPS} | {"phase": Phase(found["phase"])},
            at_ns=at_ns,
            elapsed_s=elapsed_s(rows),
            workers=len(rows),
            cpu_user_s=int(rows["cpu_user_us"].sum()) / 1e6,
            cpu_system_s=int(rows["cpu_system_us"].sum()) / 1e6,
            events=events,
        )

    @property
    def connect_us(self) -> Latency:
        return Latency.of(self.connect_histogram)

    @property
    def answer_us(self) -> Latency:
        return Latency.of(self.answer_histogram)

    @property
    def rate_per_s(self) -> float:
        return self.opened / self.elapsed_s if self.elapsed_s > 0 else 0.0


def _by_name(counts: NDArray[np.int64]) -> dict[str, int]:
    """Most frequent first; the number 0 (no error: the peer closed) is called FIN."""
    order = sorted(np.flatnonzero(counts), key=lambda number: -counts[number])
    return {name_of(int(number)) if number else "FIN": int(counts[number]) for number in order}


@dataclass(frozen=True, slots=True)
class Loss:
    """Connections that were lost within one second."""

    at_s: int  # since the run began
    by: str  # errno, FIN: the peer closed
    count: int


@dataclass(frozen=True, slots=True)
class HoldRecord:
    """What became of `hold`. The three witnesses: `predicted` by the plan, `held` by the engine, `census`."""

    started_at: str  # ISO 8601, UTC
    wanted: int
    predicted: int  # at most
    predicted_least: int  # fewer where the kernel does not tell how other sockets got their ports
    held: int  # at the same time, once opening ended
    failed: Mapping[str, int]  # wanted and not opened, by the errno that stopped them
    stopped_by: str | None  # why we ourselves stopped short, before the kernel would have
    lost: int  # connected, then ended by someone else before we closed them
    lost_while_opening: int  # those of them that were gone when opening ended: wanted = held + failed + these
    lost_by: Mapping[str, int]
    losses: tuple[Loss, ...]  # when
    reconnected: int  # lost ones that were opened again
    reconnect_failed: Mapping[str, int]  # attempts at it, by errno
    open_at_end: int  # when closing began
    census: Witness
    agree: bool
    elapsed_s: float  # from the first start to the last one open
    rate_per_s: float
    connect_us: Latency
    requests: int  # messages sent as asked for
    answers: int  # what was expected came back
    answers_per_s: float  # on average over held_s
    answer_us: Latency
    unexpected: int  # something else came back
    unanswered: int  # expected and not there when the connection ended, though asked for more than a second before
    late: int  # not sent when due: the one before was not done, its answer missing or still being sent
    received_bytes: int
    held_s: float
    closing_s: float  # from the first close until the kernel lists none of them any more, TIME_WAIT aside
    left: int  # that it still listed when we stopped waiting
    listen_overflows: int | None  # accept queues that were full, in this network namespace; None: not readable
    syn_retransmits: int | None  # connects that were not answered at once, in this network namespace
    moved: Mapping[str, int]  # every counter of /proc/net/snmp and netstat that has grown, of this network namespace
    time_wait_left: int  # of these connections, at both ends that are here
    sharing: Sharing | None  # how they lay on ports and pairs when they were counted; None: that did not come about
    memory: MemoryUse | None  # of each; None: too few to tell
    interrupted: bool
    loop: str
    loop_because: str  # why this one
    strategy: str
    watch: str
    workers: int
    workers_killed: int  # that ended before they were told to
    rss_bytes: int
    cpu_user_s: float
    cpu_system_s: float

    @property
    def reached(self) -> bool:
        """All that were wanted were held at the same time, what was expected came back, and no worker died."""
        return self.held == self.wanted and not (self.unexpected or self.unanswered or self.workers_killed)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


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
    moved: Mapping[str, int]  # as HoldRecord
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
