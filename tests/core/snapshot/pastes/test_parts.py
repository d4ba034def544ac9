"""Pastes that have a part only: what they show counts, in whichever form, and what they lack is unknown."""

import pytest

from fourtuple.core.census.records import PairCount
from fourtuple.core.doctor.diagnose import UNKNOWN, diagnose
from fourtuple.core.doctor.records import Diagnosis, Rank
from fourtuple.core.snapshot.answers import Recorded
from fourtuple.core.snapshot.pastes.paste import paste
from fourtuple.core.sockets.owners import unseen
from fourtuple.faces.text.doctor import doctor_lines
from fourtuple.verbs.census import census

SOCKSTAT = "sockets: used 61234\nTCP: inuse 1200 orphan {} tw 10 alloc 62000 mem {}\n"
MEMORY = ("net.ipv4.tcp_mem", "94500\t126000\t189000")
SS_S = "Total: 212\nTCP:   125303 (estab 61, closed 125217, orphaned 60000, timewait 125217)\n"
LISTED = "ESTAB 0 0 10.0.0.4:40000 10.0.0.9:443\n"
FULL = "nf_conntrack: nf_conntrack: table full, dropping packet"


def diagnosis_of(text: str) -> Diagnosis:
    found = paste(text)
    assert found is not None
    return diagnose(found)


def ranks(text: str) -> dict[str, Rank]:
    return {trouble.key: trouble.rank for trouble in diagnosis_of(text).findings}


def forms(name: str, value: str) -> list[str]:
    """A setting as each tool prints it."""
    file = f"/proc/sys/{name.replace('.', '/')}"
    return [
        f"{name} = {value}\n",
        f"$ sysctl -n {name}\n{value}\n",
        f"{file}:{value}\n",
        f"$ cat {file}\n{value}\n",
        f"cat {file}\n{value}\n",
        f"$ head {file} /proc/sys/net/core/somaxconn\n==> {file} <==\n{value}\n",
        f"$ cat /proc/sys/net/none {file}\ncat: /proc/sys/net/none: No such file or directory\n{value}\n",
        f"$ cat /proc/sys/net/core/somaxconn {file}\n4096\n{value}\n",
    ]


@pytest.mark.parametrize("number", range(len(forms(*MEMORY))))
@pytest.mark.parametrize(
    ("name", "value", "counted", "found"),
    [
        (*MEMORY, SOCKSTAT.format(0, 190_000), {"tcp-memory": Rank.FAILS}),
        ("net.ipv4.tcp_max_orphans", "65536", SOCKSTAT.format(60_000, 0), {"orphans": Rank.NEAR}),
        ("net.ipv4.tcp_max_orphans", "60000", SS_S, {"orphans": Rank.FAILS}),
        ("net.ipv4.tcp_max_tw_buckets", "131072", SS_S, {"time-wait": Rank.NEAR}),
        ("kernel.threads-max", "800", "0.20 0.18 0.12 1/800 11206\n", {"threads-max": Rank.FAILS}),
        ("fs.file-nr", "9700\t0\t9800", "", {"host-files": Rank.NEAR}),
        ("net.netfilter.nf_conntrack_max", "512", "$ conntrack -C\n512\n", {"conntrack": Rank.FAILS}),
        ("net.nf_conntrack_max", "512", "net.netfilter.nf_conntrack_count = 500\n", {"conntrack": Rank.NEAR}),
        (
            "net.ipv4.neigh.default.gc_thresh3",
            "2",
            "10.0.0.1 dev eth0 lladdr 02:42:ac:11:00:02 REACHABLE\n10.0.0.2 dev eth0 FAILED\n"
            "10.0.0.3 dev eth0 lladdr 02:42:ac:11:00:02 PERMANENT\n",
            {"neighbours4": Rank.FAILS},
        ),
    ],
)
def test_a_limit_that_a_paste_shows_counts_in_every_form(
    number: int, name: str, value: str, counted: str, found: dict[str, Rank]
) -> None:
    """Whichever tool printed the setting, and whichever the count, and whichever came first."""
    setting = forms(name, value)[number]

    assert ranks(counted + setting) == found
    assert ranks(setting + "$ uptime\n" + counted) == found


NF_STAT = """\
entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop icmp_error
00000200  00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 0000000a 00000003 00000000 00000000
00000200  00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000002 00000000 00000000 00000000
"""
ARP_STAT = """\
entries,allocs,destroys,hash_grows,lookups,hits,res_failed,rcv_probes_mcast,table_fulls
00000200,00000000 00000000 00000000 00000000 00000000 00000000 00000000 0000000a
"""


