"""A worker counts by destination what became of each connect and each connection: exact numbers over a script."""

import errno

import pytest

from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.runs.counters import Counters
from fourtuple.core.runs.destinations import KINDS, PLACES
from fourtuple.core.space.endpoints import FourTuple
from tests.engine.scripted import Clock, Run, ScriptedLoop
from tests.engine.workloads.test_churn import a_churn, over
from tests.engine.workloads.test_hold import a_run, a_space, opened

STRATEGIES = [Strategy.LATE, Strategy.EXPLICIT]


def by_place(counters: Counters) -> dict[int, dict[str, int]]:
    """The counts of each place, such as {0: {"opened": 3, "failed ECONNREFUSED": 1}}."""
    table = counters["destinations"].reshape(len(KINDS), PLACES)
    found: dict[int, dict[str, int]] = {}
    for line, place in zip(*table.nonzero(), strict=True):
        found.setdefault(int(place), {})[" ".join(KINDS[line]).strip()] = int(table[line, place])
    return found


def refusing(port: int, number: int) -> ScriptedLoop:
    return ScriptedLoop(Clock(), answer=lambda n, t: number if t.destination.port == port else 0)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("number", [errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.EPERM])
def test_the_destination_that_refuses_is_the_one_that_is_counted(number: int, strategy: Strategy) -> None:
    """All failures are its own, and the others have all connections."""
    run = opened(a_run(997, refusing(81, number), strategy=strategy))
    name = errno.errorcode[number]
    found = by_place(run.counters)

    assert found[1] == {f"failed {name}": run.failed()[name]}
    assert found[0]["opened"] + found[2]["opened"] == run.counters["open"] == 997 - run.failed()[name]


def test_a_silent_destination_fails_with_a_timeout() -> None:
    run = opened(a_run(23, refusing(80, errno.EINPROGRESS)))

    assert by_place(run.counters)[0] == {"failed ETIMEDOUT": run.failed()["ETIMEDOUT"]}


def test_what_is_tried_elsewhere_and_what_ends_the_process_is_nobodys_failure() -> None:
    full = opened(a_run(23, refusing(81, errno.EADDRNOTAVAIL)))
    out_of_files = opened(a_run(23, refusing(81, errno.EMFILE)))

    assert {*by_place(full.counters)} == {0, 2}
    assert full.counters["open"] == 23
    assert out_of_files.failed()["EMFILE"] > 0
    assert 1 not in by_place(out_of_files.counters)


def test_losses_and_reopening_are_counted_where_they_happen() -> None:
    """Slots 0, 1, 2 go to 80, 81, 82: the second is closed by its peer, refused twice, and opened again."""
    loop = ScriptedLoop(Clock())
    run = opened(a_run(3, loop, reconnect=True))
    lost_ns = loop.clock.ns
    loop.answer = lambda n, t: errno.ECONNREFUSED if loop.clock.ns < lost_ns + 2_000_000_000 else 0
    loop.incoming = {1: [b""], 2: [errno.ECONNRESET]}
    run.until(lambda: run.counters["reconnected"] == 2)

    assert by_place(run.counters) == {
        0: {"opened": 1},
        1: {"opened": 2, "failed ECONNREFUSED": 2, "lost FIN": 1},
        2: {"opened": 2, "failed ECONNREFUSED": 2, "lost ECONNRESET": 1},
    }


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_churn_counts_each_connection_once(strategy: Strategy) -> None:
    """Of three destinations in turn, one refuses every connect."""
    run = over(a_churn(refusing(82, errno.ECONNREFUSED), run_s=3.0, strategy=strategy))
    found = by_place(run.counters)

    assert found[2] == {"failed ECONNREFUSED": run.failed()["ECONNREFUSED"]}
    assert found[0]["opened"] + found[1]["opened"] == run.counters["opened"] > 0


def test_very_many_destinations_share_places() -> None:
    """3,000 ports: each event is counted once, at the place of its destination."""
    space = a_space(ports=100, ends="10.0.0.9:1-3000")

    def answer(_: int, four_tuple: FourTuple) -> int:
        return errno.ECONNREFUSED if four_tuple.destination.port == 3000 else 0

    run: Run = opened(a_run(6000, ScriptedLoop(Clock(), answer=answer), space))
    found = by_place(run.counters)

    assert found[PLACES - 1]["failed ECONNREFUSED"] == run.failed()["ECONNREFUSED"] >= 1
    assert sum(each.get("opened", 0) for each in found.values()) == run.counters["opened"]
