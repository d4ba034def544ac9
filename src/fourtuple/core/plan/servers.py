"""Whether the servers on this host can accept N connections: by their accept queues now, and by their open files."""

from collections.abc import Iterator, Sequence

from fourtuple.core.limits.facts import World
from fourtuple.core.limits.measures import files
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.limits.verdicts import Case
from fourtuple.core.plan.fit import QUEUE, Check, Says, Way, compared
from fourtuple.core.record import dataclass
from fourtuple.core.sockets.owners import Holders
from fourtuple.core.sockets.role import Role
from fourtuple.core.sockets.table import Sockets, four_tuples
from fourtuple.core.space.interval import Interval
from fourtuple.core.space.tuples import Destinations
from fourtuple.core.units import format_count

HEADROOM_FILES = 24  # in addition to its connections: logs, its own clients


@dataclass(frozen=True, slots=True)
class LocalServer:
    """A process on this host that listens at destinations, and the share of all connections that it is to accept.

    world:     with the facts of this process
    listening: ADDRESS:PORT of its listeners there
    """

    pid: int
    name: str
    share: float
    world: World
    listening: tuple[str, ...] = ()

    @property
    def limit(self) -> str:
        return f"RLIMIT_NOFILE of {self.name} ({self.pid})"

    @property
    def room(self) -> Interval | None:
        """Connections that its open files leave; None: unknown, or its sockets need no descriptor."""
        found = files(Case(self.world, Role.SERVER, Strategy.LATE, None, running=True))
        return found.room if found and found.stops else None


def shares(listeners: Sockets, here: Destinations, destinations: int, holders: Holders) -> dict[int, float]:
    """By the number of a process in `holders`: which part of the destinations it alone accepts connections to.

    Left out are listeners that several processes have: which of them accepts is not visible.

    listeners:    of dtype LISTENER, all at one of the destinations
    here:         those of the destinations that are on this host
    destinations: how many there are, here and elsewhere
    """
    numbers = holders.codes(listeners["inode"], listeners["uid"]).tolist()
    found: dict[int, float] = {}
    ends: dict[tuple[bytes, int], tuple[int, set[int]]] = {}
    for row, each, number in zip(listeners, four_tuples(listeners), numbers, strict=True):
        if number < len(holders.processes) and int(row["inode"]) not in holders.shared:
            address, port = each.source.address, each.source.port
            size = sum(
                addresses.size if address.is_unspecified else int(address) in addresses
                for addresses, ports in here.parts
                if port in ports
            )
            ends.setdefault((row["local"].tobytes(), port), (size, set()))[1].add(number)
    for size, owners in ends.values():
        for owner in owners:  # several share a port by SO_REUSEPORT
            found[owner] = found.get(owner, 0.0) + size / len(owners) / destinations
    return {owner: min(1.0, share) for owner, share in found.items()}


def listening(listeners: Sockets, holders: Holders) -> dict[int, tuple[str, ...]]:
    """By the number of a process in `holders`: ADDRESS:PORT of its listeners."""
    found: dict[int, list[str]] = {}
    numbers = holders.codes(listeners["inode"], listeners["uid"]).tolist()
    for each, number in zip(four_tuples(listeners), numbers, strict=True):
        found.setdefault(number, []).append(str(each.source))
    return {number: tuple(dict.fromkeys(each)) for number, each in found.items()}


def server_checks(servers: Sequence[LocalServer], full: Sequence[str], wanted: int) -> Iterator[Check]:
    """Yield what the servers leave of `wanted` connections. full: listeners whose accept queue is full now

    A queue that is full may be empty a moment later, or never: none fit for certain.
    """
    if full:
        yield Check(QUEUE, "accept queue", Interval(0, wanted), Says.PERHAPS, f"{', '.join(full)} is full")
    for server in servers:
        room = server.room
        if room is not None:
            whole = room.scaled(1 / server.share)
            note = f"ulimit -n {format_count(server.world.process.files_soft or 0)}"
            yield compared(server.limit, f"open files of {server.name} ({server.pid})", whole, wanted, note)


def server_ways(servers: Sequence[LocalServer], checks: Sequence[Check], wanted: int) -> Iterator[Way]:
    """Yield how each server whose files are too few can have more. Raising its hard limit takes CAP_SYS_RESOURCE."""
    short = {check.limit for check in checks if check.says in (Says.BLOCKS, Says.PERHAPS)}
    for server in servers:
        process = server.world.process
        soft, hard = process.files_soft, process.files_hard
        if server.limit not in short or soft is None:
            continue
        to = (process.files_open or 0) + int(wanted * server.share) + HEADROOM_FILES
        by_root = hard is not None and to > hard
        text = (
            f"a higher limit for {server.name} while it runs, if it does not keep to the one that it read at its start"
            f" (prlimit --pid {server.pid} --nofile={to}:{max(to, hard or to)}); and for good, where it is"
            " started (LimitNOFILE= of a unit, --ulimit nofile= of a container, limits.conf)"
        )
        yield Way(server.limit, by_root, text, "", ())
