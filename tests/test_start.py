"""A command answers at once because it imports only what it uses; how long it takes is measured in bench/."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from fourtuple.store.file import open_store
from fourtuple.store.writing import Writer
from tests.made import samples, start
from tests.waiting import COMMAND_S

# What takes long to import, here: packages, parts of the standard library, and our own that only some commands need.
DRAWS = {"rich", "altair", "jinja2", "vl_convert"}
SERVES = {"prometheus_client", "asyncio", "h11", "http.server", "multiprocessing", "ssl"}
KEEPS = {"sqlite3", "platformdirs", "zstandard"}
LOGS = {"ahocorasick_rs"}  # a question of a line needs no automaton
READS = LOGS | {"tomllib", "fourtuple.core.why.reader", "fourtuple.core.why.catalogue.rows"}
SPAWNS = {"subprocess", "fourtuple.kernel.children"}
POOLS = {"concurrent.futures", "logging"}
STARTS = SPAWNS | POOLS | {"fourtuple.kernel.netns", "fourtuple.kernel.trials"}
PASTES = {"fourtuple.core.snapshot.answers", "fourtuple.core.snapshot.pastes"}
OPENS = {"fourtuple.engine", "fourtuple.kernel.uring"}
EXPLAINS = {"fourtuple.core.why.causes", "fourtuple.core.why.judge"}
COUNTS = {"numpy", "msgspec", "fourtuple.kernel.host"}
RUNS = {"difflib", "json"} | {f"fourtuple.core.runs.{name}" for name in ("records", "orders", "counters", "require")}
RARE = {"numpy.ma", "secrets", "hashlib", "fourtuple.kernel.canary"}
ALWAYS_LATE = DRAWS | SERVES | {"pyarrow"}


def imported(*arguments: str) -> set[str]:
    """Every module that the command imports until it ends, and the packages that it is in."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "fourtuple", *arguments],
        capture_output=True, text=True, timeout=COMMAND_S, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


@pytest.mark.parametrize(
    "arguments",
    ["--help", "--version", "hold --help", "help hold", "prove --help", "check --help", "completion bash", "nonsense"],
)
def test_help_imports_no_command_s_work(arguments: str) -> None:
    """Only click, errors, and the options of the one command."""
    modules = imported(*arguments.split())

    assert "click" in modules
    late = ALWAYS_LATE | KEEPS | READS | STARTS | PASTES | OPENS | EXPLAINS | COUNTS | RARE
    assert not modules & late
    assert {name for name in modules if name.startswith("fourtuple.verbs.")} <= {"fourtuple.verbs.interrupt"}


@pytest.mark.parametrize("arguments", ["--help", "--version"])
def test_the_list_of_commands_imports_none_of_them(arguments: str) -> None:
    ours = {name for name in imported(arguments) if name.startswith("fourtuple.cli.")}

    assert ours <= {"fourtuple.cli.ending"}


@pytest.mark.parametrize(
    ("arguments", "late"),
    [
        ("census", KEEPS | READS | STARTS | PASTES | OPENS | EXPLAINS | RARE | RUNS),
        ("limits", KEEPS | READS | STARTS | PASTES | OPENS | EXPLAINS | RARE | RUNS),
        ("plan 10k 127.0.0.1:80", KEEPS | READS | STARTS | PASTES | EXPLAINS | RARE | RUNS),
        ("plan 100M 127.0.0.1:80", KEEPS | READS | STARTS | PASTES | EXPLAINS | RARE | RUNS),
        ("why EMFILE", KEEPS | OPENS | SPAWNS | POOLS | RARE | RUNS | LOGS | {"tomllib", "zipfile"}),
        ("doctor", KEEPS | READS | OPENS | SPAWNS | POOLS | RARE | {"fourtuple.core.snapshot.pastes"}),
        ("runs", READS | STARTS | PASTES | OPENS | EXPLAINS | {"numpy"}),
        ("lab -- true", KEEPS | READS | PASTES | OPENS | EXPLAINS | {"numpy"}),
    ],
)
def test_a_command_imports_only_what_it_uses(arguments: str, late: set[str]) -> None:
    imported("limits")  # so that what this kernel does is remembered, where it can be, and is not tried now
    modules = imported(*arguments.split())

    tried = {"fourtuple.kernel.trials"} & modules  # where it cannot be remembered
    assert not modules & (ALWAYS_LATE | (late - STARTS if tried else late))


def test_the_list_of_runs_and_its_completion_read_no_samples(tmp_path: Path) -> None:
    """They work without NumPy, and without the records of results."""
    file = tmp_path / "runs.db"
    with closing(open_store(file, new=True)) as base:
        writer = Writer(base, "fourtuple hold 1000 127.0.0.1:8000", "me")
        writer.begin(start())
        writer.sample(next(samples()))
    for arguments in (["runs"], ["runs", "rm", "1"]):
        modules = imported(*arguments, "--store", str(file))

        assert "fourtuple.store.listing" in modules
        assert not modules & {"numpy", "fourtuple.core.runs.records", "fourtuple.store.reading"}


@pytest.mark.parametrize("arguments", ["--help", "census", "limits", "why EMFILE", "plan 100M 127.0.0.1:80"])
def test_a_start_searches_for_no_garbage(arguments: str) -> None:
    """What it makes stays, and each search of it takes 3 ms."""
    code = (
        "import atexit, gc, sys\n"
        "searches = []\n"
        "from fourtuple.__main__ import main\n"
        "gc.callbacks.append(lambda phase, facts: searches.append(phase))\n"
        "atexit.register(lambda: print(f'{len(searches)} searches', file=sys.stderr))\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments.split()], capture_output=True, text=True, timeout=COMMAND_S, check=False
    )

    assert done.stderr.splitlines()[-1] == "0 searches"


def test_what_options_of_sessions_are_parsed_with_imports_no_numpy() -> None:
    """`hold --help` imports the parsers of its options."""
    wing = "fourtuple.core.talk"
    parsers = ("destinations", "expectation", "lifetime", "script", "session", "stages", "template")
    code = f"import sys, {', '.join(f'{wing}.{name}' for name in parsers)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert not set(done.stdout.split()) & {"numpy", "msgspec", "urllib.parse", "difflib"}


def test_what_a_program_connects_with_imports_no_command() -> None:
    """`fourtuple.connect` in a program of the user's own."""
    code = "import sys, fourtuple; fourtuple.connect; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    late = ALWAYS_LATE | KEEPS | READS | PASTES | OPENS | EXPLAINS | {"click", "fourtuple.cli"}
    assert not set(done.stdout.split()) & late
