"""snapshot and --from as commands: what a snapshot answers is what its host answered, also where there is no kernel."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fourtuple.core.census.records import By
from fourtuple.core.snapshot.coding import decode, encode
from fourtuple.core.snapshot.fold import SocketGroup, expand
from fourtuple.core.snapshot.frames import frames_of
from fourtuple.core.snapshot.records import HostNamespace, HostProcess, Snapshot
from fourtuple.core.sockets.table import SOCK_DIAG
from tests.conftest import COMMAND, Ground, fourtuple, private_ground
from tests.waiting import PATIENCE_S

# A listener with accepted connections and one that waits, connections of two kinds from here, and a socket only bound.
SCENE = """
import os, socket, sys
listener = socket.create_server(("127.0.0.1", 8000), backlog=20)
named = []
for number in range(4):
    named.append(socket.socket())
    named[-1].bind(("127.0.0.1", 0) if number < 2 else ("127.0.0.3", 40_100 + number))
kept = [socket.create_connection(("127.0.0.1", 8000)) for _ in range(12)]
accepted = [listener.accept()[0] for _ in range(11)]
for each in named[:3]:
    each.connect(("127.0.0.1", 8000))
    accepted.append(listener.accept()[0])
for each in (accepted[0], accepted[1], kept[5]):
    each.shutdown(socket.SHUT_WR)  # a socket that is closed would stay in FIN_WAIT2 for a minute only
print(os.getpid(), flush=True)
sys.stdin.readline()
"""
# The command where nothing of kernel/ can be imported.
ELSEWHERE = """
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name == "fourtuple.kernel" or name.startswith("fourtuple.kernel."):
            raise ImportError(f"{name}: there is no Linux here")
