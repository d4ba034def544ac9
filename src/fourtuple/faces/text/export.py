"""What `export --all-netns` says at its start: what it counts, what it may not, and whether its interval is enough."""

import math
from collections.abc import Iterator

from fourtuple.core.snapshot.rounds import Round
from fourtuple.core.units import format_count, format_duration

SHARE = 0.2  # of its interval that a count may take before a longer one is advised


def round_lines(first: Round, every_s: float) -> Iterator[str]:
    """The lines after the first round."""
    yield (
        f"network namespaces counted: {format_count(first.namespaces)} ({format_count(first.idle)} without a TCP "
        f"socket), in {format_duration(first.took_s)}"
    )
    if first.closed:
        yield f"network namespaces not counted: {format_count(first.closed)}; root may enter them"
    if first.left_out:
        yield f'network namespaces in the sum netns="other": {format_count(first.left_out)} (--top-netns)'
    if first.took_s > SHARE * every_s:
        least_s = math.ceil(first.took_s / SHARE)
        yield (
            f"--every {format_duration(every_s)} is short: a count takes {first.took_s / every_s:.0%} of the time; "
            f"{format_duration(least_s)} or more is better"
        )
