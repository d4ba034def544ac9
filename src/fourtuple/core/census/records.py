"""The results of a census, as records: the use of 4-tuples, the ports held by bind(), the dropped connections."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any, Generic, TypeVar

from fourtuple.core.backports import Self, StrEnum
from fourtuple.core.record import dataclass
from fourtuple.core.sockets.owners import Owners
from fourtuple.core.sockets.role import Role
from fourtuple.core.space.interval import Interval, flat

LEFT = {"left": "most", "left_least": "least"}  # keys in JSON and CSV


class By(StrEnum):
    """The kind of rows in a census."""

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
    """The sockets of one source address and one destination, at one end of their connections.

    role:           client: this end is the source; server: this end is the destination, which listens
    destination:    ADDRESS:PORT
    other:          sockets neither established nor in TIME_WAIT
    close_wait:     those of `other` in CLOSE_WAIT
    used:           established, time_wait and other together
    usable:         ports that connect() can choose for a destination without connections; None: a server, or unknown
    percent:        the share of `usable` that connect() cannot choose for this pair now
    left:           the ports that connect() can choose for this pair now. The kernel does not report for every port
                    whether bind(address, 0) chose it for one socket: the lower bound assumes that it always did
    opened_per_s:   connections opened per second since the previous census; None: there was none
    exhausted_in_s: time until no port is left, if growth continues as since then; None: the use does not grow
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
    """The sockets of all pairs with one destination.

    sources:               how many source addresses there are
    source:                the one with the fewest ports left
    usable, percent, left: for this source

    Other fields are as in PairCount.
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
    """The sockets of one local port. held: bind() or listen() holds it; other fields are as in PairCount"""

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
    """The sockets in one state: all, those of clients, and those of servers."""

    state: str
    sockets: int
    clients: int
    servers: int


@dataclass(frozen=True, slots=True)
class ProcessCount:
    """The sockets of one process; pid None: sockets without a visible process.

    pairs:   how many pairs its sockets belong to
    busiest: the pair with the most of them, as `SOURCE → DESTINATION`

    Other fields are as in PairCount.
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
SomeRow = TypeVar("SomeRow", bound=Row, covariant=True)


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket.

    recv_q:   connections waiting to be accepted
    backlog:  the argument of listen(), limited to somaxconn; the queue holds one more. None: /proc does not report it
    drops:    connections dropped here since listen(); None: /proc does not report them
    in_range: its port is in the range, so connect() cannot choose this port for any destination
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
    """Sockets in CLOSE_WAIT: the other end has closed them, their program has not.

    role, destination: of the pair with the most of them
    """

    owners: Owners
    sockets: int
    role: Role
    destination: str


@dataclass(frozen=True, slots=True)
class BusiestPort:
    """The local port with the most client connections."""

    port: int
    connections: int


@dataclass(frozen=True, slots=True)
class Source:
    """Where a census was taken, and how.

    host:      the name of the host
    time:      the time of the census, in UTC (ISO 8601)
    netns:     the network namespace, as in /proc/PID/ns/net
    read_from: sock_diag, or /proc/net/tcp, which lists neither sockets that are only bound nor backlogs
    changed:   how many sockets were opened or closed during the count; None: unknown
    seconds:   how long the count took
    name:      the namespace's name in ip-netns(8), or a process in it; empty: this process's namespace
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
class CensusOf(Generic[SomeRow]):
    """The counts of the sockets of one network namespace, by one kind of rows.

    approximate:  a few sockets may be missing or counted twice: some were opened or closed during the count, or this
                  is unknown
    range:        the lowest and the highest port that connect() chooses; None: unknown
    reserved:     how many ports of the range are reserved
    blocked:      how many ports of the range bind() or listen() holds; None: not all states were counted
    usable:       how many ports of the range are neither reserved nor blocked; None: the range is unknown, or not all
                  states were counted
    unattributed_ports: how many usable ports with counted connections may belong to one socket, because the kernel does
                  not report whether connect() or bind(address, 0) chose them
    hidden_ports: at most so many more usable ports are held by sockets that the kernel does not list
    can_probe:    `limits --probe` can tell more about them
    sockets:      how many sockets are in each state; BOUND_INACTIVE: only bound
    rows:         of the kind that `by` names, the fullest first
    total:        how many rows there are, shown or not
    shared_ports: how many local ports have more than one client connection
    busiest_port: the local port with the most client connections; None: there are none
    leaks:        sockets in CLOSE_WAIT by owner
    counters:     losses since the namespace was created, by the kernel's names; softnet_stat is of the whole host
    """

    taken: Source
    approximate: bool
    range: tuple[int, int] | None
    reserved: int
    blocked: int | None
    usable: int | None
    unattributed_ports: int
    hidden_ports: int
    can_probe: bool
    sockets: Mapping[str, int]
    by: By
    rows: Sequence[SomeRow]
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
        record = asdict(self.taken) | {each.name: getattr(self, each.name) for each in fields(self)[1:]}
        record[record.pop("by").plural] = list(map(plain, record.pop("rows")))
        for name in ("listeners", "holdings", "leaks"):
            record[name] = list(map(plain, record[name]))
        return record | {"busiest_port": self.busiest_port and asdict(self.busiest_port)}


Census = CensusOf[Row]  # where it does not matter by what


def plain(row: Any) -> dict[str, Any]:
    """The fields of a record for JSON and CSV; its owners also as text."""
    record = {each.name: getattr(row, each.name) for each in fields(row)}
    if "left" in record:
        record = flat(record, "left", LEFT)
    if "owners" in record:
        record |= {"owner": str(row.owners), "owners": asdict(row.owners)}
    return record
