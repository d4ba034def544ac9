"""Which groups of sockets a census shows, and the records made of them and of its other findings."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.backports import Self
from fourtuple.core.census.records import (
    BusiestPort,
    By,
    Census,
    DestinationCount,
    Holding,
    Leak,
    Listener,
    PairCount,
    PortCount,
    ProcessCount,
    Row,
    Source,
    StateCount,
)
from fourtuple.core.census.usage import COUNT_OF, COUNTS, PAIR, ROW, Rows, Usage
from fourtuple.core.counters import SILENT
from fourtuple.core.limits.facts import World
from fourtuple.core.limits.time_wait import TIME_WAIT_MS
from fourtuple.core.record import dataclass
from fourtuple.core.sockets.columns import Numbers
from fourtuple.core.sockets.owners import NAMELESS, Holders, Owners
from fourtuple.core.sockets.role import Role
from fourtuple.core.sockets.table import SOCK_DIAG, State, four_tuples
from fourtuple.core.space.interval import Interval


@dataclass(frozen=True)
class View:
    """The groups of sockets to show, before their owners are known. Build one with `View.of`.

    groups: (groups,), their numbers; for PORT the lower 16 bits are the port
    pairs:  (groups,), the pair of each group that has taken the most ports
    sizes:  (groups,), how many pairs each group has
    counts: (groups, 4), sockets by the names in COUNTS
    rows:   the rows of these groups, with the group's place in `groups` as `pair`
    total:  how many groups there are, shown or not
    most:   at most this number is shown; None: all
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
        """Choose the groups to show.

        most: at most this number of client rows and of server rows, the fullest first; None: all
        """
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
            first[keys[order]] = order  # written last, the fullest pair remains
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
        """The inodes of all sockets whose owners the census names."""
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
        """The census record of this view.

        taken:   where and how the sockets were read
        holders: the processes that have the sockets
        before:  the usage `since_s` ago, for the changes since then; None: no changes are reported
        whole:   all states were requested; otherwise the remaining ports are unknown
        """
        usage, facts, hidden = self.usage, world.ports, world.most_hidden(taken.read_from)
        if self.by is By.STATE:
            rows: list[Row] = list(states_of(usage))
        elif self.by is By.PROCESS:
            rows = list(_processes(self, holders))
        else:
            owners = holders.owners(self.rows["pair"], self.rows["inode"], self.rows["uid"], len(self.groups))
            rows = list(_rows(self, owners, usage.usable if facts and whole else None, hidden))
        total = self.total
        if self.by in (By.STATE, By.PROCESS):
            total, rows = len(rows), rows[: self.most]
        if before is not None and self.by is By.PAIR:
            rows = list(_moving(self, rows, before, since_s))
        ports, unattributed = usage.connections, int(usage.unattributed.sum())
        busiest = int(ports.argmax())
        return Census(
            taken=taken,
            approximate=taken.changed != 0,
            range=(facts.port_range.start, facts.port_range.stop - 1) if facts else None,
            reserved=len(facts.port_range) - facts.automatic_ports.size if facts else 0,
            blocked=usage.blocked if whole else None,
            usable=usage.usable if facts and whole else None,
            unattributed_ports=unattributed,
            hidden_ports=min(hidden, usage.usable) if facts else 0,
            can_probe=bool(facts and facts.can_probe(unattributed, hidden)),
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
    """(rows,): the group of each row. keys: the group of each pair, not used for PORT"""
    groups: Numbers = keys[rows["pair"]]
    if by is By.PORT:
        is_server = usage.pairs["is_server"][rows["pair"]]
        groups = is_server * (1 << 16) + np.where(is_server, usage.pairs["port"][rows["pair"]], rows["port"])
    return groups


def _share(
    usage: Usage, pair: int, usable: int | None, hidden: int
) -> tuple[int | None, float | None, Interval | None]:
    """(usable, percent, left) of a client pair; None for a server, or if `usable` is unknown."""
    if usable is None or usage.pairs["is_server"][pair]:
        return None, None, None
    taken = int(usage.pairs["taken"][pair])
    left = left_of(usable - taken, int(usage.unsure[pair]) + hidden)
    return usable, round(100 * taken / usable, 1) if usable else 100.0, left


def left_of(untaken: int, unsure: int) -> Interval:
    """The ports left for a pair.

    untaken: ports that connect() may choose
    unsure:  how many of them may be lost
    """
    most = max(0, untaken)
    return Interval(max(0, most - max(0, unsure)), most)


def _rows(view: View, owners: Sequence[Owners], usable: int | None, hidden: int) -> Iterator[Row]:
    """Yield a record for each group of pairs, destinations or ports.

    usable: ports; None: unknown
    hidden: at most so many of them are held by sockets that are not listed
    """
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
        source, destination, share = usage.source(pair), usage.destination(pair), _share(usage, pair, usable, hidden)
        if view.by is By.DESTINATION:
            sources = int(view.sizes[place])
            yield DestinationCount(role, destination, sources, source, *sockets, *share, owners[place])
        else:
            yield PairCount(role, source, destination, *sockets, *share, owners[place])


def _moving(view: View, rows: Sequence[Row], before: Usage, since_s: float) -> Iterator[Row]:
    """Yield the rows of pairs with their rate of new connections, and when their ports will be exhausted."""
    usage = view.usage
    opened, numbers = usage.opened_since(before, since_s), usage.like(before)
    for pair, row in zip(view.pairs.tolist(), rows, strict=True):
        assert isinstance(row, PairCount)  # noqa: S101  (for the type checker)
        was = before.pairs[numbers[pair]] if numbers[pair] >= 0 else np.zeros(1, PAIR)[0]
        grown = int(usage.pairs["taken"][pair]) - int(was["taken"])
        waits = int(usage.pairs["time_wait"][pair]) - int(was["time_wait"])
        per_s = int(opened[pair]) / since_s
        steady = (
            row.used - row.time_wait + per_s * TIME_WAIT_MS / 1000
        )  # sockets once as many leave TIME_WAIT as enter it
        levels_off = grown <= waits and row.usable is not None and steady < row.usable
        grows = row.left is not None and grown > 0 and not levels_off
        ends_s = row.left.most * since_s / grown if grows and row.left is not None else None
        yield replace(row, opened_per_s=round(per_s, 1), exhausted_in_s=ends_s)


def states_of(usage: Usage) -> Iterator[StateCount]:
    """Yield the sockets in each state that has any; sockets that are only bound are BOUND_INACTIVE."""
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
    """Yield a record for each process, and for the sockets without a visible process; the most sockets first."""
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
    """Yield the listeners, those with the fullest accept queue first. known: backlogs and drops were reported"""
    table = usage.listeners
    owners = holders.owners(np.arange(len(table)), table["inode"], table["uid"], len(table))
    full = table["recv_q"].astype(np.int64) * 1000 // (table["send_q"].astype(np.int64) + 1)
    for place in np.lexsort((table["local_port"], -full)).tolist():
        row = table[place]
        yield Listener(
            address=str(four_tuples(table[place : place + 1])[0].source),
            recv_q=int(row["recv_q"]),
            backlog=int(row["send_q"]) if known else None,
            drops=int(row["drops"]) if known else None,
            in_range=bool(usage.automatic[row["local_port"]]),
            owners=owners[place],
        )


def _holdings(usage: Usage, holders: Holders) -> Iterator[Holding]:
    """Yield the ports of the range that connect() cannot choose."""
    ports = np.flatnonzero(usage.automatic & usage.bound)
    held = usage.holders[ports]
    owners = holders.owners(np.arange(len(ports)), held["inode"], held["uid"], len(ports))
    how = {int(State.LISTEN): "listening", int(State.CLOSE): "bound"}
    for port, state, owner in zip(ports.tolist(), held["state"].tolist(), owners, strict=True):
        yield Holding(port, how.get(state, "bound and connected"), owner)


def _leaks(usage: Usage, holders: Holders) -> Iterator[Leak]:
    """Yield the sockets in CLOSE_WAIT by owner, the most first."""
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
