"""A sweep of this host: another namespace with its sockets and their process, and the thread stays where it is."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fourtuple.kernel.netns import own_netns
from fourtuple.kernel.proc.alive import oldest_first
from fourtuple.kernel.proc.root import read_ancestors
from fourtuple.verbs.sweep import sweep
from tests.conftest import Ground, need

SERVER = """
import socket, sys
server = socket.create_server(("127.0.0.1", 8123), backlog=7)
clients = [socket.create_connection(("127.0.0.1", 8123)) for _ in range(5)]
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(("127.0.0.1", 8124))
local = socket.socket(socket.AF_UNIX)
local.bind("\\0fourtuple-test-sweep")
local.listen(3)
bound = socket.socket()
bound.bind(("127.0.0.1", 8125))
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def serving(ground: Ground) -> Iterator["subprocess.Popen[str]"]:
    program = ground.lab.start([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert program.stdout
        assert program.stdout.readline() == "ready\n"
        yield program
    finally:
        program.kill()
        program.communicate()


def test_another_namespace_is_read_with_its_sockets_and_their_process(ground: Ground) -> None:
    """Listeners, connections, sockets that are only bound, UDP and Unix sockets; and this thread has not moved."""
    need(os.geteuid() == 0, "root")
    here = own_netns()
    with serving(ground) as program:
        snapshot = sweep()
        inside = snapshot.namespaces[os.readlink(f"/proc/{program.pid}/ns/net")]

    assert own_netns() == here
    assert inside.listeners["local_port"].tolist() == [8123]
    assert inside.listeners["recv_q"].tolist() == [5]
    assert inside.listener_pids.tolist() == [program.pid]
    assert sorted(inside.sockets["local_port"].tolist())[:6] == [8123] * 5 + [8125]
    assert set(inside.socket_pids[inside.sockets["local_port"] != 8123].tolist()) == {program.pid}
    assert inside.udp_ports == (8124,)
    assert dict(inside.udp_pids) == {program.pid: 1}
    assert [(each.path, each.backlog, each.pid) for each in inside.unix] == [("@fourtuple-test-sweep", 3, program.pid)]
    assert inside.sockstat["TCP.inuse"] >= 11
    assert inside.ports is not None
    assert not inside.why_not


def test_whether_bind_named_a_port_is_found_out_if_it_is_asked_for(ground: Ground) -> None:
    """Otherwise only where many ports of the range are in use, since it takes another walk over the kernel's table."""
    need(os.geteuid() == 0, "root")
    ground.set_port_range(8000, 9999)
    with serving(ground) as program:
        netns = os.readlink(f"/proc/{program.pid}/ns/net")
        chosen = [sweep(attributed=each).namespaces[netns].sockets["chosen"].tolist() for each in (False, True)]

    assert 1 not in chosen[0]
    assert 1 in chosen[1]


@pytest.mark.parametrize("asked", [False, True])
def test_command_lines_are_read_only_if_they_are_asked_for(asked: bool) -> None:
    mine = sweep(arguments=asked).processes[os.getpid()]

    assert bool(mine.arguments) == asked


def test_the_process_that_runs_longest_stands_for_a_namespace_and_none_of_ours(tmp_path: Path) -> None:
    """PIDs start over, so the lowest one may be the youngest. This program and its ancestors come last."""
    for pid, ticks in ((5, 900), (7, 200), (9, 100)):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (a b) S {'0 ' * 18}{ticks} 0\n")

    assert oldest_first([5, 7, 8, 9], frozenset({9}), tmp_path) == [7, 5, 8, 9]


def test_a_sweep_names_no_namespace_by_its_own_processes() -> None:
    family, snapshot = read_ancestors(os.getpid()), sweep()

    assert {os.getpid(), os.getppid()} <= set(family)
    assert snapshot.netns == own_netns()
    assert not set(family) & {namespace.pid for namespace in snapshot.namespaces.values()}
