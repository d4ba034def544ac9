"""The results of a census, as records: the use of 4-tuples, the ports held by bind(), the dropped connections."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any, Self

from fourtuple.core.sockets.owners import Owners
from fourtuple.core.sockets.role import Role
from fourtuple.core.space.interval import Interval, flat

LEFT = {"left": "most", "left_least": "least"}  # keys in JSON and CSV


class By(StrEnum):
    PAIR = "pair"
    DESTINATION = "destination"
    PORT = "port"
    STATE = "state"
    PROCESS = "process"

    @property
    def plural(self) -> str:
        return "processes" if self is By.PROCESS else f"{self}s"


@dataclass(frozen=True, slots=True)
class PairCount:
    """The connections between one source address and one destination, at one of their ends.

    role:           client: the end here is the source; server: it is the destination, which listens
    destination:    ADDRESS:PORT
    other:          neither established nor in TIME_WAIT; close_wait: those of them; used: all three together
    usable:         ports that connect() chooses from, for any destination; None: a server, or the range is unknown
    percent:        of those that connect() cannot choose for this pair now; left: how many it can; the least if
                    bind(address, 0) keeps all ports for one socket each of which the kernel does not report it
    opened_per_s:   connections that were not there at the last look; None: there was none
    exhausted_in_s: until nothing is left, if it goes on growing as since then; None: it does not grow
    """

    role: Role
    source: str
    destination: str
    established: int
    time_wait: int
    other: int
    close_wait: int
    used: int
    usable: int | None
    percent: float | None
    left: Interval | None
    owners: Owners
    opened_per_s: float | None = None
    exhausted_in_s: float | None = None


@dataclass(frozen=True, slots=True)
class DestinationCount:
    """All pairs with one destination. sources: how many; source: the one that has the fewest ports left

    usable, percent, left: of that one; the rest as PairCount
    """

    role: Role
    destination: str
    sources: int
    source: str
    established: int
    time_wait: int
    other: int
    close_wait: int
    used: int
    usable: int | None
    percent: float | None
    left: Interval | None
    owners: Owners


@dataclass(frozen=True, slots=True)
class PortCount:
    """A local port. held: got by bind() or listen(); the rest as PairCount"""

    role: Role
    port: int
    held: bool
    established: int
    time_wait: int
    other: int
    close_wait: int
    used: int
    owners: Owners


@dataclass(frozen=True, slots=True)
class StateCount:
    state: str
    sockets: int
    clients: int
    servers: int


@dataclass(frozen=True, slots=True)
class ProcessCount:
    """A process, or those sockets of which none can be named: pid None.

    pairs: that it has connections of; busiest: the one with the most, as `SOURCE → DESTINATION`
    """

    pid: int | None
    name: str
    pairs: int
    busiest: str
    established: int
    time_wait: int
    other: int
    close_wait: int
    used: int


Row = PairCount | DestinationCount | PortCount | StateCount | ProcessCount


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket.

    recv_q:   connections that wait to be accepted
    backlog:  as listen() got it, cut to somaxconn; the queue holds backlog + 1. None: /proc does not report it
    drops:    connections that were dropped here since it listens; None: the same
    in_range: it costs every destination a port
    """

    address: str
    recv_q: int
    backlog: int | None
    drops: int | None
    in_range: bool
    owners: Owners


@dataclass(frozen=True, slots=True)
class Holding:
    """A port of the range that connect() cannot choose. how: `listening`, `bound`, `bound and connected`"""

    port: int
    how: str
    owners: Owners


@dataclass(frozen=True, slots=True)
class Leak:
    """Sockets in CLOSE_WAIT, which their program has not closed though the other end has.

    role, destination: of the pair that has most of them
    """

    owners: Owners
    sockets: int
    role: Role
    destination: str


@dataclass(frozen=True, slots=True)
class BusiestPort:
    port: int
    connections: int


@dataclass(frozen=True, slots=True)
class Source:
    """Where a census was taken, and how.

    host, time: its name, and when that was, in UTC (ISO 8601)
    netns:     as /proc/PID/ns/net names it; name: what ip-netns(8) calls it, or a process in it; empty: our own
    read_from: sock_diag, or /proc/net/tcp, which has no sockets that are only bound, and no backlogs
    changed:   sockets that were opened or closed during the count; None: unknown
    """

    host: str
    time: str
    netns: str
    kernel: str
    read_from: str
    changed: int | None
    seconds: float
    name: str = ""


@dataclass(frozen=True)
class Census:
    """The sockets of one network namespace, counted.

    approximate:  sockets were opened or closed during the count, or that is unknown:
                  a few may be missing, or counted twice
    range:        the lowest and the highest port that connect() chooses; None: not known
    reserved:     ports of it that are reserved; blocked: got by bind() or listen(); usable: what is left; the latter
                  two are None where not all states were asked for
    unattributed_ports: usable ones of which the kernel does not report what chose them: bind(address, 0) keeps one for
                  itself; of the connections asked about
    sockets:      by state; BOUND_INACTIVE: only bound
    rows:         of the kind that `by` names, the worst first; total: how many there are
    shared_ports: local ports with more than one connection of a client; busiest_port: the one with the most
    leaks:        sockets in CLOSE_WAIT by owner
    counters:     what was lost since the namespace was made, by the kernel's names; softnet_stat is the host's
    """

    taken: Source
    approximate: bool
    range: tuple[int, int] | None
    reserved: int
    blocked: int | None
    usable: int | None
    unattributed_ports: int
    sockets: Mapping[str, int]
    by: By
    rows: Sequence[Row]
    total: int
    listeners: tuple[Listener, ...]
    holdings: tuple[Holding, ...]
    shared_ports: int
    busiest_port: BusiestPort | None
    leaks: tuple[Leak, ...]
    counters: Mapping[str, int]
    warnings: tuple[str, ...] = ()

    def first(self, most: int | None) -> Self:
        """Return the census with at most that many client rows and server rows; None: with all."""
        if self.by not in (By.PAIR, By.DESTINATION):
            return replace(self, rows=self.rows[:most])
        roles = [[row for row in self.rows if getattr(row, "role", None) is role] for role in Role]
        return replace(self, rows=[row for rows in roles for row in rows[:most]])

    def to_json(self) -> dict[str, Any]:
        """The census for JSON, its rows under their kind: `pairs`, `destinations`, `ports`, `states`, `processes`."""
        said = asdict(self.taken) | {each.name: getattr(self, each.name) for each in fields(self)[1:]}
        said[said.pop("by").plural] = list(map(plain, said.pop("rows")))
        for name in ("listeners", "holdings", "leaks"):
            said[name] = list(map(plain, said[name]))
        return said | {"busiest_port": self.busiest_port and asdict(self.busiest_port)}


def plain(row: Any) -> dict[str, Any]:
    """The fields of a record for JSON and CSV; its owners also as text."""
    said = {each.name: getattr(row, each.name) for each in fields(row)}
    if "left" in said:
        said = flat(said, "left", LEFT)
    if "owners" in said:
        said |= {"owner": str(row.owners), "owners": asdict(row.owners)}
    return said
