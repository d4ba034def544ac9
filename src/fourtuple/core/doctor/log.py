"""What the kernel's log reports, where a paste has it: each kind of failure once, with how often and when."""

import re
from collections.abc import Iterator
from datetime import datetime, timezone

from fourtuple.core.backports import parse_iso
from fourtuple.core.doctor.memory import FREE_MEMORY
from fourtuple.core.doctor.patient import Patient
from fourtuple.core.doctor.queues import BACKLOG, COOKIES
from fourtuple.core.doctor.records import Rank, Subject, Trouble
from fourtuple.core.doctor.tasks import FEWER
from fourtuple.core.doctor.tracking import MOST, SHORTER, UNTRACKED
from fourtuple.core.late import late_pattern
from fourtuple.core.limits.cures import Cure, Needs
from fourtuple.core.record import dataclass
from fourtuple.core.units import format_count

OLD_S = 86_400.0  # a line that is so much older is not of now; less may be a difference of time zones
MOST_SHOWN = 120  # characters of a line


@dataclass(frozen=True, slots=True)
class Logged:
    """One kind of line.

    key:   of the finding; the same as that of the rule of its limit, where there is one
    form:  a regular expression that finds the line
    where: the kernel's file that prints it
    """

    key: str
    form: str
    says: str
    cause: str
    cures: tuple[Cure, ...]
    where: str


def _raise(name: str, costs: str) -> Cure:
    return Cure(f"raise {name}", costs, Needs.ROOT)


KINDS = (
    Logged(
        "conntrack",
        r"n?f?_?conntrack: table full, dropping packet",
        "the connection tracking table was full, and packets of new connections were dropped",
        "more connections were tracked than the table may hold",
        (_raise(MOST, "an entry takes about 300 bytes of kernel memory"), SHORTER, UNTRACKED),
        "net/netfilter/nf_conntrack_core.c, __nf_conntrack_alloc()",
    ),
    Logged(
        "tcp-memory",
        r"out of memory -- consider tuning tcp_mem|Out of socket memory",
        "TCP had no memory left for its buffers: it dropped data and reset connections",
        "net.ipv4.tcp_mem was reached, or too many sockets were orphaned",
        (
            Cure("read faster, or close connections whose peer does not read", "", Needs.SETTING),
            _raise("net.ipv4.tcp_mem", "takes memory"),
        ),
        "net/ipv4/tcp.c, tcp_check_oom()",
    ),
    Logged(
        "orphans",
        r"too many (?:of )?orphaned sockets",
        "there were too many orphaned TCP sockets, and connections were reset",
        "programs closed connections whose peers did not acknowledge what was sent",
        (_raise("net.ipv4.tcp_max_orphans", "an orphan takes up to 64 KiB"),),
        "net/ipv4/tcp.c, tcp_check_oom()",
    ),
    Logged(
        "time-wait",
        r"time wait bucket table overflow",
        "there were too many sockets in TIME_WAIT, and further ones were closed without it",
        "net.ipv4.tcp_max_tw_buckets was reached",
        (_raise("net.ipv4.tcp_max_tw_buckets", "each takes 256 bytes"),),
        "net/ipv4/tcp_minisocks.c, tcp_time_wait()",
    ),
    Logged(
        "syn-queue",
        r"[Pp]ossible SYN flooding",
        "a SYN queue was full: SYNs were dropped, or answered with cookies",
        "a SYN flood, clients that do not answer, or a backlog that is too small for the rate",
        (COOKIES, BACKLOG),
        "net/ipv4/tcp_input.c, tcp_syn_flood_action()",
    ),
    Logged(
        "neighbours",
        r"neighbou?r(?: |_)?table overflow",
        "a neighbour table was full, and packets to new addresses of the local networks were dropped",
        "more addresses on directly connected networks than the table may hold",
        (_raise("net.ipv4.neigh.default.gc_thresh3, or that of ipv6", "an entry takes about 400 bytes"),),
        "net/core/neighbour.c, neigh_alloc()",
    ),
    Logged(
        "host-files",
        r"file-max limit \d+ reached",
        "no more files could be opened on the whole host: programs failed with ENFILE",
        "fs.file-max was reached",
        (_raise("fs.file-max", "each open file takes some kernel memory"),),
        "fs/file_table.c, alloc_empty_file()",
    ),
    Logged(
        "routes6",
        r"(?:Route cache is full|dst cache overflow)",
        "the routing cache was full: connect() and sendto() failed",
        "many peers, or packets to unreachable addresses, each of which takes an entry",
        (_raise("net.ipv6.route.max_size", "takes memory"),),
        "net/core/dst.c, dst_alloc()",
    ),
    Logged(
        "oom-kills",
        r"[Oo]ut of memory: Kill|Memory cgroup out of memory|invoked oom-killer|oom-kill:constraint",
        "the kernel killed processes for lack of memory",
        "the host, or a cgroup, had no memory left",
        (FREE_MEMORY,),
        "mm/oom_kill.c",
    ),
    Logged(
        "pids-max",
        r"fork rejected by pids controller",
        "fork() failed because of pids.max",
        "more processes and threads than pids.max (TasksMax=) allows",
        (FEWER, Cure("raise TasksMax= of the unit, or the pids limit of the container", "", Needs.ROOT)),
        "kernel/cgroup/pids.c, pids_can_fork()",
    ),
    Logged(
        "address-duplicate",
        r"duplicate address .*detected",
        "an IPv6 address is a duplicate: bind() and connect() from it fail with EADDRNOTAVAIL",
        "duplicate address detection found another host that has this address",
        (Cure("give one of the two another address", "", Needs.ROOT),),
        "net/ipv6/addrconf.c, addrconf_dad_failure()",
    ),
)
_SINCE_BOOT = late_pattern(r"(?:<\d+>|[a-z]+ *:[a-z]+ *: )?\[ {0,6}(\d+)\.\d{6}\]")
_LOCAL = late_pattern(r"(?:[a-z]+ *:[a-z]+ *: )?\[\w{3} (\w{3} {1,2}\d{1,2} \d\d:\d\d:\d\d \d{4})\]")
_ISO = late_pattern(r"\d{4}-\d\d-\d\dT[\d:.,]+(?:Z|[+-]\d\d:?\d\d)?")


