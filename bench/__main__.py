"""What is claimed about speed, measured side by side in one run; `make bench` writes it to bench/RESULTS.md."""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy

import fourtuple
from bench.measure import Measure, NotMeasuredError, Result
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

# By the name of a measure: what is to be known beside its figures, above all why a goal is missed.
NOTES: Mapping[str, str] = {
    "open": """\
Between 0.95 and 1.33 × C in nine runs, depending on the other load of the machine: the same code gave 1.23 one day
and 1.06 another, next to the same C client. Both clients spend nearly all of their time in the kernel's TCP code,
so the client can gain little. The lead comes from the server, which accepts in batches; a server that sleeps after
each accept() is woken by each connect(). The C client with fourtuple's server is as fast as fourtuple's client.""",
    "limits": """\
0.42, 0.51, 0.52, 0.53, 0.59 and 0.62 s in six runs. Without any sockets `fourtuple limits` takes 0.2 s (`time
fourtuple limits`). The rest is the kernel's walk over its table, two walks at the same time, and reading 100,000
sockets.""",
    "census-40k": """\
1.77, 2.00 and 2.15 × in three runs. This measure and the next three were repeated after the whole run, when their
memory figures had been corrected: a program inherits ru_maxrss from the program that starts it, here 129 MB.

The kernel's walk takes most of the time: 0.3 to 0.45 µs for a socket that a filter rejects, 1.0 µs for one that is
copied out. Folding takes 0.2 µs of NumPy at the same time. Two dumps run at the same time, one for ports that were
named in bind() and for ports outside the range, one for the others, so two CPUs are busy.""",
    "census-psutil": """\
6.2, 6.9 and 7.6 × in three runs. With 20,000 sockets each of the kernel's two walks takes 17 ms, and psutil takes
160 to 250 ms in total. recvmmsg, larger or smaller buffers, and one walk instead of two are no faster.""",
    "reading": """\
Taken separately, after the whole run. A line that is read closely costs about 0.5 ms; one that says the same as an
earlier one, but for times, addresses and identifiers, is counted.""",
    "connect": """\
1.09, 1.11, 1.12 and 1.13 ×, and 0.05 to 0.06 ×, in five runs; the figures above come from a separate run. fourtuple
adds two calls of setsockopt() and a little Python.""",
    "export": """\
1.1 % as root with all capabilities (163 ms per count), because the kernel then reports more about each socket.""",
    "export-netns": """\
From a separate run, on Linux 6.18.44-fc-v595 with five other programs on the two CPUs: a count of seconds is more than
twice its CPU time for that reason. Another run gave 5.36 and 1.81 s of CPU, in 5.9 and 2.0 s. The kernel has one table
of connections for all namespaces unless net.ipv4.tcp_child_ehash_entries is set, and walks all of it for each: 262,144
chains and 100,000 sockets take it 12 to 15 ms. The rest, 6 ms for each namespace, is Python.""",
    "census-2M": """\
Memory is an upper bound, see census-40k.""",
    "live": """\
1.1, 1.2 and 1.25 % in four runs.""",
    "doctor": """\
2.40 and 2.61 s in two runs, on a busy machine. Each namespace has a listener, three connections at both ends, a UDP
and a Unix socket; its processes sleep. All are in the same few cgroups: on a node with a cgroup for each container,
reading these comes in addition.""",
    "report": """\
The first time, Vega is bundled and then kept in the user's cache: 4.4 and 5.1 s in two runs.""",
    "charts": """\
Altair without bundling Vega, see report. Other runs gave 1.1 to 2.2 s, 1.2 to 3.7 s and 2.9 to 8.7 s, depending on
the other load of the machine.""",
    "last-ports": """\
1.21, 1.21, 1.23, 1.25 and 1.42 × in five runs. Each window lasts a tenth of a second, so a single interruption is
visible.""",
    "million": """\
User time was 4.4 % in a separate `fourtuple hold 1M`, and 5.6, 5.8 and 6.2 % in three runs of this measure, which
also asks the client for its progress. Of 2.8 s, opening takes about 1.1, closing 0.6, counting two million sockets
in the kernel's table 0.3, and starting Python and its packages 0.3. Half of it is the interpreter, about 150 calls
per batch of 2,048. Larger batches would lower it, but would overflow shorter accept queues.

The last 100,000 connections were opened at 0.92, 0.91, 0.90 and 0.54 × the rate of the first. This is a virtual
machine that gives freed memory back to its host, and a page that is touched for the first time costs about 12 µs.
If the host has taken back the memory that was touched before the run, this cost is measured.""",
    "most": """\
74, 78, 97 and 99 s in four runs, for the same reason as above. With a poll on every connection, at the server only,
a pair took 8.2 KB.""",
}


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
    """The result, or why there is none."""
    print(f"{name}, {rounds} round{'s' * (rounds > 1)} …", file=sys.stderr, flush=True)
    try:
        return measure.run(rounds)
    except (NotMeasuredError, FourtupleError, subprocess.TimeoutExpired) as error:
        return f"not measured: {error}"


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
        print("\n".join(f"{name:<12} {measure.about}" for name, measure in MEASURES.items()))
        return
    with tempfile.TemporaryDirectory(prefix="fourtuple-bench-") as folder:
        os.environ["XDG_STATE_HOME"] = folder  # what commands store is not the user's own runs
        _run(asked)


def _run(asked: argparse.Namespace) -> None:
    head = f"# Results of `make bench`\n\n{machine()}\n\n{READING}\n"
    results = {}
    for name in asked.names or MEASURES:
        rounds = asked.rounds or MEASURES[name].rounds
        results[name] = measured(name, MEASURES[name], rounds), rounds
    text = f"{head}\n{report(results)}\n"
    print(text, end="")
    if asked.write:
        RESULTS.write_text(text)


if __name__ == "__main__":
    main()
