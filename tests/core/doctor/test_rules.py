"""Every rule of `doctor` on hosts made by hand: where it is true, and where it nearly is and must not be said."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fourtuple.core.doctor.diagnose import NOTHING, ONLY_SO_FAR, diagnose
from fourtuple.core.doctor.records import Diagnosis, Rank
from fourtuple.core.limits.cures import Needs
from fourtuple.core.limits.facts import Memory
from fourtuple.core.limits.measures import FILES_UNSURE
from fourtuple.core.snapshot.coding import decode, encode
from fourtuple.core.snapshot.records import Cgroup, HostAddress, HostNamespace, HostProcess, Snapshot, UnixListener
from fourtuple.core.sockets.table import PROC_NET_TCP, SOCKET, State
from fourtuple.core.space.ranges import Ranges
from tests.core.census.test_usage import Row, filled
from tests.core.doctor.hosts import FACTS, HERE, LOW, NETNS, PID, PORTS, THERE, both, connections, listener, snapshot

CONNTRACK = {"net.netfilter.nf_conntrack_max": "1000"}
Made = Callable[[int], Snapshot]


def found(diagnosis: Diagnosis) -> dict[str, Rank]:
    return {trouble.key: trouble.rank for trouble in diagnosis.findings}


def _cgroup(**fields: Any) -> dict[str, Cgroup]:
    return {"/a": Cgroup("/a", service="a.service", **fields)}


def _handshakes(count: int) -> Snapshot:
    rows = [Row(HERE, 80, THERE, 1024 + n, State.NEW_SYN_RECV) for n in range(count)]
    return snapshot(sockets=filled(rows, SOCKET), **listener(0, 20))


def _bound(count: int) -> Snapshot:
    rows = [Row(HERE, LOW + n, state=State.CLOSE, inode=n + 1) for n in range(count)]
    return snapshot(sockets=filled(rows, SOCKET))


def _user(threads: int) -> Snapshot:
    other = HostProcess(900, "php", uid=33, threads=threads - 4, processes_soft=None)
    return snapshot(process={"processes_soft": 1000}, more=[other])


# The rule → a host by how much of the limit is used; the most that is silent, the least that is near, that fails.
LEVELS: Mapping[str, tuple[Made, int, int, int]] = {
    "source-ports": (lambda n: snapshot(**connections(n)), 89, 90, PORTS),
    "bound-ports": (_bound, 89, 90, PORTS),
    "udp-ports": (lambda n: snapshot(udp_ports=tuple(range(LOW, LOW + n)), udp_pids={PID: n}), 89, 90, PORTS),
    "open-files": (lambda n: snapshot(process={"files_open": n}), 899, 900, 1000),
    "host-files": (lambda n: snapshot(files_in_use=n, host_sysctls={"fs.file-max": "1000"}), 899, 900, 1000),
    "inotify-instances": (
        lambda n: snapshot(inotify_instances={33: n}, host_sysctls={"fs.inotify.max_user_instances": "128"}),
        115,
        116,
        128,
    ),
    "inotify-watches": (
        lambda n: snapshot(inotify_watches={33: n}, host_sysctls={"fs.inotify.max_user_watches": "1000"}),
        899,
        900,
        1000,
    ),
    "accept-queue": (lambda n: snapshot(**listener(n, 99)), 89, 90, 100),
    "unix-backlog": (lambda n: snapshot(unix=(UnixListener("/run/php.sock", n, 99, PID),)), 89, 90, 100),
    "syn-queue": (_handshakes, 17, 18, 20),
    "conntrack": (
        lambda n: snapshot(sysctls=CONNTRACK | {"net.netfilter.nf_conntrack_count": str(n)}),
        899,
        900,
        1000,
    ),
    "pids-max": (lambda n: snapshot(cgroups=_cgroup(pids=n, pids_most=100)), 89, 90, 100),
    "threads-max": (lambda n: snapshot(threads=n, host_sysctls={"kernel.threads-max": "1000"}), 899, 900, 1000),
    "pid-max": (lambda n: snapshot(threads=n, host_sysctls={"kernel.pid_max": "1000"}), 899, 900, 1000),
    "user-processes": (_user, 899, 900, 1000),
    "mappings": (
        lambda n: snapshot(process={"maps": n}, host_sysctls={"vm.max_map_count": "1000"}),
        899,
        900,
        1000,
    ),
    "tcp-memory": (
        lambda n: snapshot(sockstat={"TCP.mem": n}, host_sysctls={"net.ipv4.tcp_mem": "60 80 100"}),
        80,
        81,
        100,
    ),
    "orphans": (
        lambda n: snapshot(sockstat={"TCP.orphan": n}, host_sysctls={"net.ipv4.tcp_max_orphans": "100"}),
        89,
        90,
        100,
    ),
    "time-wait": (
        lambda n: snapshot(sockstat={"TCP.tw": n}, sysctls={"net.ipv4.tcp_max_tw_buckets": "100"}),
        89,
        90,
        100,
    ),
    "cgroup-memory": (
        lambda n: snapshot(cgroups=_cgroup(memory_bytes=n + 500, files_bytes=500, memory_most_bytes=1000)),
        899,
        900,
        1000,
    ),
    "neighbours4": (
        lambda n: snapshot(neighbours=n, host_sysctls={"net.ipv4.neigh.default.gc_thresh3": "1024"}),
        921,
        922,
        1024,
    ),
    "neighbours6": (
        lambda n: snapshot(neighbours6=n, host_sysctls={"net.ipv6.neigh.default.gc_thresh3": "1024"}),
        921,
        922,
        1024,
    ),
    "routes6": (
        lambda n: snapshot(kernel="6.1.0", routes6=n, sysctls={"net.ipv6.route.max_size": "4096"}),
        3686,
        3687,
        4096,
    ),
}


@pytest.mark.parametrize("key", LEVELS)
def test_a_limit_is_said_from_nine_tenths_on(key: str) -> None:
    """One less is silent, at 90 % it is near, and where nothing is left it fails; nothing else is said of the host."""
    made, silent, near, full = LEVELS[key]

    assert found(diagnose(made(silent))) == {}
    assert found(diagnose(made(near))) == {key: Rank.NEAR}
    assert found(diagnose(made(full))) == {key: Rank.FAILS}


@pytest.mark.parametrize("key", LEVELS)
def test_a_finding_has_evidence_a_cause_and_cures_and_its_sentence_has_the_numbers(key: str) -> None:
    made, _, near, _ = LEVELS[key]
    (trouble,) = diagnose(made(near)).findings

    assert trouble.evidence
    assert trouble.cause
    assert trouble.cures
    assert trouble.source
    assert key == "tcp-memory" or f"{near:,}" in trouble.says or key == "cgroup-memory"


# A counter of failures → where it is: of a namespace, or of the host.
COUNTERS = {
    "ListenOverflows": ("counters", "accept-queue-overflows"),
    "TCPReqQFullDrop": ("counters", "syn-queue-drops"),
    "TCPReqQFullDoCookies": ("counters", "syn-queue-drops"),
    "TCPAbortOnMemory": ("counters", "counter-TCPAbortOnMemory"),
    "TCPMemoryPressures": ("counters", "counter-TCPMemoryPressures"),
    "TCPTimeWaitOverflow": ("counters", "counter-TCPTimeWaitOverflow"),
    "nf_conntrack.drop": ("counters", "conntrack-drop"),
    "nf_conntrack.early_drop": ("counters", "conntrack-early-drop"),
    "nf_conntrack.insert_failed": ("counters", "conntrack-insert-failed"),
    "arp_cache.table_fulls": ("counters", "neighbours4-full"),
    "ndisc_cache.table_fulls": ("counters", "neighbours6-full"),
    "eth0.rx_missed_errors": ("counters", "interface-drops"),
    "eth0.100.rx_fifo_errors": ("counters", "interface-drops"),
    "softnet_stat.dropped": ("host_counters", "softnet-drops"),
    "vmstat.oom_kill": ("host_counters", "oom-kills"),
}


def _counted(name: str, value: int) -> Snapshot:
    counters: dict[str, Any] = {COUNTERS[name][0]: {name: value}}
    return snapshot(**counters, **listener(0, 99))


@pytest.mark.parametrize("name", COUNTERS)
def test_a_counter_since_boot_limits_nothing_now(name: str) -> None:
    """Read once it is only told; read twice it counts if it moved, by what it moved, and otherwise nothing is said."""
    key = COUNTERS[name][1]
    once, still = diagnose(_counted(name, 7)), diagnose(_counted(name, 7), _counted(name, 7))
    later = replace(_counted(name, 12), at_s=1_790_000_010.0)
    moved = diagnose(later, _counted(name, 7))

    assert found(once) == {key: Rank.SO_FAR}
    assert not once.limits_now
    assert once.first == ONLY_SO_FAR
    assert found(still) == {}
    assert found(moved) == {key: Rank.FAILS}
    assert "5 in 10 s" in moved.findings[0].says


@pytest.mark.parametrize("name", ["pids_refused", "oom_kills"])
def test_what_cgroups_count_is_treated_like_other_counters(name: str) -> None:
    def counted(value: int) -> Snapshot:
        return snapshot(cgroups=_cgroup(**{name: value}))

    assert [each.rank for each in diagnose(counted(3)).findings] == [Rank.SO_FAR]
    assert not diagnose(counted(3), counted(3)).findings
    assert [each.rank for each in diagnose(counted(4), counted(3)).findings] == [Rank.FAILS]


def test_a_new_namespace_has_no_increase() -> None:
    """What it has counted is not from the time between two looks at another one."""
    before = replace(snapshot(), namespaces={})

    assert not diagnose(snapshot(counters={"ListenOverflows": 5}), before).findings


def test_nothing_is_said_of_a_host_that_is_well() -> None:
    diagnosis = diagnose(snapshot())

    assert not diagnosis.findings
    assert not diagnosis.limits_now
    assert diagnosis.first == NOTHING


def test_the_subject_of_a_process_is_its_pod_or_service() -> None:
    cgroups = {"/kube": Cgroup("/kube", container="ab12", name="web", pod="shop/web-1")}
    (of_pod,) = diagnose(
        snapshot(process={"files_open": 1000, "cgroup": "/kube"}, cgroups=cgroups, cgroup="/kube")
    ).findings
    (of_service,) = diagnose(snapshot(process={"files_open": 1000})).findings

    assert str(of_pod.subject) == "pod shop/web-1, container web, nginx (812)"
    assert str(of_service.subject) == "nginx.service, nginx (812)"


def test_a_namespace_is_this_one_or_that_of_a_process() -> None:
    """Neither a file nor a paste has one that is this."""
    queue = listener(129, 128) | {"listener_pids": np.array([-1], np.int32), "cgroup": ""}
    made = {
        "this": snapshot(netns=NETNS, host_netns=NETNS, **queue),
        "other": snapshot(netns=NETNS, host_netns="net:[2]", **queue),
        "file": decode(encode(snapshot(netns=NETNS, host_netns=NETNS, **queue)), "file"),
        "paste": snapshot(netns="", host_netns="", pid=None, **queue),
    }
    whose = {name: str(diagnose(each).findings[0].subject) for name, each in made.items()}

    assert whose == {
        "this": "this network namespace",
        "other": "the network namespace of nginx (812)",
        "file": "the network namespace of nginx (812)",
        "paste": "the host",
    }


def test_time_wait_is_named_as_the_cause_by_its_share() -> None:
    """50 of 50 are as much a cause as 28,000 of 28,000."""
    few = replace(FACTS, port_range=range(LOW, LOW + 50))
    (trouble,) = diagnose(snapshot(ports=few, **connections(50, State.TIME_WAIT))).findings

    assert (trouble.key, trouble.rank) == ("source-ports", Rank.FAILS)
    assert "TIME_WAIT" in trouble.cause
    assert any("tcp_tw_reuse=1" in cure.do for cure in trouble.cures)


def test_ports_in_time_wait_that_connect_can_reuse_are_not_gone() -> None:
    reusable = replace(FACTS, tw_reuse=1, timestamps=True)

    assert not diagnose(snapshot(ports=reusable, **connections(PORTS, State.TIME_WAIT))).findings


def test_reserved_ports_are_named_as_the_cause() -> None:
    reserved = replace(FACTS, reserved_ports=Ranges([range(LOW, LOW + 80)]))
    (trouble,) = diagnose(snapshot(ports=reserved, **connections(20, first=LOW + 80))).findings
    (all_of_them,) = diagnose(snapshot(ports=replace(FACTS, reserved_ports=Ranges([range(1, 65535)])))).findings

    assert "80 of 100 ports of the range are reserved" in trouble.cause
    assert all_of_them.key == "reserved-ports"


def test_connections_to_many_destinations_share_their_ports() -> None:
    """As many sockets as ports, but no pair of addresses is short of them."""
    rows = [Row(HERE, LOW + n, f"10.0.1.{n}", 80, inode=n + 1) for n in range(PORTS)]

    assert not diagnose(snapshot(sockets=filled(rows, SOCKET))).findings


def _closed(per_window: tuple[int, int, int]) -> Snapshot:
    """Connections in TIME_WAIT for 5, 15 and 25 s."""
    starts = (0, per_window[0], per_window[0] + per_window[1])
    parts = [
        connections(count, State.TIME_WAIT, age_s=age_s, first=LOW + start)
        for count, age_s, start in zip(per_window, (5, 15, 25), starts, strict=True)
    ]
    return snapshot(**both(*parts))


def test_churn_is_said_if_it_lasted_and_not_after_a_burst() -> None:
    """17 closed in each 10 s are 102 in 60 s, more than there are ports; 16 are not, nor is a burst that is over."""
    assert found(diagnose(_closed((18, 18, 18)))) == {"churn": Rank.GROWS}
    assert found(diagnose(_closed((0, 27, 27)))) == {}
    assert found(diagnose(_closed((54, 0, 0)))) == {}
    assert found(diagnose(_closed((16, 18, 18)))) == {}


def test_close_wait_is_a_leak_by_its_share_of_files_and_of_connections() -> None:
    """A few are a program that is slow to close; many beside far more open ones are, too."""
    wide = replace(FACTS, port_range=range(1024, 61000))

    def leaking(left: int, alive: int = 0) -> Snapshot:
        parts = (connections(left, State.CLOSE_WAIT), connections(alive, first=LOW + left))
        return snapshot(ports=wide, **both(*parts))

    assert found(diagnose(leaking(100))) == {"close-wait": Rank.GROWS}
    assert found(diagnose(leaking(99))) == {}
    assert found(diagnose(leaking(100, 101))) == {}
    assert found(diagnose(leaking(100), leaking(100))) == {"close-wait": Rank.GROWS}
    assert found(diagnose(leaking(100), leaking(50))) == {}  # half of them are new: it closes them


def test_files_that_may_be_above_the_limit_are_said_with_the_reason() -> None:
    full = {"files_open": 64, "files_soft": 64, "files_unsure": True}
    (unsure,) = diagnose(snapshot(process=full)).findings
    (sure,) = diagnose(snapshot(process=full | {"files_unsure": False})).findings

    assert FILES_UNSURE in unsure.evidence
    assert FILES_UNSURE not in sure.evidence


@pytest.mark.parametrize(
    ("uid", "hard", "needs"),
    [
        (33, 4096, Needs.NOTHING),
        (0, 4096, Needs.RESOURCE),
        (1000, 4096, Needs.RESOURCE),
        (33, 1000, Needs.RESOURCE),
        (0, 1000, Needs.RESOURCE),
    ],
)
def test_raising_the_files_of_a_process_takes_a_capability_that_root_may_lack(
    uid: int, hard: int, needs: Needs
) -> None:
    """Within its hard limit the own user of nginx needs nothing. The last line says what it takes, too."""
    diagnosis = diagnose(snapshot(host_uid=uid, process={"files_open": 1000, "files_hard": hard}))
    (cure,) = (each for each in diagnosis.findings[0].cures if each.do.startswith("prlimit"))

    assert cure.needs is needs
    assert uid == 1000 or (f"({needs})" in diagnosis.first) is bool(needs)


@pytest.mark.parametrize(
    ("cgroup", "where"),
    [
        (Cgroup("/a", service="nginx.service"), "LimitNOFILE= of nginx.service"),
        (Cgroup("/a", container="ab12"), "--ulimit nofile="),
        (Cgroup("/a"), "ulimit -n"),
    ],
)
def test_where_a_limit_of_files_is_set_for_good(cgroup: Cgroup, where: str) -> None:
    (trouble,) = diagnose(
        snapshot(process={"files_open": 1000, "cgroup": "/a"}, cgroups={"/a": cgroup}, cgroup="/a")
    ).findings

    assert where in trouble.cures[-1].do
    assert cgroup.service or "unit" not in trouble.cures[-1].do


def test_a_program_that_confined_itself_is_not_short_of_files() -> None:
    confined = {"files_open": 1, "files_soft": 1, "files_hard": 1}

    assert not diagnose(snapshot(process=confined)).findings
    assert not diagnose(snapshot(process={"files_open": 0, "files_soft": 0, "files_hard": 0})).findings


def test_backlogs_that_are_not_known_are_not_judged() -> None:
    """/proc/net/tcp reports no backlog, so one connection that waits is not a full queue."""
    assert not diagnose(snapshot(read_from=PROC_NET_TCP, **listener(1, 0))).findings
    assert found(diagnose(snapshot(**listener(1, 0)))) == {"accept-queue": Rank.FAILS}


def test_of_nested_cgroups_only_the_innermost_is_named() -> None:
    """A pod's limit is its container's, too."""
    both_full = {path: Cgroup(path, pids=95, pids_most=100) for path in ("/pod", "/pod/web", "/pods")}
    both_full["/pod/log"] = Cgroup("/pod/log", pids=2, pids_most=100)
    subjects = [trouble.says for trouble in diagnose(snapshot(cgroups=both_full)).findings]

    assert len(subjects) == 2
    assert any("/pod/web" in each for each in subjects)
    assert any("/pods " in each for each in subjects)


def test_a_kill_is_told_of_the_cgroup_in_which_it_happened() -> None:
    """Cgroups count what happens below them, too."""
    cgroups = {path: Cgroup(path, oom_kills=1) for path in ("/", "/pod", "/pod/web")}
    (trouble,) = diagnose(snapshot(cgroups=cgroups)).findings

    assert "/pod/web" in trouble.says


@pytest.mark.parametrize(("free", "said"), [(31, False), (30, True)])
def test_the_memory_of_the_host(free: int, said: bool) -> None:
    """A host that is well used is not short of memory."""
    diagnosis = diagnose(snapshot(memory=Memory(free), memory_bytes=1000))

    assert found(diagnosis) == ({"host-memory": Rank.NEAR} if said else {})


def test_routes_of_ipv6_are_not_limited_since_linux_6_3() -> None:
    full: dict[str, Any] = {"routes6": 4096, "sysctls": {"net.ipv6.route.max_size": "4096"}}

    assert not diagnose(snapshot(kernel="6.3.0", **full)).findings
    assert diagnose(snapshot(kernel="6.2.16", **full)).findings


def test_root_is_not_bound_by_the_limit_of_processes() -> None:
    process = {"uid": 0, "threads": 1000, "processes_soft": 1000}

    assert not diagnose(snapshot(process=process)).findings
    assert not diagnose(snapshot(process=process | {"uid": 33, "capabilities": 1 << 24})).findings


ADDRESS = HostAddress("2001:db8::4", 64, "eth0")


def test_addresses_that_cannot_be_used() -> None:
    """A duplicate one; a tentative one, unless it was not tentative before, or is that of a link."""
    tentative = snapshot(addresses=(replace(ADDRESS, tentative=True),))
    of_link = snapshot(addresses=(replace(ADDRESS, address="fe80::4", tentative=True),))

    assert found(diagnose(snapshot(addresses=(ADDRESS,)))) == {}
    assert found(diagnose(snapshot(addresses=(replace(ADDRESS, duplicate=True),)))) == {"address-duplicate": Rank.FAILS}
    assert found(diagnose(tentative)) == {"address-tentative": Rank.FAILS}
    assert found(diagnose(tentative, tentative)) == {"address-tentative": Rank.FAILS}
    assert found(diagnose(tentative, snapshot())) == {}
    assert found(diagnose(of_link)) == {}


def test_the_worst_comes_first_and_says_what_to_do() -> None:
    diagnosis = diagnose(snapshot(process={"files_open": 900}, counters={"ListenOverflows": 3}, **connections(PORTS)))

    assert [trouble.rank for trouble in diagnosis.findings] == [Rank.FAILS, Rank.NEAR, Rank.SO_FAR]
    assert diagnosis.findings[0].key == "source-ports"
    assert diagnosis.first.startswith("Start with nginx.service, nginx (812): ")


def test_cures_that_this_user_can_apply_come_first() -> None:
    """For another user's process an ordinary user needs root, so the remedies of root do not come first."""
    here = snapshot(uid=1000, udp_ports=tuple(range(LOW, LOW + PORTS)))
    (trouble,) = diagnose(here).findings

    assert trouble.cures[0].needs != "root"


def test_json_has_the_findings_with_their_subjects_and_cures() -> None:
    record = diagnose(snapshot(process={"files_open": 1000})).to_json()
    (trouble,) = record["findings"]

    assert record["limits_now"] is True
    assert record["looked"] == {"namespaces": 1, "processes": 1, "cgroups": 1}
    assert (trouble["rank"], trouble["subject"]["pid"], trouble["subject"]["netns"]) == ("fails", PID, NETNS)
    assert {"do", "costs", "needs"} == trouble["cures"][0].keys()


def test_connections_that_are_only_counted_are_told_as_such() -> None:
    """As in the output of `ss -s`: which destinations they use is not known, so nothing is said to be short."""
    counted = HostNamespace("net:[1]", sockstat={"TCP.tw": 125_217})
    listed = replace(counted, read_from="ss -tan")

    found = diagnose(Snapshot(0.0, namespaces={"net:[1]": counted}))

    assert not found.limits_now
    assert "125,217" in found.unseen[0]
    assert diagnose(Snapshot(0.0, namespaces={"net:[1]": listed})).unseen == ()
