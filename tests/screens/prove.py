"""Screens of `prove`: the list of lessons, where they run, results of each kind, and the summary."""

from collections.abc import Sequence
from dataclasses import replace

from fourtuple.core.runs.proof import BROKEN, SKIPPED, Expected, Ground, Proof, Result
from fourtuple.faces.text import prove
from fourtuple.lessons import prove as lessons
from tests.made import ground, result

SKIP = replace(
    result("two-hosts", SKIPPED),
    predicted={},
    observed={},
    evidence={},
    did="",
    why="two hosts need private network namespaces: these are not permitted here",
)
VARIES = replace(
    result("slow-lane"),
    predicted={
        "slower": Expected(least=5, unit="×"),
        "… with the cure": Expected(most=3, unit="×"),
        "memory of both ends": Expected.near(8170, 0.25, "B"),
        "time of a message": Expected(0.5, 2, "ms"),
    },
    observed={"slower": 69.5, "… with the cure": 1.02, "memory of both ends": 8113, "time of a message": 1},
    evidence={
        "connect(), median in µs": {"10 % in use": 13.7, "51 % in use": 9708.0, "99 % in use": 0},
        "what is not there": {},
        "failed": [],
        "the first to end": "memory",
    },
)
BROKE = replace(SKIP, name="same-port", verdict=BROKEN, why="its process ended without a result: killed by SIGKILL")
NOTE = replace(result("slow-lane"), why="the cure was left out: it needs Linux 6.8 or newer")


def _results(results: Sequence[Result]) -> str:
    return "\n\n".join("\n".join(prove.result_lines(each)) for each in results)


def _sum(*results: Result) -> str:
    return "\n".join(prove.summary_lines(Proof(ground(), results, 12.34)))


def _grounds() -> str:
    shared = Ground("unshare: Operation not permitted", ground().start)
    one = replace(
        ground(), start=replace(ground().start, found=replace(ground().start.found, cpus=1, memory_bytes=None))
    )
    return "\n\n".join("\n".join(prove.ground_lines(each)) for each in (ground(), shared, one))


SCREENS = {
    "list": lambda: "\n".join(prove.list_lines(lessons.choose(()))),
    "grounds": _grounds,
    "holds": lambda: _results([result(), NOTE]),
    "varies": lambda: _results([VARIES]),
    "fails": lambda: _results([result("one-wall", "fails")]),
    "skipped": lambda: _results([SKIP]),
    "broken": lambda: _results([BROKE]),
    "sum": lambda: "\n".join(
        (_sum(result()), _sum(result(), NOTE, result("one-wall", "fails"), SKIP), _sum(BROKE), _sum())
    ),
}
