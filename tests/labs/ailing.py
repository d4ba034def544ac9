"""Hosts that lack something, and hosts that nearly do: `python -m tests.labs.ailing SCENE NUMBER`, in a lab.

Each scene uses NUMBER of a limit, with real sockets and processes, and looks at the host by `doctor`. It prints one
line of JSON: of each finding about the scene the key, the rank, the process, and the whole text.
"""

import ctypes
import json
import mmap
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from fourtuple.core.doctor.diagnose import diagnose
from fourtuple.core.doctor.records import Diagnosis, Trouble
from fourtuple.core.snapshot.records import Snapshot
from fourtuple.kernel.netns import own_netns
from fourtuple.kernel.proc.sysctl import write_sysctl
from fourtuple.verbs.sweep import sweep
from tests.conftest import LONELY
from tests.labs.scenes import client, counted, syn
from tests.waiting import PATIENCE_S

HERE, LOW = "127.0.0.1", 40_000
END = (HERE, 8000)
Scene = Callable[[int, ExitStack], Snapshot | None]


def ports(count: int) -> None:
    write_sysctl("net.ipv4.ip_local_port_range", f"{LOW} {LOW + count - 1}")
    write_sysctl("net.ipv4.tcp_tw_reuse", "0")


def connected(count: int, stack: ExitStack) -> tuple[list[socket.socket], list[socket.socket]]:
    """(clients, accepted)."""
    server = stack.enter_context(socket.create_server(END, backlog=max(64, count)))
    pairs = []
    for _ in range(count):
        near = stack.enter_context(socket.create_connection(END))
        pairs.append((near, stack.enter_context(server.accept()[0])))
    return [near for near, _ in pairs], [far for _, far in pairs]


def source_ports(number: int, stack: ExitStack) -> None:
    ports(50)
    connected(number, stack)


def reserved_ports(number: int, _: ExitStack) -> None:
    ports(50)
    write_sysctl("net.ipv4.ip_local_reserved_ports", f"{LOW}-{LOW + number - 1}")


def time_wait_ports(number: int, stack: ExitStack) -> None:
    ports(50)
    closed(number, stack)


def fin_wait2_ports(number: int, stack: ExitStack) -> None:
    """So many connections that the client has closed, and the server has not."""
    ports(50)
    near, _ = connected(number, stack)
    for each in near:
        each.close()


def closed(number: int, stack: ExitStack) -> None:
    """So many connections that this end closed first."""
    server = stack.enter_context(socket.create_server(END, backlog=64))
    for _ in range(number):
        with socket.create_connection(END):
            accepted, _ = server.accept()
        while accepted.recv(1):
            pass
        accepted.close()


def time_waits(number: int, stack: ExitStack) -> None:
    write_sysctl("net.ipv4.tcp_max_tw_buckets", "20")
    closed(number, stack)


def bound_ports(number: int, stack: ExitStack) -> None:
    ports(50)
    for _ in range(number):
        stack.enter_context(socket.socket()).bind((HERE, 0))


def udp_ports(number: int, stack: ExitStack) -> None:
    ports(50)
    for _ in range(number):
        stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).connect(END)


def close_wait(number: int, stack: ExitStack) -> None:
    """Of a process that may have 100 files."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
    near, _ = connected(number, stack)
    for sock in near:
        sock.close()


def open_files(number: int, stack: ExitStack) -> None:
    """Of 64, in a process of its own: a sweep needs some itself."""

    def limit_and_open() -> list[int]:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        return opened(number)

    stack.enter_context(beside(limit_and_open, uid=None))


def opened(number: int) -> list[int]:
    """Descriptors until the process has so many."""
    kept = []
    while len(os.listdir("/proc/self/fd")) - 1 < number:
        kept.append(os.open("/dev/null", os.O_RDONLY))
    return kept


def inotify(number: int, stack: ExitStack) -> None:
    """So many hundredths of the instances that a user may have."""
    most = int(Path("/proc/sys/fs/inotify/max_user_instances").read_text())
    libc = ctypes.CDLL(None, use_errno=True)
    wanted = -(-most * number // 100)
    stack.enter_context(beside(lambda: [libc.inotify_init1(0) for _ in range(wanted)], uid=LONELY + 1))


def inherited(number: int, stack: ExitStack) -> None:
    """As many instances as `inotify`, but a tenth of them, which ten processes share: a child inherits them."""
    most = int(Path("/proc/sys/fs/inotify/max_user_instances").read_text())
    libc = ctypes.CDLL(None, use_errno=True)

    def share() -> None:
        for _ in range(-(-most * number // 1000)):
            libc.inotify_init1(0)
        parent = os.getpid()
        for _ in range(9):
            if os.getppid() and not os.fork():
                libc.prctl(1, signal.SIGKILL)
                if os.getppid() == parent:
                    signal.pause()
                os._exit(0)

    stack.enter_context(beside(share, uid=LONELY + 1))


def user_processes(number: int, stack: ExitStack) -> None:
    """Of 40 that the user may have, who has none but these."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NPROC, (40, 40))

    for _ in range(number):
        stack.enter_context(beside(limit, uid=LONELY + 2))


