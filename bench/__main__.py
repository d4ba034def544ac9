"""What is claimed about speed, measured side by side in one run; `make bench` writes it to bench/RESULTS.md."""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

import numpy

import fourtuple
from bench.measure import Measure, NotMeasuredError, Result
from bench.notes import NOTES
from bench.opening import free_memory_bytes
from bench.suite import MEASURES
from fourtuple.core.errors import FourtupleError
from fourtuple.core.units import format_size
from fourtuple.verbs.lab import own_world

RESULTS = Path(__file__).with_name("RESULTS.md")

READING = """\
Values are medians of the rounds, with the minimum and maximum in brackets. Contestants take turns within a round,
and a ratio is the median of the ratios of the rounds. The machine is shared: absolute values vary, ratios vary
less."""


def machine() -> str:
    world = own_world()
    model = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    compiler = ["gcc", "--version"]
    gcc = subprocess.run(compiler, capture_output=True, text=True).stdout.splitlines()[0] if shutil.which("gcc") else ""
    parts = [
        f"fourtuple {fourtuple.__version__}",
        f"Linux {world.kernel}",
        f"{world.cpus} CPUs ({model.partition(': ')[2] or platform.machine()})",
        f"{format_size(world.memory_bytes or 0)}, {format_size(free_memory_bytes())} of it free",
        f"{world.process.files_hard or 0:,} files per process",
        f"Python {platform.python_version()}",
        f"NumPy {numpy.__version__}",
        gcc or "no gcc",
    ]
    return " · ".join(parts)


def measured(name: str, measure: Measure, rounds: int) -> Result | str:
    """The result, or why there is none: whatever that is, the measures after it are to run."""
    print(f"{name}, {rounds} round{'s' * (rounds > 1)} …", end="", file=sys.stderr, flush=True)
    start_s = time.monotonic()
    try:
        return measure.run(rounds)
    except (NotMeasuredError, FourtupleError, subprocess.TimeoutExpired) as error:
        return f"not measured: {error}"
    except Exception as error:
        traceback.print_exc()
        return f"not measured: {type(error).__name__}: {error}"
    finally:
        print(f" {time.monotonic() - start_s:.0f} s", file=sys.stderr, flush=True)


def report(results: Mapping[str, tuple[Result | str, int]]) -> str:
    """Ratios and goals first, then what each was taken from."""
    rows = ["| measure | | value | goal | met |", "| --- | --- | ---: | ---: | --- |"]
    details = []
    for name, (result, rounds) in results.items():
        details += ["", f"## {name}", "", MEASURES[name].about]
        if isinstance(result, str):
            rows.append(f"| {name} | {result} | | | |")
            details += ["", f"{result[0].upper()}{result[1:]}."]
        else:
            rows += [f"| {' | '.join((name, *finding.cells()))} |" for finding in result.findings]
            details += ["", f"Rounds: {rounds}.", *block(result)]
        if name in NOTES:
            details += ["", NOTES[name]]
    return "\n".join([*rows, *details])


def block(result: Result) -> list[str]:
    lines = [*result.commands, *([""] if result.commands and result.figures else []), *result.figures]
    return ["", "```", *lines, "```"] if lines else []


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="measures to run; all without one")
    parser.add_argument("--list", action="store_true", help="name the measures, run nothing")
    parser.add_argument("--rounds", type=int, help="how often each runs  [default: 5, or 1 where it takes long]")
    parser.add_argument("--write", action="store_true", help=f"write bench/{RESULTS.name}; all measures only")
    asked = parser.parse_args(arguments)
    if unknown := [name for name in asked.names if name not in MEASURES]:
        parser.error(f"there is no measure {', '.join(unknown)}; --list names them")
    if asked.rounds is not None and asked.rounds < 1:
        parser.error("--rounds is 1 or more")
    if asked.write and asked.names:
        parser.error("--write is for all measures: what stands in one file comes from one run")
    if asked.list:
        print("\n".join(f"{name:<14} {measure.about.splitlines()[0]}" for name, measure in MEASURES.items()))
        return
    with tempfile.TemporaryDirectory(prefix="fourtuple-bench-") as folder:
        os.environ["XDG_STATE_HOME"] = folder  # what commands store is not the user's own runs
        _run(asked)


def _run(asked: argparse.Namespace) -> None:
    here, start_s, results = machine(), time.monotonic(), {}
    for name in asked.names or MEASURES:
        rounds = asked.rounds or MEASURES[name].rounds
        results[name] = measured(name, MEASURES[name], rounds), rounds
    took = f"one run of {(time.monotonic() - start_s) / 60:.0f} minutes, {datetime.now(timezone.utc):%Y-%m-%d}"
    text = f"# Results of `make bench`\n\n{here} · {took}\n\n{READING}\n\n{report(results)}\n"
    print(text, end="")
    if asked.write:
        RESULTS.write_text(text)


if __name__ == "__main__":
    main()
