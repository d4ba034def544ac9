"""A sweep of this host: another namespace with its sockets and their process, and the thread stays where it is."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fourtuple.kernel.netns import own_netns
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
