"""The destinations at which connects failed, in words."""

from collections.abc import Mapping, Sequence

from fourtuple.core.runs.destinations import DestinationResult
from fourtuple.core.runs.together import NOT_TRIED, counts
from fourtuple.core.units import format_count

NAMED = 2  # destinations in a sentence


def summed(several: Sequence[DestinationResult]) -> DestinationResult:
    """All of these together, without an address."""
    return DestinationResult(
        destination="",
        name="",
        destinations=sum(each.destinations for each in several),
        opened=sum(each.opened for each in several),
        failed=counts(each.failed for each in several),
        lost=counts(each.lost for each in several),
    )


def failing_from(destinations: Sequence[DestinationResult]) -> str:
    """` from 127.0.0.1:8202`, or with how many more; empty if no destination is to blame."""
    failing = [each for each in destinations if each.failed]
    named = [each.destination for each in failing if each.destination][:NAMED]
    if not named:
        return ""
    more = sum(each.destinations for each in failing) - len(named)
    if not more:
        return f" from {' and '.join(named)}"
    return f" from {', '.join(named)} and {format_count(more)} more"


def not_connected(
    wanted: int, opened: int, failed: Mapping[str, int], destinations: Sequence[DestinationResult]
) -> str:
    """`0 of 10 connected: ECONNREFUSED from 127.0.0.1:8000.`; empty if any was, or if none was tried."""
    tried = {name: count for name, count in failed.items() if name != NOT_TRIED}
    if opened or not tried:
        return ""
    several = len(tried) > 1
    names = ", ".join(f"{name} {format_count(count)}" if several else name for name, count in tried.items())
    return f"0 of {format_count(wanted)} connected: {names}{failing_from(destinations)}."


def elsewhere(destinations: Sequence[DestinationResult]) -> str:
    """` 1 of 3 destinations got no connection; the others got its share.`; empty if every one got some, or none did."""
    without = sum(each.destinations for each in destinations if each.failed and not each.opened)
    total = sum(each.destinations for each in destinations)
    if not 0 < without < total:
        return ""
    least = "at least " if any(each.failed and not each.destination for each in destinations) else ""
    share = "its share" if without == 1 else "their share"
    many = f"{least}{format_count(without)} of {format_count(total)} destinations"
    return f" {many[0].upper()}{many[1:]} got no connection; the others got {share}."
