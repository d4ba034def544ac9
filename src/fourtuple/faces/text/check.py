"""How a program uses source ports: the verdict, what it rests on, what to change."""

from collections.abc import Iterator

from fourtuple.core.check.judge import Conduct, Kind
from fourtuple.core.units import format_count
from fourtuple.faces.text.lines import wrapped

MOST_DESTINATIONS = 8


def progress_line(open_: int, opened: int) -> str:
    return f"{format_count(open_)} open, {format_count(opened)} opened"


def check_lines(found: Conduct, expected: Kind | int) -> Iterator[str]:
    held, possible = format_count(found.connections), format_count(found.possible)
    yield f"{found.verdict}: {held} connection{'s' * (found.connections != 1)} at once, {possible} are possible"
    for finding in found.findings:
        yield ""
        yield from wrapped(f"{finding.kind:<10}", finding.says)
        if finding.fix:
            yield from wrapped("  fix     ", finding.fix)
    yield ""
    rows = [("destination", "connections", "local ports")]
    rows += [
        (each.address, format_count(each.connections), format_count(each.local_ports)) for each in found.destinations
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for number, row in enumerate(rows[: MOST_DESTINATIONS + 1]):
        name, *counts = row
        numbers = "  ".join(f"{count:>{width}}" for count, width in zip(counts, widths[1:], strict=True))
        yield f"{name:<{widths[0]}}  {numbers}"
        if number == MOST_DESTINATIONS < len(rows) - 1:
            yield f"… {format_count(len(rows) - 1 - MOST_DESTINATIONS)} more: --json"
    yield ""
    code = "" if found.exit is None else f", with {found.exit}"
    yield from wrapped("", f"{found.ended}{code}; {_as_expected(found, expected)}")


def _as_expected(found: Conduct, expected: Kind | int) -> str:
    what = f"{format_count(expected)} connections" if isinstance(expected, int) else str(expected)
    return f"{'as expected' if found.is_expected(expected) else 'not as expected'}: {what}"
