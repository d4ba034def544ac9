"""Run one lesson in this process: `python -m fourtuple.lessons NAME CONNECTIONS private|shared`.

It prints its progress and finally its result, each as a line of JSON.
"""

import dataclasses
import errno
import json
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from fourtuple.core.errors import CannotError, FourtupleError
from fourtuple.core.runs.proof import BROKEN, FAILS, HOLDS, SKIPPED, differing
from fourtuple.core.runs.run import Run
from fourtuple.lessons.prove import module_of
from fourtuple.lessons.stage import Demonstration, Progress, Stage
from fourtuple.verbs.lab import own_world


def main(name: str, connections: str, ground: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # there is nothing to clean up, and nobody to read a traceback
    try:
        with Stage(private=ground == "private", connections=int(connections) or None) as stage:
            outcome = _show(name, stage)
    except Exception as error:  # whatever it is, it refutes nothing: the claim was not tried to the end
        verdict, why = _untried(error)
        _print_json({"verdict": verdict, "why": why})
        return
    result = dataclasses.asdict(outcome)
    note = result.pop("note")
    wrong = differing(outcome.predicted, outcome.observed)
    verdict, why = (FAILS, f"prediction and observation differ: {', '.join(wrong)}") if wrong else (HOLDS, note)
    _print_json(result | {"verdict": verdict, "why": why})


def _untried(error: Exception) -> tuple[str, str]:
    """(skipped if something is missing here, otherwise broken; why)"""
    match error:
        case CannotError():
            return SKIPPED, str(error)
        case FourtupleError():
            return BROKEN, str(error)
        case OSError(errno=errno.EMFILE | errno.ENFILE):
            return SKIPPED, f"it needs more open files than permitted (ulimit -n {own_world().process.files_soft})"
        case FileNotFoundError():
            return SKIPPED, f"it needs {error.filename}, which is not here"
        case MemoryError() | OSError(errno=errno.ENOMEM | errno.ENOBUFS):
            return SKIPPED, f"it needs more memory than there is ({str(error) or type(error).__name__})"
    place = traceback.extract_tb(error.__traceback__)[-1]
    return BROKEN, f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"


def _show(name: str, stage: Stage) -> Demonstration:
    shown: Any = module_of(name).show(stage)
    if isinstance(shown, Demonstration):
        return shown
    steps: Run[Progress, Demonstration] = Run(shown)
    for progress in steps:
        _print_json(dataclasses.asdict(progress))
    return steps.record


def _print_json(record: dict[str, Any]) -> None:
    print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
