"""The destinations at which connects failed or connections were lost, as a table; the others as one line."""

from collections.abc import Iterator, Sequence

from fourtuple.core.runs.destinations import DestinationResult
from fourtuple.core.runs.failing import summed
from fourtuple.core.units import format_count
from fourtuple.core.visible import visible
from fourtuple.faces.text.lines import wrapped
from fourtuple.faces.text.tables import Column, TableRow, table_lines
from fourtuple.faces.text.words import counts

LISTED = 8
TABLE = (Column("destination", is_text=True), Column("opened"), Column("trouble", is_text=True))


def destination_lines(destinations: Sequence[DestinationResult], failed: int) -> Iterator[str]:
    """The table; none if there is only one destination, or no trouble.

    failed: connections in all, with those that were not tried after failures in a row, or stopped by a limit here
    """
    troubled = [each for each in destinations if each.trouble]
    if not troubled or sum(each.destinations for each in destinations) == 1:
        return
    listed = [each for each in troubled if each.destination][:LISTED]
    others = [each for each in destinations if each not in listed]
    rows = [(title(each), each) for each in listed]
    rows += [(_together(others, "the other" if listed else "all"), summed(others))] if others else []
    cells = [TableRow((text, format_count(each.opened), trouble_words(each) or "none")) for text, each in rows]
    yield from table_lines(TABLE, cells, indent="  ")
    untried = failed - sum(sum(each.failed.values()) for each in destinations)
    if untried > 0:
        yield from wrapped(
            "  ", f"{format_count(untried)} were not tried after these, or stopped by a limit of this host"
        )


def title(each: DestinationResult) -> str:
    """Its address, how many are counted with it, and its name, if it has one."""
    if not each.destination:
        return _together([each], "the other")
    more = f" and the next {format_count(each.destinations - 1)}" if each.destinations > 1 else ""
    return visible(f"{each.destination}{more}{f' ({each.name})' if each.name else ''}")


def trouble_words(each: DestinationResult) -> str:
    """`failed: ECONNREFUSED 3; lost: FIN 2`; empty if nothing failed or was lost."""
    parts = (("failed", each.failed), ("lost", each.lost))
    return "; ".join(f"{what}: {counts(by_errno)}" for what, by_errno in parts if by_errno)


def _together(several: Sequence[DestinationResult], which: str) -> str:
    """How several are called together: `the other 12`; a single one by its own name, if that was recorded."""
    if len(several) == 1 and several[0].destination:
        return title(several[0])
    many = _many(several)
    return f"{which} {'one' if many == 1 else format_count(many)}"


def _many(several: Sequence[DestinationResult]) -> int:
    return sum(each.destinations for each in several)
