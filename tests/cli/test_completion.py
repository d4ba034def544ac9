"""The shells complete: each sources the script, and is asked for what follows some words."""

import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import pytest

from tests.conftest import REPOSITORY, fourtuple, need
from tests.waiting import COMMAND_S, wait_until

SHARE = REPOSITORY / "share"
# How each shell sources the script, how it loads the file that is installed, and how it is asked.
BASH = ('eval "$(fourtuple completion bash)"', f"source {SHARE}/bash-completion/completions/fourtuple")
BASH_ASK = """
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
$(complete -p fourtuple | sed 's/.* -F \\([^ ]*\\) .*/\\1/') fourtuple
printf '%s\\n' "${COMPREPLY[@]}"
"""
ZSH = (
    'autoload -U compinit; compinit -D -u; eval "$(fourtuple completion zsh)"',
    f"fpath=({SHARE}/zsh/site-functions $fpath); autoload -U compinit; compinit -D -u",
)
# The two builtins that take completions work only while somebody types.
ZSH_ASK = """
_describe() { print -l -- ${completions_with_descriptions%%:*} }
compadd() { print -l -- $completions }
words=("$@"); CURRENT=$#
$_comps[fourtuple]
"""
FISH = ("fourtuple completion fish | source", f"source {SHARE}/fish/vendor_completions.d/fourtuple.fish")
FISH_ASK = 'complete --do-complete "$argv"'


def shell(*start: str) -> Callable[[str, str, Iterable[str]], list[str]]:
    def completed(begin: str, ask: str, words: Iterable[str]) -> list[str]:
        done = subprocess.run(
            [*start, f"{begin}\n{ask}", *(["shell"] if start[0] != "fish" else []), *words],
            capture_output=True, text=True, timeout=COMMAND_S, check=False,
        )  # fmt: skip
        assert done.stderr == ""
        return sorted(line.partition("\t")[0] for line in done.stdout.split("\n") if line)

    return completed


SHELLS = {
    "bash": (shell("bash", "--norc", "-c"), BASH, BASH_ASK),
    "zsh": (shell("zsh", "-f", "-c"), ZSH, ZSH_ASK),
    "fish": (shell("fish", "--no-config", "-c"), FISH, FISH_ASK),
}
TYPED = {
    "runs sh": ["runs", "show"],
    "hold --loop e": ["hold", "--loop", "epoll"],
    "hold --loop=e": ["hold", "--loop=epoll"],
    "report 1 --output no": ["report", "1", "--output", "notes.txt"],
    "report 1 --output=./n": ["report", "1", "--output=./notes.txt"],
    "hold 5 --loop=epoll --clo": ["hold", "5", "--loop=epoll", "--close"],
    "lab -- fourtup": ["lab", "--", "fourtuple"],
    "check -- cat no": ["check", "--", "cat", "notes.txt"],
}
INTERACTIVE = {
    "bash": ("bash", "--norc", "-i"),
    "zsh": ("zsh", "-f", "-i"),
    "fish": ("fish", "--no-config", "-i"),
}
# Completes; what it would do otherwise, it writes down.
PROGRAM = f"""#!/bin/sh
[ -z "$WRITTEN" ] || [ -n "$_FOURTUPLE_COMPLETE" ] || [ "$1" = completion ] ||
  {{ printf '%s\\n' "$@" > "$WRITTEN.part"; exec mv "$WRITTEN.part" "$WRITTEN"; }}
exec {sys.executable} -m fourtuple "$@"
"""


@contextmanager
def terminal(command: Sequence[str], folder: Path) -> Iterator[Callable[[str], None]]:
    """The program at a terminal, where this types: yields what sends keys to it."""
    leader, follower = pty.openpty()

    def begin() -> None:
        os.close(os.open(os.ttyname(follower), os.O_RDWR))  # its first terminal becomes the session's (tty_ioctl(4))

    program = subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=follower, cwd=folder, env=os.environ | {"TERM": "xterm"},
        start_new_session=True, preexec_fn=begin,
    )  # fmt: skip
    os.close(follower)

    def drain() -> None:
        with suppress(OSError):  # EIO: it has ended
            while os.read(leader, 1 << 16):
                pass

    reader = Thread(target=drain)
    reader.start()
    try:
        yield lambda keys: (os.write(leader, keys.encode()), None)[1]
    finally:
        program.kill()
        program.wait()
        reader.join()
        os.close(leader)


@pytest.fixture(autouse=True)
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`fourtuple` is a command, and there are no stored runs."""
    program = tmp_path / "bin" / "fourtuple"
    program.parent.mkdir()
    program.write_text(PROGRAM)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.mark.parametrize("name", SHELLS)
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("pro", ["prove"]),
        ("hold --loo", ["--loop"]),
        ("hold --loop ", ["auto", "epoll", "ring"]),
        ("prove past", ["past-65536"]),
        ("check --expect time", ["time-wait"]),
        ("census --state time", ["time-wait"]),
        ("help runs sh", ["show"]),
        ("why ECONNRES", ["ECONNRESET"]),
    ],
)
def test_a_shell_completes(name: str, typed: str, completed: list[str]) -> None:
    need(shutil.which(name), name)
    shell, begin, ask = SHELLS[name]

    assert shell(begin[0], ask, ["fourtuple", *typed.split(" ")]) == completed


@pytest.mark.parametrize("name", SHELLS)
def test_what_is_typed_at_a_terminal_is_completed(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shell itself changes the line: a word, a value after `=`, a file, a program and its files."""
    need(shutil.which(name), name)
    folder, written = tmp_path / "here", tmp_path / "written"
    folder.mkdir()
    (folder / "notes.txt").touch()
    monkeypatch.setenv("WRITTEN", str(written))
    made = []
    with terminal(INTERACTIVE[name], folder) as press:
        press(f"{SHELLS[name][1][0]}\r")
        for typed in TYPED:
            press(f"fourtuple {typed}\t\r")
            assert wait_until(written.exists), typed
            made.append(written.read_text().split("\n")[:-1])
            written.unlink()

    assert made == list(TYPED.values())


@pytest.mark.parametrize("name", SHELLS)
def test_the_file_that_is_installed_completes_too(name: str) -> None:
    need(shutil.which(name), name)
    shell, begin, ask = SHELLS[name]

    assert shell(begin[1], ask, ["fourtuple", "prove", "past"]) == ["past-65536"]


@pytest.mark.parametrize("name", SHELLS)
def test_a_shell_completes_the_numbers_and_names_of_stored_runs(name: str) -> None:
    """Of the file that the command would read; a name that several runs have, or that needs quotes, is left out."""
    need(shutil.which(name), name)
    shell, begin, ask = SHELLS[name]
    for label in ("", "baseline", "twice", "twice", "two words"):
        assert fourtuple("prove", "theory", *(["--name", label] if label else [])).returncode == 0

    assert shell(begin[0], ask, ["fourtuple", "report", ""]) == ["1", "2", "3", "4", "5", "baseline"]
    assert shell(begin[0], ask, ["fourtuple", "runs", "show", "basel"]) == ["baseline"]
    assert shell(begin[0], ask, ["fourtuple", "report", "--store", "/nonexistent", ""]) == []


def test_an_unknown_shell_is_an_error_that_names_the_known_ones() -> None:
    done = fourtuple("completion", "tcsh")

    assert (done.returncode, done.stdout) == (2, "")
    assert all(name in done.stderr for name in SHELLS)
