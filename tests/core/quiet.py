"""A host that says nothing but its default range of ports, and a process on it: tests replace what they are about."""

from fourtuple.core.limits.facts import Memory, PortFacts, ProcessFacts, World
from fourtuple.core.space.interval import Interval
from fourtuple.core.space.ranges import Ranges

PROCESS = ProcessFacts(
    pid=4121,
    name="app",
    uid=1000,
    files_soft=20_000,
    files_hard=20_000,
    files_open=24,
    files_most=64,
    memlock_soft_bytes=None,
    processes_soft=None,
    uid_threads=None,
    capabilities=0,
    of_host=True,
    sockets=frozenset(),
    rings=0,
    epolls=0,
)
WORLD = World(
    kernel="6.18.1",
    netns="net:[1]",
    process=PROCESS,
    ports=PortFacts(range(32768, 61000), Ranges([])),
    cpus=4,
    page_bytes=4096,
    memory_bytes=None,
    memory=Memory(None),
    cgroup=None,
    pids_left=None,
    files_in_use=None,
    threads=None,
    neighbours=None,
    sysctls={},
    sockstat={},
    counters={},
    tracked=None,
    why_not={},
)


def ends(interval: Interval | None) -> tuple[int | None, int | None]:
    """(least, most), or twice None."""
    return (None, None) if interval is None else (interval.least, interval.most)