def logged(patient: Patient) -> Iterator[Trouble]:
    """The failures that the kernel's log reports. They count unless the log shows that they are old."""
    log = patient.now.log
    for kind in KINDS:
        form = re.compile(kind.form)
        lines = [line for line in log if form.search(line)]
        if lines:
            yield _reported(patient, kind, lines)


def _reported(patient: Patient, kind: Logged, lines: list[str]) -> Trouble:
    is_old = _age_s(lines[-1], patient.now.log[-1], patient.now.at_s) > OLD_S
    times = "once" if len(lines) == 1 else f"{format_count(len(lines))} times"
    last = lines[-1] if len(lines[-1]) <= MOST_SHOWN else f"{lines[-1][:MOST_SHOWN]}…"
    return Trouble(
        key=kind.key,
        rank=Rank.SO_FAR if is_old else Rank.LOGGED,
        says=f"{kind.says}: {times} in the kernel's log",
        subject=Subject(),
        evidence=(f"{last}{' (the last line of this kind)' if len(lines) > 1 else ''}",),
        cause=kind.cause,
        cures=kind.cures,
        source=f"{kind.where} (v6.18)",
    )


def _age_s(line: str, last: str, at_s: float) -> float:
    """How old a line of the log is at least; 0: nothing tells. last: the last line. at_s: 0: unknown"""
    since_boot, until = _SINCE_BOOT.match(line), _SINCE_BOOT.match(last)
    if since_boot and until:
        return float(until[1]) - float(since_boot[1])
    moment = _moment_s(line)
    if moment is None:
        return 0.0
    return max(at_s, _moment_s(last) or 0.0) - moment


def _moment_s(line: str) -> float | None:
    """The time of a line, as if it were UTC where it has no zone; None: it has none."""
    try:
        if row := _LOCAL.match(line):
            moment = datetime.strptime(" ".join(row[1].split()), "%b %d %H:%M:%S %Y")
            return moment.replace(tzinfo=timezone.utc).timestamp()
        if row := _ISO.match(line):
            moment = parse_iso(row[0].replace(",", "."))
            return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, OverflowError):
        pass
    return None
