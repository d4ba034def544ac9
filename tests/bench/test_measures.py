"""The measures of `make bench` work: each with few connections, on real sockets. Its figures mean nothing here."""

import json
import math
import sys
from collections.abc import Callable
from functools import partial
from shutil import which

import pytest

from bench import answers, churning, counting, crowds, echoes, fleets, profiling, rates, sessions
from bench.__main__ import measured, report
from bench.measure import Finding, Measure, NotMeasuredError, Result, at_least, at_most
from bench.suite import MEASURES
from tests.conftest import REPOSITORY, Ground, need, need_namespace

IN_C = {"open", "open-free", "echo-10k", "echo-1k", "churn", "million"}
NEEDS = {"http": ("nginx", "openssl", "wrk"), "tls": ("nginx", "openssl"), "tls-memory": ("nginx", "openssl")}
FEW: dict[str, Callable[[int], Result]] = {
    "open": partial(rates.open_pinned, wanted=53),
    "open-free": partial(rates.open_free, wanted=53),
    "open-workers": partial(rates.open_workers, wanted=53),
    "user-time": partial(rates.user_time, wanted=10_000),
    "close": partial(crowds.close, wanted=53),
    "profile": partial(profiling.profile, wanted=53),
    "fleet": partial(fleets.coordinator, machines=3, held_s=1.0),
    "fleet-scaling": partial(fleets.scaling, wanted=53, workers=(1,)),
    "losses": partial(crowds.losses, wanted=53),
    "million": partial(crowds.million, wanted=53, yardstick=53),
    "most": partial(crowds.most, wanted=53, still_s=0.1),
    "echo-10k": partial(echoes.echo_10k, connections=53, seconds=0.2),
    "churn": partial(churning.churn, flows=53, seconds=0.2),
    "http": partial(sessions.http, connections=53, seconds=1),
    "tls": partial(sessions.tls, wanted=53, seconds=1),
    "tls-memory": partial(sessions.tls_memory, wanted=530, few=53),
    "websockets": partial(sessions.websockets, wanted=5_300, few=530),
    "answers": partial(answers.answers, times=1),
    "first": partial(answers.first_connection, times=1),
    "limits": partial(answers.limits, connections=53),
    "census-40k": partial(counting.census, 106, 1.0),
    "census-command": partial(counting.whole_command, sockets=106),
    "fill": partial(rates.fill, wanted=53),
    "last-ports": partial(rates.last_ports, wanted=530),
}


@pytest.fixture(autouse=True)
def programs() -> None:
    need_namespace()
    need(which("taskset"), "taskset")
    need(which("ss"), "ss")


@pytest.mark.parametrize("name", FEW)
def test_a_measure_has_figures(name: str) -> None:
    """With one round and few connections, every finding is a finite number, and nothing failed."""
    assert name in MEASURES
    need(name not in IN_C or which("gcc"), "gcc")
    for program in NEEDS.get(name, ()):
        need(which(program), program)
    if name == "profile" and not which("perf"):
        pytest.skip("needs perf")

    found = FEW[name](1)

    assert found.findings
    assert all(math.isfinite(each.value) for each in found.findings)


def test_the_opening_of_fifty_is_watched(ground: Ground) -> None:
    """`python -m bench.opening 50 …` prints what it opened, when, at which cost, and how long closing took."""
    with ground.serving("127.0.0.1:80"):
        done = ground.run(sys.executable, "-m", "bench.opening", "50", "127.0.0.1:80", cwd=REPOSITORY)

    assert done.returncode == 0, done.stderr
    assert done.stderr == "holding\n"
    printed = json.loads(done.stdout)
    assert (printed["held"], printed["failed"], printed["losses"]) == (50, {}, [])
    assert printed["progress"][-1][1] == 50
    assert printed["closing_s"] > 0
    assert printed["closed_s"] > 0


def test_a_measure_that_fails_does_not_stop_the_run() -> None:
    """Why there is no figure stands in its row: what it needs, or the error that nobody expected."""

    def lacks(_: int) -> Result:
        raise NotMeasuredError("gcc is not here")

    def breaks(_: int) -> Result:
        return Result([Finding("share", 1 / 0, "×")], [])

    lacking, broken = (measured("open", Measure(run, 1), 1) for run in (lacks, breaks))

    assert lacking == "not measured: gcc is not here"
    assert broken == "not measured: ZeroDivisionError: division by zero"
    assert isinstance(lacking, str)
    assert "| open | not measured: gcc is not here | | | |" in report({"open": (lacking, 1)})


def test_a_goal_that_is_missed_says_by_how_much() -> None:
    """The cell has the value as a multiple of the goal."""
    slow, large, good = (
        Finding("rate", value, "×", goal).cells()[3]
        for value, goal in ((1.092, at_least(1.2)), (3.0, at_most(2)), (2.0, at_most(2)))
    )

    assert (slow, large, good) == ("**no**, 0.91 × the goal", "**no**, 1.5 × the goal", "yes")
