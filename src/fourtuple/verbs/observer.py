"""The kernel's numbers during a run: sockets, memory, counters."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from fourtuple.core.limits.cost import memory_exhausted
from fourtuple.core.limits.facts import Memory
from fourtuple.core.runs.records import Seen
from fourtuple.engine.control import now_ns
from fourtuple.kernel.proc.cgroups import read_memory
from fourtuple.kernel.proc.netstat import read_counters, read_sockets, read_unix_sockets

LOOK_S, IDLE_S = 0.2, 1.0  # interval between two reads of memory and counters


class Observer:
    """Reads the kernel's numbers; those that are slow to read at most every LOOK_S.

    at_start: memory before the run
    ends:     how many ends of each connection are in this network namespace: 1 or 2
    short:    why no more connections may be opened, as of the last look; None: no reason
    """

    def __init__(self, at_start: Memory, *, ends: int, share: float = 1.0, unix: bool = False) -> None:
        """Take the first readings.

        share: the share of the initially free memory that may be used
        unix:  count Unix sockets; the kernel's counters are all of TCP and IP then, and so of others
        """
        self._read_sockets = (lambda: (read_unix_sockets(), None)) if unix else read_sockets
        self._read_counters: Callable[[], Mapping[str, int]] = dict if unix else read_counters
        self._at_start, self._ends, self._share = at_start, ends, share
        self._counters, (self._sockets, _) = self._read_counters(), self._read_sockets()
        self._due_ns = 0
        self._seen = Seen(None, None, {})
        self.short: str | None = None

    def look(self, *, busy: bool = True, now: bool = False) -> Seen:
        """The current numbers.

        busy: connections are being opened or closed; otherwise one read per second is enough
        now:  read everything now
        """
        due = now or now_ns() >= self._due_ns
        if due:
            self._due_ns = now_ns() + int((LOOK_S if busy else IDLE_S) * 1e9)
            memory = read_memory()
            self.short = memory_exhausted(memory, self._at_start, self._share)
            self._seen = Seen(None, self._taken(memory), self.moved())
        if due or busy:
            there, time_wait = self._read_sockets()
            self._seen = replace(self._seen, connections=self._connections(there), time_wait=time_wait)
        return self._seen

    def moved(self) -> dict[str, int]:
        """The increase of each counter that has grown."""
        now = self._read_counters()
        return {name: now[name] - was for name, was in self._counters.items() if now.get(name, was) > was}

    def grown(self, name: str, moved: Mapping[str, int]) -> int | None:
        """The increase of one counter; None: not readable.

        moved: the result of `moved()`
        """
        return moved.get(name, 0) if name in self._counters else None

    def _connections(self, there: int | None) -> int | None:
        return None if there is None or self._sockets is None else max(0, there - self._sockets) // self._ends

    def _taken(self, memory: Memory) -> int | None:
        if memory.free_bytes is None or self._at_start.free_bytes is None:
            return None
        return self._at_start.free_bytes - memory.free_bytes