def test_files_with_a_line_for_each_cpu() -> None:
    """Counters in hex are summed; the entries of connection tracking are those of all CPUs."""
    tracked = f"net.netfilter.nf_conntrack_max = 512\n$ cat /proc/net/stat/nf_conntrack\n{NF_STAT}"
    softnet = "0000a1b2 00000010 00000000 00000000 00000000 00000000 00000000 00000000 00000000\n" * 2

    assert ranks(tracked) == {"conntrack": Rank.FAILS, "conntrack-insert-failed": Rank.SO_FAR}
    assert any("12 so far" in each.says for each in diagnosis_of(tracked).findings)
    assert ranks(ARP_STAT.replace("00000200,", "00000200 ")) == {"neighbours4-full": Rank.SO_FAR}
    assert ranks(softnet) == {"softnet-drops": Rank.SO_FAR}
    assert "32 so far" in diagnosis_of(softnet).findings[0].says
    assert ranks("oom_kill 3\n") == {"oom-kills": Rank.SO_FAR}


def test_the_files_of_a_process_are_counted_by_ls() -> None:
    limits = "Max open files            1024                 4096                 files\n"
    text = f"$ cat /proc/812/limits\n{limits}$ ls /proc/812/fd | wc -l\n{{}}\n"

    assert ranks(text.format(1024)) == {"open-files": Rank.FAILS}
    assert ranks(text.format(12)) == {}
    assert not any(each.startswith("open files of processes") for each in diagnosis_of(text.format(12)).unseen)


@pytest.mark.parametrize(
    ("rest", "says"),
    [
        ('users:(("web",pid=812,fd=5))', "a program still has them"),
        ("timer:(timewait,43sec,0)", "tcp_fin_timeout=10"),
        ("", "tcp_fin_timeout=10"),
    ],
)
def test_whether_a_program_has_a_socket_in_fin_wait2_is_said_only_if_it_is_shown(rest: str, says: str) -> None:
    """By its process (-p), or by the timer of those that are closed (-o)."""
    listed = "".join(f"FIN-WAIT-2 0 0 10.0.0.4:{40_000 + n} 10.0.0.9:443 {rest}\n" for n in range(100))
    (trouble,) = diagnosis_of(f"net.ipv4.ip_local_port_range = 40000 40099\n{listed}").findings
    text = " ".join((trouble.cause, *(cure.do for cure in trouble.cures)))

    assert says in text
    assert ("a program still has them" in text) == ("users" in rest)


def test_a_listing_tells_how_many_sockets_are_in_time_wait() -> None:
    listed = "".join(f"TIME-WAIT 0 0 10.0.0.4:{40_000 + n} 10.0.0.9:443\n" for n in range(95))

    assert ranks(f"net.ipv4.tcp_max_tw_buckets = 100\n{listed}") == {"time-wait": Rank.NEAR}


@pytest.mark.parametrize(
    ("line", "key"),
    [
        (FULL, "conntrack"),
        ("ip_conntrack: table full, dropping packet.", "conntrack"),
        ("TCP: out of memory -- consider tuning tcp_mem", "tcp-memory"),
        ("TCP: too many orphaned sockets", "orphans"),
        ("TCP: time wait bucket table overflow", "time-wait"),
        ("TCP: request_sock_TCP: Possible SYN flooding on port 80. Sending cookies.", "syn-queue"),
        ("neighbour: arp_cache: neighbor table overflow!", "neighbours"),
        ("VFS: file-max limit 9800 reached", "host-files"),
        ("Out of memory: Killed process 812 (web) total-vm:1kB", "oom-kills"),
        ("cgroup: fork rejected by pids controller in /system.slice/web.service", "pids-max"),
        ("IPv6: eth0: IPv6 duplicate address 2001:db8::4 used by 02:42:ac:11:00:02 detected!", "address-duplicate"),
    ],
)
@pytest.mark.parametrize(
    "form", ["[12345.678901] {}", "{}", "Nov 29 10:00:00 web1 kernel: {}", "kern  :warn  : [12345.678901] {}"]
)
def test_a_failure_in_the_kernels_log_counts(line: str, key: str, form: str) -> None:
    """With its time or without: it is not said to be of now, and not that nothing is known to fail."""
    diagnosis = diagnosis_of(form.format(line))
    (trouble,) = diagnosis.findings

    assert (trouble.key, trouble.rank) == (key, Rank.LOGGED)
    assert diagnosis.limits_now
    assert line in trouble.evidence[0]
    assert "but the kernel's log reports 1 failure" in " ".join(doctor_lines(diagnosis))


