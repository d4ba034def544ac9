"""`fourtuple lab`: a place of its own for any command, gone when that ends, with nothing left behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import COMMAND, fourtuple, need, need_namespace
from tests.kernel.test_netns import processes_in
from tests.kills import BROOD
from tests.told import numbers
from tests.waiting import PATIENCE_S, wait_until

SETTINGS = Path("/proc/sys/net/ipv4")


@pytest.fixture(autouse=True)
def allowed() -> None:
    need_namespace()


def lab(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return fourtuple("lab", *arguments)


def read(*names: str) -> list[str]:
    return [(SETTINGS / name).read_text().strip() for name in names]


def test_it_has_its_own_ports_and_table_and_the_host_keeps_its_own() -> None:
    names = ("ip_local_port_range", "tcp_ehash_entries", "tcp_child_ehash_entries")
    before = read(*names)
    need((SETTINGS / "tcp_child_ehash_entries").exists(), "net.ipv4.tcp_child_ehash_entries (Linux 6.1)")
    wide = lab("--hash-table", "100k", "--", "cat", *(str(SETTINGS / name) for name in names[:2]))
    narrow = lab("--ports", "40000-40099", "--", "cat", str(SETTINGS / names[0]))

    assert wide.stdout.split() == ["1024", "65535", "131072"]
    assert narrow.stdout.split() == ["40000", "40099"]
    assert "1024-65535" in wide.stderr
    assert 131_072 in numbers(wide.stderr)
    assert read(*names) == before


def test_by_itself_the_table_is_large_enough_for_the_memory_there_is() -> None:
    need((SETTINGS / "tcp_child_ehash_entries").exists(), "net.ipv4.tcp_child_ehash_entries (Linux 6.1)")
    done = lab("--quiet", "--", "cat", str(SETTINGS / "tcp_ehash_entries"))
    total_kb = int(Path("/proc/meminfo").read_text().split()[1])

    assert (done.returncode, done.stderr) == (0, "")
    assert 1024 <= int(done.stdout) <= 2**24
    assert int(done.stdout) & (int(done.stdout) - 1) == 0
    assert int(done.stdout) <= 2 * total_kb * 1024 / 4000


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -9 $$"], 128 + 9),
        (["no-such-command"], 127),
        (["/etc/passwd"], 126),
    ],
)
def test_its_exit_code_is_the_commands(command: list[str], code: int) -> None:
    assert lab("--quiet", "--", *command).returncode == code


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--ports", "80-99", "--", "true"], "80-99"),
        (["--ports", "2000-1000", "--", "true"], "2000-1000"),
        (["--ports", "many", "--", "true"], "LOW-HIGH"),
        (["--hash-table", "1G", "--", "true"], "16,777,216"),
        (["--hosts", "3", "--", "true"], "a whole number from 1 to 2"),
        ([], "COMMAND"),
    ],
)
def test_bad_input_is_told_what_is_wrong(arguments: list[str], names: str) -> None:
    done = lab(*arguments)

    assert done.returncode == 2
    assert names in " ".join(done.stderr.split())


def test_options_of_the_command_are_the_commands() -> None:
    assert lab("--quiet", "--", "echo", "--ports", "--json", "-h").stdout == "--ports --json -h\n"


def test_what_the_command_leaves_running_is_ended(tmp_path: Path) -> None:
    """A background process, and one that has cut itself loose, and one that ignores SIGTERM."""
    file = tmp_path / "ready"
    file.touch()
    script = (
        f"readlink /proc/self/ns/net; exec >&-; sleep 300 & echo >> {file}; setsid sh -c 'sleep 300 & echo >> {file}';"
        f" sh -c 'trap \"\" TERM; echo >> {file}; while :; do sleep 1; done' &"
        f" until [ $(wc -l < {file}) = 3 ]; do sleep 0.05; done"
    )
    done = lab("--quiet", "--", "sh", "-c", script)

    assert (done.returncode, done.stdout[:5]) == (0, "net:[")
    assert processes_in(done.stdout.strip()) == []


def test_ctrl_c_is_the_commands_and_sigterm_is_passed_on() -> None:
    script = "trap 'echo caught; exit 5' INT TERM; echo ready; while :; do sleep 0.05; done"
    for number, to_group in ((signal.SIGINT, True), (signal.SIGTERM, False)):
        program = subprocess.Popen(
            [*COMMAND, "lab", "--quiet", "--", "sh", "-c", script],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        (os.killpg if to_group else os.kill)(program.pid, number)
        said, _ = program.communicate(timeout=PATIENCE_S)

        assert (said, program.returncode) == ("caught\n", 5)


def test_two_hosts_are_joined_and_each_can_be_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server on host2 is reached from host1, which is where the command runs; nothing of it stays in /tmp."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    server = f"{sys.executable} -m fourtuple serve 10.77.0.2:8000 --greet hello --quiet --for 1h"
    client = f"{sys.executable} -m fourtuple hold 97 10.77.0.2:8000 --for 300ms --expect hello --quiet"
    script = f"host2 {server} 2> {tmp_path}/log & until grep -q listening {tmp_path}/log; do sleep 0.05; done; {client}"
    done = lab("--hosts", "2", "--", "sh", "-c", script)

    assert "host1 10.77.0.1, host2 10.77.0.2" in " ".join(done.stderr.split())
    assert done.returncode == 0
    assert done.stdout.startswith("held 97 for ")
    assert "answers   97" in done.stdout
    assert [file.name for file in tmp_path.iterdir()] == ["log"]


def test_what_runs_on_a_host_of_two_is_asked_to_end_like_the_rest(tmp_path: Path) -> None:
    trap = tmp_path / "trap.sh"
    ready, ended = tmp_path / "ready", tmp_path / "ended"
    trap.write_text(f"trap 'echo $1 >> {ended}; exit' TERM; echo $1 >> {ready}; while :; do sleep 0.05; done")
    wait = f"until [ $(wc -l < {ready}) = 2 ]; do sleep 0.05; done"
    script = f"host1 sh {trap} one & host2 sh {trap} two & {wait}"
    ready.touch()
    done = lab("--quiet", "--hosts", "2", "--", "sh", "-c", script)

    assert done.returncode == 0
    assert sorted(ended.read_text().split()) == ["one", "two"]


def test_a_host_without_a_command_says_so() -> None:
    done = lab("--quiet", "--hosts", "2", "--", "host2")

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_the_hosts_are_found_where_the_path_of_python_has_a_space(tmp_path: Path) -> None:
    python = tmp_path / "a folder" / Path(sys.executable).relative_to(sys.prefix)
    (tmp_path / "a folder").symlink_to(sys.prefix)
    command = ["-m", "fourtuple", "lab", "--quiet", "--hosts", "2", "--", "host2", "cat", "/proc/net/fib_trie"]
    done = subprocess.run([str(python), *command], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "10.77.0.2" in done.stdout


def test_a_terminal_that_is_closed_leaves_no_file(tmp_path: Path) -> None:
    program = subprocess.Popen(
        [*COMMAND, "lab", "--quiet", "--hosts", "2", "--", "sh", "-c", "echo ready; exec sleep 300"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    program.send_signal(signal.SIGHUP)
    program.communicate(timeout=PATIENCE_S)

    assert program.returncode == 128 + signal.SIGHUP
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [["lab", "--quiet"], ["check", "--quiet", "--for", "1h"]], ids=["lab", "check"])
def test_everything_is_gone_when_the_command_is_killed(tmp_path: Path, command: list[str]) -> None:
    """By kill -9, and also what has called setsid: its processes, and with them its namespace."""
    file = tmp_path / "netns"
    script = f"readlink /proc/self/ns/net > {file}.part; {BROOD.replace('echo ready', f'mv {file}.part {file}')}"
    program = subprocess.Popen([*COMMAND, *command, "--", "sh", "-c", script], stdout=subprocess.PIPE, text=True)
    assert wait_until(file.exists)
    name = file.read_text().strip()
    program.kill()
    program.communicate()

    assert name.startswith("net:[")
    assert wait_until(lambda: not processes_in(name))
