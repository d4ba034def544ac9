"""What `census` says of made-up sockets: by pair, destination, port, state and process; and look after look."""

from dataclasses import replace

import numpy as np

from fourtuple.core.census.records import By, Census
from fourtuple.core.census.usage import Usage
from fourtuple.core.census.view import View
from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.sockets.filter import EVERYWHERE
from fourtuple.core.sockets.owners import Holders
from fourtuple.core.sockets.table import LISTENER, PROC_NET_TCP, Chosen, State
from fourtuple.core.space.ranges import Ranges
from fourtuple.core.why.alarms import alarms
from fourtuple.faces.text.census import SORTS, census_lines, csv_table, watch_lines
from tests.core.census.test_usage import TAKEN, Row, filled, table
from tests.core.quiet import WORLD

LOW = 40_000
FACTS = PortFacts(range(LOW, LOW + 100), Ranges([range(LOW + 90, LOW + 95)]), tw_reuse=0)
HOST = replace(
    WORLD,
    ports=FACTS,
    counters={"ListenOverflows": 12, "ListenDrops": 13, "TCPTimeWaitOverflow": 0, "softnet_stat.dropped": 4},
)


def connections() -> list[Row]:
    """Nearly all ports to one destination, some to another, many waiting; a server's clients; bound ones; a leak."""
    late = {"chosen": Chosen.LATE}
    rows = [Row("10.0.0.4", LOW + n, "10.0.0.9", 80, inode=1 + n, **late) for n in range(30)]  # type: ignore[arg-type]
    rows += [Row("10.0.0.4", LOW + n, "10.0.0.9", 80, State.TIME_WAIT, Chosen.LATE, 50_000) for n in range(30, 80)]
    rows += [Row("10.0.0.4", LOW + n, "10.0.0.9", 443, inode=100 + n, **late) for n in range(20)]  # type: ignore[arg-type]
    rows += [Row("10.0.0.5", LOW + n, "10.0.0.9", 80, inode=200 + n, **late) for n in range(50)]  # type: ignore[arg-type]
    rows += [Row("10.0.0.4", LOW + n, "10.0.0.10", 5432, State.CLOSE_WAIT, inode=300 + n) for n in range(12)]
    for client, count in ((1, 7), (2, 5), (3, 1)):
        rows += [Row("10.0.0.4", 80, f"10.0.1.{client}", 50_000 + n, inode=400 + n, uid=33) for n in range(count)]
    rows += [Row("10.0.0.4", LOW + 95 + n, state=State.CLOSE, inode=500 + n) for n in range(2)]
    rows += [Row("fd00::4", LOW + n, "fd00::9", 443, inode=0, **late) for n in range(3)]  # type: ignore[arg-type]
    return rows


LISTENERS = [
    Row("0.0.0.0", 80, state=State.LISTEN, inode=600, recv_q=129, send_q=128, drops=12),
    Row("127.0.0.1", LOW + 99, state=State.LISTEN, inode=601, send_q=4096),
    Row("::", 22, "::", state=State.LISTEN, inode=602, send_q=128),
]
PROCESSES = ((812, "nginx"), (813, "nginx"), (4121, "app"), (5000, "postgres-pool-with-a-long-name"))
OWNED = [
    *((inode, 2) for inode in range(1, 31)),
    *((inode, 3) for inode in range(100, 120)),
    *((inode, 0 if inode % 2 else 1) for inode in range(200, 250)),
    *((inode, 3) for inode in range(300, 312)),
    *((inode, 2) for inode in range(500, 502)),
    (600, 0),
    (601, 2),
]
HOLDERS = Holders(
    processes=PROCESSES,
    inodes=np.array([inode for inode, _ in OWNED], np.uint32),
    numbers=np.array([number for _, number in OWNED], np.int64),
    visible=frozenset({0, 1000}),
    users={33: "www-data"},
)


def usage_of(rows: list[Row], facts: PortFacts | None = FACTS) -> Usage:
    return Usage.of(iter([table(rows)]), filled(LISTENERS, LISTENER), facts, EVERYWHERE)


def counted(by: By = By.PAIR, *, most: int | None = None, before: Usage | None = None) -> Census:
    usage = usage_of(connections())
    found = View.of(usage, by, most).census(TAKEN, HOST, HOLDERS, before, 2.0)
    return replace(found, warnings=alarms(found, FACTS))


def _lines(census: Census) -> str:
    return "\n".join(census_lines(census))


def _not_all_states() -> Census:
    rows = [row for row in connections() if row.state is State.ESTABLISHED]
    return View.of(usage_of(rows), By.PAIR, None).census(TAKEN, HOST, HOLDERS, whole=False)


def from_proc(by: By = By.PAIR) -> Census:
    """As an unprivileged user of an old kernel: no range, no backlogs, and things changed meanwhile."""
    taken = replace(TAKEN, read_from=PROC_NET_TCP, changed=7)
    world = replace(HOST, ports=None)
    return View.of(usage_of(connections()[:40], None), by, None).census(taken, world, HOLDERS)


def _nothing() -> Census:
    usage = Usage.of(iter([table([])]), filled([], LISTENER), FACTS, EVERYWHERE)
    return View.of(usage, By.PAIR, None).census(TAKEN, replace(HOST, counters={}), HOLDERS)


def moving(by: By = By.PAIR) -> Census:
    """The second of two looks: half of the connections are new."""
    return counted(by, before=usage_of(connections()[::2]))


def _watched(sort: str = "p") -> str:
    return "\n".join(watch_lines(moving(), sort=sort))


SCREENS = {
    "pairs": lambda: _lines(counted()),
    "pairs-top": lambda: _lines(counted(most=1)),
    "destinations": lambda: _lines(counted(By.DESTINATION)),
    "ports": lambda: _lines(counted(By.PORT, most=8)),
    "states": lambda: _lines(counted(By.STATE)),
    "processes": lambda: _lines(counted(By.PROCESS)),
    "some-states": lambda: _lines(_not_all_states()),
    "from-proc": lambda: _lines(from_proc()),
    "nothing": lambda: _lines(_nothing()),
    "watch": _watched,
    "watch-new": lambda: _watched("n"),
    "watch-sorts": lambda: "\n".join(f"{key} {name}" for key, (name, _) in SORTS.items()),
    "csv": lambda: "\n".join(csv_table(counted())),
}
