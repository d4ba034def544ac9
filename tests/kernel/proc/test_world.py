"""Recorded /proc trees: what each says, number by number, what follows for the limits, and what breaks when files do.

tests/kernel/proc/record_trees.py makes the trees. A broken file may cost an answer; it may never change one.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fourtuple.core.errors import CannotError, UsageError
from fourtuple.core.limits.cost import CLIENT_END_BYTES, SERVER_END_BYTES
from fourtuple.core.limits.facts import Memory, World
from fourtuple.core.limits.ports import PortUse
from fourtuple.core.limits.remarks import remarks
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.limits.table import SYSCTLS
from fourtuple.core.limits.verdicts import Case, Verdict
from fourtuple.core.limits.weigh import weigh
from fourtuple.core.sockets.role import Role
from fourtuple.core.sockets.table import SOCKET, State
from fourtuple.core.space.interval import Interval
from fourtuple.core.space.ranges import Ranges
from fourtuple.core.space.tuples import TupleSpace
from fourtuple.kernel.proc.machine import found
from fourtuple.kernel.proc.world import read_world
from tests.core.quiet import ends
from tests.told import ON_HOST, in_cgroup

TREES = Path(__file__).with_name("trees")
HOSTS = ("default-host", "odd-range", "no-ipv6", "no-conntrack", "tuned-wrongly")
NAMES = (*HOSTS, "container", "cgroup-v1", "cgroup-v2")
PIDS = {"container": 1}  # 4121 elsewhere
ROOT_SERVICE = 900
KIB = 1024
FREE_BYTES = (9_000_000 + 3_000_000 - 500_000) * KIB
HOST_ONLY = (
    "net.ipv4.tcp_mem",
    "net.ipv4.tcp_max_orphans",
    "net.ipv4.neigh.default.gc_thresh3",
    "net.core.netdev_max_backlog",
)


def read(tree: Path, pid: int | None) -> World:
    return read_world(SYSCTLS, pid, known=(), proc=tree / "proc", cgroups=tree / "cgroup")


@cache
def world(name: str, pid: int | None = 0) -> World:
    """pid: 0 means the tree's program"""
    return read(TREES / name, PIDS.get(name, 4121) if pid == 0 else pid)


def case(of: World, **more: Any) -> Case:
    usual: dict[str, Any] = {"role": Role.CLIENT, "strategy": Strategy.LATE, "ports": None, "cpus": 4}
    return Case(world=of, **usual | more)


def verdicts(of: World, **more: Any) -> dict[str, Verdict]:
    return {verdict.limit: verdict for verdict in weigh(case(of, **more))}


def use_of(*listening: int) -> PortUse:
    table = np.zeros(len(listening), SOCKET)
    table["local_port"], table["state"] = listening, State.LISTEN
    return PortUse.of([table], TupleSpace.of(["192.0.2.4"], range(1, 65536), ["192.0.2.9:80"]))


# What they say.


@pytest.mark.parametrize("name", HOSTS)
def test_a_process_of_a_host_is_read_number_by_number(name: str) -> None:
    """Descriptors 1024 and 1030 are beyond the soft limit of 1,024: they take nothing of it."""
    process = world(name).process

    assert (process.pid, process.name, process.uid) == (4121, "app", 1000)
    assert (process.files_soft, process.files_hard, process.files_open, process.files_most) == (1024, 524_288, 6, 2048)
    assert (process.capabilities, process.of_host, process.may_bind_any_port) == (0, True, False)
    assert process.sockets == frozenset()


def test_the_threads_of_a_user_are_those_of_all_its_processes() -> None:
    assert (world("default-host").process.processes_soft, world("default-host").process.uid_threads) == (62_900, 3 + 5)
    assert world("default-host", ROOT_SERVICE).process.uid_threads is None


def test_no_pid_is_the_reader_and_the_descriptor_that_lists_is_not_counted() -> None:
    own = world("default-host", None).process

    assert (own.pid, own.name, own.files_open) == (4200, "self", 6 - 1)


def test_a_process_that_is_not_there_is_a_usage_error_with_its_number() -> None:
    with pytest.raises(UsageError, match="process 4123"):
        world("default-host", 4123)


@pytest.mark.parametrize("name", NAMES)
def test_the_memory_of_the_host_is_what_is_free_and_page_cache(name: str) -> None:
    assert (world(name).memory_bytes, world(name).memory) == (16_000_000 * KIB, Memory(FREE_BYTES, ON_HOST))


