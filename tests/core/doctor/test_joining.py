"""Findings of one failure are one finding, and those that follow from another one say so."""

from dataclasses import replace
from typing import Any

import pytest

from fourtuple.core.doctor.diagnose import diagnose
from fourtuple.core.doctor.joining import LIMITS_OF
from fourtuple.core.doctor.records import Rank, Trouble
from fourtuple.core.snapshot.records import Cgroup, Snapshot, UnixListener
from fourtuple.core.sockets.table import State
from tests.core.doctor.hosts import PID, connections, listener, snapshot

# A limit that is reached and its counter: of the namespace, of the host, or of a cgroup.
CONNTRACK = {"net.netfilter.nf_conntrack_max": "1000", "net.netfilter.nf_conntrack_count": "1000"}
REACHED: dict[str, tuple[dict[str, Any], str]] = {
    "accept-queue": (listener(100, 99), "ListenOverflows"),
    "conntrack": ({"sysctls": CONNTRACK}, "nf_conntrack.drop"),
    "tcp-memory": (
        {"sockstat": {"TCP.mem": 100}, "host_sysctls": {"net.ipv4.tcp_mem": "60 80 100"}},
        "TCPMemoryPressures",
    ),
    "orphans": (
        {"sockstat": {"TCP.orphan": 100}, "host_sysctls": {"net.ipv4.tcp_max_orphans": "100"}},
        "TCPAbortOnMemory",
    ),
    "time-wait": (
        {"sockstat": {"TCP.tw": 100}, "sysctls": {"net.ipv4.tcp_max_tw_buckets": "100"}},
        "TCPTimeWaitOverflow",
    ),
    "neighbours4": (
        {"neighbours": 1024, "host_sysctls": {"net.ipv4.neigh.default.gc_thresh3": "1024"}},
        "arp_cache.table_fulls",
    ),
}


def only(made: Snapshot, before: Snapshot | None = None) -> Trouble:
    (trouble,) = diagnose(made, before).findings
    return trouble


@pytest.mark.parametrize("key", REACHED)
def test_a_full_limit_and_its_counter_are_one_finding(key: str) -> None:
    """Looked at once or twice, the increase is evidence of the limit; its remedies are printed once."""
    fields, counter = REACHED[key]
    earlier, later = (snapshot(counters={counter: count}, **fields) for count in (7, 12))
    later = replace(later, at_s=earlier.at_s + 3)

    for trouble, count in ((only(earlier), "7 so far"), (only(later, earlier), "5 in 3 s")):
        assert (trouble.key, trouble.rank) == (key, Rank.FAILS)
        assert any(count in each for each in trouble.evidence)


def test_a_limit_that_failed_meanwhile_fails() -> None:
    """Nearly full at both looks, and full between them."""
    earlier, later = (snapshot(counters={"ListenOverflows": count}, **listener(90, 99)) for count in (7, 12))

    assert only(earlier).rank is Rank.NEAR
    assert only(replace(later, at_s=earlier.at_s + 3), earlier).rank is Rank.FAILS


def test_a_counter_of_another_namespace_or_cgroup_stays_by_itself() -> None:
    full = snapshot(**listener(100, 99))
    other = replace(next(iter(full.namespaces.values())), netns="net:[2]", counters={"ListenOverflows": 7})
    other = replace(other, listeners=other.listeners[:0], listener_pids=other.listener_pids[:0])
    two = replace(full, namespaces={**full.namespaces, "net:[2]": other})
    cgroups = {
        "/a": Cgroup("/a", service="a.service", pids=100, pids_most=100, pids_refused=3),
        "/b": Cgroup("/b", service="b.service", pids_refused=3),
    }

    assert {each.key for each in diagnose(two).findings} == {"accept-queue", "accept-queue-overflows"}
    assert [each.key for each in diagnose(snapshot(cgroups=cgroups)).findings] == ["pids-max", "pids-max-refused"]
    assert "/b" in diagnose(snapshot(cgroups=cgroups)).findings[1].says


def test_every_limit_of_a_counter_is_a_finding_by_that_name() -> None:
    """A key that no rule has would never match."""
    known = {*REACHED, "syn-queue", "neighbours6", "pids-max", "cgroup-memory", "host-memory"}

    assert {key for keys in LIMITS_OF.values() for key in keys} <= known


def test_a_program_without_files_accepts_nothing_and_that_is_said() -> None:
    """The queues of this program are full because of its files: their cause and remedies are those of the files."""
    unix = (UnixListener("/run/web.sock", 10, 9, PID),)
    made = snapshot(process={"files_open": 1000}, unix=unix, counters={"ListenOverflows": 9}, **listener(100, 99))
    files, *queues = diagnose(made).findings

    assert files.key == "open-files"
    assert [each.key for each in queues] == ["accept-queue", "unix-backlog"]
    for queue in queues:
        assert queue.follows_from == "open-files"
        assert files.says in queue.cause
        assert queue.cures == files.cures


@pytest.mark.parametrize("files", [{"files_open": 950}, {"files_open": 20}])
def test_a_program_that_has_files_left_is_slow_for_another_reason(files: dict[str, Any]) -> None:
    made = snapshot(process=files, **listener(100, 99))
    (queue,) = (each for each in diagnose(made).findings if each.key == "accept-queue")

    assert not queue.follows_from


def test_files_of_another_program_are_no_cause() -> None:
    made = snapshot(**listener(100, 99))
    other = replace(made.processes[PID], pid=5, files_open=1000)
    both_of_them = replace(made, processes={**made.processes, 5: other})

    assert not any(each.follows_from for each in diagnose(both_of_them).findings)


def test_a_host_without_files_accepts_nothing() -> None:
    made = snapshot(files_in_use=1000, host_sysctls={"fs.file-max": "1000"}, **listener(100, 99))

    assert {each.key: each.follows_from for each in diagnose(made).findings}["accept-queue"] == "host-files"


def test_a_leak_is_why_files_ran_out() -> None:
    """The remedies of the leak come before a higher limit, which only takes longer to reach."""
    made = snapshot(process={"files_open": 100, "files_soft": 100}, **connections(80, State.CLOSE_WAIT))
    files = next(each for each in diagnose(made).findings if each.key == "open-files")

    assert files.follows_from == "close-wait"
    assert "restart" in files.cures[0].do
    assert any("prlimit" in cure.do for cure in files.cures)


def test_a_number_of_a_full_queue_stands_once() -> None:
    """The listener's drops and the counter of the namespace are one number, unless others dropped some, too."""
    alone, several = (
        diagnose(snapshot(counters={"ListenOverflows": count}, **listener(129, 128, drops=1200))).findings[0].evidence
        for count in (1200, 1260)
    )

    assert [sum("1,200" in sentence for sentence in each) for each in (alone, several)] == [1, 1]
    assert [sum("1,260" in sentence for sentence in each) for each in (alone, several)] == [0, 1]
