"""What tests share: the command as a program, private namespaces, and how a missing privilege skips or fails."""

import atexit
import fcntl
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from fourtuple.kernel.netns import NO_SETTINGS
from fourtuple.verbs.lab import Lab, namespace_refusal
from tests.labs.features import FEATURES
from tests.told import READY
from tests.waiting import COMMAND_S, PATIENCE_S

# What commands store goes where no user's runs are, and is gone with the tests.
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="fourtuple-tests-")
atexit.register(shutil.rmtree, os.environ["XDG_STATE_HOME"], ignore_errors=True)

# Started by a shell in the background, we are to ignore Ctrl-C, and so would every program that is started here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A machine that is busy with something else is not an error.
hypothesis.settings.register_profile("fourtuple", deadline=None)
hypothesis.settings.load_profile("fourtuple")

REQUIRE_ALL = os.environ.get("FOURTUPLE_REQUIRE_ALL") == "1"
COMMAND = [sys.executable, "-m", "fourtuple"]
REPOSITORY = Path(__file__).parent.parent
NOBODY = 65_534
LONELY = 64_731  # a user that nobody else is
DENY = str(Path(__file__).with_name("deny.py"))


def need(available: object, what: str) -> None:
    """Skip with the reason where something is missing; with FOURTUPLE_REQUIRE_ALL=1 that is a failure."""
    if available:
        return
    if REQUIRE_ALL:
        pytest.fail(f"needs {what}, and FOURTUPLE_REQUIRE_ALL=1 allows no skip")
    pytest.skip(f"needs {what}")


def need_feature(name: str) -> None:
    """Skip where this kernel lacks a feature of tests/labs/features.py."""
    need(FEATURES[name](), name)


def limited(limits: str) -> list[str]:
    """The prefix of a command under these limits, such as "-n 256 -l 64": of a user without processes and privileges.

    The rings of all processes of a user count against its locked memory.
    """
    other = " ".join(another_user(LONELY)) if os.geteuid() == 0 else ""
    prefix = ["bash", "-c", f'ulimit {limits} && exec {other} "$@"', "bash"]
    able = subprocess.run([*prefix, sys.executable, "-c", "import fourtuple"], capture_output=True, check=False)
    need(able.returncode == 0, f"`ulimit {limits}` ({able.stderr.decode().strip()})")
    return prefix


def another_user(uid: int = NOBODY) -> list[str]:
    """The prefix of a command that another user than root runs, without privileges; it can read this repository."""
    need(os.geteuid() == 0 and shutil.which("setpriv"), "root, to become another user, and setpriv (util-linux)")
    prefix = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    able = subprocess.run([*prefix, sys.executable, "-c", "import fourtuple.cli"], capture_output=True, check=False)
    need(able.returncode == 0, "a Python and a repository that other users may read")
    return prefix


class Ground:
    """Where a test's commands run: a private namespace, with what it may set there."""

    def __init__(self, lab: Lab, loop: str = "auto", environment: Mapping[str, str] = NO_SETTINGS) -> None:
        """Commands have this process's environment, and what follows.

        loop:        what FOURTUPLE_LOOP tells the commands to use
        environment: further variables
        """
        self.lab = lab
        self.loop = loop
        self._environment = os.environ | {"FOURTUPLE_LOOP": loop, **environment}

    def run(self, *command: str, timeout_s: float = COMMAND_S, **options: Any) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.lab.command(command),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env=self._environment,
            **options,
        )

    def fourtuple(self, *arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
        return self.run(*COMMAND, *arguments, **options)

    def ss(self, *arguments: str) -> list[str]:
        """The lines of `ss -H ARGUMENTS…`, another program's count of sockets."""
        need(shutil.which("ss"), "ss (iproute2)")
        done = self.run("ss", "-H", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def python(self, code: str) -> str:
        done = self.run(sys.executable, "-c", code)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def set_port_range(self, low: int, high: int) -> None:
        self.python(f"from fourtuple.verbs.lab import set_port_range; set_port_range(range({low}, {high} + 1))")

    @contextmanager
    def serving(self, *arguments: str) -> "Iterator[dict[str, Any]]":
        """`fourtuple serve ARGUMENTS…` in here; the dict holds its record after the block."""
        record: dict[str, Any] = {}
        with self.started("serve", *arguments, "--json") as program:
            yield record
            program.send_signal(signal.SIGINT)
            output, _ = program.communicate(timeout=PATIENCE_S)
        record.update(json.loads(output))

    @contextmanager
    def started(self, *arguments: str, wait_for: str = "", **options: Any) -> "Iterator[subprocess.Popen[str]]":
        """The command, once it has said (on standard error) that others may rely on it; killed after the block."""
        ready = wait_for or READY[arguments[0]]
        program = self.lab.start(
            [*COMMAND, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment,
            **options,
        )
        try:
            said = []
            for line in program.stderr or ():
                said.append(line)
                if ready in line:
                    break
            else:
                pytest.fail(f"{arguments} ended early: {said}")
            yield program
        finally:
            program.kill()
            program.communicate()


@pytest.fixture(autouse=True, scope="session")
def sighup_is_heeded() -> None:
    """nohup(1) has every program ignore SIGHUP, which tests send. exec resets a handler, but keeps SIG_IGN."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)


@pytest.fixture(autouse=True)
def room(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests run beside those of other workers of pytest-xdist, except for those that are marked `alone`."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    place = tmp_path_factory.getbasetemp().parent  # all workers of a session have it
    with open(place / "door", "w") as door, open(place / "room", "w") as inside:
        fcntl.flock(door, fcntl.LOCK_EX)  # who waits for an empty room lets nobody in meanwhile
        fcntl.flock(inside, fcntl.LOCK_EX if request.node.get_closest_marker("alone") else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        yield


@functools.cache
def refusal() -> str | None:
    """Why there is no private network namespace here: asked once, for it costs one."""
    return namespace_refusal()


def need_namespace() -> None:
    need(refusal() is None, f"a private network namespace ({refusal()})")


@contextmanager
def private_ground(loop: str = "auto") -> Iterator[Ground]:
    need_namespace()
    with Lab(processes=False) as lab:  # so that a command's PID is that of the process started here
        yield Ground(lab, loop)


@pytest.fixture
def ground() -> Iterator[Ground]:
    with private_ground() as ground:
        yield ground


def fourtuple(*arguments: str, prefix: Sequence[str] = (), **options: Any) -> "subprocess.CompletedProcess[str]":
    """The command on the host itself; only for what opens nothing, or little on loopback."""
    return subprocess.run(
        [*prefix, *COMMAND, *arguments], capture_output=True, text=True, timeout=COMMAND_S, check=False, **options
    )
