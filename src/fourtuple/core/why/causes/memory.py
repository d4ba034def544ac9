"""Causes that leave no memory, no thread or no process."""

from collections.abc import Iterator, Mapping

from fourtuple.core.limits import meters
from fourtuple.core.limits.cures import Cure, Needs
from fourtuple.core.units import format_count, format_size, format_things
from fourtuple.core.why.scene import FULL, NEAR, NEARLY, Cause, Evidence, Scene, counted, filled, limited

LITTLE_BYTES = 256 * 2**20  # free memory from which it is reported as short
FEWER_THREADS = Cure(
    "use fewer threads or workers, or an event loop instead of a thread per connection", "", Needs.SETTING
)


def memory(scene: Scene) -> Iterator[Evidence]:
    for available in (scene.world.memory, scene.world.cgroup):
        if available and available.free_bytes is not None:
            little = available.free_bytes < LITTLE_BYTES
            yield Evidence(2 if little else -1, f"{format_size(available.free_bytes)} are free {available.where}")
    if killed := scene.counter("vmstat.oom_kill"):
        yield Evidence(2, f"the kernel has killed {format_things(killed, 'process')} of the host for lack of memory")


def tcp_mem(scene: Scene) -> Iterator[Evidence]:
    found = meters.TCP_MEMORY.read(scene.world)
    size = format_size(found.in_bytes(found.ceiling) or 0)
    what = f"pages ({size}) hold data that is not yet read or acknowledged"
    yield from filled(scene, meters.TCP_MEMORY, NEARLY, (3, -2), what)
    for name in ("TCPMemoryPressures", "TCPRcvQDrop"):
        if count := scene.counter(name):
            yield Evidence(1, f"{name} {format_count(count)} in this namespace so far")


def orphans(scene: Scene) -> Iterator[Evidence]:
    yield from filled(scene, meters.ORPHANS, NEARLY, (3, -1), "orphaned sockets exist on the host")
    yield from counted(scene, meters.ORPHANS.counters)


def tw_buckets(scene: Scene) -> Iterator[Evidence]:
    yield from filled(scene, meters.TIME_WAITS, NEARLY, (2, 0), "sockets of this namespace are in TIME_WAIT")
    yield from counted(scene, meters.TIME_WAITS.counters)


def threads(scene: Scene) -> Iterator[Evidence]:
    process = scene.world.process
    if scene.asked and process.processes_soft and process.uid_threads is not None:
        full = process.uid_threads >= NEARLY * process.processes_soft
        counts = f"{format_count(process.uid_threads)} of {format_count(process.processes_soft)}"
        yield Evidence(4 if full else -1, f"{counts} threads of the user exist (RLIMIT_NPROC)")
    yield from filled(scene, meters.THREADS, FULL, (3, -1), f"threads exist ({meters.THREADS.setting})")


def pids(scene: Scene) -> Iterator[Evidence]:
    left = scene.world.pids_left
    if left is not None:
        text = f"pids.max of the cgroup leaves room for {format_things(left, 'thread')}"
        yield Evidence(4 if left < NEAR else -1, text)


def pid_max(scene: Scene) -> Iterator[Evidence]:
    most, used = scene.world.number("kernel.pid_max"), scene.world.threads
    if most is not None and used is not None:
        text = f"{format_count(used)} of {format_count(most)} PIDs are in use (kernel.pid_max)"
        yield Evidence(4 if used >= NEARLY * most else -1, text)


def max_map_count(scene: Scene) -> Iterator[Evidence]:
    return limited(scene, "vm.max_map_count", "memory mappings of the process exist")


