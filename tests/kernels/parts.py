"""What is tried in a kernel, part by part: each part is a function that gives findings one after the other."""

import importlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fourtuple.core.errors import FourtupleError
from fourtuple.core.runs.proof import HOLDS, SKIPPED, Result
from fourtuple.faces.text.prove import compared
from fourtuple.kernel.uring import features
from fourtuple.lessons.prove import NAMES
from fourtuple.verbs.background import holding, serving
from fourtuple.verbs.lab import Lab, port_facts
from tests.conftest import COMMAND
from tests.kernels.collector import Collector
from tests.kernels.findings import Came, Finding
from tests.verbs.check.test_check import HABITS, PROGRAMS

RULES = "tests.kernels.rules"  # the module with the rules that differ between kernels
SOCKETS, BOUND = 211, "BOUND_INACTIVE"  # of which the census is taken
CHECKS_AT_ONCE = 2  # they sleep most of the time
# name in HABITS or PROGRAMS → the verdict
VERDICTS = {
    "plain": "shared",
    "no-port": "shared",
    "fourtuple": "shared",
    "source-address": "bound",
    "reuse-address": "bound",
    "explicit": "poisons",
    "lockstep": "lockstep",
    "two sources": "shared",
    "leak": "leaks",
    "leaves": "leaks",
    "churn": "time-wait",
    "fails": "failed",
    "curl": "time-wait",
    "curl --interface": "shared",
    "ncat": "shared",
    "wget --bind-address": "bound",
}


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much is tried.

    worlds:      random worlds
    connections: of each run of hold and serve
    opened:      connections that the lesson past-65536 opens
    without:     lessons that are left out
    """

    worlds: int = 300
    connections: tuple[int, ...] = (2_000, 5_000)
    opened: int = 66_000
    without: tuple[str, ...] = ()


AMOUNTS = Amounts()
Part = Callable[[Amounts], Iterator[Finding]]


def json_lines(*command: str) -> tuple[list[dict[str, Any]], str]:
    """The lines of JSON that a command prints, and its error: of a traceback, the last line."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    errors = done.stderr.strip().splitlines()
    return lines, " ".join(errors[-1:] if "Traceback" in done.stderr else errors)[-300:]


