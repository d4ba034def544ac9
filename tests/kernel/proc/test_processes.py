"""Every process of this host: what is read of one that the test has made, and of trees of /proc made by hand."""

import ctypes
import json
import os
import resource
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fourtuple.kernel.proc.processes import read_processes
from tests.conftest import need

STATUS = (
    "Name:\tnginx\nState:\tS (sleeping)\nUid:\t33\t33\t33\t33\nFDSize:\t64\nVmSize:\t  {size} kB\nVmPTE:\t  40 kB\n"
    "Threads:\t3\nCapEff:\t0000000000000400\n"
)
LIMITS = (
    "Limit                     Soft Limit           Hard Limit           Units     \n"
    "Max processes             96365                unlimited            processes \n"
    "Max open files            {files}                 4096                 files     \n"
    "Max locked memory         unlimited            unlimited            bytes     \n"
)
INODE = 4711


def made(proc: Path, pid: int, *, links: dict[int, str], size: int = 8000, files: int = 1024, maps: int = 5) -> None:
    folder = proc / str(pid)
    (folder / "fd").mkdir(parents=True)
    (folder / "fdinfo").mkdir()
    (folder / "ns").mkdir()
    (folder / "ns/net").symlink_to("net:[7]")
    (folder / "status").write_text(STATUS.format(size=size))
    (folder / "limits").write_text(LIMITS.format(files=files))
    (folder / "cgroup").write_text("0::/system.slice/nginx.service\n")
    (folder / "uid_map").write_text("         0          0 4294967295\n")
    (folder / "maps").write_text("00400000-00401000 r--p 00000000 00:00 0\n" * maps)
    (folder / "cmdline").write_bytes(b"nginx\0-g\0daemon off;\0")
    for number, target in links.items():
        (folder / "fd" / str(number)).symlink_to(target)
        (folder / "fdinfo" / str(number)).write_text("pos:\t0\ninotify wd:1 ino:5\ninotify wd:2 ino:6\n")


def test_a_process_of_a_tree(tmp_path: Path) -> None:
    """Its limits, cgroup, namespace, and what its descriptors are; the command line only if it is asked for."""
    made(
        tmp_path,
        812,
        links={0: "/dev/null", 3: f"socket:[{INODE}]", 4: "anon_inode:inotify", 5: "anon_inode:[eventpoll]"},
    )
    seen = read_processes(max_map_count=None, proc=tmp_path)
    process = seen.processes[812]

    assert (process.name, process.uid, process.threads, process.netns) == ("nginx", 33, 3, "net:[7]")
    assert (process.files_soft, process.files_hard, process.files_most) == (1024, 4096, 64)
    assert (process.processes_soft, process.memlock_soft_bytes) == (96365, None)
    assert (process.cgroup, process.capabilities, process.of_host) == ("/system.slice/nginx.service", 0x400, True)
    assert (process.inotify_instances, process.inotify_watches, process.epolls, process.rings) == (1, 2, 1, 0)
    assert process.arguments is None
    assert seen.inotify_watches == {33: 2}
    assert read_processes(max_map_count=None, arguments=True, proc=tmp_path).processes[812].arguments == (
        "nginx",
        "-g",
        "daemon off;",
    )


def test_kernel_threads_are_left_out_and_zombies_are_not(tmp_path: Path) -> None:
    for pid, state in ((2, "S"), (9, "Z")):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "status").write_text(f"Name:\tx\nState:\t{state} (x)\nUid:\t0\t0\t0\t0\nThreads:\t1\n")

    assert list(read_processes(max_map_count=None, proc=tmp_path).processes) == [9]


def test_descriptors_at_and_above_the_soft_limit_do_not_count(tmp_path: Path) -> None:
    """A program that lowered its limit afterwards keeps what it has, and may not open more below it."""
    made(tmp_path, 812, files=4, links=dict.fromkeys((0, 1, 2, 7, 8), "/dev/null"))

    assert read_processes(max_map_count=None, proc=tmp_path).processes[812].files_open == 3


def test_the_owner_of_a_socket_is_the_lowest_pid(tmp_path: Path) -> None:
    for pid in (900, 812):
        made(tmp_path, pid, links={3: f"socket:[{INODE}]"})
    owners = read_processes(max_map_count=None, proc=tmp_path).pids_of(np.array([INODE, 0, 5], np.uint32))

    assert owners.tolist() == [812, 0, -1]


