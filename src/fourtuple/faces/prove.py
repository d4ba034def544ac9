"""A proof as people see it: each lesson's claim, what was done, predicted, observed, verdict; a bar for the long ones.

Results go to standard output as they come, the bar to standard error while it is a terminal.
"""

import sys
from collections.abc import Generator, Iterator, Sequence
from typing import Any

from fourtuple.core.proof import Ground, Lesson, Proof, Result, Step
from fourtuple.core.units import format_count, format_duration, format_size
from fourtuple.faces.live import CLEAR
from fourtuple.faces.text import wrapped

LABEL = 13
NAME, VALUE = 34, 23  # columns of the table of what was predicted and what was observed
MARKS = {"holds": "✓", "fails": "✗", "skipped": "–"}


def list_lines(lessons: Sequence[Lesson]) -> Iterator[str]:
    width = max(len(lesson.name) for lesson in lessons)
    for lesson in lessons:
        yield from wrapped(f"{lesson.name:<{width}}  ", lesson.claim)


def ground_lines(ground: Ground) -> Iterator[str]:
    memory = f" · {format_size(ground.memory_bytes)}" if ground.memory_bytes else ""
    kernel = f"Linux {'.'.join(ground.kernel.split('.')[:2])}"
    cpus = "1 CPU" if ground.cpus == 1 else f"{ground.cpus} CPUs"
    yield f"fourtuple {ground.version} · {kernel} · {cpus}{memory} · files per process {format_count(ground.files)}"
    if ground.refusal is None:
        yield "each lesson in a private network namespace; nothing outside it changes"
    else:
        yield from wrapped("on this host's loopback: ", f"no private network namespace, {ground.refusal}")


def result_lines(result: Result) -> Iterator[str]:
    yield from wrapped(f"{MARKS[result.verdict]} ", f"{result.name}: {result.claim}")
    if result.did:
        yield from _labelled("did", result.did)
    if result.predicted:
        yield f"{'':{NAME}}{'predicted':>{VALUE}}{'observed':>{VALUE}}"
    for name, predicted in result.predicted.items():
        yield f"  {name:<{NAME - 2}}{_word(predicted):>{VALUE}}{_word(result.observed.get(name)):>{VALUE}}"
    for name, value in result.evidence.items():
        if isinstance(value, list) and value:
            yield f"  {name}"
            yield from (f"    {line}" for line in value)
        elif isinstance(value, (int, float, str)):
            yield f"  {name:<{NAME - 2}}{_word(value):>{2 * VALUE}}"
    yield from _labelled("verdict", f"{result.verdict} · {format_duration(result.seconds)}")
    if result.why:
        yield from _labelled("because" if result.verdict != "holds" else "note", result.why)


def summary_line(proof: Proof) -> str:
    holds, fails, skipped = (proof.count(verdict) for verdict in ("holds", "fails", "skipped"))
    claims = "claim holds" if holds == 1 else "claims hold"
    return f"{holds} {claims}, {fails} fail, {skipped} skipped · {format_duration(proof.seconds)}"


def show(run: Generator[Ground | Step, None, Proof]) -> Proof:
    """Pull the proof to its end and print it."""
    bar = _Bar()
    while True:
        try:
            step = next(run)
        except StopIteration as end:
            proof: Proof = end.value
            print(summary_line(proof), flush=True)
            return proof
        finally:
            bar.clear()
        if isinstance(step, Ground):
            print("\n".join((*ground_lines(step), "")), flush=True)
        elif step.result:
            print("\n".join((*result_lines(step.result), "")), flush=True)
        else:
            bar.draw(step)


class _Bar:
    """One line that is written over; rich is imported only where there is a terminal to draw on."""

    def __init__(self) -> None:
        self._console: Any = None
        if sys.stderr.isatty():
            from rich.console import Console

            self._console = Console(stderr=True, highlight=False)

    def draw(self, step: Step) -> None:
        if self._console is None:
            return
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        line = Table.grid(padding=(0, 1))
        counts = f"{format_count(step.done)} of {format_count(step.of)}" if step.of else ""
        line.add_row("…", step.lesson.name, ProgressBar(total=step.of or 1, completed=step.done, width=30), counts)
        self._console.print(line, end="")
        print(end="\r", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self._console is not None:
            print(CLEAR, end="", file=sys.stderr, flush=True)


def _labelled(label: str, text: str) -> Iterator[str]:
    return wrapped(f"  {label:<{LABEL - 2}}", text)


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)
