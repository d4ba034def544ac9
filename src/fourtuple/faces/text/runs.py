"""The list of stored runs as text, newest first."""

import sys
from collections.abc import Iterator, Sequence
from datetime import datetime

from fourtuple.core.runs.entry import Entry, RunState
from fourtuple.core.units import format_count
from fourtuple.faces.text.lines import wrapped
from fourtuple.faces.text.tables import Column, TableRow, cut, table_lines

WAYS = {"hold": "held", "serve": "open at once", "churn": "completed", "prove": "claims"}
RESULT = 40  # characters of a result in the list
LIST = (
    Column("run", 5),
    Column("started", 16, is_text=True),
    Column("outcome", 10, is_text=True),
    Column(least=24, is_text=True, is_extra=True),
    Column("command", is_text=True, is_extra=True, is_cut=True),
)


def list_lines(entries: Sequence[Entry], *, whole: bool = False) -> Iterator[str]:
    """The list of runs. whole: a line for each, however long, for other programs"""
    if not entries:
        yield from wrapped("", "no stored runs; hold, churn, serve and prove store one each")
        return
    rows = [
        TableRow(
            (
                str(entry.id),
                f"{local(entry.started_at):%Y-%m-%d %H:%M}",
                entry.outcome,
                cut(result_words(entry), RESULT),
                f"{f'{entry.name}: ' if entry.name else ''}{entry.command}",
            )
        )
        for entry in entries
    ]
    yield from table_lines(LIST, rows, room=sys.maxsize if whole else None)


def result_words(entry: Entry) -> str:
    """How many connections were held, or what its kind counts: `2,644 of 3,000 held, 479 lost`"""
    held = format_count(entry.held or 0)
    of = f" of {format_count(entry.n)}" if entry.kind != "serve" and entry.n not in (None, entry.held) else ""
    why = f", {entry.why}" if entry.why and entry.outcome in (RunState.REACHED, RunState.SHORT) else ""
    way = "claim" if (entry.kind, held, of) == ("prove", "1", "") else WAYS[entry.kind]
    return f"{held}{of} {way}{why}"


def local(stamp: str) -> datetime:
    """A stored moment in the time zone of this machine."""
    return datetime.fromisoformat(stamp).astimezone()
