"""How engine and kernel are brought to a final count, on a witness that the test controls; and on real sockets."""

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fourtuple.core.runs.counters import COUNTERS, Phase
from fourtuple.core.runs.orders import Watch
from fourtuple.core.runs.records import Sample, Witness
from fourtuple.engine.control import Control
from fourtuple.verbs.witness import Settling
from tests.conftest import COMMAND, Ground
from tests.waiting import PATIENCE_S


class Told:
    """A witness that counts what it is told; `distinguishes`: only the run's own sockets."""

    def __init__(self, *counts: int, distinguishes: bool = True) -> None:
        self.counts, self.distinguishes, self.looks = list(counts), distinguishes, 0

    def look(self) -> Witness:
        self.looks += 1
        return Witness(self.counts.pop(0) if len(self.counts) > 1 else self.counts[0], None, None, "sock_diag")

    def queues(self) -> tuple[()]:
        return ()


def sample(**counts: int) -> Sample:
    row = np.zeros(1, COUNTERS)
    row["phase"] = Phase.HOLDING
    for name, number in counts.items():
        row[name] = number
    return Sample.of(row, at_ns=1)


def settled(settling: Settling, control: Control, **counts: int) -> Witness | None:
    """The result of the steps that a count takes: ask, count, compare."""
    steps = (settling.step(replace(sample(**counts), identified=control.identifies)) for _ in range(3))
    return next(filter(None, steps), None)


def test_counts_that_agree_are_final() -> None:
    control, witness = Control(), Told(23)

    assert settled(Settling(witness, control, Watch.POLL), control, open=23) == Witness(  # type: ignore[arg-type]
        23, None, None, "sock_diag", 23, 23
    )
    assert witness.looks == 1


def test_nothing_is_counted_before_all_workers_have_said_which_sockets_are_theirs() -> None:
    control, witness = Control(), Told(23)
    settling = Settling(witness, control, Watch.POLL)  # type: ignore[arg-type]
    for _ in range(5):
        assert settling.step(sample(open=23)) is None

    assert witness.looks == 0


@pytest.mark.parametrize("watch", list(Watch))
def test_missing_ones_are_looked_for_and_then_counted_again(watch: Watch) -> None:
    """The kernel lists 20 of 23: without polls, the engine is asked to check; once it has noticed, both have 20."""
    control, witness = Control(), Told(20)
    settling = Settling(witness, control, watch)  # type: ignore[arg-type]

    assert settled(settling, control, open=23) is None
    assert control.looks == (0 if watch is Watch.POLL else 1)
    found = settled(settling, control, open=20, lost=3)
    assert found is not None
    assert (found.client, found.least, found.most) == (20, 20, 20)


def test_what_came_and_went_during_the_count_is_said() -> None:
    """23 open before the count; 5 of them were lost and 4 opened again until the next sample."""
    control = Control()
    settling = Settling(Told(20), control, Watch.POLL)  # type: ignore[arg-type]
    settling.step(sample(open=23))
    settling.step(replace(sample(open=23), identified=control.identifies))
    control.interrupted = True
    found = settling.step(replace(sample(open=22, lost=5, reconnected=4), identified=control.identifies))

    assert found is not None
    assert (found.least, found.most) == (18, 27)


def test_a_run_that_reopens_waits_until_all_are_open() -> None:
    control = Control()
    settling = Settling(Told(20, 23), control, Watch.POLL, wanted=23)  # type: ignore[arg-type]

    assert settled(settling, control, open=20) is None
    assert settled(settling, control, open=23) is not None


def test_six_runs_at_once_to_one_target_all_agree(ground: Ground) -> None:
    """Each counts its own sockets, whatever the others open and close in the same tuple space meanwhile."""
    with ground.serving("127.0.0.1:7777"):
        runs = [
            ground.lab.start(
                [*COMMAND, "hold", "200", "127.0.0.1:7777", "--for", "300ms", "--json", "--no-store", *more],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            )
            for more in ([], ["--watch", "census"], ["--watch", "off"], ["--workers", "2"], [], ["--watch", "census"])
        ]  # fmt: skip
        records: list[dict[str, Any]] = [json.loads(run.communicate(timeout=PATIENCE_S)[0]) for run in runs]

    assert [record["outcome"]["says"] for record in records if not record["outcome"]["reached"]] == []
    assert [(record["census"]["client"], record["census_at_end"]["server"]) for record in records] == [(200, 200)] * 6
    assert [record["left"] for record in records] == [0] * 6


# Accepts all; those after the first 20 get a line and a FIN, as redis, memcached and node do at their own limit.
RUDE = """
import socket, sys
server = socket.create_server(("127.0.0.1", 7777), backlog=4096)
print("ready", flush=True)
kept = []
while True:
    peer, _ = server.accept()
    if len(kept) < 20:
        kept.append(peer)
    else:
        peer.sendall(b"-ERR too many\\r\\n")
        peer.close()
"""


@pytest.mark.parametrize("watch", list(Watch))
@pytest.mark.parametrize("time", ["0s", "300ms"])
def test_data_and_fin_while_opening_are_noticed_in_every_way_of_watching(
    ground: Ground, watch: Watch, time: str
) -> None:
    """Held is what the kernel counts, also where the run ends at once."""
    server = ground.lab.start([sys.executable, "-c", RUDE], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        assert server.stdout.readline() == "ready\n"
        done = ground.fourtuple("hold", "97", "127.0.0.1:7777", "--for", time, "--watch", watch, "--json")
    finally:
        server.kill()
        server.communicate()
    record = json.loads(done.stdout)

    assert done.returncode == 1
    assert (record["held"], record["census"]["client"], record["open_at_end"]) == (20, 20, 20)
    assert (record["lost"], record["lost_by"]) == (77, {"FIN": 77})
    assert record["last_words"] == "-ERR too many"
    assert record["outcome"]["because"] == ["lost"]