sys.meta_path.insert(0, Nothing())
from fourtuple.cli import cli
cli()
"""


@contextmanager
def scene(ground: Ground) -> Iterator[int]:
    """The PID of a process in there that has these sockets."""
    program = ground.lab.start([sys.executable, "-c", SCENE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert program.stdout is not None
        yield int(program.stdout.readline())
    finally:
        program.kill()
        program.communicate()


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ground, int, str]]:
    """(a namespace in which nothing changes, a process there, a snapshot of it)."""
    file = str(tmp_path_factory.mktemp("snapshot") / "quiet.snapshot")
    with private_ground() as ground:
        ground.set_port_range(40_000, 40_199)
        yield from _taken(ground, file)


def _taken(ground: Ground, file: str) -> Iterator[tuple[Ground, int, str]]:
    with scene(ground) as pid:
        done = ground.fourtuple("snapshot", file, "--netns", str(pid))
        assert (done.returncode, done.stderr) == (0, "")
        yield ground, pid, file


def answer(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def elsewhere(*arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", ELSEWHERE, *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        **options,
    )


QUESTIONS = [
    [],
    ["127.0.0.1:8000"],
    ["127.0.0.1:8000", "--strategy", "explicit"],
    ["127.0.0.1:8000", "--strategy", "bind0", "--from", "127.0.0.1-3"],
    ["127.0.0.9:80-90"],
]
# Rows that the memory, the processes and the files of a busy host decide, or whose subject is this command itself.
MOVING = {"memory", "fs.file-max", "RLIMIT_NOFILE", "RLIMIT_MEMLOCK", "fs.epoll.max_user_watches"}
MOVING |= {"pids.max, RLIMIT_NPROC, kernel.threads-max", "kernel.io_uring_disabled", "net.ipv4.tcp_mem"}


@pytest.mark.parametrize("question", QUESTIONS, ids=" ".join)
def test_limits_of_a_snapshot_are_those_of_its_host(taken: tuple[Ground, int, str], question: list[str]) -> None:
    """Routes, room, causes and what is not known about ports are the same; so is every row that stands still."""
    ground, _, file = taken
    here = answer(ground.fourtuple("limits", *question, "--json"))
    there = answer(elsewhere("limits", *question, "--from", file, "--json"))

    for name in ("routes", "pairs", "because", "waiting", "unattributed_ports", "full", "behaviours"):
        assert there[name] == here[name], name
    assert there["can_probe"] is False
    rows = [{row["limit"]: row for row in each["verdicts"] if row["limit"] not in MOVING} for each in (here, there)]
    assert len(rows[0]) > 8
    for name, row in rows[0].items():
        assert rows[1][name] == row


def test_limits_of_a_process_are_its_own(taken: tuple[Ground, int, str]) -> None:
    """Its open files, its listeners with their queue, its role."""
    ground, pid, file = taken
    here = answer(ground.fourtuple("limits", "--pid", str(pid), "--json"))
    there = answer(elsewhere("limits", "--pid", str(pid), "--from", file, "--json"))

    assert (there["role"], there["process"]) == (here["role"], here["process"]) == ("server", here["process"])
    rows = [
        {row["limit"]: row for row in each["verdicts"] if row["limit"] in ("RLIMIT_NOFILE", "accept queue")}
        for each in (here, there)
    ]
    assert rows[1] == rows[0]


def test_a_plan_from_a_snapshot_has_the_ports_of_its_host(taken: tuple[Ground, int, str]) -> None:
    """What a program there may open is unknown without its limits, so it does not fit until they are assumed."""
    ground, _, file = taken
    done = elsewhere("plan", "150", "127.0.0.9:80", "--from", file, "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert found["from"]["source"] == file
    here = json.loads(ground.fourtuple("plan", "150", "127.0.0.9:80", "--json").stdout)
    assert (found["ceiling"], found["because"]) == (here["ceiling"], here["because"])
    assert {check["limit"]: check["says"] for check in found["checks"]}["net.ipv4.ip_local_port_range"] == "ok"

    says = {check["limit"]: check["says"] for check in found["checks"]}
    assert says["RLIMIT_NOFILE"] == "unknown"
    done = elsewhere("plan", "150", "127.0.0.9:80", "--from", file, "--assume", "RLIMIT_NOFILE=1024", "--json")
    assert done.returncode == 0, done.stdout

    done = elsewhere("plan", "1000", "127.0.0.9:80", "--from", file)
    assert done.returncode == 1
    assert "does not fit" in done.stdout or "do not fit" in done.stdout
    assert elsewhere("plan", "150", "127.0.0.9:80", "--from", file, "--apply").returncode == 2


@pytest.mark.parametrize("by", ["pair", "destination", "port", "state", "process"])
def test_the_census_of_a_snapshot_is_that_of_its_host(taken: tuple[Ground, int, str], by: str) -> None:
    """Every row with its owner, listeners, holdings, states."""
    ground, _, file = taken
    here = answer(ground.fourtuple("census", "--by", by, "--json"))
    there = answer(elsewhere("census", "--by", by, "--from", file, "--json"))

    for name in (By(by).plural, "listeners", "holdings", "sockets", "usable", "blocked", "unattributed_ports", "leaks"):
        if isinstance(here[name], list):
            assert sorted(map(json.dumps, there[name])) == sorted(map(json.dumps, here[name])), name
        else:
            assert there[name] == here[name], name


def test_the_first_line_and_the_json_say_whose_it_is_and_of_when(taken: tuple[Ground, int, str]) -> None:
    """The host, the time, the kernel and who saw it."""
    _, _, file = taken
    first = " ".join(elsewhere("limits", "--from", file).stdout.partition("room for")[0].split())
    origin = answer(elsewhere("census", "--from", file, "--json"))["from"]

    assert first.startswith(f"From {file}: {os.uname().nodename}, 2")
    assert f"Linux {os.uname().release}" in first
    assert (origin["host"], origin["uid"], origin["source"]) == (os.uname().nodename, os.geteuid(), file)
    assert origin["time"][:3] == "202"


def test_three_lines_say_what_a_snapshot_holds(tmp_path: Path) -> None:
    """On the host itself; nothing of it but counts is in the text."""
    file = tmp_path / "here.snapshot"
    done = fourtuple("snapshot", str(file))

    assert done.returncode == 0
    who, what, where = done.stdout.splitlines()[:3]
    assert who.startswith(os.uname().nodename)
    assert "network namespace" in what
    assert str(file) in where
    assert decode(file.read_bytes()).processes[os.getpid()].arguments is None


def test_standard_output_gets_the_snapshot_alone() -> None:
    """A pipe can carry it to another machine: snapshot - | ssh … limits --from -."""
    done = subprocess.run([*COMMAND, "snapshot", "-", "--with-arguments"], capture_output=True, check=True)
    arguments = decode(done.stdout).processes[os.getpid()].arguments
    assert arguments
    asked = subprocess.run([*COMMAND, "census", "--from", "-", "--json"], input=done.stdout, capture_output=True)

    assert json.loads(asked.stdout)["from"]["source"] == "standard input"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["limits", "--probe"], 2, "cannot be tested"),
        (["limits", "db.example:80"], 2, "resolves no names"),
        (["limits", "--netns", "nowhere"], 2, "does not have it"),
        (["limits", "--pid", "4"], 2, "no such process"),
        (["limits", "--at", "10:32"], 2, "no recording"),
        (["census", "--watch"], 2, "one moment"),
        (["census", "--all-netns"], 2, "one moment"),
        (["census", "--from", "other.snapshot"], 2, "only one"),
    ],
)
def test_what_a_snapshot_cannot_answer_is_said(
    taken: tuple[Ground, int, str], arguments: list[str], code: int, says: str
) -> None:
    _, _, file = taken
    done = elsewhere(*arguments, "--from", file)

    assert done.returncode == code
    assert says in " ".join(done.stderr.split())


def test_a_newer_snapshot_and_none_at_all_are_told_apart(tmp_path: Path) -> None:
    """A newer one asks for a newer program (77); anything else is a wrong file (2)."""
    newer, other = tmp_path / "newer.snapshot", tmp_path / "other.snapshot"
    newer.write_text('{"fourtuple_snapshot": 99}')
    other.write_bytes(b"\x28\xb5\x2f\xfdx")

    assert [elsewhere("limits", "--from", str(file)).returncode for file in (newer, other)] == [77, 2]


def test_names_from_a_snapshot_reach_a_terminal_visibly_only(tmp_path: Path) -> None:
    """Whoever made the file chose them."""
    sockets, pids = expand([SocketGroup("ESTABLISHED", "10.0.0.1", "40000", 1, "10.0.0.2", 80, pid=7)])
    inside = HostNamespace("net:[1]\x1b[31m", sockets=sockets, socket_pids=pids, read_from=SOCK_DIAG)
    found = Snapshot(
        1.0, host="a\x1b]0;b\x07", namespaces={"x": inside}, processes={7: HostProcess(7, "\x1b[2J")}, uid=0
    )
    file = tmp_path / "hostile.snapshot"
    file.write_bytes(encode(found))
    done = elsewhere("census", "--from", str(file))

    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert "10.0.0.1 → 10.0.0.2:80" in done.stdout


SUMMARY = """\
root@web1:~# ss -s
TCP:   125303 (estab 61, closed 125217, orphaned 12, timewait 125217)
root@web1:~# sysctl -a
net.ipv4.ip_local_port_range = 32768 60999
net.ipv4.tcp_max_tw_buckets = 131072
"""
LISTING = """\
root@web1:~# ss -tan
State     Recv-Q Send-Q Local Address:Port Peer Address:Port
ESTAB     0      0      10.0.0.4:32768     10.0.0.9:443
"""


def test_a_paste_is_asked_as_a_snapshot_is() -> None:
    """From standard input; a limit whose numbers are there is known, and the others are said not to be."""
    done = elsewhere("limits", "--from", "-", "--json", input=SUMMARY)
    found = json.loads(done.stdout)

    assert done.returncode == 77  # nothing tells how many more connections fit
    assert found["from"]["source"] == "ss -s, sysctl"
    assert found["from"]["host"] == "web1"
    assert "does not list them" in found["unknown"]["source ports"]
    rows = {row["limit"]: row for row in found["verdicts"]}
    assert rows["net.ipv4.tcp_max_tw_buckets"]["in_use"] == 125_217

    done = elsewhere("census", "--from", "-", input=SUMMARY)
    assert done.returncode == 77
    assert "ss -tanp" in done.stderr


MEMORY = "root@web1:~# cat /proc/meminfo\nMemTotal: 8000000 kB\nMemFree: 4000000 kB\nCached: 100 kB\nShmem: 0 kB\n"


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        (LISTING, {"net.ipv4.ip_local_port_range", "ulimit -a", "/proc/meminfo"}),
        (SUMMARY.partition("root@web1:~# sysctl")[0], {"net.ipv4.ip_local_port_range", "ss -tanp", "/proc/meminfo"}),
        (SUMMARY, {"ss -tanp", "ulimit -a"}),
    ],
)
def test_a_paste_that_tells_no_room_is_no_success(text: str, commands: set[str]) -> None:
    """It says which output is missing, and has no empty table."""
    done = elsewhere("limits", *["10.0.0.9:443"][: text == LISTING], "--from", "-", input=text)

    assert done.returncode == 77
    assert all(command in " ".join(done.stdout.split()) for command in commands)
    assert "ceiling" not in done.stdout


def test_a_paste_without_a_range_of_ports_may_have_no_room() -> None:
    """Memory alone does not tell how many connections a client can open."""
    found = answer(elsewhere("limits", "10.0.0.9:443", "--from", "-", "--json", input=LISTING + MEMORY))

    assert found["room"] == 0 < found["room_max"]
    assert not found["exact"]


def test_a_paste_with_a_listing_tells_of_ports() -> None:
    found = answer(elsewhere("limits", "10.0.0.9:443", "--from", "-", "--json", input=SUMMARY + LISTING))

    assert found["routes"][0]["source"] == "10.0.0.4"
    assert (found["routes"][0]["ceiling"], found["routes"][0]["in_use"]) == (28_232, 1)


STUCK = """\
State      Recv-Q Send-Q Local Address:Port Peer Address:Port
LISTEN     129    128          0.0.0.0:8080      0.0.0.0:*
"""


def test_doctor_judges_a_paste() -> None:
    """A full accept queue of another host is one, and it is not said to be of this one."""
    done = elsewhere("doctor", "--from", "-", "--json", input=STUCK)

    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["from"]["source"] == "ss"
    assert "8080" in json.dumps(found["findings"])
    done = elsewhere("doctor", "--from", "-", input=SUMMARY + LISTING)
    assert done.returncode == 1
    assert "125,217" in done.stdout
    assert elsewhere("doctor", "--from", "-", input=LISTING).returncode == 0
    assert elsewhere("doctor", "--from", "-", "--for", "1s", input=STUCK).returncode == 2


def test_output_of_tools_that_is_given_to_why_is_of_another_host() -> None:
    """It reports no failure, so what limits that host is said; 125,217 is no number at which connections stopped."""
    done = elsewhere("why", "-", input=STUCK)
    assert done.returncode == 0
    assert "8080" in done.stdout
    assert "from ss" in done.stdout

    done = elsewhere("why", "-", "--json", input=SUMMARY)
    assert json.loads(done.stdout)["findings"] == []


def test_a_text_without_output_of_a_tool_is_no_snapshot() -> None:
    done = elsewhere("limits", "--from", "-", input="dear all\n")

    assert done.returncode == 2
    assert "no snapshot" in done.stderr


@contextmanager
def recording(file: Path, *options: str) -> "Iterator[subprocess.Popen[str]]":
    program = subprocess.Popen(
        [*COMMAND, "snapshot", "--watch", str(file), "--every", "10ms", *options],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield program
    finally:
        program.kill()
        program.communicate()


def moments(program: "subprocess.Popen[str]", count: int) -> None:
    """Wait until the recorder has told of so many more moments."""
    assert program.stdout is not None
    for _ in range(count):
        assert "moment" in program.stdout.readline()


def test_a_recording_survives_kill_and_is_continued(tmp_path: Path) -> None:
    """Every moment that was told of is there, and may be read meanwhile; --at finds one."""
    file = tmp_path / "host.recording"
    with recording(file) as program:
        assert program.stdout is not None
        assert "Ctrl-C" in program.stdout.readline()
        moments(program, 3)
        assert len(frames_of(file.read_bytes())) >= 3
        program.kill()
    with open(file, "ab") as torn:
        torn.write(file.read_bytes()[:500])
    before = frames_of(file.read_bytes())
    with recording(file) as program:
        assert program.stdout is not None
        program.stdout.readline()
        moments(program, 2)
        program.send_signal(signal.SIGINT)
        rest, _ = program.communicate(timeout=PATIENCE_S)
        assert program.returncode == 0
    assert "recorded to" in rest
    content = file.read_bytes()
    frames = frames_of(content)
    assert len(frames) >= len(before) + 2
    assert frames[-1].stop == len(content)

    last = answer(elsewhere("census", "--from", str(file), "--json"))["from"]["time"]
    first = answer(elsewhere("census", "--from", str(file), "--json", "--at", "-0s"))["from"]["time"]
    assert first == last


def test_old_moments_are_dropped(tmp_path: Path) -> None:
    """By age, and by size."""
    file = tmp_path / "host.recording"
    with recording(file, "--keep", "20ms") as program:
        assert program.stdout is not None
        program.stdout.readline()
        moments(program, 12)
        frames = frames_of(file.read_bytes())
    assert 1 <= len(frames) < 12


@pytest.mark.parametrize("options", [["--keep", "1ms"], ["--most-bytes", "2GiB"]])
def test_a_recording_that_makes_no_sense_is_refused(tmp_path: Path, options: list[str]) -> None:
    assert fourtuple("snapshot", "--watch", str(tmp_path / "x"), *options).returncode == 2


def test_another_file_is_not_overwritten_by_a_recording(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("mine")

    assert fourtuple("snapshot", "--watch", str(file)).returncode == 2
    assert file.read_text() == "mine"


def test_a_recorder_names_a_moment_that_the_recording_has(tmp_path: Path) -> None:
    """Its first line has no share of a CPU, since no interval has passed; its last line is a command that works."""
    file = tmp_path / "x.recording"
    program = subprocess.Popen(
        [*COMMAND, "snapshot", "--watch", str(file), "--every", "1h", "--keep", "2h"], stdout=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    first = ""
    while " moment" not in first:
        first = program.stdout.readline()
    program.send_signal(signal.SIGINT)
    last = " ".join(program.communicate(timeout=PATIENCE_S)[0].split())

    assert "CPU" not in first
    assert fourtuple(*last.rpartition("fourtuple ")[2].split()).returncode == 0


@pytest.mark.parametrize(
    "text", ["dial tcp 10.0.0.9:80: i/o timeout", "connect: cannot assign requested address", "24"]
)
def test_why_answers_from_a_paste_without_sockets(text: str, tmp_path: Path) -> None:
    """The sockets are unknown: nothing is said of them, and what the paste has is evidence."""
    file = tmp_path / "k.txt"
    file.write_text("$ conntrack -C\n512\n$ sysctl -a\nnet.netfilter.nf_conntrack_max = 512\n")
    done = elsewhere("why", text, "--from", str(file))

    assert done.returncode == 0, done.stderr
    assert "no socket" not in done.stdout
    assert "CLOSE_WAIT sockets" not in done.stdout
    assert ("512 of 512 entries" in done.stdout) == ("timeout" in text)
