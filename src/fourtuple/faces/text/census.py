"""The use of source ports, as text: the fullest pairs first, then what takes ports from every destination."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

from fourtuple.core.census.records import (
    Census,
    DestinationCount,
    Leak,
    PairCount,
    PortCount,
    ProcessCount,
    Row,
    StateCount,
    plain,
)
from fourtuple.core.sockets.owners import unseen
from fourtuple.core.sockets.role import Role
from fourtuple.core.sockets.table import SOCK_DIAG
from fourtuple.core.units import format_count, format_duration, format_rate, format_things
from fourtuple.core.visible import csv_lines
from fourtuple.faces.text.lines import wrapped
from fourtuple.faces.text.tables import Column, TableRow, table_lines

SHOWN = 10  # rows, by default
WARNED = 2  # sentences under a table that moves
WATCHED = 1000  # that are sorted again and again
SHOWN_LISTENERS, SHOWN_LEAKS, SHOWN_HOLDERS = 5, 5, 4
LABEL = 14
EXTRA = ("used", "left", "new", "full in")  # columns that go below a row first


def census_lines(census: Census) -> Iterator[str]:
    yield from _head(census)
    yield ""
    yield from _table(census, census.rows)
    yield ""
    yield from _besides(census)


def watch_lines(census: Census, *, most: int = SHOWN, sort: str = "p") -> Iterator[str]:
    """One census of several, with the changes since the last one. sort: a key of SORTS."""
    yield from wrapped("", f"{census.taken.time[11:19]} UTC  {census.taken.host}")
    yield from _head(census)
    yield ""
    _, key = SORTS[sort]
    yield from _table(census, sorted(census.rows, key=key)[:most], moving=True)
    if census.warnings:
        yield ""
    for warning in census.warnings[:WARNED]:
        yield from _said("!", warning)


def _rate(row: Row) -> float:
    return -(getattr(row, "opened_per_s", 0) or 0)


# Sort keys by letter, each with its name; rows arrive sorted by the ports that they have taken.
SORTS: Mapping[str, tuple[str, Callable[[Row], float]]] = MappingProxyType(
    {
        "p": ("percent", lambda row: 0.0),
        "s": ("sockets", lambda row: -float(getattr(row, "used", 0))),
        "w": ("TIME_WAIT", lambda row: -float(getattr(row, "time_wait", 0))),
        "n": ("new", _rate),
        "f": ("full", lambda row: getattr(row, "exhausted_in_s", None) or math.inf),
    }
)


def _head(census: Census) -> Iterator[str]:
    if census.range is None or census.usable is None:
        why = "the port range could not be read" if census.range is None else "this needs sockets in all states"
        yield from wrapped("", f"the number of ports left is unknown: {why}")
    else:
        low, high = census.range
        usable = f"{format_things(census.usable, 'port')} usable towards each destination: {low}-{high}"
        yield from wrapped("", f"{usable}, {census.reserved:,} reserved, {census.blocked or 0:,} blocked")
    if census.taken.read_from != SOCK_DIAG:
        yield from wrapped("", f"read from {census.taken.read_from}: it does not list sockets that are only bound")
    states = ", ".join(f"{name} {format_count(count)}" for name, count in Counter(census.sockets).most_common())
    about = "some changed during the count" if census.taken.changed else "changes during the count are unknown"
    sure = f" (about: {about})" if census.approximate else ""
    yield from wrapped(
        "", f"{format_things(sum(census.sockets.values()), 'socket')}{sure}{': ' if states else ''}{states}"
    )


def _table(census: Census, rows: Sequence[Row], *, moving: bool = False) -> Iterator[str]:
    if not rows:
        yield "no connections"
        return
    servers = [row for row in rows if isinstance(row, PairCount | DestinationCount) and row.role is Role.SERVER]
    clients = [row for row in rows if row not in servers]
    yield from rows_lines(clients, moving=moving)
    if clients and servers:
        yield ""
    yield from rows_lines(servers, moving=moving)
    if census.total > len(rows):
        yield f"  … {format_count(census.total - len(rows))} more {census.by.plural}: --top N"


def rows_lines(rows: Sequence[Row], *, moving: bool = False) -> Iterator[str]:
    """A heading and one line per row, all of one kind and role. moving: include the changes since the last census."""
    lines = [_cells(row, moving=moving) for row in rows]
    if not lines:
        return
    _, cells, tail = lines[0]
    columns = [
        Column(_title(rows[0]), is_text=True),
        *(Column(title, least, is_extra=title in EXTRA, gap=1) for title, least, _ in cells),
    ]
    if tail:
        behind = "busiest" if isinstance(rows[0], ProcessCount) else "owner"
        columns.append(Column(behind, is_text=True, is_extra=True, is_cut=True))
    told = [TableRow([name, *(text for _, _, text in cells), *[owner][: bool(tail)]]) for name, cells, owner in lines]
    yield from table_lines(columns, told)


def _title(row: Row) -> str:
    if isinstance(row, PairCount):
        return "source → destination" if row.role is Role.CLIENT else "client → listener here"
    if isinstance(row, DestinationCount):
        return "destination" if row.role is Role.CLIENT else "listener here"
    if isinstance(row, PortCount):
        return "local port"
    return "process" if isinstance(row, ProcessCount) else "state"


Cell = tuple[str, int, str]  # title, least width, text


def _cells(row: Row, *, moving: bool) -> tuple[str, list[Cell], str]:
    """Return the row's name, its cells, and the text after them."""
    if isinstance(row, StateCount):
        numbers = (("sockets", row.sockets), ("clients", row.clients), ("servers", row.servers))
        return row.state, [(title, 9, format_count(number)) for title, number in numbers], ""
    cells = [
        ("estab", 6, format_count(row.established)),
        ("TIME_WAIT", 9, format_count(row.time_wait)),
        ("other", 5, format_count(row.other)),
    ]
    whose = "" if isinstance(row, ProcessCount) else row.owners.whose
    if isinstance(row, ProcessCount):
        cells.append(("pairs", 5, format_count(row.pairs)))
        return row.name if row.pid is None else f"{row.name} ({row.pid})", cells, row.busiest
    if isinstance(row, PortCount):
        name = f"{row.port}{' listens' * (row.role is Role.SERVER)}"
        return name, [*cells, ("all", 5, format_count(row.used))], whose
    if row.percent is not None and row.left is not None:
        at_most = "≤" * (not row.left.exact)
        cells += [("used", 7, f"{row.percent:.1f} %"), ("left", 6, f"{at_most}{format_count(row.left.most)}")]
    if isinstance(row, DestinationCount):
        several = f" from {format_count(row.sources)}, most {row.source}"
        return row.destination + several * (row.sources > 1), cells, whose
    name = f"{row.source} → {row.destination}"
    if not moving:
        return name, cells, whose
    ends = "" if row.exhausted_in_s is None else format_duration(row.exhausted_in_s)
    new = "" if row.opened_per_s is None else format_rate(row.opened_per_s)
    cells.append(("new", 6, new))
    return name, cells if row.role is Role.SERVER else [*cells, ("full in", 7, ends)], ""


