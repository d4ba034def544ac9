"""How a program uses source ports, as text: the verdict, the evidence, what to change."""

from collections.abc import Iterator

from fourtuple.core.check.judge import Conduct, Kind
from fourtuple.core.units import format_count, format_things
from fourtuple.faces.text.lines import wrapped

MOST_DESTINATIONS = 8


def progress_line(open_: int, opened: int) -> str:
    return f"{format_count(open_)} open, {format_count(opened)} opened"


def check_lines(conduct: Conduct, expected: Kind | int) -> Iterator[str]:
    held, possible = format_count(conduct.connections), format_count(conduct.possible)
    yield f"{conduct.verdict}: {held} connection{'s' * (conduct.connections != 1)} at once, {possible} possible"
    for finding in conduct.findings:
        yield ""
        yield from wrapped(f"{finding.kind:<10}", finding.says)
        if finding.fix:
            yield from wrapped("  fix     ", finding.fix)
    for remark in conduct.remarks:
        yield ""
        yield from wrapped("remark    ", remark)
    yield ""
    rows = [("destination", "connections", "local ports")]
    rows += [
        (row.address, format_count(row.connections), format_count(row.local_ports)) for row in conduct.destinations
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for number, row in enumerate(rows[: MOST_DESTINATIONS + 1]):
        name, *counts = row
        numbers = "  ".join(f"{count:>{width}}" for count, width in zip(counts, widths[1:], strict=True))
        yield f"{name:<{widths[0]}}  {numbers}"
        if number == MOST_DESTINATIONS < len(rows) - 1:
            yield f"… {format_count(len(rows) - 1 - MOST_DESTINATIONS)} more (--json shows all)"
    yield ""
    code = "" if conduct.exit is None else f" (exit code {conduct.exit})"
    yield from wrapped("", f"{conduct.ended}{code}; {_as_expected(conduct, expected)}")


def _as_expected(conduct: Conduct, expected: Kind | int) -> str:
    what = format_things(expected, "connection") if isinstance(expected, int) else str(expected)
    return f"{'as expected' if conduct.is_expected(expected) else 'not as expected'}: {what}"
