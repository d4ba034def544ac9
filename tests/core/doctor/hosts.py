"""Snapshots of hosts as tests need them: one namespace and one process that say nothing, and what a test is about."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.snapshot.records import Cgroup, HostNamespace, HostProcess, Snapshot
from fourtuple.core.sockets.table import LISTENER, SOCK_DIAG, SOCKET, State
from fourtuple.core.space.ranges import Ranges
from tests.core.census.test_usage import Row, filled

NETNS, PID = "net:[4026531840]", 812
LOW, PORTS = 40_000, 100
FACTS = PortFacts(range(LOW, LOW + PORTS), Ranges([]), tw_reuse=0)
PROCESS = HostProcess(
    PID, "nginx", uid=33, cgroup="/system.slice/nginx.service", netns=NETNS, threads=4, files_open=20, files_soft=1000
)
HERE, THERE = "10.0.0.4", "10.0.0.9"


def snapshot(*, process: Mapping[str, Any] | None = None, more: Sequence[HostProcess] = (), **changes: Any) -> Snapshot:
    """changes: fields of the one namespace, and of the Snapshot; `counters` and `sysctls` are the namespace's.

    host_counters, host_sysctls: those of the whole host
    """
    of_namespace: dict[str, Any] = {"netns": NETNS, "pid": PID, "cgroup": PROCESS.cgroup, "ports": FACTS}
    of_namespace |= {"read_from": SOCK_DIAG}
    of_snapshot: dict[str, Any] = {"at_s": 1_790_000_000.0, "host": "node-1", "kernel": "6.18.1", "uid": 0}
    of_snapshot |= {
        "source": "this host",
        "cgroups": {PROCESS.cgroup: Cgroup(PROCESS.cgroup, service="nginx.service")},
        "processes": {each.pid: each for each in (replace(PROCESS, **(process or {})), *more)},
    }
    for name, value in changes.items():
        is_of_host = name.startswith("host_") or name not in HostNamespace.__dataclass_fields__
        (of_snapshot if is_of_host else of_namespace)[name.removeprefix("host_")] = value
    return Snapshot(**of_snapshot, namespaces={NETNS: HostNamespace(**of_namespace)})


def connections(count: int, state: State = State.ESTABLISHED, age_s: float = 40.0, first: int = LOW) -> dict[str, Any]:
    """So many connections from here to one destination, from consecutive ports; all are the process's, or nobody's."""
    left_ms = int(60_000 - age_s * 1000) if state is State.TIME_WAIT else 0
    rows = [Row(HERE, first + n, THERE, 80, state, expires_ms=left_ms, inode=n + 1) for n in range(count)]
    table = filled(rows, SOCKET)
    owner = 0 if state is State.TIME_WAIT else PID
    table["cookie"] = np.arange(first, first + count, dtype=np.uint64).view("V8") if count else table["cookie"]
    return {"sockets": table, "socket_pids": np.full(count, owner, np.int32)}


def both(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """The sockets of all parts together."""
    return {name: np.concatenate([part[name] for part in parts]) for name in ("sockets", "socket_pids")}


def listener(waiting: int, backlog: int, drops: int = 0) -> dict[str, Any]:
    row = Row(HERE, 80, state=State.LISTEN, recv_q=waiting, send_q=backlog, drops=drops, inode=9)
    return {"listeners": filled([row], LISTENER), "listener_pids": np.array([PID], np.int32)}
