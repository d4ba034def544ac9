"""The records of the limit model: a case, the room that each limit leaves in it, and the result."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from fourtuple.core.backports import StrEnum
from fourtuple.core.counters import spelled
from fourtuple.core.limits.behaviours import Behaviour
from fourtuple.core.limits.cost import CLIENT_END_BYTES, SERVER_END_BYTES
from fourtuple.core.limits.facts import World
from fourtuple.core.limits.load import Load
from fourtuple.core.limits.meters import Meter
from fourtuple.core.limits.ports import PortRoom, Route
from fourtuple.core.limits.remarks import Remark
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.limits.time_wait import TIME_WAIT_MS
from fourtuple.core.record import dataclass
from fourtuple.core.sockets.role import Role
from fourtuple.core.space.endpoints import Resolved
from fourtuple.core.space.interval import Interval, flat


class Scope(StrEnum):
    """What a limit applies to."""

    SOCKET = "socket"
    PROCESS = "process"
    USER = "user"
    CGROUP = "cgroup"
    NAMESPACE = "namespace"
    HOST = "host"
    PEER = "peer"  # the peer, or a device on the path


BOTH = (Role.CLIENT, Role.SERVER)
ROOM = {"room": "least", "room_max": "most"}  # the JSON keys


@dataclass(frozen=True, slots=True)
class Queue:
    """The accept queues of listening sockets, together. recv_q: connections waiting to be accepted"""

    listeners: int
    recv_q: int
    ceiling: int  # sum of backlog + 1
    backlog_most: int


@dataclass(frozen=True, slots=True)
class Case:
    """The situation in which limits are measured.

    ports:     None: for a server, or if the port range is unknown
    here:      the other ends are on this host too, and use its memory and files
    peers:     destination addresses that are not on this host
    per_peer:  connections that the ports allow to each of these
    running:   the process is running; False: it would be started from here
    queue:     accept queues of the relevant listeners; None: there are none, or they were not read
    load:      what each connection sends
    """

    world: World
    role: Role
    strategy: Strategy
    ports: PortRoom | None
    here: bool = False
    peers: int = 0
    per_peer: int = 0
    tuples_in_use: int = 0
    queue: Queue | None = None
    cpus: int = 1
    running: bool = False
    load: Load = Load()

    @property
    def end_bytes(self) -> int:
        if self.here:
            return CLIENT_END_BYTES + SERVER_END_BYTES
        return CLIENT_END_BYTES if self.role is Role.CLIENT else SERVER_END_BYTES

    def number(self, name: str) -> int | None:
        return self.world.number(name)


@dataclass(frozen=True, slots=True)
class Measure:
    """What one limit allows in a case.

    value:    the setting, as the kernel writes it; None: not readable
    ceiling:  total connections; None: this limit does not count connections
    room:     additional connections; None: unknown
    exact:    the kernel counts the same way; False: an estimate
    stops:    the limit stops connections; False: it limits only speed or behaviour
    note:     why the number is not exact, or where the limit applies
    fix:      in place of the row's, where some of that is done already; empty: the row's
    """

    value: str | None
    ceiling: int | None = None
    in_use: int | None = None
    room: Interval | None = None
    exact: bool = True
    stops: bool = True
    note: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Limit:
    """One row of the table of limits.

    reads:   sysctls by name, other files by path
    formula: the capacity, in words and symbols
    seen:    the symptom when exhausted
    call:    the system call that fails; empty: none
    errno:   the errno of that call; 0: no call fails
    fix:     how to raise or avoid the limit
    needs:   the privilege or change that the fix needs
    default: the kernel's default
    counters: counters of core/counters.py that increase
    moves:   text with a {} for each counter; empty: only the counters' names
    meter:   None: nothing is counted against the limit, or only ports and queues
    """

    name: str
    title: str
    scope: Scope
    roles: Sequence[Role]
    reads: Sequence[str]
    default: str
    formula: str
    seen: str
    call: str
    errno: int
    fix: str
    needs: str
    source: str
    measure: Callable[[Case], Measure | None]
    counters: Sequence[str] = ()
    moves: str = ""
    meter: Meter | None = None

    @property
    def counter(self) -> str:
        """The counters that increase, as text; empty: none."""
        names = map(spelled, self.counters)
        return self.moves.format(*names) if self.moves else ", ".join(names)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One limit in a case: the texts of its row, and its measure.

    exact: the room is one number, and the kernel counts the same way
    """

    limit: str
    title: str
    scope: Scope
    value: str | None
    ceiling: int | None
    in_use: int | None
    room: Interval | None
    exact: bool
    stops: bool
    call: str
    errno: str
    counter: str
    seen: str
    fix: str
    needs: str
    note: str


@dataclass(frozen=True, slots=True)
class Limits:
    """The result of `limits`: how many more connections are possible, and which limit decides.

    room:    None: no limit that was read stops connections
    binding: the name of the limit that decides; None: no limit does
    exact:   the room is one number, and the kernel counts the same way
    resolved: names among the destinations that have several addresses
    can_probe: --probe can tell more here
    behaviours: what is known of this kernel's behaviour
    kept_ms:  how long a connection in TIME_WAIT keeps its 4-tuple, at most
    """

    role: Role
    strategy: Strategy
    pid: int
    process: str
    netns: str
    kernel: str
    room: Interval | None
    binding: str | None
    exact: bool
    because: tuple[str, ...]
    full: tuple[str, ...]  # relevant listeners whose accept queue is full now
    waiting: int  # 4-tuples of the routes in TIME_WAIT that cannot be reused yet
    unattributed_ports: int  # ports of the range; unknown whether connect() chose them, so they may not be shareable
    probed: int | None  # ports that --probe tested; None: not requested
    sources: int
    destinations: int
    pairs: int
    routes: tuple[Route, ...]
    verdicts: tuple[Verdict, ...]
    remarks: tuple[Remark, ...]
    unknown: Mapping[str, str]
    resolved: tuple[Resolved, ...] = ()
    can_probe: bool = True
    behaviours: tuple[Behaviour, ...] = ()
    kept_ms: int = TIME_WAIT_MS

    @property
    def tightest(self) -> Verdict | None:
        return self.verdicts[0] if self.binding else None

    @property
    def is_unknown(self) -> bool:
        """Whether nothing that was read tells how many more connections fit."""
        return self.room is None and not self.full

    @property
    def is_used_up(self) -> bool:
        """Whether not one more connection fits: no room is left, or the accept queue that it would enter is full."""
        return bool(self.full) or (self.room is not None and self.room.most == 0)

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values. Each `room` becomes two keys: `room`, at least, and `room_max`, at most."""
        values = flat(asdict(self), "room", ROOM)
        for name in ("routes", "verdicts"):
            values[name] = [flat(row, "room", ROOM) for row in values[name]]
        values["behaviours"] = [asdict(each) | {"says": each.rule.says} for each in self.behaviours]
        return values