@pytest.mark.parametrize(
    ("name", "cgroup", "pids_left"),
    [
        ("default-host", None, 20_757 - 57),
        ("container", Memory(536_870_912 - 104_857_600 + 20_971_520 + 10_485_760, in_cgroup("/")), 512 - 12),
        ("cgroup-v1", Memory(268_435_456 - 201_326_592 + 31_457_280 + 12_582_912, in_cgroup("/docker/0a1b")), 59),
        (
            "cgroup-v2",
            Memory(2_147_483_648 - 2_013_265_920 + 41_943_040 + 20_971_520, in_cgroup("/app.slice/app-web.slice")),
            256 - 131,
        ),
    ],
)
def test_the_tightest_of_the_cgroups_counts(name: str, cgroup: Memory | None, pids_left: int) -> None:
    assert (world(name).cgroup, world(name).pids_left) == (cgroup, pids_left)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_counted_on_the_whole_host(name: str) -> None:
    assert (world(name).files_in_use, world(name).threads) == (2208, 391)
    assert {key: world(name).sockstat[f"TCP.{key}"] for key in ("inuse", "orphan", "tw", "alloc", "mem")} == {
        "inuse": 31,
        "orphan": 17,
        "tw": 119,
        "alloc": 53,
        "mem": 211,
    }
    assert (world(name).counters["ListenOverflows"], world(name).counters["ActiveOpens"]) == (23, 31)


def test_what_is_lost_in_silence_is_the_sum_of_all_cpus() -> None:
    counters = world("default-host").counters

    assert [counters[f"nf_conntrack.{name}"] for name in ("drop", "early_drop", "insert_failed")] == [0x20, 2, 3]
    assert (counters["arp_cache.table_fulls"], counters["ndisc_cache.table_fulls"]) == (0x27, 5)
    assert (counters["softnet_stat.dropped"], counters["vmstat.oom_kill"]) == (0x29, 3)


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("no-ipv6", {"ndisc_cache.table_fulls"}),
        ("no-conntrack", {"nf_conntrack.drop", "nf_conntrack.early_drop", "nf_conntrack.insert_failed"}),
        ("container", {"arp_cache.table_fulls", "ndisc_cache.table_fulls"}),
    ],
)
def test_a_counter_whose_table_is_not_there_is_not_0(name: str, missing: set[str]) -> None:
    tables = {key for key in world("default-host").counters if key.startswith(("nf_", "arp_", "ndisc_"))}

    assert tables - set(world(name).counters) == missing


@pytest.mark.parametrize("name", NAMES)
def test_neighbours_are_the_entries_without_the_heading(name: str) -> None:
    assert world(name).neighbours == (0 if name == "container" else 3)


@pytest.mark.parametrize(
    ("name", "port_range", "reserved"),
    [
        ("default-host", range(32768, 61000), ""),
        ("container", range(32768, 61000), ""),
        ("odd-range", range(40000, 40011), "40003,40005-40007"),
        ("tuned-wrongly", range(1024, 65536), ""),
    ],
)
def test_the_range_has_its_last_port_and_the_reserved_ones_are_read(
    name: str, port_range: range, reserved: str
) -> None:
    ports = world(name).ports

    assert ports
    assert (ports.port_range, str(ports.reserved_ports)) == (port_range, reserved)
    assert ports.automatic_ports.size == len(port_range) - (4 if reserved else 0)
    assert (ports.tw_reuse, ports.tw_reuse_delay_ms, ports.timestamps) == (2, 1000, True)
    assert ports.unprivileged_start == (0 if name == "container" else 1024)


@pytest.mark.parametrize(
    ("name", "count", "tracked"), [("default-host", 417, True), ("container", 0, None), ("no-conntrack", None, None)]
)
def test_connection_tracking_that_counts_nothing_is_not_known_to_be_off(
    name: str, count: int | None, tracked: bool | None
) -> None:
    assert world(name).number("net.netfilter.nf_conntrack_count") == count
    assert world(name).tracked is tracked


def test_sysctls_of_the_host_alone_are_missing_in_a_container_and_named() -> None:
    missing = {name for name in SYSCTLS if name not in world("container").sysctls}

    assert set(HOST_ONLY) <= missing
    assert set(HOST_ONLY) <= set(world("container").why_not)
    assert len({world("container").why_not[name] for name in HOST_ONLY}) == 1  # one reason for all


