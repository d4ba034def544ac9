"""What a census gives reason to say: which pairs are about to run out, and why."""

from collections.abc import Iterator

from fourtuple.core.causes import CAUSES
from fourtuple.core.counts import By, Census, PairCount
from fourtuple.core.facts import PortFacts
from fourtuple.core.units import format_count

HALF_PERCENT, MOST_PERCENT = 50.0, 80.0  # of the usable ports
MOST_ALARMS = 5  # pairs that are named


def alarms(census: Census, facts: PortFacts | None) -> tuple[str, ...]:
    """A sentence for each pair that is more than half used, the worst first; for listeners that are full."""
    return (*_pairs(census, facts), *_queues(census))


def _pairs(census: Census, facts: PortFacts | None) -> Iterator[str]:
    if census.by is not By.PAIR:
        return
    pairs = [row for row in census.rows if isinstance(row, PairCount)]
    worth = [pair for pair in pairs if pair.percent is not None and pair.percent >= HALF_PERCENT]
    for pair in worth[:MOST_ALARMS]:
        where = f"{pair.source} → {pair.destination}"
        if (pair.percent or 0) >= MOST_PERCENT:
            yield (
                f"{where} has {format_count(pair.left or 0)} ports left: {CAUSES[cause_of(pair)].says}."
                f" fourtuple why EADDRNOTAVAIL --dest {pair.destination} says what to do"
            )
        else:
            cure = "Linux 6.8 and IP_LOCAL_PORT_RANGE on the socket cure that"
            if facts and facts.range_is_quick:
                cure = "IP_LOCAL_PORT_RANGE on the socket cures that"
            yield f"{where} uses half of the range: each connect() looks at thousands of ports. {cure}"
    if len(worth) > MOST_ALARMS:
        yield f"and so do {len(worth) - MOST_ALARMS} more"


def cause_of(pair: PairCount) -> str:
    """A name of CAUSES: what most of its ports are in use for."""
    if 2 * pair.time_wait >= pair.used:
        return "time-wait"
    return "close-wait" if 2 * pair.close_wait >= pair.used else "port-range"


def _queues(census: Census) -> Iterator[str]:
    for listener in census.listeners:
        if listener.queue is not None and listener.waiting >= listener.queue:
            yield (
                f"the accept queue of {listener.address} is full ({format_count(listener.waiting)} of"
                f" {format_count(listener.queue)}): nobody gets in until it accepts"
            )
