"""A run as records: samples of all workers together, what the kernel reported, and the final result."""

from collections.abc import Mapping
from dataclasses import asdict, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.backports import Self, StrEnum
from fourtuple.core.errnos import name_of
from fourtuple.core.record import dataclass
from fourtuple.core.runs import reasons
from fourtuple.core.runs.counters import MAPS, Counters, Merge, Phase, first_and_last_ns, merged
from fourtuple.core.runs.destinations import DestinationResult
from fourtuple.core.runs.histogram import NOT_MEASURED, Latency
from fourtuple.core.runs.memory import MemoryUse
from fourtuple.core.runs.outcome import UNJUDGED, Outcome
from fourtuple.core.runs.spread import Sharing
from fourtuple.core.runs.start import Start
from fourtuple.core.space.endpoints import FourTuple, Resolved


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a log: an event on a connection.

    detail: the data received, or how the connection ended
    """

    kind: str  # connected, accepted, received, closed, lost
    four_tuple: FourTuple
    detail: str = ""


@dataclass(frozen=True, slots=True)
class AcceptQueue:
    """A listener of the server, and its accept queue.

    listener: ADDRESS:PORT, or unix:NAME as it was bound
    waiting:  connections that wait to be accepted (Recv-Q of ss)
    backlog:  the limit of the queue (Send-Q of ss); 0: not known
    pid:      a process that has the listener; None: not visible
    name:     its name; empty: not visible
    """

    listener: str
    waiting: int
    backlog: int
    pid: int | None
    name: str


@dataclass(frozen=True, slots=True)
class Witness:
    """A count of a run's own connections in the kernel's socket table, at a moment when the engine had a count, too.

    client:   established sockets of the run; from /proc/net/tcp: those in its tuple space that did not exist before
    server:   the same at the other end; None: that end is not visible in this network namespace
    accepted: how many of `server` accept() has returned; the others wait in an accept queue
    by:       sock_diag, /proc/net/tcp, or unix_diag for Unix sockets
    least, most: how many the engine held before and after the count; None: not recorded
    queues:   the listeners at the other end, the longest queue first
    """

    client: int
    server: int | None
    accepted: int | None
    by: str
    least: int | None = None
    most: int | None = None
    queues: tuple[AcceptQueue, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """What the kernel reported since the start of a run, activity of other programs included. None: not reported.

    connections:  increase in the namespace's number of TCP sockets, or of Unix sockets if the run is over these; halved
                  if both ends are here
    memory_bytes: decrease in free memory
    time_wait:    sockets in TIME_WAIT in the namespace now
    moved:        increase of each counter of /proc/net/snmp and netstat that has grown
    """

    connections: int | None
    memory_bytes: int | None
    moved: Mapping[str, int]
    time_wait: int | None = None


class Standing(StrEnum):
    """Whether a machine of a fleet takes part in its run."""

    READY = "ready"
    RUNNING = "running"
    SILENT = "silent"  # no sample for a while
    ENDED = "ended"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class MachineMoment:
    """A machine of a fleet, and its own share of the run, at the moment of a sample.

    number:   from 1, in the order of the fleet; it stays the same during a run
    silent_s: how long ago its last sample was taken
    why:      why it is gone; empty: it is not
    instead_of: the machine whose share it took over; empty: the share is its own
    """

    number: int
    name: str
    standing: Standing
    sample: "Sample"
    silent_s: float = 0.0
    why: str = ""
    instead_of: str = ""


@dataclass(frozen=True, slots=True)
class MachineResult:
    """What became of a machine's share of a run.

    wanted, held, lost, failed, open_at_end: connections, as in HoldRecord; of a churn the due and the completed ones,
                 of a serve the accepted ones and the most that were open
    census:      the count of the machine's own kernel; None: there was none
    at_servers:  connections from its addresses that are established in the kernels of the servers, as these list them
                 at the same moment; None: no server is a machine of the fleet
    offset_us, error_us: of its clock, as in Member (core/fleet/member.py)
    gone_s:      when it was gone, in seconds since the run began; None: it ended in order
    why:         why it was gone, or could not take part; empty: it ended in order
    instead_of:  the machine whose share it took over; empty: the share is its own
    run:         the number of its part in the machine's own store; None: it was not stored there
    """

    number: int
    name: str
    host: str
    sources: tuple[str, ...]
    wanted: int
    held: int
    lost: int
    failed: Mapping[str, int]
    open_at_end: int
    census: Witness | None
    at_servers: int | None
    elapsed_s: float
    rate_per_s: float
    connect_us: Latency
    workers: int
    rss_bytes: int
    cpu_user_s: float
    cpu_system_s: float
    offset_us: float
    error_us: float
    gone_s: float | None = None
    why: str = ""
    instead_of: str = ""
    run: int | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """All workers together at one moment."""

    at_ns: int  # CLOCK_MONOTONIC
    phase: Phase  # of the slowest worker
    wanted: int
    capacity: int
    arrivals: int
    started: int
    opening: int
    open: int
    opened: int
    closed: int
    lost: int
    greeted: int
    greeting: int
    sessions: int
    reconnected: int
    replaced: int
    stage: int
    target: int
    requests: int
    answers: int
    unexpected: int
    unanswered: int
    late: int
    unsent: int
    received_bytes: int
    sent_bytes: int
    elapsed_s: float  # from the first connect() to the last connection open
    workers: int
    rss_bytes: int
    cpu_user_s: float
    cpu_system_s: float
    failed: Mapping[str, int]
    lost_by: Mapping[str, int]
    reconnect_failed: Mapping[str, int]
    reasons: Mapping[str, int]  # why sessions ended, by words
    connect_histogram: NDArray[np.int64] = field(repr=False)  # of microseconds, see core/runs/histogram.py
    handshake_histogram: NDArray[np.int64] = field(repr=False)
    answer_histogram: NDArray[np.int64] = field(repr=False)
    service_histogram: NDArray[np.int64] = field(repr=False)
    tls_histogram: NDArray[np.int64] = field(repr=False)
    session_histogram: NDArray[np.int64] = field(repr=False)
    lag_histogram: NDArray[np.int64] = field(repr=False)
    connecting_histogram: NDArray[np.int64] = field(repr=False)
    first_histogram: NDArray[np.int64] = field(repr=False)
    first_service_histogram: NDArray[np.int64] = field(repr=False)
    last_histogram: NDArray[np.int64] = field(repr=False)
    last_service_histogram: NDArray[np.int64] = field(repr=False)
    pairs: NDArray[np.int64] = field(repr=False)  # opened so far, by the pair's bin, see core/runs/spread.py
    destinations: NDArray[np.int64] = field(repr=False)  # see core/runs/destinations.py
    events: tuple[Event, ...] = field(default=(), repr=False)
    start: Start | None = field(default=None, repr=False)  # the start of its run
    seen: Seen | None = None
    census: Witness | None = None  # set once opening has ended and the kernel's table has been counted
    identified: int = 0  # the last identification that all workers have done (engine/workloads/identifier.py)
    open_at_end: int = 0  # connections open when closing began
    stage_open: tuple[int, ...] = ()  # connections open at the end of each stage that is over
    last_words: bytes = b""  # the last data from a peer that ended a connection
    first_start_ns: int = 0  # when the first connect started; 0: not yet
    last_open_ns: int = 0  # when the last connection was opened; 0: not yet
    machines: tuple[MachineMoment, ...] = field(default=(), repr=False)  # of a fleet; this sample is their sum

    @classmethod
    def of(cls, rows: Counters, at_ns: int, events: tuple[Event, ...] = ()) -> Self:
        """The sample that results from merging the rows of all workers.

        rows: (workers,) of COUNTERS
        """
        found = merged(rows)
        first_ns, last_ns = first_and_last_ns(rows)
        by_errno = {each.field: _by_name(found[each.field]) for each in MAPS if each.merge is Merge.SUM}
        return cls(
            **found | by_errno | {"phase": Phase(found["phase"])},
            reasons=reasons.total(rows["reasons"]),
            stage_open=tuple(rows["stage_open"].sum(axis=0)[: found["stage"]].tolist()),
            at_ns=at_ns,
            first_start_ns=first_ns,
            last_open_ns=last_ns,
            elapsed_s=elapsed_s(first_ns, last_ns),
            workers=len(rows),
            cpu_user_s=int(rows["cpu_user_us"].sum()) / 1e6,
            cpu_system_s=int(rows["cpu_system_us"].sum()) / 1e6,
            last_words=next((words for row in rows if (words := row["last_words"].tobytes().rstrip(b"\0"))), b""),
            events=events,
        )

    @property
    def connect_us(self) -> Latency:
        return Latency.of(self.connect_histogram)

    @property
    def handshake_us(self) -> Latency:
        return Latency.of(self.handshake_histogram)

    @property
    def answer_us(self) -> Latency:
        return Latency.of(self.answer_histogram)

    @property
    def service_us(self) -> Latency:
        return Latency.of(self.service_histogram)

    @property
    def tls_us(self) -> Latency:
        return Latency.of(self.tls_histogram)

    @property
    def session_us(self) -> Latency:
        return Latency.of(self.session_histogram)

    @property
    def lag_us(self) -> Latency:
        return Latency.of(self.lag_histogram)

    @property
    def connecting_us(self) -> Latency:
        return Latency.of(self.connecting_histogram)

    @property
    def first_us(self) -> Latency:
        return Latency.of(self.first_histogram)

    @property
    def first_service_us(self) -> Latency:
        return Latency.of(self.first_service_histogram)

    @property
    def last_us(self) -> Latency:
        return Latency.of(self.last_histogram)

    @property
    def last_service_us(self) -> Latency:
        return Latency.of(self.last_service_histogram)

    @property
    def rate_per_s(self) -> float:
        return self.opened / self.elapsed_s if self.elapsed_s > 0 else 0.0


def elapsed_s(first_start_ns: int, last_open_ns: int) -> float:
    """Seconds from the first connect() to the last connection opened."""
    return max(0, last_open_ns - first_start_ns) / 1e9 if first_start_ns else 0.0


def _by_name(counts: NDArray[np.int64]) -> dict[str, int]:
    """Counts by errno name, most frequent first; errno 0 (no error: the peer closed) is called FIN."""
    order = sorted(np.flatnonzero(counts), key=lambda number: -counts[number])
    return {name_of(int(number)) if number else "FIN": int(counts[number]) for number in order}


@dataclass(frozen=True, slots=True)
class Loss:
    """Connections that were lost within one second."""

    at_s: int  # since the run began
    by: str  # errno, FIN: the peer closed
    count: int


@dataclass(frozen=True, slots=True)
class StageResult:
    """What became of a stage of --stages.

    target:      connections that were to be open at its end
    within_s:    how long it took
    open_at_end: how many were open at its end, those included that were being replaced; None: the run ended before
    reached_s:   when the target was reached, in seconds since the first stage began; None: not within the stage, or it
                 is the same as before
    failed, lost: connections that failed or were lost meanwhile
    """

    target: int
    within_s: float
    open_at_end: int | None
    reached_s: float | None
    failed: int
    lost: int
    reached: bool


@dataclass(frozen=True, slots=True)
class HoldRecord:
    """The result of `hold`.

    The three witnesses are `predicted` (the plan), `held` (the engine) and `census` (the kernel).
    """

    started_at: str  # ISO 8601, UTC
    wanted: int
    predicted: int  # at most
    predicted_least: int  # fewer than `predicted` if the kernel does not report how other sockets got their ports
    held: int  # at the same time, once opening ended and engine and kernel counted the same
    failed: Mapping[str, int]  # connections wanted and not opened, by errno
    stopped_by: str | None  # why opening was stopped before the kernel refused; None: it was not
    lost: int  # connected, then ended by the peer, the kernel or a worker's death
    lost_while_opening: int  # of these, gone when `held` was counted: wanted = held + failed + lost_while_opening
    lost_by: Mapping[str, int]
    losses: tuple[Loss, ...]  # `lost` by second
    reconnected: int  # lost connections that were reopened
    reconnect_failed: Mapping[str, int]  # failed attempts to reopen, by errno
    open_at_end: int  # when closing began
    census: Witness
    agree: bool  # no witness contradicts another, as the outcome has it
    elapsed_s: float  # from the first connect() to the last connection open
    rate_per_s: float
    connect_us: Latency  # with the batch in which a connect was begun
    handshake_us: Latency = field(default=NOT_MEASURED, kw_only=True)  # of some connections, as the kernel measured it
    requests: int  # messages sent
    answers: int  # expected messages received
    answers_per_s: float  # on average over held_s
    answer_us: Latency  # from the moment when the message was due
    service_us: Latency = field(default=NOT_MEASURED, kw_only=True)  # from the moment when it was sent
    unexpected: int  # other messages received
    unanswered: int  # expected, not received when the connection ended, and requested more than a second before
    late: int  # not sent when due: the previous message was still being sent, or its answer was missing
    unsent: int = field(default=0, kw_only=True)  # of these, due for more than a second when the connection ended
    received_bytes: int
    held_s: float
    closing_s: float  # from the first close until the kernel lists none of them any more, excluding TIME_WAIT
    left: int  # sockets that it still listed when the run stopped waiting
    listen_overflows: int | None  # increase of ListenOverflows, in this network namespace; None: not readable
    syn_retransmits: int | None  # increase of TCPSynRetrans, in this network namespace; None: not readable
    moved: Mapping[str, int]  # increase of each counter that has grown, in this network namespace
    time_wait_left: int  # sockets of these connections in TIME_WAIT at the end, at the ends in this namespace
    sharing: Sharing | None  # their distribution over ports and pairs when counted; None: they were never counted
    memory: MemoryUse | None  # memory of each connection; None: too few connections to tell
    interrupted: bool
    loop: str
    loop_because: str  # why this loop was chosen
    strategy: str  # how source ports were chosen; unix: the connections are of Unix sockets
    watch: str
    workers: int
    workers_killed: int  # workers that died during the run
    rss_bytes: int
    cpu_user_s: float
    cpu_system_s: float
    resolved: tuple[Resolved, ...] = ()  # names among the destinations that have several addresses
    targets: tuple[
        str, ...
    ] = ()  # destinations as typed, without scheme and path; none: a version that did not record them
    census_at_end: Witness | None = None  # when closing began; None: a version that did not count then
    last_words: str = ""  # what the peer sent last on a connection that it then ended; empty: nothing
    # The first and the last loss, since the run began; None: there was none after connections had been opened.
    lost_between_s: tuple[float, float] | None = None
    scheme: str = "tcp"  # what runs on each connection (core/talk/session.py)
    sessions: int = 0  # established so far, those of reopened connections included
    reasons: Mapping[str, int] = field(default_factory=dict)  # why sessions failed or were ended, by words
    tls_us: Latency = NOT_MEASURED  # of TLS handshakes, from connected to secured
    session_us: Latency = NOT_MEASURED  # from connected to session established
    replaced: int = 0  # connections that were closed as planned and reopened
    churn_per_s: float = 0.0  # connections to replace per second
    replaced_per_s: float = 0.0  # on average while connections were being replaced
    stages: tuple[StageResult, ...] = ()
    machines: tuple[MachineResult, ...] = ()  # of a fleet; this record is their sum
    destinations: tuple[DestinationResult, ...] = ()  # most failures first; the last one may be the sum of many
    every_s: float | None = None  # the interval between messages on a connection; None: none are sent
    outcome: Outcome = UNJUDGED

    @property
    def wanted_at_end(self) -> int:
        """How many connections are to be open at the end."""
        return self.stages[-1].target if self.stages else self.wanted

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ServeRecord:
    """The result of `serve`."""

    listening: tuple[str, ...]
    accepted: int
    most_open: int  # open at the same time, as sampled
    capacity: int = field(default=0, kw_only=True)  # that the workers could hold together; 0: not recorded
    open: int  # open when it was told to stop
    closed: int  # by the server: --close-after, or at the end
    lost: int  # closed or reset by the client
    lost_by: Mapping[str, int]
    failed: Mapping[str, int]  # accepts that failed, by errno
    greeted: int
    received_bytes: int
    sent_bytes: int
    listen_overflows: int | None  # as in HoldRecord
    moved: Mapping[str, int]  # as in HoldRecord
    elapsed_s: float  # from listening to the end
    interrupted: bool
    loop: str
    loop_because: str
    workers: int
    workers_killed: int  # workers that died during the run
    rss_bytes: int
    cpu_user_s: float
    cpu_system_s: float
    waiting: int | None = None  # connections in the accept queues when it stopped (Recv-Q); None: not known
    scheme: str = "tcp"  # what it speaks on each connection (core/talk/session.py)
    sessions: int = 0  # established
    reasons: Mapping[str, int] = field(default_factory=dict)  # why sessions failed or were ended, by words
    machines: tuple[MachineResult, ...] = ()  # as in HoldRecord
    outcome: Outcome = UNJUDGED

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
