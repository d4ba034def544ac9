"""Memory: of TCP's buffers, of orphans and TIME_WAIT, of cgroups with the share of their sockets, and of the host."""

from collections.abc import Iterator

from fourtuple.core.doctor.patient import Patient, of_most, rank_of, so
from fourtuple.core.doctor.records import Rank, Subject, Trouble
from fourtuple.core.doctor.tasks import innermost, moved_in_cgroup
from fourtuple.core.limits.cures import Cure, Needs
from fourtuple.core.numbers import number_of
from fourtuple.core.units import format_count, format_size

HOST_SHARE = 0.97  # of the host's memory: less is usual on a host that is well used
SYSCTL_RST = "Documentation/networking/ip-sysctl.rst"
FREE_MEMORY = Cure("stop or shrink what uses the most, or give it more memory", "", Needs.SETTING)
TCP_FAILURES = (
    (
        "TCPAbortOnMemory",
        "connections were reset because there were too many orphans, or too little memory for TCP",
        "net.ipv4.tcp_max_orphans or net.ipv4.tcp_mem was reached",
    ),
    ("TCPMemoryPressures", "TCP ran short of memory for its buffers", "net.ipv4.tcp_mem was nearly reached"),
    (
        "TCPTimeWaitOverflow",
        "connections were closed without TIME_WAIT",
        "net.ipv4.tcp_max_tw_buckets was reached: late segments of old connections may disturb new ones",
    ),
)


def tcp_memory(patient: Patient) -> Iterator[Trouble]:
    """The buffers of all TCP sockets of the host against net.ipv4.tcp_mem."""
    pages = [number_of(word) for word in patient.now.sysctls.get("net.ipv4.tcp_mem", "").split()]
    used = _of_host(patient, "TCP.mem")
    if len(pages) != 3 or None in pages or used is None:
        return
    pressure, most = pages[1] or 0, pages[2] or 0
    rank = Rank.FAILS if used >= most else Rank.NEAR if used > pressure else None
    if rank is None:
        return
    size = patient.now.page_bytes
    yield Trouble(
        key="tcp-memory",
        rank=rank,
        says=f"the buffers of TCP take {format_size(used * size)}; above {format_size(pressure * size)} the kernel"
        f" shrinks them, above {format_size(most * size)} it drops data and resets connections",
        subject=Subject(),
        evidence=(f"TCP mem {format_count(used)} pages in /proc/net/sockstat", _setting(patient, "net.ipv4.tcp_mem")),
        cause="many sockets with unread or unacknowledged data: slow readers, or buffers that are too large",
        cures=(
            Cure("read faster, or close connections whose peer does not read", "", Needs.SETTING),
            Cure(f'sysctl -w net.ipv4.tcp_mem="{most} {most * 3 // 2} {most * 2}"', "takes memory", Needs.ROOT),
        ),
        source=f"{SYSCTL_RST}, tcp_mem; net/ipv4/tcp.c, tcp_enter_memory_pressure() (v6.18)",
        used=used,
        most=most,
    )


def orphans(patient: Patient) -> Iterator[Trouble]:
    """Sockets that no program has any more and that are not closed yet, against tcp_max_orphans."""
    used, most = _of_host(patient, "TCP.orphan"), patient.number("net.ipv4.tcp_max_orphans")
    rank = rank_of(used, most) if used is not None and most else None
    if rank is None or used is None or most is None:
        return
    yield Trouble(
        key="orphans",
        rank=rank,
        says=f"the host has {of_most(used, most)} orphaned TCP sockets"
        + so(rank, "closing one more {now}resets its connection"),
        subject=Subject(),
        evidence=(_setting(patient, "net.ipv4.tcp_max_orphans"),),
        cause="programs close connections whose peers do not acknowledge what was sent",
        cures=(
            Cure("sysctl -w net.ipv4.tcp_orphan_retries=2", "data that is late is lost earlier", Needs.ROOT),
            Cure(f"sysctl -w net.ipv4.tcp_max_orphans={2 * most}", "an orphan takes up to 64 KiB", Needs.ROOT),
        ),
        source=f"{SYSCTL_RST}, tcp_max_orphans (v6.18)",
        used=used,
        most=most,
    )


def time_waits(patient: Patient) -> Iterator[Trouble]:
    """Sockets in TIME_WAIT of each namespace against tcp_max_tw_buckets, and what TCP lost for lack of memory."""
    for namespace in patient.now.namespaces.values():
        used, most = namespace.sockstat.get("TCP.tw"), patient.number("net.ipv4.tcp_max_tw_buckets", namespace)
        rank = rank_of(used, most) if used is not None and most else None
        if rank is not None and used is not None and most:
            yield Trouble(
                key="time-wait",
                rank=rank,
                says=f"{of_most(used, most)} sockets are in TIME_WAIT"
                + so(rank, "further ones are {now}closed without it"),
                subject=patient.of_namespace(namespace),
                evidence=(f"net.ipv4.tcp_max_tw_buckets = {most}",),
                cause="connections are closed at this end at a high rate, or the limit was lowered",
                cures=(
                    Cure("keep connections open and reuse them (keep-alive, a pool)", "", Needs.SETTING),
                    Cure(f"sysctl -w net.ipv4.tcp_max_tw_buckets={2 * most}", "each takes 256 bytes", Needs.ROOT),
                ),
                source=f"{SYSCTL_RST}, tcp_max_tw_buckets (v6.18)",
                used=used,
                most=most,
            )
        for name, says, cause in TCP_FAILURES:
            if (moved := patient.moved(name, namespace)) is not None:
                yield Trouble(
                    key=f"counter-{name}",
                    rank=moved[0],
                    says=f"{says}: {patient.times(*moved)}",
                    subject=patient.of_namespace(namespace),
                    evidence=(f"{name} {patient.times(*moved)}",),
                    cause=cause,
                    cures=(Cure("see which of these limits is near: fourtuple limits --all"),),
                    source="Documentation/networking/snmp_counter.rst (v6.18)",
                )