def _besides(census: Census) -> Iterator[str]:
    if census.holdings:
        kinds = Counter(each.how for each in census.holdings)
        parts = []
        for how, count in kinds.most_common():
            owners = Counter(each.owners.whose for each in census.holdings if each.how == how)
            names = [name for name, _ in owners.most_common(SHOWN_HOLDERS)]
            parts.append(f"{format_count(count)} {how}: {', '.join(names)}{', …' * (len(owners) > SHOWN_HOLDERS)}")
        yield from _said("held for one", f"{_ports(census.blocked or 0)} of the range: {'; '.join(parts)}")
    bound = f"In column left, ≤ marks an upper bound{'; fourtuple limits --probe checks' * census.can_probe}"
    if census.unattributed_ports:
        perhaps = f"{_ports(census.unattributed_ports)} may be lost to other destinations, if their sockets called"
        yield from _said("unknown", f"{perhaps} bind(address, 0) before connect(). {bound}")
    if census.hidden_ports:
        held = f"up to {_ports(census.hidden_ports)} may be held by sockets that are only bound"
        yield from _said("not listed", f"{held}, which are not listed here. {bound}")
    if census.busiest_port and census.shared_ports:
        port = f"{census.busiest_port.port} carries {format_count(census.busiest_port.connections)}"
        carry = "carries" if census.shared_ports == 1 else "carry"
        several = f"{format_things(census.shared_ports, 'local port')} {carry} several connections at once"
        yield from _said("shared", f"{several}; {port}")
    for leak in census.leaks[:SHOWN_LEAKS]:
        where = f"{'accepted at' if leak.role is Role.SERVER else 'to'} {leak.destination}"
        who = _leaking(leak)
        yield from _said("CLOSE_WAIT", f"{format_count(leak.sockets)}, most {where}: {who}")
    yield from _listeners(census)
    lost = [
        f"{name} {format_count(count)}{' (host)' * name.startswith('softnet')}"
        for name, count in census.counters.items()
        if count
    ]
    if lost:
        yield from _said("lost so far", ", ".join(lost))
    for text in unseen([row.owners for row in census.rows if hasattr(row, "owners")]):
        yield from _said("owners", text)
    for warning in census.warnings:
        yield from _said("!", warning)


def _leaking(leak: Leak) -> str:
    if str(leak.owners):
        return f"{leak.owners} does not close them"
    return "their program is unknown" if leak.owners.unknown else "not accepted yet"


def _ports(count: int) -> str:
    return format_things(count, "port")


def _listeners(census: Census) -> Iterator[str]:
    """Listeners at which connections wait, or were dropped, first."""
    busy = [each for each in census.listeners if each.recv_q or each.drops]
    quiet = [each for each in census.listeners if each not in busy]
    for listener in busy[:SHOWN_LISTENERS]:
        queue = "" if listener.backlog is None else f" of {format_count(listener.backlog + 1)}"
        drops = f", {format_count(listener.drops)} dropped" if listener.drops else ""
        who = f", {listener.owners}" if str(listener.owners) else ""
        yield from _said("queue", f"{listener.address} {format_count(listener.recv_q)}{queue} waiting{drops}{who}")
    count = len(busy[SHOWN_LISTENERS:]) + len(quiet)
    if count:
        names = ", ".join(each.address for each in quiet[:SHOWN_LISTENERS])
        more = "" if count <= SHOWN_LISTENERS else " …"
        yield from _said("listening", f"{names}{more}" if names else f"{count} more")


def _said(label: str, text: str) -> Iterator[str]:
    yield from wrapped(f"{label:<{LABEL}}", text)


def csv_table(census: Census, *, head: bool = True) -> Iterator[str]:
    """The rows as CSV: a line of names, then one line per row, time and namespace first; owners as text."""
    where = {"time": census.taken.time, "netns": census.taken.netns}
    records = [where | {name: value for name, value in plain(row).items() if name != "owners"} for row in census.rows]
    if records:
        yield from csv_lines(list(records[0]) if head else None, [list(record.values()) for record in records])
