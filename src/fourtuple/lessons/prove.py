"""`prove`: run the lessons, each in a process and a network namespace of its own."""

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from importlib import import_module
from typing import Any

from fourtuple.core.errors import UsageError
from fourtuple.core.runs.proof import FAILS, Ground, Lesson, Proof, Result, Step
from fourtuple.core.runs.run import Run

NAMES = (
    "theory",
    "same-port",
    "accept-takes-no-port",
    "two-hosts",
    "kernel-shares-ports",
    "one-wall",
    "file-descriptors",
    "limits",
    "poison",
    "slow-lane",
    "past-65536",
)


PORT_NUMBERS = 65_536
ROOM = "fourtuple.lessons"  # also a program: one lesson, in a process of its own


def choose(names: Sequence[str]) -> tuple[Lesson, ...]:
    """The lessons with these names, in this order; none named means all. Raises UsageError."""
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise UsageError(f"the lesson {unknown[0]!r}", "there is none of that name", f"There are: {', '.join(NAMES)}.")
    return tuple(lesson(name) for name in dict.fromkeys(names or NAMES))


def lesson(name: str) -> Lesson:
    module = module_of(name)
    return Lesson(name, module.CLAIM, inspect.getsource(module))


def module_of(name: str) -> Any:
    return import_module(f"{ROOM}.{name.replace('-', '_')}")


def prove(lessons: Sequence[Lesson], connections: int | None = None) -> Run[Ground | Step, Proof]:
    """Run the lessons, one after the other: the ground once, then steps, and a step with each result.

    connections: how many past-65536 opens; None leaves it to the lesson

    Raises UsageError where `connections` would prove nothing.
    """
    if connections is not None and connections <= PORT_NUMBERS:
        raise UsageError(f"--connections {connections:,}", f"the claim is about more than {PORT_NUMBERS:,}")
    return Run(_steps(lessons, connections))


def _steps(lessons: Sequence[Lesson], connections: int | None) -> Generator[Ground | Step, None, Proof]:
    from time import monotonic

    from fourtuple.verbs.lab import namespace_refusal, own_world
    from fourtuple.verbs.start import start_of

    start_s = monotonic()
    ground = Ground(namespace_refusal(), start_of("prove", own_world()))
    yield ground
    results: list[Result] = []
    for each in lessons:
        yield Step(each)
        results.append((yield from _run(each, connections, private=ground.refusal is None)))
        yield Step(each, result=results[-1])
    return Proof(ground, tuple(results), round(monotonic() - start_s, 3))


def _run(lesson: Lesson, connections: int | None, *, private: bool) -> Generator[Step, None, Result]:
    """One lesson as a process of its own: it says how far it is, then what came of it, a line of JSON each."""
    from time import monotonic

    from fourtuple.verbs.background import start
    from fourtuple.verbs.lab import Lab

    start_s = monotonic()
    command = [sys.executable, "-m", ROOM, lesson.name, str(connections or 0), "private" if private else "shared"]
    said: dict[str, Any] = {}
    with ExitStack() as stack:
        if private:
            # With very many connections, look-ups in the host's table would take longer and longer.
            entries = 2 * connections if connections else None
            command = stack.enter_context(Lab(hash_entries=entries)).command(command)
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
        program = stack.enter_context(
            start(command, stdout=subprocess.PIPE, text=True, start_new_session=True, env=environment)
        )
        stack.callback(program.kill)
        assert program.stdout is not None  # noqa: S101  (for the type checker)
        for line in program.stdout:
            said = json.loads(line)
            if "verdict" not in said:
                yield Step(lesson, said["done"], said["of"])
    if "verdict" not in said:
        said = {"verdict": FAILS, "why": f"the lesson ended without a result (exit code {program.returncode})"}
    nothing: dict[str, Any] = {"did": "", "predicted": {}, "observed": {}, "evidence": {}}
    seconds = round(monotonic() - start_s, 3)
    return Result(**(nothing | said | {"name": lesson.name, "claim": lesson.claim, "seconds": seconds}))