def shown(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def probes(_: Amounts) -> Iterator[Finding]:
    """What the product finds out about this kernel by itself."""
    said, error = json_lines(*COMMAND, "limits", "127.0.0.1:9", "--json")
    if not said:
        yield Finding("probes", "limits --json", "an answer", "none", Came.WRONG, error)
        return
    for each in said[0]["behaviours"]:
        holds = {True: "yes", False: "no", None: "unknown"}[each["holds"]]
        yield Finding("probes", f"{each['name']}: {each['says']}", "", f"{holds}, by {each['by']}", Came.RIGHT)


def rules(_: Amounts) -> Iterator[Finding]:
    """The rules that differ between kernels, as small scenes."""
    if not importlib.util.find_spec(RULES):
        yield Finding("rules", "all", "", "", Came.SKIPPED, "there is no module of rules")
        return
    yield from importlib.import_module(RULES).trials()


def lessons(amounts: Amounts) -> Iterator[Finding]:
    """Each lesson of `prove`."""
    for name in (each for each in NAMES if each not in amounts.without):
        options = ["--connections", str(amounts.opened)] if name == "past-65536" else []
        said, error = json_lines(*COMMAND, "prove", name, *options, "--json", "--no-store")
        for result in (each for line in said for each in line["lessons"]):
            came = {HOLDS: Came.RIGHT, SKIPPED: Came.SKIPPED}.get(result["verdict"], Came.WRONG)
            rows = list(compared(Result(**result)))
            predicted, observed = ({row[0]: row[column] for row in rows} for column in (1, 2))
            yield Finding("lessons", name, shown(predicted), shown(observed), came, result["why"] or "")
        if not said:
            yield Finding("lessons", name, "a result", "none", Came.WRONG, error)


def worlds(amounts: Amounts) -> Iterator[Finding]:
    """Random worlds: what they have room for, and how many connections they take."""
    command = [*COMMAND, "lab", "--quiet", "--", sys.executable, "-m", "tests.labs.worlds", "1", str(amounts.worlds)]
    said, error = json_lines(*command)
    for world in (line for line in said if "seed" in line):
        yield Finding("worlds", f"seed {world['seed']}", "", "; ".join(world["wrong"]), Came.WRONG, world["strategy"])
    last = said[-1] if said else {}
    right = last.get("worlds", 0) - last.get("failed", 0)
    came = Came.RIGHT if right == amounts.worlds else Came.WRONG
    because = "" if came is Came.RIGHT or last.get("worlds") else f"they ended early: {error}"
    yield Finding("worlds", "all", f"{amounts.worlds} right", f"{right} right", came, because)


def loops(amounts: Amounts) -> Iterator[Finding]:
    """Hold and serve over each loop: what ss counts at both ends, and what the server accepted."""
    for loop, why_not in (("ring", features().why_not), ("epoll", None)):
        for count in amounts.connections:
            name = f"{loop}, {count:,} connections"
            if why_not:
                yield Finding("loops", name, "", "", Came.SKIPPED, why_not)
                continue
            expected = {"clients": count, "servers": count, "held": count, "accepted": count}
            try:
                seen = held(loop, count)
            except FourtupleError as error:
                yield Finding("loops", name, shown(expected), "", Came.WRONG, " ".join(str(error).split()))
                continue
            yield Finding("loops", name, shown(expected), shown(seen), Came.RIGHT if seen == expected else Came.WRONG)


def held(loop: str, count: int) -> dict[str, int]:
    """Hold `count` connections in a lab: as ss and the two records count them."""
    with Lab(processes=False) as lab:
        prefix = lab.command([])

        def listed(side: str) -> int:
            command = [*prefix, "ss", "-Htan", "state", "established", f"{side} = :7777"]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.count("\n")

        with (
            serving("127.0.0.1:7777", "--loop", loop, prefix=prefix) as server,
            holding(str(count), "127.0.0.1:7777", "--loop", loop, prefix=prefix) as client,
        ):
            ends = {"clients": listed("dport"), "servers": listed("sport")}
    return ends | {"held": client.record["held"], "accepted": server.record["accepted"]}


def check(_: Amounts) -> Iterator[Finding]:
    """Programs whose habits are known: the verdict of `check`."""
    with ThreadPoolExecutor(CHECKS_AT_ONCE) as pool:
        yield from pool.map(checked, VERDICTS)


def checked(name: str) -> Finding:
    program, command = PROGRAMS.get(name, ("", [])) if name in PROGRAMS else ("", HABITS[name])
    said, error = json_lines(*COMMAND, "check", "--for", "60s", "--quiet", "--json", *command)
    expected = VERDICTS[name]
    if not said:
        missing = program and "command not found" in error
        return Finding("check", name, expected, "", Came.SKIPPED if missing else Came.WRONG, error)
    verdict = said[-1]["verdict"]
    found = ", ".join(finding["kind"] for finding in said[-1]["findings"])
    return Finding("check", name, expected, verdict, Came.RIGHT if verdict == expected else Came.WRONG, found)


def census(_: Amounts) -> Iterator[Finding]:
    """A namespace with sockets in all states that last: against ss, and against what was made."""
    command = [*COMMAND, "lab", "--quiet", "--", sys.executable, "-m", "tests.kernels.sockets", str(SOCKETS)]
    said, error = json_lines(*command)
    if not said:
        yield Finding("census", "all", "counts", "none", Came.WRONG, error)
        return
    made, found, listed = (Counter(said[-1][name]) for name in ("made", "found", "ss"))
    bound, made_bound = ({BOUND: counts.pop(BOUND, 0)} for counts in (found, made))
    listed.pop(BOUND, None)  # an old ss does not ask for them
    for name, expected, counts in (
        ("states, as ss counts them", listed, found),
        ("states, as they were made", made, found),
        ("sockets that are only bound", made_bound, bound),
    ):
        came = Came.RIGHT if counts == expected else Came.WRONG
        because = ""
        if counts == {BOUND: 0} and not port_facts().bound_are_listed:
            came, because = Came.SKIPPED, "this kernel does not list them"
        yield Finding("census", name, states(expected), states(counts), came, because)


def states(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{counts[state]:,} {state}" for state in sorted(counts))


def collected(folder: str) -> Collector:
    """What came of the tests in this folder; nothing, if pytest did not end."""
    environment = {name: value for name, value in os.environ.items() if name != "FOURTUPLE_REQUIRE_ALL"}
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "collected"
        subprocess.run([sys.executable, "-m", "tests.kernels.collector", folder, file], check=False, env=environment)
        if not file.exists():
            return Collector()
        found = json.loads(file.read_text())
    return Collector(Counter(found["came"]), Counter(found["reasons"]), found["failed"])


def tests(_: Amounts) -> Iterator[Finding]:
    """The project's own tests of what asks the kernel, and of what opens connections."""
    for folder in ("tests/kernel", "tests/engine"):
        collector = collected(folder)
        for test, message in collector.failed.items():
            yield Finding("tests", test, "passes", "fails", Came.WRONG, " ".join(message.split()))
        for reason, count in sorted(collector.reasons.items()):
            yield Finding("tests", f"{folder}: {reason}", "", f"{count} skipped", Came.SKIPPED, reason)
        counts = ", ".join(f"{collector.came[name]} {name}" for name in ("passed", "failed", "skipped"))
        came = Came.RIGHT if collector.came["passed"] and not collector.failed else Came.WRONG
        yield Finding("tests", folder, "no failure", counts, came)


PARTS: dict[str, Part] = {
    "probes": probes,
    "rules": rules,
    "check": check,
    "census": census,
    "loops": loops,
    "worlds": worlds,
    "lessons": lessons,
    "tests": tests,
}