def mappings(number: int, stack: ExitStack) -> None:
    """So many hundredths of vm.max_map_count."""
    most = int(Path("/proc/sys/vm/max_map_count").read_text())
    pages = most * number // 100

    def split() -> None:
        """Every second page of a mapping gets another protection, so that each is a mapping of its own."""
        libc = ctypes.CDLL(None, use_errno=True)
        room = mmap.mmap(-1, pages * mmap.PAGESIZE)
        base = ctypes.addressof(ctypes.c_char.from_buffer(room))
        for page in range(0, pages, 2):
            if libc.mprotect(ctypes.c_void_p(base + page * mmap.PAGESIZE), mmap.PAGESIZE, mmap.PROT_READ):
                break
        kept.append(room)

    kept: list[Any] = []
    stack.enter_context(beside(split, uid=None))


def accept_queue(number: int, stack: ExitStack) -> None:
    """Of 10."""
    stack.enter_context(socket.create_server(END, backlog=9))
    for _ in range(number):
        near = client(END)
        assert near
        stack.enter_context(near)


def overflows(number: int, stack: ExitStack) -> Snapshot:
    """So many connections for a queue of 4, between two looks; afterwards it is empty."""
    server = stack.enter_context(socket.create_server(END, backlog=3))
    before = sweep()
    near = [client(END) for _ in range(number)]
    for each in filter(None, near):
        server.accept()[0].close()
        each.close()
    return before


def overflowed(number: int, stack: ExitStack) -> Snapshot:
    """The same, before the first look."""
    overflows(number, stack)
    assert counted("ListenOverflows") > 0
    return sweep()


def unix_backlog(number: int, stack: ExitStack) -> None:
    """Of 10."""
    name = f"\0fourtuple-test-{os.getpid()}"
    server = stack.enter_context(socket.socket(socket.AF_UNIX))
    server.bind(name)
    server.listen(9)
    for _ in range(number):
        stack.enter_context(socket.socket(socket.AF_UNIX)).connect(name)


def syn_queue(number: int, stack: ExitStack) -> None:
    """Of 10: SYNs from addresses that never answer."""
    write_sysctl("net.ipv4.tcp_syncookies", "0")
    write_sysctl("net.ipv4.tcp_max_syn_backlog", "128")
    stack.enter_context(socket.create_server(END, backlog=10))
    subprocess.run(["ip", "route", "add", "10.9.0.0/16", "dev", "lo"], check=True)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        for each in range(number):
            raw.sendto(syn(f"10.9.0.{each + 1}", 40000), (HERE, 0))


def tentative(number: int, _: ExitStack) -> None:
    """An address on a cable whose other end is down, so that nobody can be asked; 0: without duplicate detection."""
    cable()
    subprocess.run(
        ["ip", "address", "add", "fd00:9::1/64", "dev", "near", *(["nodad"] if not number else [])], check=True
    )


def duplicate(number: int, _: ExitStack) -> None:
    """An address that the other end of a cable has, too; 0: another one."""
    cable()
    subprocess.run(["ip", "link", "set", "far", "up"], check=True)
    subprocess.run(["ip", "address", "add", "fd00:9::1/64", "dev", "far", "nodad"], check=True)
    mine = "fd00:9::1" if number else "fd00:9::2"
    subprocess.run(["ip", "address", "add", f"{mine}/64", "dev", "near"], check=True)
    until_s = time.monotonic() + PATIENCE_S
    show = ["ip", "-6", "-o", "address", "show", "dev", "near", "to", mine]
    while " tentative " in (said := subprocess.run(show, capture_output=True, text=True, check=True).stdout) and (
        " dadfailed" not in said and time.monotonic() < until_s
    ):
        time.sleep(0.05)