def test_the_root_of_a_container_is_not_of_the_host() -> None:
    process = world("container").process

    assert (process.uid, process.of_host, process.may_bind_any_port) == (0, False, True)
    assert (process.files_soft, process.is_beyond_file_max) == (1_048_576, False)


def test_a_kernel_without_ipv6_says_the_same() -> None:
    """Its counters are fewer: those of MPTCP and of IPv6's neighbours are not there."""
    with_ipv6, without = world("default-host"), world("no-ipv6")

    assert replace(without, counters={}, process=with_ipv6.process) == replace(with_ipv6, counters={})
    assert without.counters.items() < with_ipv6.counters.items()


# What follows for the limits that nobody can lower on a real machine.


@pytest.mark.parametrize("cpus", [1, 4, 61])
def test_file_max_is_known_up_to_what_each_cpu_counts_for_itself(cpus: int) -> None:
    verdict = verdicts(world("default-host"), cpus=cpus)["fs.file-max"]

    assert (verdict.ceiling, verdict.in_use) == (1_000_000, 2208)
    assert ends(verdict.room) == (997_792 - 32 * cpus, 997_792 + 32 * cpus)
    assert (verdict.stops, verdict.exact) == (True, False)


def test_both_ends_on_one_host_take_two_files_of_it() -> None:
    verdict = verdicts(world("default-host"), here=True)["fs.file-max"]

    assert (verdict.ceiling, *ends(verdict.room)) == (500_000, 498_896 - 128, 498_896 + 128)


def test_root_of_the_host_is_exempt_from_file_max_and_root_of_a_container_is_not() -> None:
    exempt = verdicts(world("default-host", ROOT_SERVICE))["fs.file-max"]
    everything = replace(world("container").process, capabilities=2**41 - 1)
    contained = verdicts(replace(world("container"), process=everything))["fs.file-max"]

    assert (exempt.stops, *ends(exempt.room)) == (False, None, None)
    assert (contained.stops, contained.room) == (True, Interval(997_792 - 128, 997_792 + 128))


def test_a_used_up_file_max_leaves_nothing_surely_and_its_slack_perhaps() -> None:
    verdict = verdicts(replace(world("default-host"), files_in_use=1_000_100))["fs.file-max"]

    assert ends(verdict.room) == (0, 128)


@pytest.mark.parametrize(
    ("name", "tracked", "expected"),
    [
        ("default-host", True, (True, True, 262_144 - 417)),
        ("default-host", False, (False, False, None)),
        ("container", None, (False, False, 262_144)),
        ("container", True, (True, True, 262_144)),
    ],
)
def test_conntrack_stops_where_it_is_known_to_follow(
    name: str, tracked: bool | None, expected: tuple[bool, bool, int | None]
) -> None:
    verdict = verdicts(replace(world(name), tracked=tracked))["net.netfilter.nf_conntrack_max"]

    assert (verdict.stops, verdict.exact and verdict.stops, ends(verdict.room)[0]) == expected


def test_without_conntrack_there_is_no_such_limit() -> None:
    assert "net.netfilter.nf_conntrack_max" not in verdicts(world("no-conntrack"))


def test_orphans_are_counted_and_stop_nothing() -> None:
    verdict = verdicts(world("default-host"))["net.ipv4.tcp_max_orphans"]

    assert (verdict.ceiling, verdict.in_use, verdict.room, verdict.stops) == (65_536, 17, Interval.of(65_519), False)


def test_time_waits_are_counted_and_stop_nothing() -> None:
    verdict = verdicts(world("default-host"))["net.ipv4.tcp_max_tw_buckets"]

    assert (verdict.ceiling, verdict.in_use, verdict.room, verdict.stops) == (65_536, 119, Interval.of(65_417), False)


@pytest.mark.parametrize(("peers", "stops"), [(1, False), (1021, False), (1022, True), (2000, True)])
def test_neighbours_stop_where_there_are_more_peers_than_entries_left(peers: int, stops: bool) -> None:
    verdict = verdicts(world("default-host"), peers=peers, per_peer=28_232)["net.ipv4.neigh.default.gc_thresh3"]
    room = (1021 * 28_232, peers * 28_232) if stops else (None, None)

    assert (verdict.stops, ends(verdict.room)) == (stops, room)
    assert (verdict.value, verdict.exact and stops) == ("1024", False)


def test_nr_open_is_shown_and_counts_nothing() -> None:
    verdict = verdicts(world("default-host"))["fs.nr_open"]

    assert (verdict.value, verdict.room, verdict.stops) == ("1048576", None, False)


