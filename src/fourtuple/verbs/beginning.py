"""How a run begins, as a record, and what the kernel says beside it while it goes on."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from fourtuple import __version__
from fourtuple.core.facts import HostFacts, Memory
from fourtuple.core.limits import SYSCTLS
from fourtuple.core.plan import memory_exhausted
from fourtuple.core.run import Seen
from fourtuple.core.start import Changed, Planned, Start
from fourtuple.engine.control import now_ns
from fourtuple.kernel import procfs
from fourtuple.kernel.files import whole
from fourtuple.kernel.machine import found
from fourtuple.kernel.sysctl import PROC
from fourtuple.kernel.world import host_sysctls, parse_sockstat

LOOK_S, IDLE_S = 0.2, 1.0  # between two looks at memory and counters


def start_of(
    kind: str,
    facts: HostFacts,
    *,
    soft_before: int | None = None,
    planned: Planned | None = None,
    sysctls: Mapping[str, str] | None = None,
) -> Start:
    """facts: read before anything was opened

    soft_before: the soft limit of open files before the run raised it
    sysctls:     None: they are read now
    """
    changed: tuple[Changed, ...] = ()
    if soft_before is not None and soft_before != facts.files_soft:
        what = "RLIMIT_NOFILE (soft) of its own processes"
        changed = (Changed(what, str(soft_before), str(facts.files_soft)),)
    return Start(
        kind=kind,
        started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        at_ns=now_ns(),
        found=found(facts, host_sysctls(SYSCTLS) if sysctls is None else sysctls, __version__),
        changed=changed,
        planned=planned,
    )


class Beside:
    """Looks at the kernel's numbers; at those that cost more than a moment every LOOK_S at most.

    ends: of each connection that are in this network namespace: 1 or 2
    short: why no more may be opened; None: nothing speaks against it
    """

    def __init__(self, at_start: Memory, *, ends: int, share: float = 1.0, proc: Path = PROC) -> None:
        self._at_start, self._ends, self._share, self._proc = at_start, ends, share, proc
        self._counters, self._sockets = procfs.read_counters(proc), _sockets(proc)
        self._due_ns = 0
        self.short: str | None = None
        self.seen = Seen(None, None, {})

    def look(self, *, busy: bool = True) -> Seen:
        """busy: there is news from one moment to the next; else a look a second is enough"""
        due = now_ns() >= self._due_ns
        if due:
            self._due_ns = now_ns() + int((LOOK_S if busy else IDLE_S) * 1e9)
            memory = procfs.read_memory(self._proc)
            self.short = self.short or memory_exhausted(memory, self._at_start, self._share)
            self.seen = Seen(None, self._taken(memory), self.moved())
        if due or busy:
            self.seen = replace(self.seen, connections=self._connections())
        return self.seen

    def moved(self) -> dict[str, int]:
        """The counters that have grown, by how much."""
        now = procfs.read_counters(self._proc)
        return {name: now[name] - was for name, was in self._counters.items() if now.get(name, was) > was}

    def grown(self, name: str) -> int | None:
        """By how much one counter has; None where it cannot be read."""
        return self.moved().get(name, 0) if name in self._counters else None

    def _connections(self) -> int | None:
        now = _sockets(self._proc)
        return None if now is None or self._sockets is None else max(0, now - self._sockets) // self._ends

    def _taken(self, memory: Memory) -> int | None:
        known = memory.free_bytes is not None and self._at_start.free_bytes is not None
        return (self._at_start.free_bytes or 0) - (memory.free_bytes or 0) if known else None


def _sockets(proc: Path) -> int | None:
    """TCP sockets of this network namespace, TIME_WAIT aside; None: not readable."""
    net = proc / "thread-self/net"
    counts = {**parse_sockstat(whole(net / "sockstat")), **parse_sockstat(whole(net / "sockstat6"))}
    return None if "TCP.inuse" not in counts else counts["TCP.inuse"] + counts.get("TCP6.inuse", 0)
