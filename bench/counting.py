"""The measures of the census: many connections of a namespace to itself, so that it has two sockets of each."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from bench.arena import HASH_ENTRIES, ROOT, timed, wait_quiet, warm
from bench.measure import (
    Finding,
    NotMeasuredError,
    Result,
    alternate,
    at_least,
    at_most,
    median,
    median_ratio,
    number,
    spread,
)
from fourtuple.verbs.background import holding, serving
from fourtuple.verbs.lab import Lab

PORTS = range(32768, 61000)
PER_PORT = 25_000  # connections to each of the server's ports
PAIR_BYTES = 8000  # of kernel memory, roughly
BASE_BYTES, SOCKET_BYTES = 64e6, 40
SS, SS_COUNTED = "ss -Htan", "ss -Htan | wc -l"
WHOLE = 300_000
WITHOUT = "setpriv --bounding-set=-all --inh-caps=-all"
EXPORT = f"{WITHOUT} python -m bench.census export 7"
EVERYWHERE = "python -m bench.many rounds 2"
SNAPSHOT, SNAPPED = "python -m bench.census snapshot", 200_000
EXPORT_S, BOUND_S, EXPORTED = 15, 120, 100_000


def census(sockets: int, least: float, rounds: int) -> Result:
    """Dump the kernel's table and fold it by (source, destination), compared with ss, which lists it."""
    calls = {"fourtuple": "python -m bench.census", "ss": SS}
    with _connected(sockets // 2) as (lab, commands):
        found = alternate({name: partial(_timed, lab, command) for name, command in calls.items()}, rounds)
    ours = found["fourtuple"]
    if any(each["sockets"] < sockets for each in ours):
        raise NotMeasuredError(f"{ours[0]['sockets']:,.0f} sockets are there, not {sockets:,}")
    took_ms = {name: [each["wall_ms"] for each in figures] for name, figures in found.items()}
    most = (BASE_BYTES + SOCKET_BYTES * sockets) / 1e6
    findings = [
        Finding("speed-up over ss", median_ratio(took_ms["ss"], took_ms["fourtuple"]), "×", at_least(least)),
        Finding("memory", median(each["peak_bytes"] for each in ours) / 1e6, "MB", at_most(round(most, 1))),
    ]
    return Result(findings, [*commands, *calls.values()], _lines(found))


def whole_command(rounds: int, sockets: int = WHOLE) -> Result:
    """`fourtuple census` of 300,000 sockets from start to end, compared with `ss -Htan | wc -l` from start to end."""
    calls = {"fourtuple": "fourtuple census", "ss": SS_COUNTED}
    with _connected(sockets // 2) as (lab, commands):
        found = alternate({name: partial(_timed, lab, command) for name, command in calls.items()}, rounds)
    took_ms = {name: [each["wall_ms"] for each in figures] for name, figures in found.items()}
    ratio = Finding("speed-up over ss", median_ratio(took_ms["ss"], took_ms["fourtuple"]), "×", at_least(1.5))
    return Result([ratio], [*commands, *calls.values()], _lines(found))


def beside_psutil(rounds: int, connections: int = 10_000) -> Result:
    """The same, compared with psutil.net_connections, which reads /proc/net/tcp and /proc/PID/fd."""
    calls = {"fourtuple": "python -m bench.census", "psutil": "python -m bench.census psutil"}
    with _connected(connections) as (lab, commands):
        found = alternate({name: partial(_timed, lab, command) for name, command in calls.items()}, rounds)
    took_ms = {name: [each["wall_ms"] for each in figures] for name, figures in found.items()}
    ratio = Finding("speed-up over psutil", median_ratio(took_ms["psutil"], took_ms["fourtuple"]), "×", at_least(10))
    return Result([ratio], [*commands, *calls.values()], _lines(found))


def few_of_many(rounds: int) -> Result:
    """50 sockets in a namespace that shares the host's table with 400,000 others: the kernel walks past all of them."""
    calls = {"fourtuple": "python -m bench.census", "ss": SS_COUNTED}
    with Lab(ports=PORTS) as alone, _inside(alone, 25):
        quiet = alternate({name: partial(_timed, alone, command) for name, command in calls.items()}, rounds)
        with _connected(200_000, own_table=False):
            found = alternate({name: partial(_timed, alone, command) for name, command in calls.items()}, rounds)
    findings = [
        Finding(f"{name}, {where}", median(each["wall_ms"] for each in figures[name]), "ms")
        for name in calls
        for where, figures in (("no others", quiet), ("400,000 others", found))
    ]
    return Result(findings, list(calls.values()))


def exporter(rounds: int) -> Result:
    """`fourtuple export` every 15 s with 100,000 sockets, without capabilities, as in its systemd unit.

    Bound ports are counted every 120 s.
    """
    with _connected(EXPORTED // 2) as (lab, commands):
        found = [_timed(lab, EXPORT) for _ in range(rounds)]
    full, each = (median(figures[name] for figures in found) for name in ("cpu_ms", "each_cpu_ms"))
    times = BOUND_S / EXPORT_S
    percent = (full + (times - 1) * each) / 1000 / BOUND_S * 100
    finding = Finding("share of one CPU", percent, "%", at_most(1))
    figures = [f"with bound ports   {number(full)} ms of CPU", f"without            {number(each)} ms of CPU"]
    return Result([finding], [*commands, EXPORT], figures)


def everywhere(rounds: int) -> Result:
    """`fourtuple export --all-netns`: 100,000 sockets in 300 namespaces, in the host's one table and in their own.

    The first round also looks for ports that are held by bind(), as is done every 120 s in turns.
    """
    findings, figures = [], []
    for name, entries in (("one table", 0), ("tables of their own", 1024)):
        with _namespaces(300, EXPORTED, entries) as lab:
            found = [_timed(lab, EVERYWHERE) for _ in range(rounds)]
        findings.append(Finding(f"CPU of a round, {name}", median(each["each_cpu_s"] for each in found), "s"))
        for what in ("first", "each"):
            took = spread([each[f"{what}_s"] for each in found], "s")
            cpu = spread([each[f"{what}_cpu_s"] for each in found], "s of CPU")
            figures.append(f"{name:<20} {what:<5} {took} {cpu}")
    return Result(findings, ["python -m bench.many scene 300 100000 ENTRIES", EVERYWHERE], figures)


@contextmanager
def _namespaces(count: int, sockets: int, entries: int) -> Iterator[Lab]:
    """A lab with namespaces inside, and with no view of others."""
    wait_quiet()
    with Lab() as lab:
        if not lab.processes:
            raise NotMeasuredError("namespaces of this host would be counted, too: a PID namespace is not permitted")
        words = [sys.executable, "-m", "bench.many", "scene", str(count), str(sockets), str(entries)]
        with lab.start(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
            if program.stdout is None or program.stdout.readline() != "ready\n":
                raise NotMeasuredError("the namespaces could not be made")
            yield lab
            program.communicate("")
    wait_quiet()


def snapshot(rounds: int) -> Result:
    """`fourtuple snapshot` of a host with 200,000 sockets, and a recording of it every 10 s."""
    with _connected(SNAPPED // 2) as (lab, commands):
        found = [_timed(lab, SNAPSHOT) for _ in range(rounds)]
    wall, cpu, size, fold = (median(each[name] for each in found) for name in ("wall_ms", "cpu_ms", "bytes", "fold_ms"))
    findings = [
        Finding("written within", wall / 1000, "s", at_most(1)),
        Finding("file", size / 1e3, "kB"),
        Finding("a recording every 10 s: share of one CPU", cpu / 1000 / 10 * 100, "%"),
    ]
    return Result(
        findings,
        [*commands, SNAPSHOT],
        [f"wall {spread([each['wall_ms'] for each in found], 'ms')}", f"folded, encoded, compressed {number(fold)} ms"],
    )


@contextmanager
def _connected(connections: int, *, own_table: bool = True) -> Iterator[tuple[Lab, list[str]]]:
    """A lab with so many connections to itself, and the commands that make them."""
    wait_quiet()
    with (
        warm(connections * PAIR_BYTES),
        Lab(ports=PORTS, hash_entries=HASH_ENTRIES if own_table else None) as lab,
        _inside(lab, connections) as commands,
    ):
        yield lab, commands
    wait_quiet()


@contextmanager
def _inside(lab: Lab, connections: int) -> Iterator[list[str]]:
    ends = f"127.0.0.1:80-{79 + -(-connections // PER_PORT)}"
    with serving(ends, prefix=lab.command([])), holding(str(connections), ends, prefix=lab.command([])):
        head = f"in fourtuple lab --ports {PORTS.start}-{PORTS[-1]} --hash-table {HASH_ENTRIES}:"
        yield [head, f"  fourtuple serve {ends}", f"  fourtuple hold {connections} {ends}"]


def _timed(lab: Lab, command: str) -> dict[str, float]:
    """Return what it prints of itself; of other programs the time from start to end, in the lab."""
    if " python " not in f" {command}":
        ((wall_s, cpu_s),) = timed(lab, command)
        return {"wall_ms": 1000 * wall_s, "cpu_ms": 1000 * cpu_s}
    words = [sys.executable if word == "python" else word for word in command.split()]
    done = subprocess.run(lab.command(words), cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotMeasuredError(f"{command} ended with {done.returncode}: {done.stderr.strip()[-200:]}")
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def _lines(found: Mapping[str, Sequence[Mapping[str, float]]]) -> list[str]:
    return [
        f"{name:<12} {spread([each['wall_ms'] for each in figures], 'ms'):<36} CPU"
        f" {spread([each['cpu_ms'] for each in figures], 'ms')}"
        for name, figures in found.items()
    ]


def of_sockets(sockets: int, least: float) -> Callable[[int], Result]:
    measure = partial(census, sockets, least)
    measure.__doc__ = f"{census.__doc__} {sockets:,} sockets."
    return measure