def test_epoll_watches_are_those_of_the_setting() -> None:
    verdict = verdicts(world("default-host"))["fs.epoll.max_user_watches"]

    assert (verdict.ceiling, ends(verdict.room)[1], verdict.exact, verdict.stops) == (3_589_324, 3_589_324, False, True)
    assert verdicts(world("default-host"), here=False)["fs.epoll.max_user_watches"].scope == "user"


@pytest.mark.parametrize(
    ("role", "here", "each"),
    [
        (Role.CLIENT, False, CLIENT_END_BYTES),
        (Role.SERVER, False, SERVER_END_BYTES),
        (Role.CLIENT, True, CLIENT_END_BYTES + SERVER_END_BYTES),
    ],
)
def test_memory_leaves_as_many_ends_as_fit(role: Role, here: bool, each: int) -> None:
    found = verdicts(world("cgroup-v2"), role=role, here=here)

    assert (found["memory"].room, found["memory"].exact) == (Interval.of(FREE_BYTES // each), False)
    assert found["memory.max"].room == Interval.of((134_217_728 + 62_914_560) // each)
    assert in_cgroup("/app.slice/app-web.slice") in found["memory.max"].note


def test_no_limit_of_a_cgroup_is_no_verdict() -> None:
    assert "memory.max" not in verdicts(world("default-host"))


def test_tcp_mem_is_shown_in_pages_and_stops_nothing() -> None:
    verdict = verdicts(world("default-host"))["net.ipv4.tcp_mem"]

    assert (verdict.value, verdict.room, verdict.stops) == ("188190 250923 376380", None, False)
    assert "211 pages" in verdict.note
    assert "net.ipv4.tcp_mem" not in verdicts(world("container"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("default-host", ("pids.max", 20_700)), ("container", ("pids.max", 500)), ("cgroup-v2", ("pids.max", 125))],
)
def test_threads_end_at_the_tightest_of_their_limits(name: str, expected: tuple[str, int]) -> None:
    verdict = verdicts(world(name))["pids.max, RLIMIT_NPROC, kernel.threads-max"]

    assert ((verdict.value, ends(verdict.room)[0]), verdict.stops) == (expected, False)


@pytest.mark.parametrize(
    ("pids_left", "uid", "threads_max", "expected"),
    [
        (None, 1000, "126000", ("RLIMIT_NPROC", 62_900 - 8)),
        (None, 0, "126000", ("kernel.threads-max", 126_000 - 391)),
        (None, 0, "9000000", ("kernel.pid_max", 4_194_304 - 391)),
        (62_892, 1000, "300", ("kernel.threads-max", 0)),
    ],
)
def test_each_of_the_limits_of_threads_can_be_the_tightest(
    pids_left: int | None, uid: int, threads_max: str, expected: tuple[str, int]
) -> None:
    """RLIMIT_NPROC is not for root."""
    whole = world("default-host")
    sysctls = {**whole.sysctls, "kernel.threads-max": threads_max}
    changed = replace(whole, pids_left=pids_left, process=replace(whole.process, uid=uid), sysctls=sysctls)
    verdict = verdicts(changed)["pids.max, RLIMIT_NPROC, kernel.threads-max"]

    assert (verdict.value, ends(verdict.room)[0]) == expected


def test_a_hash_table_that_is_shared_with_the_host_is_said_to_be() -> None:
    name = "net.ipv4.tcp_ehash_entries"

    notes = [verdicts(world(tree))[name].note for tree in ("default-host", "container")]
    assert notes[0]
    assert notes[1]
    assert notes[0] != notes[1]
    assert {verdicts(world(each))[name].value for each in NAMES} == {"131072"}


# What there is to remark.

WRONG = ("net.ipv4.tcp_tw_recycle", "net.ipv4.tcp_mem", "net.ipv4.tcp_max_tw_buckets", "fs.nr_open")


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("tuned-wrongly", "odd-range")])
def test_there_is_nothing_to_remark_about_what_nobody_has_changed(name: str) -> None:
    assert remarks(world(name), use_of()) == ()


@pytest.mark.parametrize("about", WRONG)
def test_what_was_tuned_wrongly_is_remarked(about: str) -> None:
    assert about in [remark.about for remark in remarks(world("tuned-wrongly"), use_of())]


def test_a_wide_range_reaches_over_services_and_a_listener() -> None:
    about = [remark for remark in remarks(world("tuned-wrongly"), use_of(8080)) if "port_range" in remark.about]

    assert len(about) == 2
    assert "8080" in about[0].text
    assert "PostgreSQL" not in about[0].text
    assert "1433 (SQL Server), 2379 (etcd), 3306 (MySQL), 5432 (PostgreSQL)" in about[1].text
    assert "30000-32767" in about[1].text


def test_an_odd_range_is_remarked_with_the_even_one_that_loses_nothing() -> None:
    (remark,) = remarks(world("odd-range"), use_of())

    assert remark.about == "net.ipv4.ip_local_port_range"
    assert remark.about == "net.ipv4.ip_local_port_range"
    assert ["40000 40010" in remark.text, "40000 40009" in remark.text] == [True, True]


# What breaks.

# Not there means an old kernel, and what that did (core/limits/facts.py): a documented default, not a guess.
DEFAULTS: Mapping[str, tuple[str, object]] = {
    "proc/sys/net/ipv4/ip_local_reserved_ports": ("ports.reserved_ports", Ranges([])),
    "proc/sys/net/ipv4/ip_unprivileged_port_start": ("ports.unprivileged_start", 1024),
    "proc/sys/net/ipv4/tcp_tw_reuse": ("ports.tw_reuse", 0),
    "proc/sys/net/ipv4/tcp_tw_reuse_delay": ("ports.tw_reuse_delay_ms", 1000),
    "proc/sys/net/ipv4/tcp_timestamps": ("ports.timestamps", True),
    "proc/4122/status": ("process.uid_threads", 3),  # that process has ended
}
OTHERS = ("proc/self/", f"proc/{ROOT_SERVICE}/", "cgroup/system.slice/")  # of other processes than the one in question
RUBBISH = b"\xff\xfe\0"


def leaves(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Every value of a record and of the records and mappings in it, by name; not why_not, which says more."""
    if is_dataclass(value):
        for field in fields(value):
            if field.name != "why_not":
                yield from leaves(getattr(value, field.name), f"{name}.{field.name}".lstrip("."))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield f"{name}.{key}", item
    else:
        yield name, value


def cut_in_the_last_line(text: bytes) -> list[bytes]:
    """Cut at every place of a short line; the last cut removes only the newline."""
    start = text.rstrip(b"\n").rfind(b"\n") + 1
    length = len(text) - 1 - start
    places = range(length + 1) if length <= 48 else (length // 4, length // 2, length - 2, length - 1, length)
    return [text[: start + place] for place in places]


def cut_in_another_line(text: bytes) -> list[bytes]:
    """In the middle of each; between two of them nobody would see it."""
    lines = text.splitlines(keepends=True)
    return [b"".join(lines[:row]) + line[: len(line) // 2] for row, line in enumerate(lines[:-1])]


DAMAGES: Mapping[str, Callable[[bytes], Sequence[bytes | None]]] = {
    "removed": lambda _: [None],
    "emptied": lambda _: [b""],
    "rubbish": lambda _: [RUBBISH],
    "cut in the last line": cut_in_the_last_line,
    "cut in another line": cut_in_another_line,
}


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trees, to be broken one file at a time."""
    return shutil.copytree(TREES, tmp_path_factory.mktemp("world") / "trees")


def wrong_with(name: str, copies: Path, file: str, kind: str) -> str:
    """A line for each number that becomes another one by such a damage, and for each error that has not three parts."""
    whole, path, lines = dict(leaves(world(name))), copies / name / file, []
    text = path.read_bytes()
    for broken in DAMAGES[kind](text):
        path.unlink() if broken is None else path.write_bytes(broken)
        how = f"{file} {kind}" if broken is None else f"{file} {kind}, {broken[-24:]!r}"
        try:
            found = dict(leaves(read(copies / name, PIDS.get(name, 4121))))
        except (CannotError, UsageError):
            found = {}
        except Exception as error:
            lines.append(f"{how}: {type(error).__name__}: {error}")
            found = {}
        finally:
            path.write_bytes(text)
        documented = DEFAULTS.get(file) if broken is None else None
        lines += [
            f"{how}: {key} is {value}, not {whole.get(key)}"
            for key, value in found.items()
            if value not in (None, "") and value != whole.get(key) and (key, value) != documented
        ]
    return "\n".join(lines)


def files_of(name: str) -> list[str]:
    """That are texts: the folder fd is a list of names."""
    found = (str(path.relative_to(TREES / name)) for path in sorted((TREES / name).rglob("*")) if path.is_file())
    return [file for file in found if not file.startswith(OTHERS) and "/fd/" not in file]


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("file", files_of("default-host"))
def test_a_broken_file_changes_no_number(file: str, kind: str, copies: Path) -> None:
    """Each number is the whole tree's or is not there."""
    wrong = wrong_with("default-host", copies, file, kind)

    assert not wrong, wrong


@pytest.mark.parametrize("kind", [kind for kind in DAMAGES if kind != "removed"])
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("odd-range", "proc/sys/net/ipv4/ip_local_reserved_ports"),
        *(("container", file) for file in files_of("container") if file.startswith("cgroup/")),
        *(("cgroup-v1", file) for file in files_of("cgroup-v1") if file.startswith("cgroup/") or "/cgroup" in file),
        *(("cgroup-v2", file) for file in files_of("cgroup-v2") if file.startswith("cgroup/") or "/cgroup" in file),
    ],
)
def test_a_broken_limit_changes_no_number(name: str, file: str, kind: str, copies: Path) -> None:
    """The limit that is broken may be the tightest: the next one's number is not the answer."""
    wrong = wrong_with(name, copies, file, kind)

    assert not wrong, wrong


