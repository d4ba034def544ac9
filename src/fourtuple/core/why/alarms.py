"""The warnings of a census: which pairs are about to run out of ports, and why."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from fourtuple.core.census.records import Census, DestinationCount, PairCount
from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.limits.releases import IN_TURN
from fourtuple.core.units import format_count, format_things

HALF_PERCENT, MOST_PERCENT = 50.0, 80.0  # of the usable ports
MANY_BLOCKED = 0.2  # of the range
MOST_ALARMS = 5  # pairs that are listed


def alarms(census: Census, facts: PortFacts | None) -> tuple[str, ...]:
    """Return the warnings, one sentence each: ports held by bind(), pairs short of ports, full accept queues."""
    return (*_blocked(census), *_pairs(census, facts), *_queues(census))


def _blocked(census: Census) -> Iterator[str]:
    usable, blocked = census.usable, census.blocked
    if usable is None or not blocked or blocked < MANY_BLOCKED * (blocked + usable):
        return
    owners = Counter(str(holding.owners) for holding in census.holdings).most_common(1)
    who = f", most of them by {owners[0][0]}" if owners and owners[0][0] else ""
    yield (
        f"{format_count(blocked)} ports of the range are held by bind() or listen(){who}: connect() cannot choose"
        " them for any destination"
    )


def _pairs(census: Census, facts: PortFacts | None) -> Iterator[str]:
    rows = [row for row in census.rows if isinstance(row, PairCount | DestinationCount)]
    worth = [row for row in rows if (row.percent or 0) >= HALF_PERCENT]
    for row in worth[:MOST_ALARMS]:
        where = f"{row.source} → {row.destination}"
        left = row.left.most if row.left else 0
        if (row.percent or 0) >= MOST_PERCENT and 2 * (row.other - row.close_wait) >= row.used:
            yield (
                f"{where} has {format_things(left, 'port')} left: most of its connections are being opened, or were"
                " closed by one end only (column other). fourtuple doctor says in which states they are, and who has"
                " the other ends"
            )
        elif (row.percent or 0) >= MOST_PERCENT:
            from fourtuple.core.why.causes import CAUSES

            yield (
                f"{where} has {format_things(left, 'port')} left: {CAUSES[cause_of(row)].says}."
                f" fourtuple why EADDRNOTAVAIL --dest {row.destination} shows the remedies"
            )
        else:
            half = format_count((row.usable or 0) // 2)
            cure = f"{IN_TURN.linux} with IP_LOCAL_PORT_RANGE on the socket avoids that; this kernel does not"
            if facts and facts.range_is_quick:
                cure = "IP_LOCAL_PORT_RANGE on the socket avoids that"
            yield f"{where} uses half of the range: each connect() tries {half} ports or more. {cure}"
    if len(worth) > MOST_ALARMS:
        yield f"{len(worth) - MOST_ALARMS} more pairs are short of ports"
    yield from _perhaps_none([row for row in rows if row not in worth], rows, can_probe=census.can_probe)


def _perhaps_none(
    others: Sequence[PairCount | DestinationCount], rows: Sequence[PairCount | DestinationCount], *, can_probe: bool
) -> Iterator[str]:
    """One sentence about all pairs that lack ports if the sockets of other pairs called bind(address, 0).

    Not where one pair alone fills the range: connect() without bind() does so, too, and takes no port from other pairs.
    """
    perhaps = [row for row in others if row.left is not None and row.left.most > 0 == row.left.least]
    if not perhaps or any(row.used >= MOST_PERCENT / 100 * (row.usable or math.inf) for row in rows):
        return
    first = perhaps[0]
    more = f" and {format_things(len(perhaps) - 1, 'more pair')}" if len(perhaps) > 1 else ""
    checks = f". fourtuple limits {first.destination} --from {first.source} --probe checks that"
    yield (
        f"{first.source} → {first.destination}{more} may have no port left: the sockets on the remaining ports may have"
        f" called bind(address, 0) before connect(){checks * can_probe}"
    )


def cause_of(pair: PairCount | DestinationCount) -> str:
    """The likely cause, as a key of CAUSES, from the state of most of the pair's sockets."""
    if 2 * pair.time_wait >= pair.used:
        return "time-wait"
    return "close-wait" if 2 * pair.close_wait >= pair.used else "port-range"


def _queues(census: Census) -> Iterator[str]:
    for listener in census.listeners:
        if listener.backlog is not None and listener.recv_q > listener.backlog:
            yield (
                f"the accept queue of {listener.address} is full ({format_count(listener.recv_q)} of"
                f" {format_count(listener.backlog + 1)}): new connections are dropped until it accepts"
            )
