"""A namespace with its own processes: all end with it, the host's settings are safe, and commands notice nothing."""

import contextlib
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fourtuple.kernel.netns import Namespace
from tests.conftest import DENY, REPOSITORY, need, need_namespace
from tests.kernel.test_netns import processes_in
from tests.kills import BROOD
from tests.waiting import COMMAND_S, PATIENCE_S, wait_until

SHELL_OPTIONS = {"sh": [], "bash": ["--norc", "--noprofile"]}


@pytest.fixture
def place() -> Iterator[Namespace]:
    need_namespace()
    with Namespace(processes=True) as namespace:
        need(namespace.processes, f"a private PID namespace ({namespace.why_not})")
        yield namespace


def run(place: Namespace, *command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(place.command(command), capture_output=True, text=True, timeout=COMMAND_S, check=False)


def netns_of(pid: int) -> str:
    return os.readlink(f"/proc/{pid}/ns/net")


# Everything inside ends with it


def test_everything_inside_ends_when_it_is_closed(place: Namespace) -> None:
    program = place.start(["sh", "-c", BROOD], stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    name = netns_of(place.pid)
    assert wait_until(lambda: len(processes_in(name)) >= 7)
    place.close()
    program.communicate(timeout=PATIENCE_S)

    assert processes_in(name) == []


@pytest.mark.parametrize("victim", ["maker", "holder"])
def test_everything_inside_ends_when_its_maker_or_holder_is_killed(place: Namespace, victim: str) -> None:
    """By kill -9, which nobody can handle: the kernel ends a PID namespace with its init."""
    code = (
        "import os, sys, time; from fourtuple.kernel.netns import Namespace; n = Namespace(processes=True)\n"
        f"n.start(['sh', '-c', {BROOD!r}]); print(n.pid, flush=True); time.sleep(1000)"
    )
    maker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert maker.stdout is not None
    pid = int(maker.stdout.readline())
    name = netns_of(pid)
    assert maker.stdout.readline() == "ready\n"
    try:
        assert wait_until(lambda: len(processes_in(name)) >= 7)
        os.kill(maker.pid if victim == "maker" else pid, signal.SIGKILL)

        assert wait_until(lambda: not processes_in(name))
    finally:
        maker.kill()
        maker.communicate()


def test_a_command_ends_with_what_started_it(place: Namespace) -> None:
    """The process that passes signals on is killed: the command is, too."""
    program = place.start(["sh", "-c", "echo $$; exec sleep 1000"], stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    number = program.stdout.readline().strip()
    program.kill()
    program.communicate()

    assert wait_until(lambda: run(place, "test", "-e", f"/proc/{number}/exe").returncode == 1)


def test_nothing_is_left_as_a_zombie(place: Namespace) -> None:
    script = "(true & setsid true &); until ! grep -sq '^State:.Z' /proc/[0-9]*/status; do sleep 0.01; done; echo none"

    assert run(place, "sh", "-c", script).stdout == "none\n"


# What a command notices of it


@pytest.mark.parametrize(
    ("script", "code"), [("exit 7", 7), ("kill -9 $$", -signal.SIGKILL), ("kill -TERM $$", -signal.SIGTERM)]
)
def test_a_command_ends_outside_as_it_did_inside(place: Namespace, script: str, code: int) -> None:
    assert run(place, "sh", "-c", script).returncode == code


def test_a_command_that_cannot_be_run_is_said(place: Namespace) -> None:
    done = run(place, "no-such-command")

    assert (done.returncode, done.stderr) == (127, "no-such-command: No such file or directory\n")
    assert run(place, "/etc/passwd").returncode == 126


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
@pytest.mark.parametrize("to_group", [False, True])
def test_a_signal_reaches_the_command_once(place: Namespace, number: signal.Signals, to_group: bool) -> None:
    """Sent to its process outside, or to the process group."""
    code = (
        f"import os, signal, sys; signal.signal({int(number)}, lambda *_: os.write(1, b'caught\\n'))\n"
        "print('ready', flush=True); sys.stdin.readline()"
    )
    program = place.start(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=to_group,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    (os.killpg if to_group else os.kill)(program.pid, number)
    first = program.stdout.readline()
    rest, _ = program.communicate("\n", timeout=PATIENCE_S)

    assert (first, rest, program.returncode) == ("caught\n", "", 0)


def ignored_in(status: str) -> set[int]:
    """Without those of glibc itself (32, 33): its posix_spawn() leaves them ignored, and Python 3.13 uses that."""
    (mask,) = (int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigIgn"))
    return {int(number) for number in signal.valid_signals() if mask >> number - 1 & 1} - {32, 33}


def test_a_command_has_the_directory_the_streams_and_the_signals_it_would_have_outside(
    place: Namespace, tmp_path: Path
) -> None:
    code = "import os; print(os.getcwd(), sorted(map(int, os.listdir('/proc/self/fd')))[:-1])"
    done = subprocess.run(
        place.command([sys.executable, "-c", code]), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    status = run(place, "cat", "/proc/self/status").stdout

    assert done.stdout == f"{tmp_path} [0, 1, 2]\n"
    assert "SigBlk:\t0000000000000000" in status
    pythons = {signal.SIGPIPE, signal.SIGXFSZ}
    assert ignored_in(status) == ignored_in(Path("/proc/self/status").read_text()) - pythons


def test_a_reader_sees_when_a_command_closes_its_output(place: Namespace) -> None:
    """The process that passes signals on keeps no end of a pipe open."""
    program = place.start(["sh", "-c", "exec >&-; exec sleep 1000"], stdout=subprocess.PIPE)
    assert program.stdout is not None

    assert program.stdout.read() == b""
    program.kill()
    program.communicate()


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_shell_at_a_terminal_works_as_it_does_outside(place: Namespace, shell: str) -> None:
    """Ctrl-C ends what runs, Ctrl-Z stops it and `fg` continues it, and the shell gives its exit code back."""
    need(shutil.which(shell), shell)
    master, slave = pty.openpty()

    def begin() -> None:
        os.setsid()
        os.close(os.open(os.ttyname(slave), os.O_RDWR))  # its first terminal becomes the session's (tty_ioctl(4))

    program = subprocess.Popen(
        place.command([shell, *SHELL_OPTIONS[shell], "-i"]),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        preexec_fn=begin,
        env=os.environ | {"PS1": "> ", "TERM": "dumb", "ENV": ""},
    )
    os.close(slave)
    shown = ""

    def expect(text: str) -> None:
        nonlocal shown
        while text not in shown:
            shown += os.read(master, 4096).decode()
        shown = shown.partition(text)[2]

    expect("> ")
    for typed, answer in (
        (b"sleep 1000; echo after=$((40+2))\n", ""),
        (b"\x03", "> "),
        (b"sh -c 'echo be''gun; kill -STOP $$; echo go''ne on'\n", "begun"),
        (b"", "> "),
        (b"fg\n", "gone on"),
        (b"echo $((6*7))\n", "42"),
    ):
        if typed == b"\x03":
            assert wait_until(lambda: "sleep" in run(place, "sh", "-c", "cat /proc/[0-9]*/comm").stdout)
        os.write(master, typed)
        if answer:
            expect(answer)
    os.write(master, b"exit 5\n")

    with contextlib.suppress(OSError):  # EIO: no process has the terminal any more
        while piece := os.read(master, 4096).decode():
            shown += piece
    os.close(master)

    assert program.wait(timeout=PATIENCE_S) == 5
    assert set(shown.split()) <= {">", "exit", "5"}  # what was typed, and what the shell says to it; no complaint


# What it cannot do to the host


def need_root() -> None:
    need(
        os.geteuid() == 0 and os.access("/proc/sys/fs/file-max", os.W_OK), "root, which can change the host's settings"
    )


WRITABLE = "import os, sys; print(*(int(os.access(name, os.W_OK)) for name in sys.argv[1:]))"


@pytest.mark.parametrize(("confined", "host"), [(True, "0"), (False, "1")])
def test_the_settings_of_the_host_are_read_only_inside_if_it_is_confined(confined: bool, host: str) -> None:
    """Also for root. Those of the network can be written."""
    need_root()
    of_host = ["fs/file-max", "fs/nr_open", "kernel/threads-max", "vm/swappiness", "kernel/hostname"]
    files = [f"/proc/sys/{name}" for name in of_host] + ["/sys/kernel/mm/transparent_hugepage/enabled"]
    files = [file for file in files if os.access(file, os.W_OK)]
    own = "/proc/sys/net/ipv4/ip_local_port_range"
    with Namespace(processes=True, confined=confined) as place:
        need(place.processes, f"a private PID namespace ({place.why_not})")
        done = run(place, sys.executable, "-c", WRITABLE, own, *files)

    assert done.stdout.split() == ["1", *[host] * len(files)]


def test_a_mount_inside_does_not_appear_outside(place: Namespace, tmp_path: Path) -> None:
    need(shutil.which("mount"), "mount (util-linux)")
    done = run(place, "sh", "-c", f"mount -t tmpfs none {tmp_path} && grep -c {tmp_path} /proc/self/mounts")

    assert done.stdout == "1\n", done.stderr
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()


def test_root_inside_can_load_no_module_and_set_no_clock(place: Namespace) -> None:
    need_root()
    capabilities = next(
        line.split()[1] for line in run(place, "cat", "/proc/self/status").stdout.splitlines() if "CapEff" in line
    )

    assert int(capabilities, 16) & (1 << 16 | 1 << 17 | 1 << 22 | 1 << 25) == 0


# Where it is not permitted, and for whom it is


def test_without_permission_to_mount_it_shares_the_processes_and_says_why() -> None:
    """As in many containers: there is a network namespace, but no /proc of its own."""
    need_root()
    code = (
        "import subprocess; from fourtuple.kernel.netns import Namespace\n"
        "with Namespace(processes=True) as n:\n"
        "    print(n.processes, n.why_not, subprocess.run(n.command(['sh', '-c', 'exit 7'])).returncode)"
    )
    done = subprocess.run(
        [sys.executable, DENY, "mount", sys.executable, "-c", code], capture_output=True, text=True, check=False
    )

    assert re.fullmatch(r"False mount\(\): Operation not permitted \(EPERM\): .+ 7\n", done.stdout), done.stderr


NESTED = """
import json, subprocess, sys
from fourtuple.kernel.netns import Namespace
with Namespace(processes=True, parent_settings={"net.ipv4.no_such_setting": "1"}) as place:
    print(place.processes, place.why_not or place.without, flush=True)
    if len(sys.argv) > 1:
        inside = [*json.loads(sys.argv[1]), sys.executable, __file__, *sys.argv[2:]]
        sys.exit(subprocess.run(place.command(inside)).returncode)
"""
AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


@pytest.mark.parametrize(
    ("first", "inside"),
    [(AS_NOBODY, [[]]), ([], [[], []]), ([], [AS_NOBODY]), (AS_NOBODY, [[], []])],
    ids=["nobody", "root in root", "nobody in root", "nobody in nobody"],
)
def test_it_may_be_inside_another_and_belong_to_an_ordinary_user(first: list[str], inside: list[list[str]]) -> None:
    """Whoever makes it has processes of its own; by a copy of the source that everybody can read."""
    need(os.geteuid() == 0, "root, to become an ordinary user")
    need(shutil.which("setpriv"), "setpriv (util-linux)")
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    need(python, "a python3 that everybody may run")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # noqa: S103  (another user is to read it)
        shutil.copytree(REPOSITORY / "src", folder, dirs_exist_ok=True)
        file = Path(folder) / "nested.py"
        file.write_text(NESTED)
        done = subprocess.run(
            [*first, str(python), str(file), *map(json.dumps, inside)],
            env=os.environ | {"PYTHONPATH": folder},
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
    need("user namespaces are not allowed" not in done.stderr, f"user namespaces ({done.stderr.strip()})")

    assert done.stdout.splitlines() == ["True ['net.ipv4.no_such_setting']"] * (len(inside) + 1), done.stderr