def cgroup_memory(patient: Patient) -> Iterator[Trouble]:
    """The memory of each cgroup, without cached files, against memory.max; and the processes killed for it."""
    full = {}
    for path, cgroup in patient.now.cgroups.items():
        if cgroup.memory_bytes is None or cgroup.memory_most_bytes is None or path == "/":
            continue
        if rank_of(cgroup.memory_bytes - (cgroup.files_bytes or 0), cgroup.memory_most_bytes):
            full[path] = cgroup
    for cgroup in innermost(full):
        used, most = (cgroup.memory_bytes or 0) - (cgroup.files_bytes or 0), cgroup.memory_most_bytes or 0
        evidence = [f"memory.max {format_size(most)}"]
        if cgroup.sockets_bytes is not None:
            share = round(100 * cgroup.sockets_bytes / used) if used else 0
            evidence.append(f"buffers of sockets take {format_size(cgroup.sockets_bytes)} of it ({share} %)")
        yield Trouble(
            key="cgroup-memory",
            rank=rank_of(used, most) or Rank.NEAR,
            says=f"the cgroup {cgroup.path} uses {format_size(used)} of {format_size(most)}: when nothing is left, the"
            " kernel kills a process in it",
            subject=patient.of_cgroup(cgroup.path),
            evidence=tuple(evidence),
            cause="the programs in it, and the buffers of their connections, need more than memory.max",
            cures=(FREE_MEMORY, Cure("raise MemoryMax= of the unit, or the container's limit", "", Needs.ROOT)),
            source="Documentation/admin-guide/cgroup-v2.rst, Memory (v6.18)",
            used=used,
            most=most,
        )
    for path in patient.now.cgroups:
        yield from _killed(patient, path)


def _killed(patient: Patient, path: str) -> Iterator[Trouble]:
    moved = moved_in_cgroup(patient, path, "oom_kills")
    below = {each for each in patient.now.cgroups if each.startswith(f"{path.rstrip('/')}/")}
    if moved is None or any(moved_in_cgroup(patient, each, "oom_kills") for each in below):
        return  # cgroups count what happens below them, too
    yield Trouble(
        key="oom-kills",
        rank=moved[0],
        says=f"the kernel killed processes in the cgroup {path} for lack of memory: {patient.times(*moved)}",
        subject=patient.of_cgroup(path),
        evidence=(f"oom_kill in memory.events: {patient.times(*moved)}",),
        cause="the programs in it, and the buffers of their connections, needed more than memory.max",
        cures=(FREE_MEMORY, Cure("raise MemoryMax= of the unit, or the container's limit", "", Needs.ROOT)),
        source="Documentation/admin-guide/cgroup-v2.rst, memory.events (v6.18)",
    )


def host_memory(patient: Patient) -> Iterator[Trouble]:
    """The memory of the host, without cached files; and the processes that the kernel killed for it."""
    free_bytes, total_bytes = patient.now.memory.free_bytes, patient.now.memory_bytes
    if free_bytes is not None and total_bytes and total_bytes - free_bytes >= HOST_SHARE * total_bytes:
        used = total_bytes - free_bytes
        sockets = _of_host(patient, "TCP.mem")
        evidence = [f"{format_size(free_bytes)} are free, cached files included"]
        if sockets is not None:
            evidence.append(f"buffers of TCP take {format_size(sockets * patient.now.page_bytes)}")
        yield Trouble(
            key="host-memory",
            rank=Rank.NEAR,
            says=f"the host uses {format_size(used)} of {format_size(total_bytes)} memory: when nothing is left, the"
            " kernel kills a process",
            subject=Subject(),
            evidence=tuple(evidence),
            cause="the programs of this host need more memory than it has",
            cures=(FREE_MEMORY,),
            source="proc_meminfo(5): MemFree, Cached, Shmem",
            used=used,
            most=total_bytes,
        )
    if (moved := patient.moved("vmstat.oom_kill")) is not None:
        yield Trouble(
            key="oom-kills",
            rank=moved[0],
            says=f"the kernel killed processes for lack of memory: {patient.times(*moved)}",
            subject=Subject(),
            evidence=(f"oom_kill in /proc/vmstat: {patient.times(*moved)}",),
            cause="the host, or a cgroup, had no memory left",
            cures=(FREE_MEMORY,),
            source="mm/oom_kill.c (v6.18)",
        )


def _of_host(patient: Patient, name: str) -> int | None:
    """A number of /proc/net/sockstat that counts the whole host, and that every namespace reports."""
    return next((each.sockstat[name] for each in patient.now.namespaces.values() if name in each.sockstat), None)


def _setting(patient: Patient, name: str) -> str:
    return f"{name} = {' '.join(patient.now.sysctls.get(name, '').split())}"
