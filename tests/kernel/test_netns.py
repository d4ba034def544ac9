"""A namespace lives as long as its holder, leaves nothing behind, and is available without root."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from fourtuple.core.errors import EXIT_CANNOT
from fourtuple.kernel.netns import Namespace
from tests.conftest import DENY, Ground, need
from tests.waiting import wait_until

SETTINGS = [
    {"net.ipv4.tcp_child_ehash_entries": "4096", "net.ipv4.no_such_setting": "1"},
    {"net.ipv4.ip_local_port_range": "40000 40099"},
]


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


def test_a_command_that_is_not_there_is_said(ground: Ground) -> None:
    done = ground.run("no-such-command")

    assert (done.returncode, done.stderr) == (127, "no-such-command: No such file or directory\n")


def test_where_it_is_not_allowed_one_sentence_says_so() -> None:
    code = "from fourtuple.verbs.lab import namespace_refusal; print(namespace_refusal())"
    done = subprocess.run(
        [sys.executable, DENY, "unshare", sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stdout.startswith("unshare(): Operation not permitted (EPERM)")


def test_an_ordinary_user_gets_one_too() -> None:
    """Without root: the whole path, as uid 65534, by a copy of the source that everybody can read."""
    need(os.geteuid() == 0, "root, to become an ordinary user")
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    need(python, "a python3 that everybody may run")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # noqa: S103  (another user is to read it)
        shutil.copytree(Path(__file__).parents[2] / "src", folder, dirs_exist_ok=True)
        done = subprocess.run(
            [str(python), "-m", "fourtuple.kernel.netns", "hold", json.dumps(SETTINGS)],
            user=65534,
            group=65534,
            extra_groups=[],
            env={"PYTHONPATH": folder},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    need(done.returncode != EXIT_CANNOT, f"user namespaces for ordinary users ({done.stderr.strip()})")

    assert (done.stdout, done.stderr, done.returncode) == ("ready net.ipv4.no_such_setting\n", "", 0)
