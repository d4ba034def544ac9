"""Every lesson holds on real sockets, in a private namespace and, if none is permitted, on loopback."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fourtuple.core.errors import ShortfallError
from fourtuple.core.runs.proof import BROKEN, FAILS, HOLDS, SKIPPED, Proof, differing
from fourtuple.engine.loops.room import WORTH_CONNECTIONS
from fourtuple.kernel.proc.pid import usable_cpus
from fourtuple.kernel.uring import features
from fourtuple.lessons.prove import NAMES
from fourtuple.verbs.background import serving
from tests import made
from tests.conftest import COMMAND, DENY, fourtuple, need, need_namespace
from tests.kills import MARK, marked
from tests.ports import free_port
from tests.told import numbers
from tests.waiting import PATIENCE_S, wait_until

KEYS = {"name", "claim", "did", "predicted", "observed", "verdict", "why", "seconds", "evidence"}


def proved(*arguments: str, prefix: tuple[str, ...] = (), **options: Any) -> tuple[dict[str, Any], int]:
    done = fourtuple("prove", *arguments, "--json", prefix=prefix, **options)
    assert done.stdout.count("\n") == 1, done.stderr
    return json.loads(done.stdout), done.returncode


@pytest.fixture(scope="module")
def private() -> None:
    need_namespace()


@pytest.mark.usefixtures("private")
@pytest.mark.parametrize("name", NAMES)
def test_each_lesson_holds(name: str) -> None:
    proof, code = proved(name)
    (lesson,) = proof["lessons"]

    assert (lesson["verdict"], code) == ("holds", 0)
    assert not lesson["why"] or name == "server-wall"  # which leaves memory out if other programs change the kernel's
    assert lesson.keys() == KEYS
    assert lesson["predicted"].keys() == lesson["observed"].keys() != set()
    assert differing(lesson["predicted"], lesson["observed"]) == []
    assert {"fourtuple", "kernel", "lessons"} <= proof.keys()


@pytest.mark.usefixtures("private")
def test_past_65536_is_proved_by_the_kernels_own_table() -> None:
    """All connections are distinct, accepted and listed at both ends, and there are more of them than port numbers."""
    lesson = proved("past-65536", "--connections", "66k")[0]["lessons"][0]

    assert lesson["verdict"] == "holds", lesson
    assert set(lesson["observed"].values()) == {66_000, True}
    assert lesson["evidence"]["server ports in use"] == 2


@pytest.mark.usefixtures("private")
def test_server_wall_predicts_bytes_exactly_and_ends_with_the_smallest() -> None:
    """Payload and headers of each message and of its acknowledgement, on an interface that nothing else uses."""
    lesson = proved("server-wall")[0]["lessons"][0]
    (name,) = (each for each in lesson["predicted"] if each.startswith("bytes of"))
    (messages,) = numbers(name)
    serves = next(value for value in lesson["evidence"].values() if isinstance(value, dict))

    assert lesson["predicted"][name]["about"] == messages * (64 + 2 * (20 + 20 + 12))
    assert lesson["evidence"]["what ends it first"] == min(serves, key=lambda each: serves[each])
    assert min(serves.values()) > 0


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ("message_bytes = lambda *_, **__: (64, 0)", "bytes of"),
        ("agreed = lambda _: 80_000.0", "memory"),
        ("TIMES = 0", "CPU"),
    ],
)
@pytest.mark.usefixtures("private")
def test_server_wall_fails_if_a_prediction_is_wrong(wrong: str, name: str) -> None:
    """Without headers, where a client takes ten times the memory, and where a message may cost no time."""
    code = (
        "from fourtuple.lessons import server_wall; from fourtuple.lessons.__main__ import main\n"
        f"server_wall.{wrong}; main('server-wall', '0', 'private')"
    )
    done = fourtuple("lab", "--quiet", "--", sys.executable, "-c", code)
    said = json.loads(done.stdout.splitlines()[-1])

    assert said["verdict"] == "fails"
    assert any(name in each for each in differing(said["predicted"], said["observed"]))


@pytest.mark.usefixtures("private")
def test_past_65536_under_a_hard_limit_of_1024_files() -> None:
    """Without io_uring, it uses many processes and opens fewer connections, still more than 65,536, with a note."""
    prefix = (sys.executable, DENY, "io_uring", "sh", "-c", 'ulimit -n 1024; exec "$@"', "sh")
    lesson = proved("past-65536", prefix=prefix)[0]["lessons"][0]

    assert lesson["verdict"] == "holds", lesson
    assert lesson["observed"]["accepted by the server"] == 70_000
    assert numbers(lesson["why"])[:1] == [70_000]


def test_a_default_container_still_proves_what_it_can() -> None:
    """No user namespaces, io_uring or netlink: on loopback, from /proc/net/tcp, and only two-hosts is skipped."""
    names = [name for name in NAMES if name not in ("slow-lane", "past-65536")]
    proof, code = proved(*names, prefix=(sys.executable, DENY, "unshare,io_uring,netlink"))
    verdicts = {lesson["name"]: lesson["verdict"] for lesson in proof["lessons"]}
    skipped = next(lesson for lesson in proof["lessons"] if lesson["name"] == "two-hosts")

    assert code == 0
    assert verdicts == dict.fromkeys(names, "holds") | {"two-hosts": "skipped"}
    assert skipped["why"]
    assert "EPERM" in proof["namespace"]


@pytest.mark.usefixtures("private")
def test_a_read_only_proc_sys_leaves_out_the_limits_that_are_set_there() -> None:
    """As in many containers: the namespace is private, but no sysctl can be set in it."""
    code = (
        "import errno; from fourtuple.lessons import stage; from fourtuple.lessons.__main__ import main\n"
        "def refuse(*_): raise OSError(errno.EROFS, 'Read-only file system')\n"
        "stage.set_port_range = refuse; main('limits', '0', 'private')"
    )
    said = json.loads(fourtuple("lab", "--quiet", "--", sys.executable, "-c", code).stdout)

    assert (said["verdict"], list(said["predicted"])) == ("holds", ["accept queue of listen(5)", "10 open files left"])
    assert "Read-only" in said["why"]


def test_past_65536_needs_no_namespace() -> None:
    proof, code = proved("past-65536", "--connections", "66k", prefix=(sys.executable, DENY, "unshare"))
    (lesson,) = proof["lessons"]

    assert (lesson["verdict"], code) == ("holds", 0), lesson
    assert lesson["evidence"]["counted by"] == "sock_diag"


def test_what_could_not_be_tried_has_the_exit_code_for_it() -> None:
    proof, code = proved("two-hosts", prefix=(sys.executable, DENY, "unshare"))

    assert (proof["lessons"][0]["verdict"], code) == ("skipped", 77)


@pytest.mark.usefixtures("private")
def test_two_hosts_needs_no_program(tmp_path: Path) -> None:
    """No `ip`: a server, or a container, often has no more than Python."""
    proof, code = proved("two-hosts", env=os.environ | {"PATH": str(tmp_path)})

    assert (proof["lessons"][0]["verdict"], code) == ("holds", 0), proof["lessons"][0]["why"]


@contextmanager
def sysctl(name: str, value: str) -> Iterator[None]:
    """Set a sysctl of the host during the block."""
    file = Path("/proc/sys", *name.split("."))
    before = file.read_text()
    try:
        file.write_text(value)
    except OSError as error:
        need(False, f"root, to set {name} ({error.strerror})")
    try:
        yield
    finally:
        file.write_text(before)


@pytest.mark.usefixtures("private")
@pytest.mark.parametrize("user", ["root", "ordinary user"])
def test_where_no_more_namespaces_may_be_made(user: str) -> None:
    """user.max_*_namespaces = 0, in a user namespace of the test's own: they belong to it and are gone with it.

    Root is refused a network namespace; a user without CAP_SYS_ADMIN is refused the user namespace it would need.
    """
    need(shutil.which("unshare"), "unshare (util-linux)")
    need(shutil.which("setpriv"), "setpriv (util-linux)")
    zero = "for kind in user net; do echo 0 > /proc/sys/user/max_${kind}_namespaces; done"
    drop = "setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin" if user == "ordinary user" else ""
    prefix = ("unshare", "--user", "--map-root-user", "sh", "-ec", f'{zero}; exec {drop} "$@"', "sh")
    proof, code = proved("one-wall", "kernel-shares-ports", prefix=prefix)

    assert [lesson["verdict"] for lesson in proof["lessons"]] == ["holds", "holds"]
    assert code == 0
    assert "ENOSPC" in proof["namespace"]


@pytest.mark.alone
def test_a_host_that_allows_no_io_uring() -> None:
    with sysctl("kernel.io_uring_disabled", "2"):
        proof, code = proved("accept-takes-no-port")
        asked = fourtuple("hold", "1", "127.0.0.1:1", "--loop", "ring")

    assert (proof["lessons"][0]["verdict"], code) == ("holds", 0)
    assert proof["lessons"][0]["evidence"]["the server's loop"] == "epoll"
    assert asked.returncode == 77
    assert "kernel.io_uring_disabled" in " ".join(asked.stderr.split())


def test_a_claim_that_does_not_hold_fails(tmp_path: Path) -> None:
    """The verdict is the comparison of what was predicted with what was observed, and nothing else."""
    code = (
        "import sys; from fourtuple.lessons import theory; from fourtuple.lessons.__main__ import main\n"
        "theory.EVERY_PORT = range(1, 65535); main('theory', '0', 'shared')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)

    assert said["verdict"] == "fails"
    differ = [name for name, value in said["predicted"].items() if said["observed"][name] != value]
    assert len(differ) == 3
    assert said["why"].endswith(", ".join(differ))


# Python imports this first: what the process of a lesson is made to do, in place of the lesson.
HURT = """
import sys
if "fourtuple.lessons" in sys.orig_argv:
    import errno, os, signal
    from fourtuple.core.errors import CannotError, ShortfallError
    from fourtuple.lessons import theory
    def show(stage):
        {what}
    theory.show = show