def test_no_descriptors_are_no_number_of_them(tmp_path: Path) -> None:
    """/proc/PID/fd of another user's process: what is left is the size of its table."""
    tree = shutil.copytree(TREES / "default-host", tmp_path / "tree")
    shutil.rmtree(tree / "proc/4121/fd")
    process = read(tree, 4121).process

    assert (process.files_open, process.sockets, process.files_most) == (None, None, 2048)
    assert "open files" in read(tree, 4121).why_not


def test_without_its_network_a_process_still_has_its_files_and_its_cgroup() -> None:
    tree = TREES / "cgroup-v2"
    there = read_world(SYSCTLS, 4121, known=(), network=False, proc=tree / "proc", cgroups=tree / "cgroup")

    assert (there.ports, there.neighbours, there.sysctls, there.sockstat, there.counters) == (None, None, {}, {}, {})
    assert (there.process, there.cgroup) == (world("cgroup-v2").process, world("cgroup-v2").cgroup)
    assert "its network" in there.why_not


def test_what_only_the_host_has_is_taken_along() -> None:
    """Values of the namespace itself take precedence."""
    tree, outside = TREES / "container", {"net.ipv4.tcp_max_orphans": "65536", "net.core.somaxconn": "1"}
    there = read_world(SYSCTLS, 1, known=(), outside=outside, proc=tree / "proc", cgroups=tree / "cgroup")

    assert (there.number("net.ipv4.tcp_max_orphans"), there.number("net.core.somaxconn")) == (65_536, 4096)
    assert "net.ipv4.tcp_max_orphans" not in there.why_not


