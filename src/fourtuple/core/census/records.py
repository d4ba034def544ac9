"""What a census finds, as records: who uses which 4-tuples, who keeps ports from everybody, what was lost."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.census.usage import COUNT_OF, COUNTS, PAIR, ROW, Rows, Usage
from fourtuple.core.counters import SILENT
from fourtuple.core.limits.facts import World
from fourtuple.core.limits.ports import TIME_WAIT_MS, Numbers
from fourtuple.core.sockets.owners import NAMELESS, Holders, Owners
from fourtuple.core.sockets.role import Role
from fourtuple.core.sockets.table import SOCK_DIAG, State, four_tuples


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
    percent:        of those that connect() cannot choose for this pair now; left: how many it can, at most; left_least:
                    if all ports were lost of which nobody tells whether bind(address, 0) keeps them for one socket
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
    left: int | None
    left_least: int | None
    owners: Owners
    opened_per_s: float | None = None
    exhausted_in_s: float | None = None


@dataclass(frozen=True, slots=True)
class DestinationCount:
    """All pairs with one destination. sources: how many; source: the one that has the fewest ports left

    usable, percent, left, left_least: of that one; the rest as PairCount
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
    left: int | None
    left_least: int | None
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

    waiting:  connections that wait to be accepted; queue: how many can; None: /proc does not tell
    drops:    connections that were lost here since it listens; None: the same
    in_range: it costs every destination a port
    """

    address: str
    waiting: int
    queue: int | None
    drops: int | None
    in_range: bool
    owners: Owners


@dataclass(frozen=True, slots=True)
class Holding:
    """A port of the range that connect() cannot choose for anybody. how: `listening`, `bound`, `bound and connected`"""

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
    changed:   sockets that came or went meanwhile; None: not to be told
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

    approximate:  some came or went meanwhile, or that is not to be told: a few may be missing, or counted twice
    range:        the lowest and the highest port that connect() chooses; None: not known
    reserved:     ports of it that are reserved; blocked: got by bind() or listen(); usable: what is left; the latter
                  two are None where not all states were asked for
    open_ports:   usable ones of which nobody tells whether they can be shared: bind(address, 0) keeps one for itself;
                  of the connections asked about
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
    open_ports: int
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
        """With no more rows than that, of clients and of servers; None: as it is."""
        if self.by not in (By.PAIR, By.DESTINATION):
            return replace(self, rows=self.rows[:most])
        roles = [[row for row in self.rows if getattr(row, "role", None) is role] for role in Role]
        return replace(self, rows=[row for rows in roles for row in rows[:most]])

    def to_json(self) -> dict[str, Any]:
        """Rows come under the name of their kind: `pairs`, `destinations`, `ports`, `states`, `processes`."""
        said = asdict(self.taken) | {each.name: getattr(self, each.name) for each in fields(self)[1:]}
        said[said.pop("by").plural] = list(map(plain, said.pop("rows")))
        for name in ("listeners", "holdings", "leaks"):
            said[name] = list(map(plain, said[name]))
        return said | {"busiest_port": self.busiest_port and asdict(self.busiest_port)}


def plain(row: Any) -> dict[str, Any]:
    """A record's fields, as JSON and CSV have them: its owners in words, too."""
    said = {each.name: getattr(row, each.name) for each in fields(row)}
    if "owners" in said:
        said |= {"owner": str(row.owners), "owners": asdict(row.owners)}
    return said


