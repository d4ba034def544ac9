"""Screens of `runs`: the list of stored runs, and single runs."""

from dataclasses import replace
from typing import Any

from fourtuple.core.runs.entry import Entry, RunState
from fourtuple.core.runs.stored import StoredRun
from fourtuple.faces.text import runs, stored
from tests.faces.text.test_runs import kept
from tests.made import hold_record, serve_record
from tests.made_churn import churn_record
from tests.made_fleet import fleet_record, kept_fleet

ENTRY = Entry(
    17, "hold", "fourtuple hold 1000 127.0.0.1:8000", "2026-11-20T12:00:00.000+00:00", "2026-11-20T12:00:10.000+00:00",
    RunState.REACHED, "", 1000, 1000, 40, "loadbox",
)  # fmt: skip
ENTRIES = [
    replace(ENTRY, id=20, outcome=RunState.RUNNING, held=400, ended_at=None),
    replace(ENTRY, id=19, outcome=RunState.BROKEN, why="Ctrl-C", held=12),
    replace(ENTRY, id=18, outcome=RunState.SHORT, held=500, why="7 lost"),
    ENTRY,
    replace(ENTRY, id=10, kind="churn", n=4000, held=3990, why="rate", outcome=RunState.SHORT),
    replace(ENTRY, id=9, kind="serve", n=1000, held=990, outcome=RunState.ENDED),
    replace(
        ENTRY, id=5, outcome=RunState.KILLED, held=None, command="fourtuple hold 1000 127.0.0.1:8000-8019 --for 1h"
    ),
    replace(ENTRY, id=4, outcome=RunState.UNFINISHED, held=None),
    replace(ENTRY, id=3, kind="prove", n=11, held=11, command="fourtuple prove"),
    replace(ENTRY, id=2, kind="prove", n=1, held=1, command="fourtuple prove theory"),
]


NAMED = [replace(ENTRY, id=18, name="the new kernel, tuned by hand"), replace(ENTRY, name="baseline"), ENTRIES[-1]]


def _named() -> str:
    run = kept("hold", None)
    return _dated(replace(run, entry=replace(run.entry, name="baseline", note="before the new kernel")))


def _show(kind: str, record: Any, outcome: RunState | None = None, why: str = "", **options: Any) -> str:
    """A run with the times of ENTRY."""
    return _dated(kept(kind, record, **options), outcome, why)


def _dated(run: StoredRun, outcome: RunState | None = None, why: str = "") -> str:
    entry = replace(run.entry, started_at=ENTRY.started_at, ended_at=run.entry.ended_at and ENTRY.ended_at)
    if outcome is not None:
        entry = replace(entry, outcome=outcome, why=why)
    return "\n".join(stored.show_lines(replace(run, entry=entry)))


SCREENS = {
    "list": lambda: "\n".join(runs.list_lines(ENTRIES)),
    "list-named": lambda: "\n".join(runs.list_lines(NAMED)),
    "show-named": lambda: _named(),
    "list-piped": lambda: "\n".join(runs.list_lines(ENTRIES, whole=True)),
    "list-empty": lambda: "\n".join(runs.list_lines([])),
    "show-hold": lambda: _show("hold", hold_record()),
    "show-churn": lambda: _show("churn", churn_record(), wanted=None),
    "show-serve": lambda: _show("serve", serve_record(), wanted=None),
    "show-prove": lambda: _show("prove", object()),
    "show-fleet": lambda: _dated(kept_fleet(fleet_record())),
    "show-running": lambda: _show("hold", None, alive=True),
    "show-killed": lambda: _show("hold", None),
    "show-broken": lambda: _show("hold", None, RunState.BROKEN, "Ctrl-C"),
    "show-unfinished": lambda: _show("hold", None, RunState.UNFINISHED),
}
