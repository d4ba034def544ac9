"""A proof as text: for each lesson its claim, what was done, predictions, observations and the verdict.

Results go to standard output as they arrive. If standard error is a terminal, it shows a progress bar.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fourtuple.core.runs.proof import BROKEN, FAILS, HOLDS, SKIPPED, Expected, Ground, Lesson, Proof, Result, Step
from fourtuple.core.runs.run import Run
from fourtuple.core.units import format_count, format_duration, format_size
from fourtuple.faces.printer import tell
from fourtuple.faces.text.lines import COLUMNS, MOST, flowed, width, wrapped
from fourtuple.faces.text.tables import Column, TableRow, table_lines

LABEL = 13
COMPARED = (Column(least=32, is_text=True), Column("predicted", 21), Column("observed", 21))
BAR = "█"
PRECISE = 100  # numbers from there on need no decimals
MARKS = {HOLDS: "✓", FAILS: "✗", SKIPPED: "–", BROKEN: "!"}
SAYS = {
    HOLDS: "holds",
    FAILS: "refuted",
    SKIPPED: "not tried: this host lacks something",
    BROKEN: "not tried to its end: something broke",
}


def list_lines(lessons: Sequence[Lesson]) -> Iterator[str]:
    """The names of the lessons with their claims."""
    width = max(len(lesson.name) for lesson in lessons)
    for lesson in lessons:
        yield from wrapped(f"{lesson.name:<{width}}  ", lesson.claim)


def code(lesson: Lesson, *, alone: bool) -> str:
    """The source code of the lesson, with a heading if there are several."""
    return lesson.source if alone else f"# ---- {lesson.name} {'-' * (70 - len(lesson.name))}\n{lesson.source}"


def ground_lines(ground: Ground) -> Iterator[str]:
    """Version, host, and where the lessons run."""
    found = ground.start.found
    memory = f" · {format_size(found.memory_bytes)}" if found.memory_bytes else ""
    kernel = f"Linux {'.'.join(found.kernel.split('.')[:2])}"
    cpus = "1 CPU" if found.cpus == 1 else f"{found.cpus} CPUs"
    files = f"{format_count(found.files_hard)} open files per process"
    yield from flowed("", [f"fourtuple {found.fourtuple} · {kernel} · {cpus}{memory}", files], " · ")
    yield from wrapped("", where(ground))


def where(ground: Ground) -> str:
    """Where the lessons run."""
    if ground.refusal is None:
        return "Each lesson runs in a private network namespace; nothing outside it changes."
    return f"The lessons run on loopback, because no private network namespace is available ({ground.refusal})."


def result_lines(result: Result) -> Iterator[str]:
    """The result of one lesson."""
    yield from wrapped(f"{MARKS[result.verdict]} ", f"{result.name}: {result.claim}")
    if result.did:
        yield from _labelled("test", result.did)
    if result.predicted:
        yield from table_lines(COMPARED, [TableRow(cells) for cells in compared(result)], indent="  ")
    for name, value in result.evidence.items():
        if isinstance(value, list) and value:
            yield from wrapped("  ", name)
            for line in value:
                yield from wrapped("    ", line)
        elif isinstance(value, (int, float, str)):
            number = Column(least=max(0, min(COLUMNS, width()) - len(f"  {name}  ")))
            yield from table_lines((Column(is_text=True), number), [TableRow((name, word(value)))], indent="  ")
        elif bars := bars_of(value):
            yield from wrapped("  ", name)
            yield from _drawn(bars)
    yield from _labelled("verdict", f"{SAYS[result.verdict]} · {format_duration(result.seconds)}")
    if result.why:
        yield from _labelled("because" if result.verdict != "holds" else "note", result.why)


def summary_lines(proof: Proof) -> Iterator[str]:
    """How many claims hold, are refuted, or could not be tried, and how long that took."""
    return wrapped("", f"{counts(proof.results)} · {format_duration(proof.seconds)}")


def counts(results: Sequence[Result]) -> str:
    """How many claims hold, are refuted, could not be tried here, or could not be tried to their end."""
    of = Counter(result.verdict for result in results)
    broke = f", {of[BROKEN]} broke" if of[BROKEN] else ""
    claims = "claim holds" if of[HOLDS] == 1 else "claims hold"
    return f"{of[HOLDS]} {claims}, {of[FAILS]} refuted, {of[SKIPPED]} not tried{broke}"


def show(run: Run[Ground | Step, Proof], lessons: int) -> Proof:
    """Run the proof of `lessons` lessons to its end and print it. Ctrl-C prints a summary of the results so far."""
    bar, results = _Bar(), []
    try:
        for step in run:
            if isinstance(step, Ground):
                tell(*ground_lines(step), "")
            elif step.result is None:
                bar.draw(step)
            else:
                bar.clear()
                results.append(step.result)
                tell(*result_lines(step.result), "", headlines=1)
        tell(*summary_lines(run.record), headlines=1)
        return run.record
    except KeyboardInterrupt:
        bar.clear()
        holds = sum(result.verdict == HOLDS for result in results)
        tell(f"interrupted after {len(results)} of {lessons}: {holds} hold")
        raise
    finally:
        bar.clear()


class _Bar:
    """The progress of a lesson on a terminal, removed when the result is there; rich is imported only for it."""

    def __init__(self) -> None:
        self._progress: Any = None
        self._shown: tuple[str, int, int] | None = None

    def draw(self, step: Step) -> None:
        now = (step.lesson.name, step.done, step.of)
        if now == self._shown or not sys.stderr.isatty():
            return
        self._shown = now
        if self._progress is None:
            self._start(step)
        total, counts = step.of or None, f"{format_count(step.done)} of {format_count(step.of)}" if step.of else ""
        self._progress.update(self._task, completed=step.done, total=total, counts=counts, refresh=True)

    def _start(self, step: Step) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (TextColumn("{task.description}"), BarColumn(30), TextColumn("{task.fields[counts]}"))
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False)
        self._progress.start()
        self._task = self._progress.add_task(step.lesson.name, total=None, counts="")

    def clear(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def _labelled(label: str, text: str) -> Iterator[str]:
    return wrapped(f"  {label:<{LABEL - 2}}", text)


def compared(result: Result) -> Iterator[tuple[str, str, str]]:
    """Each prediction of the result: its name, what was predicted, and what was observed."""
    for name, predicted in result.predicted.items():
        observed = result.observed.get(name)
        expected = Expected.read(predicted)
        if expected is None:
            yield name, word(predicted), word(observed)
        else:
            yield name, _expected(expected), f"{word(observed)} {expected.unit}".rstrip()


def bars_of(value: Any) -> dict[str, float]:
    """Numbers by name, from a result's evidence; empty: the value is something else."""
    if not isinstance(value, Mapping) or not all(isinstance(each, int | float) for each in value.values()):
        return {}
    return dict(value)


def word(value: Any) -> str:
    """A value of a prediction or an observation as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= PRECISE else f"{round(value, 2):g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)


def _expected(expected: Expected) -> str:
    least, most, about, unit = expected.least, expected.most, expected.about, expected.unit
    if about is not None and most is not None:
        return f"{word(about)} {unit} ± {round(100 * (most / about - 1))} %"
    if most is None:
        return f"over {word(least)} {unit}".rstrip()
    return f"{'under' if least is None else f'{word(least)} to'} {word(most)} {unit}".rstrip()


def _drawn(bars: Mapping[str, float]) -> Iterator[str]:
    """Numbers with a bar each, the longest for the largest."""
    names, numbers = max(map(len, bars)), max(len(word(value)) for value in bars.values())
    columns, most = min(MOST, width()) - names - numbers - 8, max(bars.values())
    for name, value in bars.items():
        bar = BAR * max(1, round(columns * value / most)) if value > 0 else ""
        yield f"    {name:<{names}}  {word(value):>{numbers}}  {bar}".rstrip()
