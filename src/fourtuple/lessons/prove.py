"""`prove`: run the lessons, each in its own process and network namespace."""

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from importlib import import_module
from typing import Any

from fourtuple.core.errors import CannotError, FourtupleError, UsageError
from fourtuple.core.runs.proof import BROKEN, SKIPPED, Ground, Lesson, Proof, Result, Step
from fourtuple.core.runs.run import Run

NAMES = (
    "past-65536",  # what the others explain
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
    "server-wall",
)


PORT_NUMBERS = 65_536
ROOM = "fourtuple.lessons"  # also a program, which runs one lesson


def choose(names: Sequence[str]) -> tuple[Lesson, ...]:
    """The lessons with these names, in this order; no names: all lessons. Raises UsageError for an unknown name."""
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise UsageError(f"there is no lesson {unknown[0]!r}", do=f"Use one of {', '.join(NAMES)}.")
    return tuple(lesson(name) for name in dict.fromkeys(names or NAMES))


def lesson(name: str) -> Lesson:
    """The lesson with its claim and its source code."""
    module = module_of(name)
    return Lesson(name, module.CLAIM, inspect.getsource(module))


def module_of(name: str) -> Any:
    """The module of the lesson."""
    return import_module(f"{ROOM}.{name.replace('-', '_')}")


def prove(lessons: Sequence[Lesson], connections: int | None = None) -> Run[Ground | Step, Proof]:
    """Run the lessons in sequence. It yields the ground once, then steps, among them one with each result.

    connections: how many past-65536 opens; None: as the lesson decides

    Raises UsageError if there are too few `connections` to prove anything.
    """
    if connections is not None and connections <= PORT_NUMBERS:
        raise UsageError(f"--connections {connections:,}", f"must be more than {PORT_NUMBERS:,} to prove the claim")
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
    """Run one lesson; whatever happens to its process, there is a result."""
    from time import monotonic

    start_s = monotonic()
    try:
        message = yield from _messages(lesson, connections, private=private)
    except CannotError as error:
        message = {"verdict": SKIPPED, "why": str(error)}
    except (FourtupleError, OSError, ValueError, KeyError) as error:
        message = {"verdict": BROKEN, "why": f"its process could not be run: {error}"}
    nothing: dict[str, Any] = {"did": "", "predicted": {}, "observed": {}, "evidence": {}}
    seconds = round(monotonic() - start_s, 3)
    return Result(**(nothing | message | {"name": lesson.name, "claim": lesson.claim, "seconds": seconds}))


def _messages(lesson: Lesson, connections: int | None, *, private: bool) -> Generator[Step, None, dict[str, Any]]:
    """Run one lesson in its own process, which prints its progress and then its result as lines of JSON → the result.

    Raises FourtupleError, OSError if the process cannot be started; ValueError, KeyError for any other output.
    """
    from fourtuple.verbs.background import ended_by, start
    from fourtuple.verbs.lab import Lab

    command = [sys.executable, "-m", ROOM, lesson.name, str(connections or 0), "private" if private else "shared"]
    message: dict[str, Any] = {}
    with ExitStack() as stack:
        if private:
            # With very many connections, look-ups in the host's hash table would become slow.
            entries = 2 * connections if connections else None
            command = stack.enter_context(Lab(hash_entries=entries)).command(command)
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
        program = stack.enter_context(
            start(command, stdout=subprocess.PIPE, text=True, start_new_session=True, env=environment)
        )
        stack.callback(program.terminate)
        assert program.stdout is not None  # noqa: S101  (for the type checker)
        for line in program.stdout:
            message = json.loads(line)
            if "verdict" not in message:
                yield Step(lesson, message["done"], message["of"])
    if "verdict" in message:
        return message
    return {"verdict": BROKEN, "why": f"its process ended without a result: {ended_by(program.returncode)}"}
