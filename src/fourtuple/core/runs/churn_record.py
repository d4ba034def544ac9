"""The result of a churn as a record."""

from collections.abc import Mapping
from dataclasses import asdict, field
from typing import Any

from fourtuple.core.record import dataclass
from fourtuple.core.runs.destinations import DestinationResult
from fourtuple.core.runs.histogram import NOT_MEASURED, Latency
from fourtuple.core.runs.outcome import UNJUDGED, Outcome
from fourtuple.core.runs.records import MachineResult
from fourtuple.core.space.endpoints import Resolved


@dataclass(frozen=True, slots=True)
class ChurnStep:
    """A rate that was tried in the search for the highest one.

    kept:      whether it was kept
    late:      connections that were started late, or not at all
    failed:    connections that failed or were lost
    last_us:   from the intended start to the last answer, or to connected if nothing was exchanged
    because:   names of reasons why it was not kept, as in an outcome; `plan`: the host has no room for it
    trouble:   the same in sentences
    late_here: only because connections were started late although slots were free: this end was slow
    """

    planned_per_s: float
    rate_per_s: float
    kept: bool
    arrivals: int
    late: int
    failed: int
    last_us: Latency
    because: tuple[str, ...] = ()
    trouble: str = ""
    late_here: bool = False


@dataclass(frozen=True, slots=True)
class ChurnRecord:
    """The result of `churn`.

    Every connection is accounted for: arrivals = started + not_started, and started = completed + the sum of `failed` +
    lost + open_at_end.
    """

    started_at: str  # ISO 8601, UTC
    planned_per_s: float  # connections due per second
    rate_per_s: float  # connections started per second
    completed_per_s: float
    elapsed_s: float  # in which connections were due
    arrivals: int  # connections that were due
    started: int
    not_started: int  # still waiting at the end: for a free slot, or for the processor
    late: int  # started, more than LATE_S after their moment
    completed: int  # opened, answered as many times as asked, and closed
    failed: Mapping[str, int]  # connects that failed, by errno
    lost: int  # connected, then ended by the peer, an error or the time limit before they were complete
    lost_by: Mapping[str, int]
    open_at_end: int  # neither completed nor failed when the run ended, those included that were still being opened
    expected_open: int  # at the same time, by rate and lifetime
    most_open: int  # at the same time, as sampled, those included that are being opened
    at_once: int  # how many were possible at the same time
    ports_per_s: float | None  # the rate that the ports allow; None: this end does not close by FIN
    lag_us: Latency  # from the intended start to the start
    connect_us: Latency  # from the intended start to connected
    connecting_us: Latency  # from the start to connected
    handshake_us: Latency  # of some connections, as the kernel measured it
    first_us: Latency  # from the intended start to the first answer
    first_service_us: Latency  # from the start to the first answer
    last_us: Latency  # from the intended start to the last answer
    last_service_us: Latency  # from the start to the last answer
    requests: int  # messages sent
    answers: int  # expected messages received
    unexpected: int  # other messages received
    unanswered: int  # expected, not received when the connection ended, and requested more than a second before
    received_bytes: int
    sent_bytes: int
    closed_by: str
    lifetime: str
    arrivals_by: str  # the distribution of the moments
    seed: int  # of all random numbers
    stopped_by: str | None  # why it was stopped before its time; None: it was not
    most_time_wait: int | None  # sockets of this network namespace in TIME_WAIT, as sampled; None: not readable
    time_wait_left: int | None  # at the end
    listen_overflows: int | None  # as in HoldRecord
    syn_retransmits: int | None  # as in HoldRecord
    moved: Mapping[str, int]  # as in HoldRecord
    interrupted: bool
    loop: str
    loop_because: str
    strategy: str
    workers: int
    workers_killed: int
    rss_bytes: int
    cpu_user_s: float
    cpu_system_s: float
    resolved: tuple[Resolved, ...] = ()  # names among the destinations that have several addresses
    targets: tuple[str, ...] = ()  # as in HoldRecord
    last_words: str = ""  # what the peer sent last on a connection that it then ended; empty: nothing
    scheme: str = "tcp"  # what runs on each connection (core/talk/session.py)
    sessions: int = 0  # established
    reasons: Mapping[str, int] = field(default_factory=dict)  # why sessions failed or were ended, by words
    tls_us: Latency = NOT_MEASURED  # of TLS handshakes, from connected to secured
    session_us: Latency = NOT_MEASURED  # from connected to session established
    steps: tuple[ChurnStep, ...] = ()  # the rates that `churn max` tried
    machines: tuple[MachineResult, ...] = ()  # as in HoldRecord
    destinations: tuple[DestinationResult, ...] = ()  # as in HoldRecord
    outcome: Outcome = UNJUDGED

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