@dataclass(frozen=True)
class View:
    """The groups of sockets that are to be shown, before it is known whose they are. Make one with `View.of`.

    groups: (groups,), their numbers; for PORT the lower 16 bits are the port
    pairs:  (groups,), of each the pair that has taken most ports; sizes: how many pairs it has
    counts: (groups, 4), sockets as in COUNTS
    rows:   those of these groups, each `pair` replaced by the group's place
    total:  how many groups there are
    most:   so many are to be shown; None: all
    """

    usage: Usage
    by: By
    most: int | None
    groups: Numbers
    pairs: Numbers
    sizes: Numbers
    counts: Numbers
    rows: Rows
    total: int

    @classmethod
    def of(cls, usage: Usage, by: By, most: int | None) -> Self:
        """most: so many of clients, and of servers, those with the most ports taken and sockets first; None: all"""
        pairs = np.arange(len(usage.pairs))
        if by is By.DESTINATION:
            _, keys = np.unique(usage.pairs[["destination", "port", "is_server"]], return_inverse=True)
        else:
            keys = pairs if by is By.PAIR else np.zeros(len(pairs), np.int64)
        group_of = partial(_group_of, usage, by, keys)
        size = 2 << 16 if by is By.PORT else int(keys.max(initial=-1)) + 1
        counts, first = np.zeros((size, len(COUNTS)), np.int64), np.zeros(size, np.int64)
        for rows in usage.chunks:
            groups = group_of(rows)
            counts += np.bincount(groups * 4 + COUNT_OF[rows["state"]], minlength=4 * size).reshape(-1, 4)
            first[groups] = rows["pair"]
        if by is not By.PORT:
            order = usage.worst()[::-1]
            first[keys[order]] = order  # the worst is written last
        taken = usage.pairs["taken"][first].astype(np.int64) if len(pairs) and by is not By.PORT else np.zeros(size)
        is_server = usage.pairs["is_server"][first] if len(pairs) else np.zeros(size, bool)
        shown = np.lexsort((-counts.sum(axis=1), -taken, is_server & (by is not By.PORT)))
        shown = shown[counts[shown].any(axis=1)]
        total = len(shown)
        if by is By.PORT:
            shown = shown[:most]
        else:
            shown = np.concatenate([shown[~is_server[shown]][:most], shown[is_server[shown]][:most]])
        place = np.full(size, -1)
        place[shown] = np.arange(len(shown))
        found = [np.zeros(0, ROW)]
        for rows in usage.chunks:
            places = place[group_of(rows)]
            chosen = rows[places >= 0]
            chosen["pair"] = places[places >= 0]
            found.append(chosen)
        sizes = np.bincount(keys, minlength=size)[shown]
        return cls(usage, by, most, shown, first[shown], sizes, counts[shown], np.concatenate(found), total)

    @property
    def inodes(self) -> NDArray[np.uint32]:
        """Of all sockets whose owners will be named."""
        usage = self.usage
        others = [usage.listeners["inode"], usage.holders["inode"], usage.in_state(State.CLOSE_WAIT)["inode"]]
        return np.concatenate([self.rows["inode"], *others])

    def census(
        self,
        taken: Source,
        world: World,
        holders: Holders,
        before: Usage | None = None,
        since_s: float = 0,
        *,
        whole: bool = True,
    ) -> Census:
        """before: the usage that was found `since_s` ago, to tell what has changed

        whole: all states were asked for; else nobody knows what is left of the ports
        """
        usage, facts = self.usage, world.ports
        if self.by is By.STATE:
            rows: list[Row] = list(states_of(usage))
        elif self.by is By.PROCESS:
            rows = list(_processes(self, holders))
        else:
            owners = holders.owners(self.rows["pair"], self.rows["inode"], self.rows["uid"], len(self.groups))
            rows = list(_rows(self, owners, usage.usable if facts and whole else None))
        total = self.total
        if self.by in (By.STATE, By.PROCESS):
            total, rows = len(rows), rows[: self.most]
        if before is not None and self.by is By.PAIR:
            rows = list(_moving(self, rows, before, since_s))
        ports = usage.connections
        busiest = int(ports.argmax())
        return Census(
            taken=taken,
            approximate=taken.changed != 0,
            range=(facts.port_range.start, facts.port_range.stop - 1) if facts else None,
            reserved=len(facts.port_range) - facts.automatic_ports.size if facts else 0,
            blocked=usage.blocked if whole else None,
            usable=usage.usable if facts and whole else None,
            open_ports=int(usage.open.sum()),
            sockets={each.state: each.sockets for each in states_of(usage)},
            by=self.by,
            rows=rows,
            total=total,
            listeners=tuple(_listeners(usage, holders, known=taken.read_from == SOCK_DIAG)),
            holdings=tuple(_holdings(usage, holders)) if whole else (),
            shared_ports=int((ports > 1).sum()),
            busiest_port=BusiestPort(busiest, int(ports[busiest])) if ports[busiest] else None,
            leaks=tuple(_leaks(usage, holders)),
            counters={name: world.counters[name] for name in SILENT if name in world.counters},
        )


