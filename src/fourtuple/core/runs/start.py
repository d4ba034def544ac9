"""What is known about a run before its first connection: what was asked, found, changed and planned."""

import re
from collections.abc import Mapping
from dataclasses import field

from fourtuple.core.record import dataclass
from fourtuple.core.space.endpoints import Resolved
from fourtuple.core.talk.stages import Stages


@dataclass(frozen=True, slots=True)
class Found:
    """The host, the process and its network namespace before anything was opened. None: not available.

    machine: identifies the machine: a hash of /etc/machine-id
    uid:     effective user ID; 0 is root, possibly only of a user namespace
    sysctls: values of the sysctls that the limit model reads, by name
    """

    fourtuple: str  # version
    python: str
    host: str
    machine: str | None
    kernel: str
    cpu: str
    cpus: int
    memory_bytes: int | None
    free_bytes: int | None
    free_where: str
    files_soft: int
    files_hard: int
    files_open: int
    uid: int
    sysctls: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Changed:
    """A setting that the run itself changed, and its scope."""

    what: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Planned:
    """What hold, churn or serve intends to do. None: not applicable, or not specified.

    destinations: as URLs where a session runs on the connections; of a server where it listens
    requested: every option as text, by name (core/runs/requested.py); empty: the run is older than that
    wanted, predicted, predicted_least: connections, as in HoldRecord
    usable:   source ports that each pair of a source and a destination may use
    run_s:    how long to hold, or to serve
    stages:   how many connections are to be open at which time
    churn_per_s, churn_most_per_s: connections to replace per second, and the most that the host allows; None: any
    churn_because: the same in words, with what determines it
    here:     both ends are on this host
    resolved: names among the destinations that have several addresses
    endpoints: the destinations as ADDRESS:PORT; of very many, the first of each group (core/runs/destinations.py)
    endpoint_count: how many destinations there are
    """

    destinations: tuple[str, ...]
    loop: str
    loop_because: str
    workers: int | None
    run_s: float | None
    sources: tuple[str, ...] = ()
    strategy: str | None = None
    wanted: int | None = None
    predicted: int | None = None
    predicted_least: int | None = None
    pairs: int = 0
    usable: int = 0
    rate_per_s: float | None = None
    here: bool = True
    resolved: tuple[Resolved, ...] = ()
    stages: Stages | None = None
    churn_per_s: float = 0.0
    churn_most_per_s: float | None = None
    churn_because: str = ""
    endpoints: tuple[str, ...] = ()
    endpoint_count: int = 0
    requested: Mapping[str, str] = field(default_factory=dict)

    @property
    def targets(self) -> tuple[str, ...]:
        """The destinations as typed, with the number of addresses that are used of each name that has several."""
        notes = {each.host: _addresses(each) for each in self.resolved}
        return tuple(f"{text}{notes.get(_host(text), '')}" for text in self.destinations)


def _host(destination: str) -> str:
    """The host of HOST:PORT, or of a URL with a port."""
    return re.split(r"[/?#]", destination.strip().rpartition("://")[2], maxsplit=1)[0].rpartition(":")[0]


def _addresses(resolved: Resolved) -> str:
    if len(resolved.addresses) == 1:  # a wildcard
        return f" ({resolved.addresses[0]})"
    of = "" if len(resolved.used) > 1 else f" of {len(resolved.addresses)}"
    return f" ({len(resolved.used)}{of} addresses)"


@dataclass(frozen=True, slots=True)
class FleetPart:
    """A machine's part in the run of a fleet.

    fleet:      identifies the run on all machines
    number:     of the machine, from 1
    instead_of: the machine whose share it takes over; empty: the share is its own
    """

    fleet: str
    number: int
    machine: str
    instead_of: str = ""


@dataclass(frozen=True, slots=True)
class Start:
    """The start of a run.

    kind:  hold, churn, serve or prove
    at_ns: CLOCK_MONOTONIC, the clock of the samples
    fleet: identifies the run of a fleet on all machines; empty: it is none
    order: of a fleet, the order of all machines together as JSON, from which `fleet collect` makes a record again
    part:  a machine's part in it; None: this is the run of all machines together, or of one without a fleet
    """

    kind: str
    started_at: str  # ISO 8601, UTC
    at_ns: int
    found: Found
    changed: tuple[Changed, ...] = ()
    planned: Planned | None = None
    fleet: str = ""
    order: str = ""
    part: FleetPart | None = None
