"""`serve` before and after: options are refused before anything listens, and its record is made of its last sample."""

import numpy as np
import pytest

from fourtuple.core.errors import UsageError
from fourtuple.core.runs.counters import COUNTERS, Phase
from fourtuple.core.runs.loop_name import LoopName
from fourtuple.core.runs.orders import ServeOptions, ServeOrder, Watch
from fourtuple.core.runs.records import Sample
from fourtuple.verbs.serve import ServeEnding, _full, conclude, prepare
from tests import made


def order() -> ServeOrder:
    asked = ServeOptions(("127.0.0.1:8000",))
    return ServeOrder(asked, made.start("serve", wanted=None), LoopName.RING, "io_uring", 1, 2**22, made.order().free)


def last(**counts: int) -> Sample:
    row = np.zeros(1, COUNTERS)
    row["phase"] = Phase.CLOSED
    for name, number in counts.items():
        row[name] = number
    return Sample.of(row, at_ns=made.BEGAN_NS + 2_500_000_000)


def test_the_record_is_of_the_last_sample_and_of_the_most_that_were_open() -> None:
    sample = last(opened=23, closed=4, lost=19, received_bytes=230, greeted=23, open_at_end=7)
    moved = {"ListenOverflows": 3}
    found = conclude(order(), ServeEnding(sample, 17, 0, moved, 3, interrupted=True, workers_killed=0))

    assert (found.accepted, found.closed, found.lost, found.greeted) == (23, 4, 19, 23)
    assert (found.open, found.most_open, found.listen_overflows) == (7, 17, 3)
    assert (found.elapsed_s, found.interrupted, found.listening) == (2.5, True, ("127.0.0.1:8000",))


@pytest.mark.parametrize(
    "options",
    [
        ServeOptions(()),
        ServeOptions(("127.0.0.1:8000",), backlog=-1),
        ServeOptions(("127.0.0.1:8000",), echo=True, watch=Watch.CENSUS),
    ],
)
def test_options_that_cannot_be_meant_are_refused_before_anything_listens(options: ServeOptions) -> None:
    with pytest.raises(UsageError):
        prepare(options)


@pytest.mark.parametrize(
    ("open_", "capacity", "is_full"), [(0, 0, False), (75, 100, True), (74, 100, False), (95_904, 100_000, True)]
)
def test_more_workers_come_a_little_before_all_are_full(open_: int, capacity: int, is_full: bool) -> None:
    """A quarter of the capacity before, and 4,096 connections at most."""
    assert _full(last(open=open_, capacity=capacity)) is is_full


def test_where_to_listen_can_be_short() -> None:
    options = ServeOptions.of(["8000", ":8001", "*:8002-8003", "127.0.0.2:8004"])

    assert options.where == ("127.0.0.1:8000", "0.0.0.0:8001", "0.0.0.0:8002-8003", "127.0.0.2:8004")