def _group_of(usage: Usage, by: By, keys: Numbers, rows: Rows) -> Numbers:
    groups: Numbers = keys[rows["pair"]]
    if by is By.PORT:
        is_server = usage.pairs["is_server"][rows["pair"]]
        groups = is_server * (1 << 16) + np.where(is_server, usage.pairs["port"][rows["pair"]], rows["port"])
    return groups


def _share(usage: Usage, pair: int, usable: int | None) -> tuple[int | None, float | None, int | None, int | None]:
    """(usable, percent, left, at least) of a client's pair"""
    if usable is None or usage.pairs["is_server"][pair]:
        return None, None, None, None
    taken = int(usage.pairs["taken"][pair])
    left = max(0, usable - taken)
    least = max(0, left - int(usage.unsure[pair]))
    return usable, round(100 * taken / usable, 1) if usable else 100.0, left, least


def _rows(view: View, owners: Sequence[Owners], usable: int | None) -> Iterator[Row]:
    usage = view.usage
    for place, pair in enumerate(view.pairs.tolist()):
        role = Role.SERVER if usage.pairs["is_server"][pair] else Role.CLIENT
        established, time_wait, close_wait, rest = view.counts[place].tolist()
        other = close_wait + rest
        sockets = (established, time_wait, other, close_wait, established + time_wait + other)
        if view.by is By.PORT:
            port = int(view.groups[place]) & 0xFFFF
            yield PortCount(role, port, bool(usage.bound[port]), *sockets, owners[place])
            continue
        source, destination, share = usage.source(pair), usage.destination(pair), _share(usage, pair, usable)
        if view.by is By.DESTINATION:
            sources = int(view.sizes[place])
            yield DestinationCount(role, destination, sources, source, *sockets, *share, owners[place])
        else:
            yield PairCount(role, source, destination, *sockets, *share, owners[place])


def _moving(view: View, rows: Sequence[Row], before: Usage, since_s: float) -> Iterator[Row]:
    usage = view.usage
    opened, numbers = usage.opened_since(before, since_s), usage.like(before)
    for pair, row in zip(view.pairs.tolist(), rows, strict=True):
        assert isinstance(row, PairCount)  # noqa: S101  (for the type checker)
        was = before.pairs[numbers[pair]] if numbers[pair] >= 0 else np.zeros(1, PAIR)[0]
        grown = int(usage.pairs["taken"][pair]) - int(was["taken"])
        waits = int(usage.pairs["time_wait"][pair]) - int(was["time_wait"])
        per_s = int(opened[pair]) / since_s
        steady = row.used - row.time_wait + per_s * TIME_WAIT_MS / 1000  # where as many leave TIME_WAIT as enter it
        levels_off = grown <= waits and row.usable is not None and steady < row.usable
        grows = row.left is not None and grown > 0 and not levels_off
        ends_s = row.left * since_s / grown if grows and row.left is not None else None
        yield replace(row, opened_per_s=round(per_s, 1), exhausted_in_s=ends_s)


