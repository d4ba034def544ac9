"""Golden screens: what people read, made from fixed records, one text file per screen. `make screens` renews them.

A module for each command, with its SCREENS: a name, and what makes the text. Nothing in them is of the machine, the
user, the kernel or the clock; what depends on the terminal or the time zone is fixed while a screen is made.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path

GOLDEN = Path(__file__).with_name("golden")
MODULES = (
    "census",
    "check",
    "churn",
    "compare",
    "doctor",
    "errors",
    "export",
    "fleet",
    "help",
    "hold",
    "limits",
    "live",
    "plan",
    "prove",
    "records",
    "report",
    "runs",
    "serve",
    "snapshot",
    "why",
)
ALSO = (  # screens that are drawn on a narrow and on a wide terminal as well
    "census/pairs",
    "census/watch",
    "check/many-destinations",
    "churn/found",
    "compare/same-machine",
    "doctor/findings",
    "errors/shortfall",
    "fleet/hosts",
    "fleet/limits",
    "fleet/plan-fits",
    "hold/fleet-gone",
    "hold/short-stages",
    "limits/files",
    "plan/perhaps",
    "prove/varies",
    "runs/list",
    "runs/show-hold",
    "why/several",
)
FIXED = {"TZ": "UTC", "COLUMNS": "", "LINES": "24", "TERM": "dumb"}
UNSET = ("FOURTUPLE_LOOP", "NO_COLOR", "FORCE_COLOR")


def screens() -> Mapping[str, Callable[[], str]]:
    """The screens by name, COMMAND/SCREEN, and COMMAND/SCREEN-COLUMNS for those on terminals of other widths."""
    made = usual_screens()
    others = {f"{name}-{columns}": partial(_at, columns, made[name]) for name in ALSO for columns in (40, 120)}
    return {**made, **others}


def usual_screens() -> Mapping[str, Callable[[], str]]:
    """The screens on a terminal of 80 columns."""
    return {
        f"{name}/{screen}": made
        for name in MODULES
        for screen, made in import_module(f"{__name__}.{name}").SCREENS.items()
    }


def _at(columns: int, made: Callable[[], str]) -> str:
    os.environ["COLUMNS"] = str(columns)
    return made()


def file_of(name: str) -> Path:
    return GOLDEN / f"{name}.txt"


def drawn(made: Callable[[], str], columns: int = 80) -> str:
    """The text of the screen on a terminal of that width, ending with one newline."""
    with _fixed(columns):
        return made().rstrip("\n") + "\n"


@contextmanager
def _fixed(columns: int) -> Iterator[None]:
    before = {name: os.environ.pop(name, None) for name in (*FIXED, *UNSET)}
    os.environ.update(FIXED, COLUMNS=str(columns))
    time.tzset()
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        time.tzset()


def orphans() -> list[str]:
    """Golden files without a screen."""
    known = {file_of(name) for name in screens()}
    return sorted(str(file.relative_to(GOLDEN)) for file in GOLDEN.rglob("*") if file.is_file() and file not in known)