def cable() -> None:
    subprocess.run(["ip", "link", "add", "near", "type", "veth", "peer", "name", "far"], check=True)
    subprocess.run(["ip", "link", "set", "near", "up"], check=True)


def pids_max(number: int, stack: ExitStack) -> None:
    """Of 40 tasks of a cgroup of version 1; its processes are in a cgroup of the memory controller, too."""
    folders = [Path(f"/sys/fs/cgroup/{name}/fourtuple-test-{os.getpid()}") for name in ("pids", "memory")]
    for folder in folders:
        folder.mkdir()
        stack.callback(folder.rmdir)
    (folders[0] / "pids.max").write_text("40")
    for _ in range(number):
        child = stack.enter_context(beside(lambda: None, uid=None))
        for folder in folders:
            (folder / "cgroup.procs").write_text(str(child))


def cgroup_memory(number: int, stack: ExitStack) -> None:
    """Of 64 MiB of a cgroup of version 1."""
    folder = Path(f"/sys/fs/cgroup/memory/fourtuple-test-{os.getpid()}")
    folder.mkdir()
    stack.callback(folder.rmdir)
    (folder / "memory.limit_in_bytes").write_text(str(64 * 2**20))
    kept: list[bytes] = []

    def fill() -> None:
        (folder / "cgroup.procs").write_text(str(os.getpid()))
        while int((folder / "memory.usage_in_bytes").read_text()) < number * 2**20:
            kept.append(bytes([1]) * 2**18)

    stack.enter_context(beside(fill, uid=None))


@contextmanager
def beside(make: Callable[[], Any], uid: int | None) -> Iterator[int]:
    """A process of its own that has made something, and keeps it until the block ends → its PID. uid: of what user"""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reader)
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if uid is not None:
            os.setuid(uid)
        kept = make()
        os.write(writer, b"ready")
        while kept is not signal:  # keep it
            signal.pause()
    os.close(writer)
    ready = os.read(reader, 5)
    os.close(reader)
    try:
        assert ready == b"ready"
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


SCENES: dict[str, Scene] = {
    name.replace("_", "-"): made
    for name, made in {
        "source_ports": source_ports,
        "reserved_ports": reserved_ports,
        "time_wait_ports": time_wait_ports,
        "fin_wait2_ports": fin_wait2_ports,
        "time_waits": time_waits,
        "bound_ports": bound_ports,
        "udp_ports": udp_ports,
        "close_wait": close_wait,
        "open_files": open_files,
        "inotify": inotify,
        "inherited": inherited,
        "user_processes": user_processes,
        "mappings": mappings,
        "accept_queue": accept_queue,
        "overflows": overflows,
        "overflowed": overflowed,
        "unix_backlog": unix_backlog,
        "syn_queue": syn_queue,
        "tentative": tentative,
        "duplicate": duplicate,
        "pids_max": pids_max,
        "cgroup_memory": cgroup_memory,
    }.items()
}


def ours(diagnosis: Diagnosis, before: set[tuple[str, str]]) -> Iterator[Trouble]:
    """The findings about this namespace, this process and its children, and others that came with the scene.

    before: keys and subjects of what was found without the scene
    """
    mine = {os.getpid(), *map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())}
    for trouble in diagnosis.findings:
        subject = trouble.subject
        if (trouble.key, str(subject)) in before or (subject.netns and subject.netns != own_netns()):
            continue
        own_user = subject.uid in (LONELY + 1, LONELY + 2)
        if subject.netns or subject.pid in mine or own_user or f"fourtuple-test-{os.getpid()}" in trouble.says:
            yield trouble


def main(name: str, number: int) -> None:
    known = {(trouble.key, str(trouble.subject)) for trouble in diagnose(sweep()).findings}
    with ExitStack() as stack:
        before = SCENES[name](number, stack)
        found = list(ours(diagnose(sweep(), before), known))
    print(
        json.dumps(
            [
                {
                    "key": trouble.key,
                    "rank": trouble.rank,
                    "pid": trouble.subject.pid,
                    "mine": trouble.subject.pid == os.getpid(),
                    "text": " | ".join((trouble.says, *trouble.evidence, trouble.cause)),
                }
                for trouble in found
            ]
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
