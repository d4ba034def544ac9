"""What each row of the table of limits measures in a case: the setting, the amount in use, and the room left.

A measure is None if the row does not apply or cannot be read: no number is better than a wrong one.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fourtuple.core.limits import meters
from fourtuple.core.limits.facts import Memory, World
from fourtuple.core.limits.load import GIGABIT, link_of
from fourtuple.core.limits.meters import Meter
from fourtuple.core.limits.releases import SYN_QUEUE_PLUS_1
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.limits.time_wait import TIME_WAIT_MS
from fourtuple.core.limits.verdicts import Case, Measure
from fourtuple.core.sockets.role import Role
from fourtuple.core.space.interval import Interval
from fourtuple.core.units import format_count, format_duration, format_size, format_things

SOONER = "keep connections open and reuse them, or let the server close first"  # where tcp_tw_reuse works
FILES_UNSURE = "some of them may be at or above the limit, where they do not count: only root sees their numbers"
BOTH_ENDS = "both ends of a connection are on this host and take a file each, so room is (fs.file-max − in use) / 2"
TUPLES = 65_535  # port 0 cannot be requested
FILE_MAX_SLACK = 32  # files, for each CPU: nr_files is a per-CPU counter (fs/file_table.c, percpu_counter batch)
RTO_MAX_S = 120.0  # TCP_RTO_MAX, include/net/tcp.h
SYN_RETRIES, SYN_LINEAR = range(1, 128), range(128)  # what the kernel takes (net/ipv4/sysctl_net_ipv4.c, v6.18)


def _counted(case: Case, meter: Meter, *, each: int = 1, **more: Any) -> Measure | None:
    """The measure of a meter of which a connection takes `each` units. None if the ceiling cannot be read."""
    found = meter.read(case.world)
    if found.ceiling is None:
        return None
    room = None if found.room is None else Interval.of(found.room // each)
    return Measure(str(found.ceiling), found.ceiling // each, found.in_use, room, **more)


def shown(name: str, note: Callable[[Case], str] = lambda _: "") -> Callable[[Case], Measure | None]:
    """A setting that counts nothing: its value is shown, with what it means here."""

    def measure(case: Case) -> Measure | None:
        value = case.world.sysctls.get(name)
        return None if value is None else Measure(" ".join(value.split()), stops=False, note=note(case))

    return measure


def nothing(note: str) -> Callable[[Case], Measure | None]:
    """A limit of which nothing can be read from here; the note says why."""
    return lambda _: Measure(None, stops=False, note=note)


def own_range(case: Case) -> Measure | None:
    exists = case.world.ports is None or case.world.ports.range_can_be_set
    note = "other processes cannot see which sockets set it" if exists else "this kernel does not have it"
    return Measure(None, stops=False, note=note)


def tuples(case: Case) -> Measure | None:
    if case.ports is None:
        return None
    ceiling = TUPLES * case.ports.pairs
    return Measure(None, ceiling, case.tuples_in_use, Interval.of(ceiling - case.tuples_in_use))


def by_ports(*strategies: Strategy) -> Callable[[Case], Measure | None]:
    def measure(case: Case) -> Measure | None:
        ports, facts = case.ports, case.world.ports
        if ports is None or facts is None or case.strategy not in strategies:
            return None
        value = None if case.strategy is Strategy.EXPLICIT else f"{facts.port_range.start} {facts.port_range.stop - 1}"
        return Measure(value, ports.ceiling, ports.in_use, ports.room, note="; ".join(ports.because))

    return measure


def reserved(case: Case) -> Measure | None:
    facts = case.world.ports
    if facts is None or case.strategy is Strategy.EXPLICIT:
        return None
    lost = len(facts.port_range) - facts.automatic_ports.size
    return Measure(
        str(facts.reserved_ports), stops=False, note=f"{format_count(lost)} ports of the range" if lost else ""
    )


def blocked(case: Case) -> Measure | None:
    if case.ports is None or case.strategy in (Strategy.EXPLICIT, Strategy.BIND0):
        return None
    perhaps = case.ports.unattributed + case.ports.hidden
    note = f"possibly {format_count(perhaps)} more" if perhaps else ""
    return Measure(f"{case.ports.blocked} ports of the range", stops=False, note=note)


def time_wait(case: Case) -> Measure | None:
    value, facts = case.number("net.ipv4.tcp_tw_reuse"), case.world.ports
    if value is None or case.ports is None or facts is None:
        return None
    waiting = case.ports.waiting
    kept_s = case.ports.kept_ms / 1000
    note = f"{format_count(waiting)} of these 4-tuples are in TIME_WAIT" if waiting else ""
    if not kept_s:
        return Measure(
            str(value), stops=False, note="after bind() to a port, connect() takes it from TIME_WAIT at once"
        )
    more = f"at most {case.ports.ceiling / kept_s:,.0f} connections per second if the client closes first"
    if case.ports.kept_ms == TIME_WAIT_MS:
        return Measure(str(value), stops=False, note="; ".join(filter(None, (note, more))))
    again = f"connect() takes a port again after {format_duration(kept_s)} in TIME_WAIT"
    return Measure(str(value), stops=False, note="; ".join(filter(None, (note, more, again))), fix=SOONER)


def files(case: Case) -> Measure | None:
    process, found = case.world.process, meters.PROCESS_FILES.read(case.world)
    soft, hard = found.ceiling, process.files_hard
    if soft is None:
        return None
    value = str(soft) if hard in (soft, None) else f"{soft} (hard {hard})"
    if found.room is None:
        note = "this user may not see how many files the process has open: between none and the size of its table"
        most = process.files_most or soft
        return Measure(value, soft, None, Interval(max(0, soft - most), soft), exact=False, note=note)
    room = Interval.of(found.room)
    if process.files_unsure:
        return Measure(value, soft, found.in_use, room, exact=False, note=FILES_UNSURE)
    if process.rings and case.role is Role.SERVER:
        note = (
            f"the process has {process.rings} io_uring rings, whose sockets need no descriptor; the kernel does not"
            " report"
            " how full they are"
        )
        return Measure(value, soft, found.in_use, room, stops=False, note=note)
    return Measure(value, soft, found.in_use, room)


def file_max(case: Case) -> Measure | None:
    meter = meters.HOST_FILES
    if case.world.process.is_beyond_file_max:
        found = _counted(case, meter, each=1 + case.here, stops=False)
        return found and replace(found, room=None, note="this process is exempt: CAP_SYS_ADMIN")
    found = _counted(case, meter, each=1 + case.here, exact=False)
    if found is None or found.room is None:
        return found
    slack = FILE_MAX_SLACK * case.cpus
    both = f"{BOTH_ENDS}; " if case.here else ""
    return replace(found, room=found.room.widened(slack), note=f"{both}the kernel counts per CPU")


def watches(case: Case) -> Measure | None:
    if case.running and case.world.process.epolls == 0:
        return _counted(case, meters.WATCHES, stops=False, note="this process does not use epoll")
    note = "for programs that use epoll; the kernel does not report how many this user has: none are assumed"
    found = _counted(case, meters.WATCHES, exact=False, note=note)
    return found and replace(found, in_use=0, room=Interval.of(max(0, found.ceiling or 0)))


def memory(of: Callable[[World], Memory | None]) -> Callable[[Case], Measure | None]:
    def measure(case: Case) -> Measure | None:
        memory = of(case.world)
        if memory is None or memory.free_bytes is None:
            return None
        room = Interval.of(memory.free_bytes // case.end_bytes)
        note = f"an estimate: {format_count(case.end_bytes)} B per idle connection, {memory.where}"
        return Measure(format_size(memory.free_bytes), None, None, room, exact=False, note=note)

    return measure


def cpu(case: Case) -> Measure:
    """Connections that the CPUs can serve; it stops some only if the user has said what they send."""
    count, load = case.load.by_cpu(case.cpus), case.load
    basis = f"{load}, {load.cpu_text}"
    value = format_things(case.cpus, "CPU")
    if not load.given:
        return Measure(value, stops=False, note=f"about {format_count(count)} connections; an estimate: {basis}")
    return Measure(value, None, None, Interval.of(count), exact=False, note=f"an estimate: {basis}")


def bandwidth(case: Case) -> Measure:
    """Connections that the fastest network card can carry; it stops some only if the user has said what they send."""
    load, (bits_per_s, link) = case.load, link_of(case.world.links, here=case.here)
    timestamps = case.number("net.ipv4.tcp_timestamps") != 0
    count = load.by_link(bits_per_s or GIGABIT, timestamps=timestamps)
    note = f"an estimate: {load}, with its headers"
    if bits_per_s is None:
        return Measure(None, stops=False, note=f"{link}; {format_count(count)} connections per Gbit/s, {note}")
    if not load.given:
        return Measure(link, stops=False, note=f"about {format_count(count)} connections; {note}")
    return Measure(link, None, None, Interval.of(count), exact=False, note=note)


def conntrack(case: Case) -> Measure | None:
    reading = meters.CONNTRACK.read(case.world)
    if reading.room is None:
        return None
    tracked = case.world.tracked
    if not reading.ceiling:
        return Measure("0", stops=False, note="0: there is no limit")
    if tracked is False:
        note = "no rule of this namespace enables it: a test connection was not counted"
        found = _counted(case, meters.CONNTRACK, stops=False)
        return found and replace(found, room=None, note=note)
    can_probe = case.world.ports is not None and case.world.ports.range_can_be_set
    unknown = f"only if a rule of this namespace enables it, which is not visible{'; --probe finds out' * can_probe}"
    note = "" if tracked else unknown
    return _counted(case, meters.CONNTRACK, stops=bool(tracked), exact=bool(tracked), note=note)


def neighbours(case: Case) -> Measure | None:
    found = meters.NEIGHBOURS.read(case.world)
    value, used, room = str(found.ceiling), found.in_use, found.room
    if used is None or room is None:
        return None
    if case.peers <= room:
        return Measure(value, stops=False, note=f"{format_count(used)} in use, one for each address on the link")
    note = f"for {format_count(case.peers)} destination addresses, if all are on the link"
    most = Interval(room * case.per_peer, case.peers * case.per_peer)
    return Measure(value, None, used, most, exact=False, note=note)


def accept_queue(case: Case) -> Measure | None:
    queue = case.queue
    if queue is None:
        return shown("net.core.somaxconn")(case)
    note = (
        f"{queue.listeners} listening, the longest backlog is {format_count(queue.backlog_most)}; counts only"
        " connections"
        " not yet accepted"
    )
    return Measure(
        case.world.sysctls.get("net.core.somaxconn", "").strip() or None,
        queue.ceiling,
        queue.recv_q,
        Interval.of(max(0, queue.ceiling - queue.recv_q)),
        stops=False,
        note=note,
    )


def syn_queue(case: Case) -> Measure | None:
    """The rule of tcp_conn_request, net/ipv4/tcp_input.c (v6.18)."""
    value, cookies = case.number("net.ipv4.tcp_max_syn_backlog"), case.number("net.ipv4.tcp_syncookies")
    if value is None or cookies is None:
        return None
    if cookies:
        return Measure(str(value), stops=False, note="not counted: SYN cookies are on")
    unproven = value - (value >> 2) + 1
    longest = case.queue.backlog_most + 1 if case.queue else unproven
    ceiling = min(unproven, longest)
    exact = SYN_QUEUE_PLUS_1.holds(case.world.kernel_version)
    note = f"pending SYNs at each listener{'' if exact else '; this kernel may hold one less'}"
    return Measure(str(value), ceiling, None, None, exact=exact, stops=False, note=note)


def threads(case: Case) -> Measure | None:
    """The tightest limit of threads, for a program with one thread per connection."""
    world, found = case.world, []
    if world.pids_left is not None:
        found.append((world.pids_left, "pids.max"))
    process = world.process
    if process.processes_soft is not None and process.uid_threads is not None and process.uid:
        found.append((process.processes_soft - process.uid_threads, "RLIMIT_NPROC"))
    for name in (meters.THREADS.setting, "kernel.pid_max"):
        most = case.number(name)
        if most is not None and world.threads is not None:
            found.append((most - world.threads, name))
    if not found:
        return None
    room, name = min(found)
    left = Interval.of(max(0, room))
    return Measure(name, None, None, left, exact=False, stops=False, note="for programs with one thread per connection")


def orphans(case: Case) -> Measure | None:
    note = "sockets without a process that TCP has not finished closing; a soft limit of the whole host"
    return _counted(case, meters.ORPHANS, stops=False, note=note)


def tw_buckets(case: Case) -> Measure | None:
    note = "above it, connections close without TIME_WAIT; this stops no connection"
    return _counted(case, meters.TIME_WAITS, stops=False, note=note)


def tcp_mem(case: Case) -> Measure | None:
    pages, in_use = meters.tcp_mem_pages(case.world), meters.TCP_MEMORY.read(case.world).in_use
    if pages is None:
        return None
    used = "" if in_use is None else f"{format_count(in_use)} pages of queued data; "
    return Measure(" ".join(map(str, pages)), stops=False, note=f"{used}idle connections use none")


def rings(case: Case) -> Measure | None:
    value, process = case.number("kernel.io_uring_disabled"), case.world.process
    if value is None or process.files_soft is None:
        return None
    note = "off" if value else f"{format_count(process.files_soft)} slots per ring, and one file for each ring"
    return Measure(str(value), stops=False, note=f"sockets without a file descriptor: {note}")


def memlock(case: Case) -> Measure | None:
    process = case.world.process
    if process.memlock_soft_bytes is None:
        return None
    note = "this process is exempt: CAP_IPC_LOCK"
    if not process.is_beyond_memlock:
        note = "for the queues of io_uring rings; the kernel does not report how much the user has locked"
    return Measure(str(process.memlock_soft_bytes), stops=False, note=note)


def syn_time(case: Case) -> Measure | None:
    """How long connect() retransmits SYNs (net/ipv4/tcp_timer.c): after 1 s, the first `linear` without doubling."""
    retries = case.number("net.ipv4.tcp_syn_retries")
    linear = case.number("net.ipv4.tcp_syn_linear_timeouts") or 0
    if retries is None or retries not in SYN_RETRIES or linear not in SYN_LINEAR:
        return None
    return Measure(
        str(retries),
        stops=False,
        note=f"connect() gives up after {format_duration(syn_time_s(retries, linear))} without an answer",
    )


def syn_time_s(retries: int, linear: int, most_s: float = RTO_MAX_S) -> float:
    """When connect() gives up with ETIMEDOUT, in seconds: at the first retransmission at or after the boundary.

    most_s: the longest wait (TCP_RTO_MAX; net.ipv4.tcp_rto_max_ms since Linux 6.15)

    The boundary is the time that `retries` doubled waits would take, 2^(retries + 1) − 1 s, each no longer than most_s
    (tcp_model_timeout, net/ipv4/tcp_timer.c, v6.18).
    """
    doubled = min(retries, int(most_s).bit_length() - 1)
    end_s = 2.0 ** (doubled + 1) - 1 + (retries - doubled) * most_s
    at_s, wait_s, sent = 0.0, 1.0, 0
    while at_s < end_s and sent < retries + linear + 1:
        at_s += wait_s
        sent += 1
        if sent > linear:
            wait_s = min(2 * wait_s, most_s)
    return at_s


def hash(case: Case) -> Measure | None:
    value = case.number("net.ipv4.tcp_ehash_entries")
    if value is None:
        return None
    owner = "a table shared with the host" if value < 0 else "the namespace has its own table"
    return Measure(str(abs(value)), stops=False, note=f"{owner}; not a limit, but slower above 100 sockets per entry")
