"""A namespace lives as long as its holder, leaves nothing behind, and is available without root."""

import os
import subprocess
import sys
from pathlib import Path

from fourtuple.kernel.netns import Namespace
from tests.conftest import DENY, Ground
from tests.waiting import wait_until


def processes_in(namespace: str) -> list[int]:
    """The processes in the network namespace with that name (`net:[…]`)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if os.readlink(entry / "ns/net") == namespace:
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def test_it_is_another_namespace_with_loopback_up(ground: Ground) -> None:
    here = os.readlink("/proc/self/ns/net")
    code = "import os, socket; socket.create_server(('127.0.0.1', 8000)); print(os.readlink('/proc/self/ns/net'))"

    assert ground.python(code).strip() != here
    assert os.readlink("/proc/self/ns/net") == here


def test_a_setting_inside_does_not_change_the_host(ground: Ground) -> None:
    before = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
    ground.set_port_range(40_000, 40_099)

    assert ground.run("cat", "/proc/sys/net/ipv4/ip_local_port_range").stdout.split() == ["40000", "40099"]
    assert Path("/proc/sys/net/ipv4/ip_local_port_range").read_text() == before


def test_nobody_is_left_in_it_when_it_is_closed(ground: Ground) -> None:
    with Namespace() as namespace:
        name = os.readlink(f"/proc/{namespace.pid}/ns/net")
        assert processes_in(name) == [namespace.pid]

    assert wait_until(lambda: not processes_in(name))


def test_nobody_is_left_in_it_when_its_maker_is_killed(ground: Ground) -> None:
    """The holder and what runs inside end by themselves, also after kill -9."""
    code = (
        "import os, sys, time; from fourtuple.kernel.netns import Namespace; n = Namespace();"
        "n.start(['sleep', '1000']); print(os.readlink(f'/proc/{n.pid}/ns/net'), flush=True); time.sleep(1000)"
    )
    maker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert maker.stdout is not None
    name = maker.stdout.readline().strip()
    assert wait_until(lambda: len(processes_in(name)) == 2)
    maker.kill()
    maker.communicate()

    assert wait_until(lambda: not processes_in(name))


def test_one_process_can_look_into_it_and_come_back(ground: Ground) -> None:
    code = (
        "import os; from fourtuple.kernel.netns import Namespace; here = os.readlink('/proc/self/ns/net')\n"
        "with Namespace() as n:\n"
        "    with n.inside(): there = os.readlink('/proc/thread-self/ns/net')\n"
        "    print(there == os.readlink(f'/proc/{n.pid}/ns/net'), here == os.readlink('/proc/thread-self/ns/net'))"
    )

    assert ground.python(code).split() == ["True", "True"]


def test_where_it_is_not_allowed_one_sentence_says_so() -> None:
    code = "from fourtuple.verbs.lab import namespace_refusal; print(namespace_refusal())"
    done = subprocess.run(
        [sys.executable, DENY, "unshare", sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stdout.startswith("unshare(): Operation not permitted (EPERM)")
