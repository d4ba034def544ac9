"""A setting of the server is named only where it can have done what was seen."""

from typing import Any

import pytest

from fourtuple.core.runs.records import AcceptQueue, HoldRecord, Witness
from fourtuple.core.runs.servers import SERVERS
from tests.made import hold_record

LIMIT, IDLE, LOG = "own limit", "idle connections", "log"
CLOSED = {"held": 600, "lost": 400, "lost_while_opening": 400, "lost_by": {"FIN": 400}, "open_at_end": 600}
LATER = {"held": 1000, "lost": 400, "lost_by": {"FIN": 400}, "open_at_end": 600}
ALL = {"held": 0, "lost": 1000, "lost_while_opening": 1000, "lost_by": {"FIN": 1000}, "open_at_end": 0}
ALL_LATER = {"held": 1000, "lost": 1000, "lost_by": {"FIN": 1000}, "open_at_end": 0}
SOON, AFTER_A_WHILE = (0.01, 0.2), (5.0, 9.0)
CASES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "some are closed at once, and the others stay": (CLOSED | {"lost_between_s": SOON}, {LIMIT}),
    "some are reset at once": (CLOSED | {"lost_by": {"ECONNRESET": 400}, "lost_between_s": SOON}, {LIMIT}),
    "the same, seen after opening had ended": (LATER | {"lost_between_s": SOON}, {LIMIT}),
    "the same, and those that stay are answered": (
        CLOSED | {"lost_between_s": SOON, "requests": 3000, "answers": 3000, "every_s": 0.1},
        {LIMIT},
    ),
    "the same, and the refusal counts as an answer": (
        CLOSED | {"lost_between_s": SOON, "requests": 1000, "answers": 600, "unexpected": 400, "every_s": 0.1},
        {LIMIT},
    ),
    "opening lasts, and the others stay for longer than those that were closed": (
        CLOSED | {"lost_between_s": (2.0, 4.0), "elapsed_s": 5.0, "held_s": 60.0},
        {LIMIT},
    ),
    "opening lasts, and nobody waited as long as those that were closed": (
        CLOSED | {"lost_between_s": (2.0, 4.0), "elapsed_s": 5.0, "held_s": 1.0},
        {LIMIT, IDLE},
    ),
    "all are closed at once": (ALL | {"lost_between_s": SOON}, {LOG}),
    "each is closed after its message": (
        LATER | {"lost_between_s": AFTER_A_WHILE, "requests": 400, "every_s": 10.0},
        {LOG},
    ),
    "each is closed after its message, while others are opened": (
        CLOSED | {"lost_between_s": SOON, "requests": 400, "every_s": 10.0},
        {LOG},
    ),
    "each is closed after an answer that is an error": (
        LATER | {"lost_between_s": SOON, "requests": 400, "unexpected": 400, "every_s": 10.0},
        {LOG},
    ),
    "all are closed between messages": (
        ALL_LATER | {"lost_between_s": AFTER_A_WHILE, "requests": 3000, "answers": 3000, "every_s": 0.1},
        {LOG},
    ),
    "all are closed after a while": (ALL_LATER | {"lost_between_s": AFTER_A_WHILE}, {IDLE}),
    "all are closed in the pause between messages": (
        ALL_LATER | {"lost_between_s": AFTER_A_WHILE, "requests": 1000, "answers": 1000, "every_s": 10.0},
        {IDLE},
    ),
    "the network failed": (CLOSED | {"lost_by": {"ETIMEDOUT": 400}, "lost_between_s": SOON}, {LOG}),
}


def lost(name: str, **changed: Any) -> HoldRecord:
    queue = AcceptQueue("127.0.0.1:8000", 0, 4096, 812, name)
    count = changed["open_at_end"]
    seen = Witness(count, count, count, "sock_diag", count, count, (queue,))
    return hold_record(**{"elapsed_s": 0.1, "every_s": None} | changed, census=seen, census_at_end=seen)


def named(record: HoldRecord) -> set[str]:
    said = record.outcome.says.partition("(812) ")[2]
    return {what for what in (LIMIT, IDLE, LOG) if what in said}


@pytest.mark.parametrize(("changed", "expected"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("name", [name for name, settings in SERVERS.items() if not settings.waits and settings.idle])
def test_a_limit_or_a_timeout_is_named_only_where_it_fits(
    name: str, changed: dict[str, Any], expected: set[str]
) -> None:
    assert named(lost(name, **changed)) == expected


@pytest.mark.parametrize("name", [name for name, settings in SERVERS.items() if settings.waits])
def test_a_server_that_lets_others_wait_at_its_limit_does_not_close_them(name: str) -> None:
    assert named(lost(name, **CLOSED, lost_between_s=SOON)) == {LOG}


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("accepted", [0, 600])
def test_connections_in_the_accept_queue_are_above_the_limit_of_a_server_that_lets_them_wait(
    name: str, accepted: int
) -> None:
    """A server that accepted none of them is not at its limit: it hangs."""
    queue = AcceptQueue("127.0.0.1:8000", 1000 - accepted, 4096, 812, name)
    record = hold_record(census_at_end=Witness(1000, 1000, accepted, "sock_diag", 1000, 1000, (queue,)))

    assert (LIMIT in record.outcome.says) == (SERVERS[name].waits and accepted > 0)
    assert "limits --pid 812" in record.outcome.says