def states_of(usage: Usage) -> Iterator[StateCount]:
    clients, servers = usage.states
    idle = {State.LISTEN: len(usage.listeners), State.CLOSE: usage.idle}
    for state in State:
        if state is State.BOUND_INACTIVE:
            continue
        sockets = int(clients[state] + servers[state]) + idle.get(state, 0)
        if sockets:
            name = State.BOUND_INACTIVE.name if state is State.CLOSE else state.name
            yield StateCount(name, sockets, int(clients[state]), int(servers[state]))


def _processes(view: View, holders: Holders) -> Iterator[ProcessCount]:
    usage, codes = view.usage, [holders.codes(rows["inode"], rows["uid"]) for rows in view.usage.chunks]
    size = len(holders.processes) + len(NAMELESS)
    counts, pairs = np.zeros((size, len(COUNTS)), np.int64), [np.zeros(0, np.int64)]
    for rows, code in zip(usage.chunks, codes, strict=True):
        counts += np.bincount(code * 4 + COUNT_OF[rows["state"]], minlength=4 * size).reshape(-1, 4)
        pairs.append(code << 32 | rows["pair"].astype(np.int64))
    keys, sizes = np.unique(np.concatenate(pairs), return_counts=True)
    for code in np.argsort(-counts.sum(axis=1), kind="stable").tolist():
        established, time_wait, close_wait, rest = counts[code].tolist()
        used = established + time_wait + close_wait + rest
        if not used:
            continue
        own = keys >> 32 == code
        busiest = int(keys[own][sizes[own].argmax()]) & 0xFFFFFFFF
        pid, name = (*holders.processes, *((None, each) for each in NAMELESS))[code]
        yield ProcessCount(
            pid=pid,
            name=name,
            pairs=int(own.sum()),
            busiest=f"{usage.source(busiest)} → {usage.destination(busiest)}",
            established=established,
            time_wait=time_wait,
            other=close_wait + rest,
            close_wait=close_wait,
            used=used,
        )


def _listeners(usage: Usage, holders: Holders, *, known: bool) -> Iterator[Listener]:
    """The fullest first."""
    table = usage.listeners
    owners = holders.owners(np.arange(len(table)), table["inode"], table["uid"], len(table))
    full = table["rqueue"].astype(np.int64) * 1000 // (table["wqueue"].astype(np.int64) + 1)
    for place in np.lexsort((table["local_port"], -full)).tolist():
        row = table[place]
        yield Listener(
            address=str(four_tuples(table[place : place + 1])[0].source),
            waiting=int(row["rqueue"]),
            queue=int(row["wqueue"]) + 1 if known else None,
            drops=int(row["drops"]) if known else None,
            in_range=bool(usage.automatic[row["local_port"]]),
            owners=owners[place],
        )


def _holdings(usage: Usage, holders: Holders) -> Iterator[Holding]:
    ports = np.flatnonzero(usage.automatic & usage.bound)
    held = usage.holders[ports]
    owners = holders.owners(np.arange(len(ports)), held["inode"], held["uid"], len(ports))
    how = {int(State.LISTEN): "listening", int(State.CLOSE): "bound"}
    for port, state, owner in zip(ports.tolist(), held["state"].tolist(), owners, strict=True):
        yield Holding(port, how.get(state, "bound and connected"), owner)


def _leaks(usage: Usage, holders: Holders) -> Iterator[Leak]:
    rows = usage.in_state(State.CLOSE_WAIT)
    _, groups = np.unique(holders.codes(rows["inode"], rows["uid"]), return_inverse=True)
    owners = holders.owners(groups, rows["inode"], rows["uid"], int(groups.max(initial=-1)) + 1)
    leaks = []
    for number, each in enumerate(owners):
        pairs = rows["pair"][groups == number]
        busiest = int(np.bincount(pairs).argmax())
        role = Role.SERVER if usage.pairs["is_server"][busiest] else Role.CLIENT
        leaks.append(Leak(each, len(pairs), role, usage.destination(busiest)))
    yield from sorted(leaks, key=lambda leak: -leak.sockets)
