"""The warnings of a census: which pairs are about to run out of ports, and why."""

from collections import Counter
from collections.abc import Iterator

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
    worth = [row for row in rows if (row.percent or 0) >= HALF_PERCENT or _perhaps_none(row)]
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
        elif _perhaps_none(row):
            checks = f". fourtuple limits {row.destination} --probe checks that"
            yield (
                f"{where} may have no port left: the sockets on the remaining ports may have called bind(address, 0)"
                f" before connect(){checks * census.can_probe}"
            )
        else:
            half = format_count((row.usable or 0) // 2)
            cure = f"{IN_TURN.linux} with IP_LOCAL_PORT_RANGE on the socket avoids that; this kernel does not"
            if facts and facts.range_is_quick:
                cure = "IP_LOCAL_PORT_RANGE on the socket avoids that"
            yield f"{where} uses half of the range: each connect() tries {half} ports or more. {cure}"
    if len(worth) > MOST_ALARMS:
        yield f"{len(worth) - MOST_ALARMS} more pairs are short of ports"


def _perhaps_none(pair: PairCount | DestinationCount) -> bool:
    return pair.left is not None and pair.left.most > 0 == pair.left.least


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
