"""How a program uses source ports, as text: the verdict, the evidence, what to change."""

from collections.abc import Iterator

from fourtuple.core.check.judge import Conduct, Kind
from fourtuple.core.units import format_count, format_things
from fourtuple.faces.text.lines import wrapped
from fourtuple.faces.text.tables import Column, TableRow, table_lines

MOST_DESTINATIONS = 8
TABLE = (Column("destination", is_text=True), Column("connections"), Column("local ports"))


def progress_line(open_: int, opened: int) -> str:
    return f"{format_count(open_)} open, {format_count(opened)} opened"


def check_lines(conduct: Conduct, expected: Kind | int) -> Iterator[str]:
    yield from wrapped("", conduct.headline)
    for finding in conduct.findings:
        yield ""
        yield from wrapped(f"{finding.kind:<10}", finding.says)
        if finding.fix:
            yield from wrapped("  fix     ", finding.fix)
    for remark in conduct.remarks:
        yield ""
        yield from wrapped("remark    ", remark)
    yield ""
    shown = conduct.destinations[:MOST_DESTINATIONS]
    rows = [TableRow((row.address, format_count(row.connections), format_count(row.local_ports))) for row in shown]
    yield from table_lines(TABLE, rows)
    if more := len(conduct.destinations) - len(shown):
        yield f"… {format_count(more)} more (--json shows all)"
    yield ""
    code = "" if conduct.exit is None else f" (exit code {conduct.exit})"
    yield from wrapped("", f"{conduct.ended}{code}; {_as_expected(conduct, expected)}")


def _as_expected(conduct: Conduct, expected: Kind | int) -> str:
    what = format_things(expected, "connection") if isinstance(expected, int) else str(expected)
    return f"{'as expected' if conduct.is_expected(expected) else 'not as expected'}: {what}"