"""


@pytest.mark.parametrize(
    ("what", "verdict", "said"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "broken", "SIGKILL"),
        ("os._exit(3)", "broken", "exit code 3"),
        ("raise ZeroDivisionError('a fault')", "broken", "ZeroDivisionError"),
        ("raise ConnectionRefusedError(errno.ECONNREFUSED, 'the server is gone')", "broken", "the server is gone"),
        ("raise ShortfallError('a server', 'it ended')", "broken", "it ended"),
        ("print('no JSON', flush=True); os._exit(0)", "broken", "its process"),
        ("print('{}', flush=True); os._exit(0)", "broken", "its process"),
        ("raise CannotError('a tool', 'it is not installed')", "skipped", "not installed"),
        ("open('/nowhere/tool')", "skipped", "/nowhere/tool"),
        ("raise MemoryError", "skipped", "memory"),
        ("raise OSError(errno.ENOMEM, 'out of memory')", "skipped", "memory"),
        ("raise OSError(errno.EMFILE, 'too many')", "skipped", "ulimit -n"),
    ],
)
def test_what_was_not_tried_to_the_end_is_not_refuted(tmp_path: Path, what: str, verdict: str, said: str) -> None:
    """The other lesson goes on; a broken one is no success, and the stored run has all of it."""
    (tmp_path / "sitecustomize.py").write_text(HURT.format(what=what))
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    store = ("--store", str(tmp_path / "runs.db"))
    proof, code = proved("theory", "one-wall", *store, env=environment)
    hurt, healthy = proof["lessons"]
    kept = json.loads(fourtuple("runs", "show", "1", "--json", *store).stdout)

    assert (hurt["verdict"], healthy["verdict"]) == (verdict, "holds"), hurt
    assert said in hurt["why"]
    assert code == (77 if verdict == "broken" else 0)
    assert [lesson["verdict"] for lesson in kept["lessons"]] == [verdict, "holds"]
    assert kept["outcome"] == ("fell short" if verdict == "broken" else "reached")
    assert ("theory" in kept["why"]) == (verdict == "broken")


def test_one_refuted_claim_outweighs_what_broke() -> None:
    """1 says that the claim is wrong; 77 that it could not be tried."""
    codes = {
        verdicts: Proof(made.ground(), tuple(made.result(name, name) for name in verdicts), 1.0).exit_code
        for verdicts in [(HOLDS,), (HOLDS, SKIPPED), (HOLDS, BROKEN), (FAILS, BROKEN), (SKIPPED,), (BROKEN,)]
    }

    assert [*codes.values()] == [0, 0, 77, 1, 77, 77]


def test_a_server_that_dies_is_no_observation() -> None:
    """Whatever was observed meanwhile: the block ends with an error that names the signal."""
    ours = Path(f"/proc/self/task/{threading.get_native_id()}/children")
    before = {*ours.read_text().split()}

    def killed() -> None:
        with serving(f"127.0.0.1:{free_port()}"):
            (pid,) = {*ours.read_text().split()} - before
            os.kill(int(pid), signal.SIGKILL)
            os.waitid(os.P_PID, int(pid), os.WEXITED | os.WNOWAIT)

    with pytest.raises(ShortfallError, match="SIGKILL"):
        killed()


@pytest.mark.usefixtures("private")
def test_ctrl_c_leaves_no_process_behind() -> None:
    mark = f"{os.getpid()}-{time.monotonic_ns()}"
    program = subprocess.Popen(
        [*COMMAND, "prove", "past-65536"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {MARK: mark},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # nohup, say, had it ignored
    )
    assert program.stdout is not None
    program.stdout.readline()
    assert wait_until(lambda: len(marked(mark)) > 3)
    program.send_signal(signal.SIGINT)
    output, errors = program.communicate(timeout=PATIENCE_S)

    assert wait_until(lambda: not marked(mark)), marked(mark)
    assert b"Traceback" not in errors
    assert numbers(output.decode().splitlines()[-1]) == [0, 1, 0]
    assert program.returncode == 130


@pytest.mark.usefixtures("private")
def test_past_65536_under_1024_files_with_rings() -> None:
    """A process for each CPU holds all 66,000: direct descriptors are no files."""
    why_not = features().why_not
    need(why_not is None, f"io_uring ({why_not})")
    prefix = ("sh", "-c", 'ulimit -n 1024; exec "$@"', "sh")
    lesson = proved("past-65536", "--connections", "66k", prefix=prefix)[0]["lessons"][0]

    assert lesson["verdict"] == "holds", lesson
    assert lesson["observed"]["accepted by the server"] == 66_000
    assert min(usable_cpus(), 66_000 // WORTH_CONNECTIONS) in numbers(lesson["did"])


@pytest.mark.usefixtures("private")
@pytest.mark.parametrize("files", [64, 256])
def test_too_few_open_files_skip_a_lesson_and_fail_none(files: int) -> None:
    """A lesson that cannot run is skipped quickly with the reason; all others hold."""
    names = ("theory", "same-port", "poison", "one-wall", "file-descriptors", "past-65536")
    prefix = (sys.executable, DENY, "io_uring", "sh", "-c", f'ulimit -n {files}; exec "$@"', "sh")
    proof, code = proved(*names, prefix=prefix)
    skipped = {lesson["name"]: lesson["why"] for lesson in proof["lessons"] if lesson["verdict"] == "skipped"}

    assert code == 0
    assert {"poison", "one-wall", "past-65536"} <= skipped.keys()
    assert {name for name, why in skipped.items() if files not in numbers(why) or "ulimit -n" not in why} == set()
    assert {lesson["verdict"] for lesson in proof["lessons"]} == {"holds", "skipped"}


@pytest.mark.usefixtures("private")
def test_the_bar_is_one_line_that_leaves_nothing_behind() -> None:
    """On a terminal of 80 columns: drawn, moved, and wiped away; it never starts a line of its own that stays."""
    leader, follower = os.openpty()
    program = subprocess.Popen(
        [*COMMAND, "prove", "accept-takes-no-port"],
        stdout=subprocess.DEVNULL,
        stderr=follower,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "80"},
    )
    os.close(follower)
    drawn = b""
    with contextlib.suppress(OSError):  # EIO: nobody has the other end any more
        while piece := os.read(leader, 65536):
            drawn += piece
    program.wait(PATIENCE_S)
    os.close(leader)

    assert b"5,000 of 5,000" in drawn
    assert drawn.count(b"\n") <= 2


@pytest.mark.parametrize("count", ["0", "65536"])
def test_too_few_connections_would_prove_nothing(count: str) -> None:
    done = fourtuple("prove", "past-65536", "--connections", count)

    assert done.returncode == 2
    assert "65,536" in done.stderr


def test_show_code_prints_the_lessons_own_source() -> None:
    shown = fourtuple("prove", "one-wall", "--show-code").stdout
    file = Path(__file__).parents[2] / "src/fourtuple/lessons/one_wall.py"

    assert shown == file.read_text()


@pytest.mark.parametrize("name", NAMES)
def test_a_lesson_is_short_enough_to_read_aloud(name: str) -> None:
    lines = fourtuple("prove", name, "--show-code").stdout.splitlines()

    assert len(lines) <= 120
