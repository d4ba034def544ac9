"""The limit model as records: a case, what each limit leaves in it, and the answer that follows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from fourtuple.core.counters import spelled
from fourtuple.core.limits.cost import CLIENT_END_BYTES, SERVER_END_BYTES
from fourtuple.core.limits.facts import World
from fourtuple.core.limits.meters import Meter
from fourtuple.core.limits.ports import PortRoom, Route
from fourtuple.core.limits.remarks import Remark
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.sockets.role import Role
from fourtuple.core.space.interval import Interval, flat


class Scope(StrEnum):
    SOCKET = "socket"
    PROCESS = "process"
    USER = "user"
    CGROUP = "cgroup"
    NAMESPACE = "namespace"
    HOST = "host"
    PEER = "peer"  # or what lies between


BOTH = (Role.CLIENT, Role.SERVER)
ROOM = {"room": "least", "room_max": "most"}  # as JSON has it


@dataclass(frozen=True, slots=True)
class Queue:
    """Accept queues of listening sockets. recv_q: connections that wait in them to be accepted"""

    listeners: int
    recv_q: int
    ceiling: int  # sum of backlog + 1
    backlog_most: int


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked about.

    ports:     None: for a server, or where the range is unknown
    here:      the other ends are on this host too, and take their share of it
    peers:     destination addresses that are not this host's
    per_peer:  connections that the ports allow to each
    running:   the process is what it is, not one that would be started from here
    queue:     of the listeners in question; None: there are none, or it was not looked
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

    @property
    def end_bytes(self) -> int:
        if self.here:
            return CLIENT_END_BYTES + SERVER_END_BYTES
        return CLIENT_END_BYTES if self.role is Role.CLIENT else SERVER_END_BYTES

    def number(self, name: str) -> int | None:
        return self.world.number(name)


@dataclass(frozen=True, slots=True)
class Measure:
    """What a limit leaves.

    value:    the setting, as the kernel writes it; None: not to be read
    ceiling:  connections in all; None: this limit does not count connections
    room:     connections more; None: unknown
    exact:    the kernel itself counts like that; False: an estimate
    stops:    connections end here; False: it shapes, slows or colours them
    note:     why it is not exact, or where it applies
    """

    value: str | None
    ceiling: int | None = None
    in_use: int | None = None
    room: Interval | None = None
    exact: bool = True
    stops: bool = True
    note: str = ""


@dataclass(frozen=True, slots=True)
class Limit:
    """One row.

    reads:   sysctls by name, other files by path
    formula: what is available, in words and signs
    seen:    what the application or a counter shows there
    call:    the system call that fails; empty: none does
    errno:   its errno; 0: none, it is silent
    needs:   what it takes to move it
    default: as the kernel sets it
    counters: those of core/counters.py that move
    moves:   what moves, in words with a {} for each counter; empty: the counters' names
    meter:   None: nothing is counted against it, or only ports and queues are
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
        """What moves, in words; empty: nothing does."""
        names = map(spelled, self.counters)
        return self.moves.format(*names) if self.moves else ", ".join(names)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A limit as it is here: the row's words, and what it leaves. exact: one number, and the kernel counts like that"""

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
    """How many more connections there can be, and what decides.

    room:    None: nothing that was read limits them
    binding: the limit's name
    exact:   it is one number, and the kernel counts like that
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
    full: tuple[str, ...]  # listeners in question whose accept queue is full now
    waiting: int  # 4-tuples of the routes in TIME_WAIT that cannot be taken over yet
    unattributed_ports: (
        int  # of the range: the kernel does not report what chose them, so perhaps they cannot be shared
    )
    probed: int | None  # canary connections that were made to find out; None: not asked for
    sources: int
    destinations: int
    pairs: int
    routes: tuple[Route, ...]
    verdicts: tuple[Verdict, ...]
    remarks: tuple[Remark, ...]
    unknown: Mapping[str, str]

    @property
    def tightest(self) -> Verdict | None:
        return self.verdicts[0] if self.binding else None

    def to_json(self) -> dict[str, Any]:
        """Each `room` is two keys: `room`, at least, and `room_max`, at most."""
        said = flat(asdict(self), "room", ROOM)
        for name in ("routes", "verdicts"):
            said[name] = [flat(each, "room", ROOM) for each in said[name]]
        return said
