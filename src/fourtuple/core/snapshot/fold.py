"""Sockets folded into groups, small enough for a file, from which Usage and PortUse compute what they did before.

Connections that were opened here are one group for each local address, remote end, state, user and process; their local
ports are ranges. Connections that a listener accepted, which is still there, are counted for each remote address: their
remote ports decide nothing and are not kept. All is done by NumPy columns; only the finished groups are Python objects.
"""

import ipaddress
import itertools
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from fourtuple.core.limits.time_wait import TIME_WAIT_MS, TIME_WAIT_TIMER
from fourtuple.core.numbers import number_of
from fourtuple.core.sockets.columns import Numbers, is_ipv4, mixed
from fourtuple.core.sockets.listening import Listening
from fourtuple.core.sockets.table import LISTENER, MAPPED, SOCKET, Chosen, Sockets, State, mapped, unmapped
from fourtuple.core.units import format_count

MOST_GROUPS = 20_000
MOST_LISTENERS = 20_000
MOST_SOCKETS = 4_000_000  # that a file may expand to
NO_PROCESS = -1
UNSEEN_INODE = np.uint32(2**32 - 1)  # with its type: an int would have to fit that of the PIDs beside it
NOT_ASKED = -2
AF_INET, AF_INET6 = 2, 10  # of Linux, wherever this runs
PORTS = 65536
Pids = NDArray[np.int32]


class SocketGroup(msgspec.Struct, frozen=True, omit_defaults=True):
    """Sockets that differ only in what decides nothing.

    state:       by its name in State, such as `TIME_WAIT`
    local_ports: `32768-40000,40005`; if there are fewer ports than sockets, several sockets have the same port
    remote:      the remote address; empty: not kept
    remote_port: None: not kept; each socket of the group has another one
    chosen:      by its name in Chosen: what chose the local port
    pid:         as in HostNamespace.socket_pids; None: not looked for
    closed:      in FIN_WAIT2: its program has closed it, so that it waits as in TIME_WAIT
    ages_ms:     in TIME_WAIT: [ms, sockets], for how long so many sockets have been in it, by second
    recv_q_bytes, send_q_bytes: of all sockets together
    """

    state: str
    local: str
    local_ports: str
    count: int
    remote: str = ""
    remote_port: int | None = None
    chosen: str = Chosen.UNKNOWN.name
    uid: int = 0
    pid: int | None = None
    closed: bool = False
    ages_ms: tuple[tuple[int, int], ...] = ()
    recv_q_bytes: int = 0
    send_q_bytes: int = 0


class ListenerRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """One listening socket: waiting connections, the backlog, connections dropped; pid as in SocketGroup."""

    local: str
    local_port: int
    waiting: int = 0
    backlog: int = 0
    drops: int = 0
    uid: int = 0
    pid: int | None = None


