"""A shell in a lab, into which the commands of an example are typed, one after the other."""

import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from fourtuple.verbs.lab import Lab
from tests.conftest import REPOSITORY
from tests.examples.blocks import Example
from tests.examples.places import PLACES
from tests.told import READY
from tests.waiting import PATIENCE_S

END = "the command has ended"
FILES = 20_000  # open files of a process, where this user may have as many
_STAYS = re.compile(r"fourtuple (\w+)\b.*(?:&|-- sh)$")
_ENVIRONMENT = ("HOME", "LANG", "TMPDIR", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR")


class Shell:
    """sh(1) in a lab of its own; its commands print to one pipe."""

    def __init__(self, folder: Path) -> None:
        self._lab = Lab()
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self._process: subprocess.Popen[str] = self._lab.start(
            ["sh"], cwd=folder, env=_environment(folder), text=True, **pipes
        )

    def close(self) -> None:
        """End the lab, and with it what was started in the background."""
        self._lab.close()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()

    def typed(self, command: str) -> list[str]:
        """What it prints until it has ended; with `&`, until others may rely on it; if it is a shell, its first line.

        sh(1) reads ahead, so that what the inner shell is to read is typed when that has begun.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        printed = []
        if match := _STAYS.search(command):
            printed = list(self._lines(READY[match[1]] if match[1] in READY else f"{match[1]}:"))
        self._process.stdin.write(f"echo '{END}'\n")
        self._process.stdin.flush()
        return [*printed, *self._lines(END)][:-1]

    def _lines(self, words: str) -> Iterator[str]:
        """The lines that are printed, up to the one with these words."""
        assert self._process.stdout is not None
        late = threading.Timer(PATIENCE_S, self._lab.close)
        late.start()
        try:
            for line in self._process.stdout:
                yield line.rstrip("\n")
                if words in line:
                    return
        finally:
            late.cancel()
        raise AssertionError(f"the shell ended, or {PATIENCE_S} s went by, without {words!r}")


def typed(example: Example) -> list[list[str]]:
    """What each of its commands prints."""
    place = PLACES[example.place]
    with _folder() as folder, closing(Shell(folder)) as shell:
        said = shell.typed(f"ulimit -n {FILES} 2>/dev/null\n{place.script.strip()}")
        assert not said, f"{example.place} says {said}"
        return [shell.typed(step.command) for step in example.steps]


@contextmanager
def _folder() -> Iterator[Path]:
    """Where the commands run: with an empty store, and with `fourtuple` and `python` as programs."""
    with tempfile.TemporaryDirectory(prefix="fourtuple-example-") as name:
        folder = Path(name)
        python = str(Path(sys.executable).with_name("python3"))  # processes have this name, however pytest was started
        _program(folder / "bin" / "fourtuple", [python, "-m", "fourtuple"])
        _program(folder / "bin" / "python", [python])
        (folder / "work").mkdir()
        yield folder / "work"


def _program(path: Path, command: Sequence[str]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'#!/bin/sh\nexec {" ".join(command)} "$@"\n')
    path.chmod(0o755)


def search_path() -> str:
    """Where programs are looked for: a user's PATH may lack those of the administrator, such as haproxy."""
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    return kept | {
        "PATH": f"{folder.parent / 'bin'}:{search_path()}",
        "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'src'}",
        "TERM": "dumb",
        "TZ": "UTC",
        "XDG_STATE_HOME": str(folder.parent / "state"),
    }