MEMORY: Mapping[str, Cause] = {
    "memory": Cause(
        "the host or the cgroup is out of memory: allocations fail, or the kernel kills processes",
        (
            Cure("dmesg shows which process or cgroup: `Out of memory`, `Memory cgroup out of memory`"),
            Cure("hold fewer connections: each takes about 4 KB, and its unread data", "", Needs.SETTING),
            Cure(
                "raise memory.max of the cgroup: MemoryMax=, the limit of the container or pod",
                "less for others",
                Needs.ROOT,
            ),
        ),
        memory,
    ),
    "ring-memory": Cause(
        "the user has reached the limit of locked memory (ulimit -l), which io_uring needs without CAP_IPC_LOCK",
        (
            Cure("use --loop epoll", needs=Needs.SETTING),
            Cure("raise it: ulimit -l unlimited, or LimitMEMLOCK=", "the user can lock more memory", Needs.RESTART),
        ),
    ),
    "tcp-mem": Cause(
        "the queued data of all connections has reached net.ipv4.tcp_mem (in pages): a program does not read",
        (
            Cure("find the program that does not read: ss -tmp shows large Recv-Q or Send-Q"),
            Cure("raise net.ipv4.tcp_mem, in pages (getconf PAGESIZE)", "the memory is missing elsewhere", Needs.ROOT),
            Cure("smaller buffers: net.ipv4.tcp_rmem and tcp_wmem", "less throughput on long paths", Needs.ROOT),
        ),
        tcp_mem,
    ),
    "orphans": Cause(
        "too many orphaned sockets, closed but not finished (tcp_max_orphans): the kernel resets them",
        (
            Cure("ss -tano state fin-wait-1 shows to whom: peers that vanished without an answer"),
            Cure("close fewer connections at once", needs=Needs.SETTING),
            Cure("sysctl -w net.ipv4.tcp_max_orphans=…", "each orphan can hold up to 64 KiB of memory", Needs.ROOT),
            Cure(
                "sysctl -w net.ipv4.tcp_orphan_retries=3: orphans give up sooner",
                "unsent data is lost sooner",
                Needs.ROOT,
            ),
        ),
        orphans,
    ),
    "tw-buckets": Cause(
        "more sockets in TIME_WAIT than tcp_max_tw_buckets: connections then close without it; nothing fails",
        (
            Cure("reuse connections (keep-alive, a pool)", "idle connections stay open at both ends", Needs.SETTING),
            Cure(
                "restore the kernel's default of net.ipv4.tcp_max_tw_buckets",
                "each socket in TIME_WAIT takes about 250 bytes",
                Needs.ROOT,
            ),
        ),
        tw_buckets,
    ),
    "threads": Cause(
        "cannot create more threads or processes: RLIMIT_NPROC, pids.max or kernel.threads-max is reached",
        (
            Cure("ps -eLf | wc -l counts them; prlimit --pid PID --nproc and pids.max of the cgroup are the limits"),
            FEWER_THREADS,
            Cure(
                "raise TasksMax= or --pids-limit, and ulimit -u or LimitNPROC=",
                "a runaway program can take more",
                Needs.ROOT,
            ),
        ),
        threads,
    ),
    "pids": Cause(
        "the cgroup has reached pids.max (TasksMax=, --pids-limit, podPidsLimit): no new thread or process there",
        (
            Cure("cat pids.current pids.max pids.events in /sys/fs/cgroup/… of the service or container"),
            FEWER_THREADS,
            Cure(
                "raise it: systemctl set-property NAME TasksMax=…, docker update --pids-limit, kubelet's podPidsLimit",
                "a runaway program can take more of the host's PIDs",
                Needs.ROOT,
            ),
        ),
        pids,
    ),
    "pid-max": Cause(
        "the host has no free PID: kernel.pid_max limits processes and threads together",
        (
            Cure("find who has the threads: ps -eo nlwp,pid,comm --sort=-nlwp | head"),
            Cure(
                "sysctl -w kernel.pid_max=4194304", "programs that keep PIDs in 16 bits fail; they are rare", Needs.ROOT
            ),
        ),
        pid_max,
    ),
    "max-map-count": Cause(
        "the process has reached vm.max_map_count: no new memory mapping, which threads and large heaps need",
        (
            Cure("wc -l /proc/PID/maps against sysctl vm.max_map_count"),
            Cure("sysctl -w vm.max_map_count=262144", "more kernel memory per process", Needs.ROOT),
            FEWER_THREADS,
        ),
        max_map_count,
    ),
}
