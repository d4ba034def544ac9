"""What it costs to look: the live view at a million connections, storing a run, and making its report."""

import json
import os
import pty
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from bench.arena import wait_quiet
from bench.charting import MAKERS, made_run
from bench.measure import Finding, NotMeasuredError, Result, alternate, at_most, median, spread
from fourtuple.verbs.background import serving
from fourtuple.verbs.lab import Lab

MILLION = 1_000_000
LARGE_TABLE = 8_388_608  # entries: more than there are sockets
SERVER = "127.0.0.1:20000-20019"
LOOK_S, SETTLE_S, PATIENCE_S = 10.0, 5.0, 300.0
MOST_KB, MOST_S = 1600, 6.0


def live(_: int) -> Result:
    """CPU time of `fourtuple hold 1M` while it holds the connections, with and without the live view on a terminal."""
    with Lab(ports=range(1024, 65536), hash_entries=LARGE_TABLE) as lab, serving(SERVER, prefix=lab.command([])):
        percent = {}
        for how, more in (("with the live view", []), ("--quiet", ["--quiet"])):
            command = lab.command([sys.executable, "-m", "fourtuple", "hold", "1M", SERVER, "--for", "1h", *more])
            with _on_a_terminal(command) as pid:
                _wait_open(lab)
                time.sleep(SETTLE_S)
                before_s, start_s = _cpu_s(pid), time.monotonic()
                time.sleep(LOOK_S)
                percent[how] = 100 * (_cpu_s(pid) - before_s) / (time.monotonic() - start_s)
            wait_quiet()
    shown, quiet = percent.values()
    return Result(
        [Finding("live view only", shown - quiet, "%", at_most(5)), Finding("hold with the live view", shown, "%")],
        [f"fourtuple serve {SERVER} --quiet", f"fourtuple hold 1M {SERVER} --for 1h"],
        [f"{how:<20} {value:.1f} % of one CPU" for how, value in percent.items()],
    )


def report(rounds: int) -> Result:
    """`fourtuple report` of a run of 3,600 samples, from start to end: the first time, and again."""
    with tempfile.TemporaryDirectory() as folder:
        made_run(Path(folder) / "runs.db")
        page = Path(folder) / "page.html"
        command = [sys.executable, "-m", "fourtuple", "report", "1", "--store", f"{folder}/runs.db", "-o", str(page)]
        calls = {"first": partial(_took_s, command, fresh=True), "again": partial(_took_s, command)}
        took_s = alternate(calls, rounds)
        size_kb = page.stat().st_size / 1000
    return Result(
        [
            Finding("size", size_kb, "KB", at_most(MOST_KB)),
            Finding("written within, the first time", median(took_s["first"]), "s", at_most(MOST_S)),
            Finding("written within, again", median(took_s["again"]), "s", at_most(MOST_S)),
        ],
        ["fourtuple report 1 -o page.html"],
        [f"{name:<8}{spread(each, 's')}" for name, each in took_s.items()],
    )


def charts(rounds: int) -> Result:
    """The same charts by Altair, Bokeh and matplotlib; install the last two by hand."""
    took = alternate({library: partial(_made, library) for library in MAKERS}, rounds)
    findings, figures = [], []
    for library, said in took.items():
        seconds = [each["seconds"] for each in said]
        kb, packed_kb = said[0]["bytes"] / 1000, said[0]["gzip_bytes"] / 1000
        sizes = f"{kb:7,.0f} KB   {packed_kb:5,.0f} KB packed   {said[0]['installed_bytes'] / 1e6:4,.0f} MB installed"
        findings.append(Finding(f"{library}, written within", median(seconds), "s"))
        figures.append(f"{library:<11}{sizes}   {spread(seconds, 's')}")
    return Result(findings, [f"python -m bench.charting {'|'.join(MAKERS)} FILE"], figures)


def _took_s(command: Sequence[str], *, fresh: bool = False) -> float:
    """fresh: with nothing kept of an earlier time"""
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | ({"XDG_CACHE_HOME": cache} if fresh else {})
        start_s = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if done.returncode:
            raise NotMeasuredError(done.stderr.strip())
        return time.monotonic() - start_s


def _made(library: str) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile(suffix=".html") as file:
        command = [sys.executable, "-m", "bench.charting", library, file.name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotMeasuredError(done.stderr.strip().splitlines()[-1])
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@contextmanager
def _on_a_terminal(command: Sequence[str]) -> Iterator[int]:
    """→ its process; ended afterwards. What it draws is read and thrown away."""
    leader, follower = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    program = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    reader = threading.Thread(target=_drain, args=(leader,), daemon=True)
    reader.start()
    try:
        yield program.pid
    finally:
        program.terminate()
        program.wait()
        reader.join()
        os.close(leader)


def _drain(leader: int) -> None:
    try:
        while os.read(leader, 1 << 16):
            pass
    except OSError:  # EIO: nobody has the other end any more
        return


def _wait_open(lab: Lab) -> None:
    until_s = time.monotonic() + PATIENCE_S
    count = "print([w for l in open('/proc/net/sockstat') if l[:4] == 'TCP:' for w in [l.split()[2]]][0])"
    while time.monotonic() < until_s:
        done = subprocess.run(lab.command([sys.executable, "-c", count]), capture_output=True, text=True, check=True)
        if int(done.stdout) >= 2 * MILLION:
            return
        time.sleep(1)
    raise NotMeasuredError(f"a million were not open within {PATIENCE_S:g} s")


def _cpu_s(pid: int) -> float:
    """Of the process and, where it was started through another program, of its only child."""
    total = 0
    for each in (pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())):
        words = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        total += int(words[11]) + int(words[12])
    return total / os.sysconf("SC_CLK_TCK")