def fold(sockets: Sockets, pids: Pids, listeners: Sockets, delay_ms: int) -> tuple[list[SocketGroup], list[str]]:
    """(the groups of a table of sockets, sentences about what they do not tell).

    sockets:  of dtype SOCKET; listening ones are left out
    pids:     as HostNamespace.socket_pids
    delay_ms: the age at which connect() may reuse a 4-tuple in TIME_WAIT, which a group does not mix
    """
    kept = sockets["state"] != State.LISTEN
    table = sockets[kept]
    pids = pids[kept] if len(pids) else np.full(len(table), NOT_ASKED, np.int32)
    pids = np.where(table["inode"] == 0, 0, pids)
    is_server = Listening.of(listeners).are_at(table)
    age_ms = TIME_WAIT_MS - np.minimum(table["expires_ms"], TIME_WAIT_MS).astype(np.int64)
    columns = _columns(table, pids, is_server, age_ms >= delay_ms)
    unseen = []
    order, starts = _grouped(columns, table["local_port"])
    if len(starts) > MOST_GROUPS:
        summed = _smallest(order, starts, len(starts) - MOST_GROUPS // 2)
        for column in columns[3:5]:
            column[summed] = 0
        columns[5][summed[~is_server[summed]]] = 0
        columns[0][summed] |= _REST
        unseen.append(f"the remote ends of {format_count(len(summed))} sockets are not kept: each has too few sockets")
        order, starts = _grouped(columns, table["local_port"])
    if len(starts) > MOST_GROUPS:
        lost = _smallest(order, starts, len(starts) - MOST_GROUPS)
        unseen.append(f"{format_count(len(lost))} sockets are left out: they are in too many groups")
        keep = np.ones(len(table), bool)
        keep[lost] = False
        table, age_ms = table[keep], age_ms[keep]
        columns = [column[keep] for column in columns]
        order, starts = _grouped(columns, table["local_port"])
    return list(_groups(table, columns, order, starts, age_ms)), unseen


def expand(groups: Sequence[SocketGroup]) -> tuple[Sockets, Pids]:
    """(a table of dtype SOCKET with a row for each socket of the groups, the process of each row, as socket_pids).

    Sockets of one process have one inode, its PID; remote ports that were not kept are numbers from 65535 downwards.
    Raises ValueError for groups that no table can have.
    """
    sizes = np.array([group.count for group in groups], np.int64)
    if (sizes < 1).any() or int(sizes.sum()) > MOST_SOCKETS:
        raise ValueError(f"a group has less than one socket, or all groups more than {MOST_SOCKETS:,}")
    table: Sockets = np.zeros(int(sizes.sum()), SOCKET)
    pids = np.repeat(np.array([_pid(group.pid) for group in groups], np.int32), sizes)
    for name, values in (
        ("state", [_state(group.state) for group in groups]),
        ("chosen", [_chosen(group.chosen) for group in groups]),
        ("timer", [_timer(group) for group in groups]),
        ("local", [_packed(group.local) for group in groups]),
        ("remote", [_packed(group.remote or _anywhere(group.local)) for group in groups]),
        ("uid", [_bounded(group.uid, 2**32, "a user ID") for group in groups]),
    ):
        table[name] = np.repeat(np.array(values, SOCKET[name]), sizes)
    table["family"] = families(table)
    table["inode"] = np.where(pids < 0, UNSEEN_INODE, pids)
    taken: dict[tuple[str, str, str], int] = {}
    start = 0
    for group in groups:
        rows = table[start : start + group.count]
        rows["local_port"] = np.resize(parse_port_ranges(group.local_ports, group.count), group.count)
        if group.remote_port is None:
            key = (group.local, group.local_ports, group.remote) if group.remote else ("", "", "")
            first = taken.get(key, 0)
            taken[key] = first + group.count
            rows["remote_port"] = 65535 - np.arange(first, first + group.count) % 65535
        else:
            rows["remote_port"] = _bounded(group.remote_port, PORTS, "a port")
        if group.ages_ms:
            rows["expires_ms"] = TIME_WAIT_MS - _ages(group)
        rows["recv_q"][0] = min(max(0, group.recv_q_bytes), 2**32 - 1)
        rows["send_q"][0] = min(max(0, group.send_q_bytes), 2**32 - 1)
        start += group.count
    return table, pids if all(group.pid is not None for group in groups) else pids[:0]


def families(table: Sockets) -> NDArray[np.int64]:
    """(table,): the family of each socket: AF_INET if both of its ends are IPv4, which those in the mapped form are."""
    found: NDArray[np.int64] = np.where(is_ipv4(table["local"]) & is_ipv4(table["remote"]), AF_INET, AF_INET6)
    return found


def fold_listeners(listeners: Sockets, pids: Pids) -> tuple[list[ListenerRow], list[str]]:
    """(a row for each listening socket, sentences about those left out). pids: as HostNamespace.listener_pids"""
    owners: list[int | None] = pids.tolist() if len(pids) else [None] * len(listeners)
    rows = [
        ListenerRow(
            local=str(unmapped(row["local"].tobytes())),
            local_port=int(row["local_port"]),
            waiting=int(row["recv_q"]),
            backlog=int(row["send_q"]),
            drops=int(row["drops"]),
            uid=int(row["uid"]),
            pid=pid,
        )
        for row, pid in zip(listeners[:MOST_LISTENERS], owners, strict=False)
    ]
    left = len(listeners) - len(rows)
    return rows, [f"{format_count(left)} listening sockets are left out"] if left else []


def expand_listeners(rows: Sequence[ListenerRow]) -> tuple[Sockets, Pids]:
    """(a table of dtype LISTENER, the process of each row). Raises ValueError for rows that no table can have."""
    table: Sockets = np.zeros(len(rows), LISTENER)
    pids = np.array([_pid(row.pid) for row in rows], np.int32)
    table["state"] = State.LISTEN
    for name, values in (
        ("local", [_packed(row.local) for row in rows]),
        ("local_port", [_bounded(row.local_port, PORTS, "a port") for row in rows]),
        ("recv_q", [_bounded(row.waiting, 2**32, "a queue") for row in rows]),
        ("send_q", [_bounded(row.backlog, 2**32, "a backlog") for row in rows]),
        ("drops", [_bounded(row.drops, 2**32, "a counter") for row in rows]),
        ("uid", [_bounded(row.uid, 2**32, "a user ID") for row in rows]),
    ):
        table[name] = np.array(values, LISTENER[name])
    table["inode"] = np.where(pids <= 0, UNSEEN_INODE, pids)
    return table, pids if all(row.pid is not None for row in rows) else pids[:0]


def parse_port_ranges(text: str, most: int = PORTS) -> NDArray[np.int64]:
    """(n,): the ports of `32768-40000,40005`, at most so many. Raises ValueError."""
    parts, left = [], most
    for part in text.split(","):
        first, _, last = part.partition("-")
        low, high = number_of(first), number_of(last or first)
        if low is None or high is None or not low <= high < PORTS:
            raise ValueError(f"{part[:40]!r} is no range of ports")
        ports = np.arange(low, high + 1)
        if (left := left - len(ports)) < 0:
            raise ValueError("more ports than sockets")
        parts.append(ports)
    return np.concatenate(parts)


_SERVER, _OLD, _CLOSED, _REST = (np.uint64(1 << bit) for bit in (16, 17, 18, 19))


def _columns(
    table: Sockets, pids: Pids, is_server: NDArray[np.bool_], is_old: NDArray[np.bool_]
) -> list[NDArray[np.uint64]]:
    """Columns that are equal within a group: what it is, local and remote address (two each), ports and process."""
    state = table["state"].astype(np.uint64)
    what = state | table["chosen"].astype(np.uint64) << np.uint64(8)
    what |= np.where(is_server, _SERVER, np.uint64(0))
    what |= np.where(is_old & (state == State.TIME_WAIT), _OLD, np.uint64(0))
    is_closed = (state == State.FIN_WAIT2) & (table["timer"] == TIME_WAIT_TIMER)
    what |= np.where(is_closed, _CLOSED, np.uint64(0))
    words = [np.ascontiguousarray(table[name]).view(np.uint64).reshape(-1, 2) for name in ("local", "remote")]
    local, remote = words
    port = np.where(is_server, table["local_port"], table["remote_port"]).astype(np.uint64)
    owner = table["uid"].astype(np.uint64) << np.uint64(32) | (pids.astype(np.int64) & 0xFFFFFFFF).astype(np.uint64)
    return [what, *(half.copy() for half in local.T), *(half.copy() for half in remote.T), port, owner]


def _grouped(columns: Sequence[NDArray[np.uint64]], ports: NDArray[np.uint16]) -> tuple[Numbers, Numbers]:
    """(an order with the rows of each group together, ports ascending; where each group starts in it).

    Rows with the same hash but other values are different groups all the same.
    """
    hashes = mixed([mixed(columns[:5]), *columns[5:]])
    order: Numbers = np.lexsort((ports, hashes))
    differ = np.zeros(len(order), bool)
    differ[:1] = True
    for column in columns:
        ordered = column[order]
        differ[1:] |= ordered[1:] != ordered[:-1]
    return order, np.flatnonzero(differ)


def _smallest(order: Numbers, starts: Numbers, groups: int) -> Numbers:
    """The rows of so many groups with the fewest sockets."""
    sizes = np.diff(starts, append=len(order))
    small = np.zeros(len(starts), bool)
    small[np.argsort(sizes, kind="stable")[:groups]] = True
    rows: Numbers = order[np.repeat(small, sizes)]
    return rows


def _groups(
    table: Sockets, columns: Sequence[NDArray[np.uint64]], order: Numbers, starts: Numbers, age_ms: Numbers
) -> Iterator[SocketGroup]:
    """Yield the groups, those with the most sockets first."""
    if not len(starts):
        return
    sizes = np.diff(starts, append=len(order))
    firsts = table[order[starts]]
    what, port, owner = (columns[place][order[starts]] for place in (0, 5, 6))
    queues = [np.add.reduceat(table[name].astype(np.int64)[order], starts) for name in ("recv_q", "send_q")]
    ranges = _port_ranges(table["local_port"][order].astype(np.int64), starts)
    ages = _age_counts(age_ms[order], starts, firsts["state"] == State.TIME_WAIT)
    addresses: dict[bytes, str] = {}

    def text(packed: bytes) -> str:
        if packed not in addresses:
            addresses[packed] = str(unmapped(packed))
        return addresses[packed]

    pids = (owner & np.uint64(0xFFFFFFFF)).astype(np.uint32).view(np.int32)
    for place in np.argsort(-sizes, kind="stable").tolist():
        kind, pid = int(what[place]), int(pids[place])
        has_remote = not kind & int(_REST)
        yield SocketGroup(
            state=State(kind & 0xFF).name,
            local=text(firsts["local"][place].tobytes()),
            local_ports=ranges[place],
            count=int(sizes[place]),
            remote=text(firsts["remote"][place].tobytes()) if has_remote else "",
            remote_port=int(port[place]) if has_remote and not kind & int(_SERVER) else None,
            chosen=Chosen(kind >> 8 & 0xFF).name,
            uid=int(owner[place]) >> 32,
            pid=None if pid == NOT_ASKED else pid,
            closed=bool(kind & int(_CLOSED)),
            ages_ms=ages.get(place, ()),
            recv_q_bytes=int(queues[0][place]),
            send_q_bytes=int(queues[1][place]),
        )


def _port_ranges(ports: Numbers, starts: Numbers) -> list[str]:
    """The ports of each group as text; within a group they ascend."""
    is_first = np.ones(len(ports), bool)
    is_first[1:] = np.diff(ports) > 1
    is_first[starts] = True
    places = np.flatnonzero(is_first)
    lasts = ports[np.append(places[1:], len(ports)) - 1].tolist()
    texts = [
        f"{first}-{last}" if first < last else str(first)
        for first, last in zip(ports[places].tolist(), lasts, strict=True)
    ]
    bounds = [*np.searchsorted(places, starts).tolist(), len(texts)]
    return [",".join(texts[start:stop]) for start, stop in itertools.pairwise(bounds)]


def _age_counts(
    age_ms: Numbers, starts: Numbers, is_waiting: NDArray[np.bool_]
) -> dict[int, tuple[tuple[int, int], ...]]:
    """By group in TIME_WAIT: (the least age within a second, how many sockets have one of that second)."""
    groups = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(age_ms)))
    waiting = is_waiting[groups]
    groups, ages = groups[waiting], age_ms[waiting]
    order = np.lexsort((ages, groups))
    groups, ages = groups[order], ages[order]
    is_first = np.ones(len(ages), bool)
    is_first[1:] = (np.diff(groups) != 0) | (np.diff(ages // 1000) != 0)
    places = np.flatnonzero(is_first)
    found: dict[int, list[tuple[int, int]]] = {}
    counts = np.diff(places, append=len(ages))
    for group, age, count in zip(groups[places].tolist(), ages[places].tolist(), counts.tolist(), strict=True):
        found.setdefault(group, []).append((age, count))
    return {group: tuple(each) for group, each in found.items()}


def _ages(group: SocketGroup) -> Numbers:
    """(count,): how long each socket has been in TIME_WAIT, in ms. Raises ValueError."""
    ages, counts = np.array(group.ages_ms, np.int64).T
    if (counts < 0).any() or (ages < 0).any() or (ages > TIME_WAIT_MS).any() or counts.sum() != group.count:
        raise ValueError("the ages in TIME_WAIT are not those of the sockets of their group")
    return np.repeat(ages, counts)


def _packed(address: str) -> bytes:
    """The address in 16 bytes; an empty text is 0.0.0.0. Raises ValueError."""
    return mapped(ipaddress.ip_address(address or "0.0.0.0"))  # noqa: S104


def _anywhere(local: str) -> str:
    """The wildcard address of the IP version of this local address; also of one in the mapped form."""
    return "0.0.0.0" if _packed(local).startswith(MAPPED) else "::"  # noqa: S104


def _state(name: str) -> int:
    if name not in State.__members__ or name == State.LISTEN.name:
        raise ValueError(f"{name[:40]!r} is no state of a connection")
    return State[name]


def _chosen(name: str) -> int:
    """An unknown name is that of a newer version, which this one cannot use."""
    return Chosen.__members__.get(name, Chosen.UNKNOWN)


def _timer(group: SocketGroup) -> int:
    return TIME_WAIT_TIMER if group.closed or group.state == State.TIME_WAIT.name else 0


def _pid(pid: int | None) -> int:
    return NO_PROCESS if pid is None else _bounded(pid, 2**31, "a PID", NO_PROCESS)


def _bounded(number: int, stop: int, what: str, start: int = 0) -> int:
    if not start <= number < stop:
        raise ValueError(f"{number} is not {what}")
    return number