def test_with_too_many_descriptors_a_part_is_read_and_that_is_said(tmp_path: Path) -> None:
    """Processes with few come first; of the largest, every few descriptors."""
    made(tmp_path, 1000, links={number: f"socket:[{number}]" for number in range(100)})
    made(tmp_path, 1001, links={3: f"socket:[{INODE}]"})
    seen = read_processes(max_map_count=None, links_most=21, proc=tmp_path)

    assert 15 <= len(seen.inodes) <= 21
    assert INODE in seen.inodes
    assert any("nginx (1000)" in sentence for sentence in seen.unseen)
    assert seen.processes[1000].inotify_instances is None
    assert seen.processes[1001].inotify_instances == 0


@pytest.mark.parametrize(("size", "counted"), [(4000, False), (8000, True)])
def test_mappings_are_counted_where_they_can_be_many(tmp_path: Path, size: int, counted: bool) -> None:
    """2,000 mappings need at least 2,000 pages of address space; 80 % of that is the least that is looked at."""
    pages_kib = os.sysconf("SC_PAGE_SIZE") // 1024
    made(tmp_path, 812, size=size * pages_kib // 4, maps=1900, links={})
    seen = read_processes(max_map_count=2000, proc=tmp_path)

    assert seen.processes[812].maps == (1900 if counted else None)


def test_a_truncated_or_missing_file_is_unknown(tmp_path: Path) -> None:
    made(tmp_path, 812, links={})
    for name in ("limits", "cgroup", "uid_map", "ns/net"):
        (tmp_path / "812" / name).unlink()
    process = read_processes(max_map_count=None, proc=tmp_path).processes[812]

    assert (process.files_soft, process.processes_soft, process.cgroup, process.of_host) == (None, None, "", None)
    assert process.netns == ""


def test_this_process_with_its_files_and_sockets() -> None:
    """The kernel's own /proc: the number of files is right, and a socket is found."""
    with socket.socket() as sock:
        before = set(os.listdir("/proc/self/fd"))
        seen = read_processes(max_map_count=None)
        inode = os.fstat(sock.fileno()).st_ino
        mine = seen.processes[os.getpid()]

    assert mine.files_soft == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert mine.files_open is not None
    assert abs(mine.files_open - (len(before) - 1)) <= 2  # the sweep's own descriptors
    assert seen.pids_of(np.array([inode], np.uint32)).tolist() == [os.getpid()]


def test_inotify_instances_that_a_child_inherits_count_once() -> None:
    """23 instances of this process, which a child shares, and 3 of the child's own."""
    instances = [ctypes.CDLL(None).inotify_init1(0) for _ in range(23)]
    need(min(instances) >= 0, "23 inotify instances")
    make = "[ctypes.CDLL(None).inotify_init1(0) for _ in range(3)]"
    code = f"import ctypes, sys; {make}; print(flush=True); sys.stdin.read()"
    before = dict(read_processes(max_map_count=None).inotify_instances)
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=instances
    )
    try:
        assert child.stdout
        child.stdout.readline()
        seen = read_processes(max_map_count=None)
    finally:
        child.communicate()
        for handle in instances:
            os.close(handle)

    assert seen.processes[child.pid].inotify_instances == 26
    assert seen.inotify_instances[os.getuid()] - before[os.getuid()] in range(3, 23)


MANY = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 1024))
above = int(sys.argv[1])
if above:
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
    os.dup2(0, above)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 1024))
try:
    while True: os.dup(0)
except OSError:
    print("full", flush=True)
sys.stdin.read()
"""
ASK = """
import json, os, sys
from pathlib import Path
from fourtuple.kernel.proc.pid import read_process
from fourtuple.kernel.proc.processes import read_processes
pid = int(sys.argv[1])
told = []
for uid in (0, 65534):
    os.setuid(uid)
    both = read_processes(max_map_count=None).processes[pid], read_process(Path(f"/proc/{pid}"), {})
    told.append([[each.files_open, each.files_unsure] for each in both])
print(json.dumps(told))
"""


@pytest.mark.parametrize(("above", "unsure"), [(0, False), (100, True)])
def test_a_descriptor_above_the_limit_is_not_more_than_the_limit(above: int, unsure: bool) -> None:
    """64 of 64 are open, and perhaps one above: root sees which, others do not; both readers say the same."""
    need(os.geteuid() == 0, "root")
    with subprocess.Popen(
        [sys.executable, "-c", MANY, str(above)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as full:
        assert full.stdout
        full.stdout.readline()
        asked = subprocess.run([sys.executable, "-c", ASK, str(full.pid)], capture_output=True, check=True)
        need(os.stat(f"/proc/{full.pid}/fd").st_size > 0, "Linux 6.2")
        full.kill()

    assert json.loads(asked.stdout) == [[[64, False]] * 2, [[64, unsure]] * 2]