# What is asked of the machine itself.


def test_a_page_is_as_long_as_this_machine_has_it_and_the_cpus_are_those_that_may_be_used() -> None:
    """4, 16 or 64 KiB; of all CPUs one is left to a process that is tied to it."""
    code = """
import os
from fourtuple.kernel.proc.world import read_world
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
print(read_world([], known=()).page_bytes, read_world([], known=()).cpus)
"""
    pages = subprocess.run(["getconf", "PAGE_SIZE"], capture_output=True, text=True, check=True).stdout
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == [pages.strip(), "1"]
    assert read_world([], known=()).cpus == len(os.sched_getaffinity(0))


def test_without_details_no_other_process_is_read(tmp_path: Path) -> None:
    """The types of the descriptors are not read either; everything else is the same."""
    tree = shutil.copytree(TREES / "default-host", tmp_path / "tree")
    whole = read(tree, 4121)
    shutil.rmtree(tree / "proc/4122")
    brief = read_world(SYSCTLS, 4121, known=(), details=False, proc=tree / "proc", cgroups=tree / "cgroup")

    assert (brief.process.uid_threads, brief.process.sockets, brief.process.rings, brief.process.epolls) == (None,) * 4
    assert brief.process.files_open == 6
    assert replace(brief, process=whole.process, cpus=whole.cpus) == whole


def test_what_a_run_finds_is_what_its_world_says() -> None:
    own = read_world(SYSCTLS, known=(), details=False)
    here = found(own, "1")

    assert (here.kernel, here.cpus, here.memory_bytes, here.sysctls) == (
        own.kernel,
        own.cpus,
        own.memory_bytes,
        own.sysctls,
    )
    assert (here.files_soft, here.files_hard, here.files_open) == (
        own.process.files_soft,
        own.process.files_hard,
        own.process.files_open,
    )