@pytest.mark.parametrize(
    "log",
    [
        f"[1000.000001] {FULL}\n[900000.000001] eth0: link up\n",
        f"Sun Nov 29 10:00:00 UTC 2026\n[Tue Mar  3 10:00:00 2026] {FULL}\n",
        f"Sun Nov 29 10:00:00 UTC 2026\n2026-11-01T10:00:00+00:00 web1 kernel: {FULL}\n",
    ],
)
def test_a_failure_that_the_log_shows_to_be_old_is_of_no_account(log: str) -> None:
    assert ranks(log) == {"conntrack": Rank.SO_FAR}
    assert not diagnosis_of(log).limits_now


def test_a_log_of_a_limit_that_is_reached_is_its_evidence() -> None:
    settings = "net.netfilter.nf_conntrack_max = 512\nnet.netfilter.nf_conntrack_count = 512\n"
    (trouble,) = diagnosis_of(f"{settings}[1.000001] {FULL}\n").findings

    assert (trouble.key, trouble.rank) == ("conntrack", Rank.FAILS)
    assert any(FULL in each for each in trouble.evidence)


def test_what_is_not_in_a_paste_is_not_known() -> None:
    """Nothing is said to be well that nobody looked at; with each output the list is shorter."""
    diagnosis = diagnosis_of(LISTED)
    about = {sentence.partition(":")[0]: sentence for sentence in diagnosis.unseen}
    lines = " ".join(doctor_lines(diagnosis))

    assert "net.ipv4.ip_local_port_range is not in the paste" in about["source ports"]
    assert about.keys() >= {"open files of the host", "memory of TCP", "connection tracking", "accept queues"}
    assert lines.startswith("Nothing that is known limits")
    assert diagnosis.first.startswith(UNKNOWN)
    assert diagnosis.to_json()["unseen"]


@pytest.mark.parametrize(
    ("topic", "text"),
    [
        ("source ports", f"net.ipv4.ip_local_port_range = 32768 60999\n{LISTED}"),
        ("accept queues", "LISTEN 0 128 0.0.0.0:80 0.0.0.0:*\n"),
        ("open files of the host", "/proc/sys/fs/file-nr:10\t0\t9800\n"),
        ("connection tracking", "net.netfilter.nf_conntrack_max = 512\n$ conntrack -C\n5\n"),
        ("memory of TCP", f"{SOCKSTAT.format(0, 0)}{MEMORY[0]} = {MEMORY[1]}\n"),
        ("orphans", f"{SS_S}net.ipv4.tcp_max_orphans = 100000\n"),
        ("TIME_WAIT", f"{LISTED}net.ipv4.tcp_max_tw_buckets = 100000\n"),
        ("counters of failures", "TcpExtListenOverflows 0 0.0\n"),
        ("the kernel's log", "[1.000001] eth0: link up\n"),
    ],
)
def test_what_is_in_a_paste_is_known(topic: str, text: str) -> None:
    assert not any(sentence.startswith(f"{topic}:") for sentence in diagnosis_of(text).unseen)


def test_who_has_the_most_is_left_out_where_nobody_is_known() -> None:
    """The first remedy is one that can be applied."""
    (trouble,) = diagnosis_of("fs.file-nr = 9700 0 9800\n").findings

    assert not any("the most" in text for text in (*trouble.evidence, *(cure.do for cure in trouble.cures)))
    assert trouble.cures[0].do == "sysctl -w fs.file-max=19600"


def test_ends_in_the_mapped_form_are_ipv4_and_wildcards_of_their_version() -> None:
    """A socket is of IPv4 only if both of its ends are; the listener of :: is not."""
    found = paste(
        "ESTAB 0 0 [::ffff:10.0.0.4]:80 [::ffff:10.0.0.9]:443\nESTAB 0 0 [fd00::4]:80 [fd00::9]:443\n"
        "LISTEN 0 128 0.0.0.0:80 0.0.0.0:*\nLISTEN 0 128 *:81 *:*\nLISTEN 0 128 [::]:82 [::]:*\n"
    )
    assert found is not None
    inside = found.namespaces[""]

    assert inside.sockets["family"].tolist() == [2, 10]
    assert inside.listeners["family"].tolist() == [2, 10, 10]


def test_owners_of_a_listing_without_processes() -> None:
    """ESTABLISHED sockets have a process that is not named; those in TIME_WAIT have none."""
    found = paste(f"{LISTED}TIME-WAIT 0 0 10.0.0.4:40001 10.0.0.8:443\n")
    assert found is not None
    rows = [row for row in census(host=Recorded(found)).rows if isinstance(row, PairCount)]

    assert {row.destination: row.owners.whose for row in rows} == {
        "10.0.0.9:443": "unknown",
        "10.0.0.8:443": "the kernel's",
    }
    assert unseen([row.owners for row in rows])
