"""Commands and what they started, killed at random moments: does anything stay? `python -m tests.kills N SEED`.

Each round starts a command, sends a signal to it, to its process group or to a process below it, and then looks for
processes (by a mark in their environment, which is kept by setsid), files in TMPDIR, the exit code, a traceback, and
whether the store can be read. It prints a line of JSON for each round with a finding, and one for all together.
"""

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fourtuple.verbs.lab import Lab
from fourtuple.verbs.runs import Runs
from tests.told import READY
from tests.waiting import PATIENCE_S, wait_until

MARK = "FOURTUPLE_TEST_MARK"
COMMAND = [sys.executable, "-m", "fourtuple"]
SERVER = "127.0.0.1:7000"
# Started in the background, cut loose by setsid, orphaned, and deaf to SIGTERM.
BROOD = (
    "sleep 1000 & setsid sleep 1000 & sh -c 'setsid sleep 1000 &';"
    " { trap '' TERM HUP INT; exec setsid sleep 1000; } & echo ready; exec sleep 1000"
)
COMMANDS = {
    "lab": ["lab", "--quiet", "--", "sh", "-c", BROOD],
    "lab of two": ["lab", "--quiet", "--hosts", "2", "--", "sh", "-c", f"host2 sleep 1000 & {BROOD}"],
    "check": ["check", "--quiet", "--for", "1h", "--settle", "1h", "--", "sh", "-c", BROOD],
    "prove": ["prove", "same-port", "two-hosts", "one-wall"],
    "hold": ["hold", "500", SERVER, "--workers", "2", "--rate", "500/s", "--for", "1h"],
    "serve": ["serve", "127.0.0.1:7001", "--workers", "2"],
    "export": ["export", "--every", "100ms"],
    "census": ["census", "--watch", "100ms"],
}
# Exit codes of an orderly end by SIGINT or SIGTERM, with a result.
ORDERLY: dict[str, set[int | None]] = {"hold": {0, 1}, "serve": {0, 1}, "export": {0}, "census": {0}}
OURS = re.compile(r'/fourtuple/.*", line \d+, in (?!<module>)')  # a line of a traceback
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True)
class Killed:
    """A round: what was done, and what was found afterwards."""

    command: str
    signal: str
    victim: str  # the command, its process group, or a process below it
    after_s: float
    code: int | None  # None: it did not end; minus the signal's number if Python itself was starting
    left: tuple[str, ...]  # processes and files that stayed
    errors: str  # standard error, if it has a traceback
    readable: bool  # the store

    @property
    def is_clean(self) -> bool:
        return not self.left and not self.errors and self.readable and self.code in self.expected

    @property
    def expected(self) -> set[int | None]:
        """The exit codes that are right: the signal's, as the kernel or a shell says it, or those of an orderly end."""
        number = signal.Signals[self.signal]
        if self.victim == "below":  # the command ends in its own way, or is killed in the end
            return {*range(-signal.NSIG, 256)}
        by_itself: set[int | None] = {0} if self.command == "prove" else set()
        if number == signal.SIGKILL:
            return {-number} | by_itself
        return {-number, 128 + number} | by_itself | ORDERLY.get(self.command, set())


def marked(mark: str) -> list[int]:
    """The processes that were started with it in their environment, by whomever; those that have ended have none."""
    found = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"{MARK}={mark}".encode() in file.read_bytes():
                found.append(int(file.parent.name))
    return found


def rounds(count: int, seed: int) -> Iterator[Killed]:
    """Kill so many times, in a private network namespace."""
    dice = random.Random(seed)  # noqa: S311  (no secret)
    names = [list(COMMANDS)[number % len(COMMANDS)] for number in range(count)]
    with Lab(processes=False) as ground, tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"XDG_STATE_HOME": f"{folder}/state", "TMPDIR": f"{folder}/files"}
        server = ground.start([*COMMAND, "serve", SERVER, "--no-store"], stderr=subprocess.PIPE, text=True)
        assert server.stderr is not None
        assert READY["serve"] in server.stderr.readline()
        try:
            for name in names:
                os.makedirs(environment["TMPDIR"], exist_ok=True)
                yield _killed(name, dice, ground, environment)
        finally:
            server.kill()
            server.communicate()


def _killed(name: str, dice: random.Random, ground: Lab, environment: dict[str, str]) -> Killed:
    mark, number, after_s = f"{os.getpid()}-{time.monotonic_ns()}", dice.choice(SIGNALS), dice.uniform(0, 2.5)
    victim = dice.choice(("command", "below"))
    if victim == "command" and number == signal.SIGINT:
        victim = "group"  # as Ctrl-C does
    with tempfile.TemporaryFile("w+") as errors:
        program = ground.start(
            [*COMMAND, *COMMANDS[name]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
            env=environment | {MARK: mark},
        )
        time.sleep(after_s)
        if victim == "below":
            below = [pid for pid in marked(mark) if pid != program.pid]
            with contextlib.suppress(ProcessLookupError):
                os.kill(dice.choice(below or [program.pid]), number)
            time.sleep(dice.uniform(0, 1))
            program.kill()
        else:
            with contextlib.suppress(ProcessLookupError):
                (os.killpg if victim == "group" else os.kill)(program.pid, number)
        try:
            code: int | None = program.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            code = None
        wait_until(lambda: not marked(mark), PATIENCE_S / 10)
        errors.seek(0)
        text = errors.read()
    left = [_named(pid) for pid in marked(mark)] + os.listdir(environment["TMPDIR"])
    for pid in marked(mark):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    program.wait()
    if "Traceback" in text and not OURS.search(text):  # Python's own; no code of ours could have handled it
        code, text = -number, ""
    traceback = text if "Traceback" in text else ""
    return Killed(name, number.name, victim, round(after_s, 3), code, tuple(left), traceback, _readable(environment))


def _named(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:200]
    return ""


def _readable(environment: dict[str, str]) -> bool:
    """Can each run of the store be read? There may be no store yet."""
    file = Path(environment["XDG_STATE_HOME"]) / "fourtuple" / "runs.db"
    if not file.exists():
        return True
    with Runs(file) as runs:
        return all(runs.read(entry.id) is not None for entry in runs.entries())


def main(count: str = "300", seed: str = "1") -> None:
    found = Counter[str]()
    for each in rounds(int(count), int(seed)):
        found["rounds"] += 1
        found["clean"] += each.is_clean
        if not each.is_clean:
            print(json.dumps(asdict(each)), flush=True)
    summary: dict[str, Any] = dict(found)
    print(json.dumps(summary))


if __name__ == "__main__":
    main(*sys.argv[1:])
