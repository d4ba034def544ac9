"""Samples of machines as one: whoever's workers are put together in whatever groups, the sum is that of all workers."""

from dataclasses import fields, replace
from functools import reduce
from ipaddress import IPv4Address

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.runs.counters import COUNTERS, MOST_STAGES, TABLE, Counters, Phase
from fourtuple.core.runs.records import Event, Sample, Seen, Witness
from fourtuple.core.runs.together import NOT_TRIED, counts, gone, not_reopened, reports, together, witnesses
from fourtuple.core.space.endpoints import Endpoint, FourTuple

MOST = 10**9
HERE = IPv4Address("127.0.0.1")
SEEDS = st.integers(0, 2**32 - 1)


def rows_of(seed: int, count: int) -> Counters:
    """Rows of workers with values everywhere: of a counter with many places, in a few of them."""
    random = np.random.default_rng(seed)
    rows = np.zeros(count, COUNTERS)
    for each in TABLE:
        if each.size == 1:
            rows[each.name] = random.integers(0, MOST, count)
        else:
            rows[each.name][:, random.integers(0, each.size, 3)] = random.integers(0, 1000, (count, 3))
    rows["phase"], rows["stage"] = random.integers(0, 4, count), random.integers(0, MOST_STAGES, count)
    rows["stage_open"] = random.integers(0, MOST, (count, MOST_STAGES))
    rows["first_start_ns"][random.random(count) < 0.3] = 0  # has not started
    rows["reasons"] = 0
    rows["last_words"] = 0
    if count > 1:
        rows["last_words"][1].view(np.uint8)[:5] = np.frombuffer(b"sorry", np.uint8)
    return rows


def assert_same(one: Sample, other: Sample) -> None:
    """All fields are equal, floats in the digits that are kept."""
    for each in fields(Sample):
        a, b = getattr(one, each.name), getattr(other, each.name)
        if isinstance(a, np.ndarray):
            assert np.array_equal(a, b), each.name
        elif isinstance(a, float):
            assert a == pytest.approx(b, abs=2e-6), each.name
        else:
            assert a == b, each.name


@given(SEEDS, st.lists(st.integers(1, 3), min_size=1, max_size=5))
def test_the_parts_are_the_whole(seed: int, sizes: list[int]) -> None:
    """Samples of parts of the rows make the sample of all rows, in every field."""
    rows = rows_of(seed, sum(sizes))
    parts = np.split(rows, np.cumsum(sizes)[:-1])

    assert_same(together([Sample.of(part, 7) for part in parts]), Sample.of(rows, 7))


@given(SEEDS, st.integers(2, 5))
def test_groups_do_not_matter(seed: int, count: int) -> None:
    samples = [Sample.of(rows_of(seed + number, 2), number) for number in range(count)]
    whole = together(samples)

    assert_same(whole, reduce(lambda one, other: together([one, other]), samples))
    assert_same(whole, together([samples[0], together(samples[1:])]))
    assert_same(whole, together([together([each]) for each in samples]))


@given(SEEDS, st.integers(2, 5))
def test_the_order_does_not_matter(seed: int, count: int) -> None:
    """Except for which of several last words are kept, and the order of events."""
    samples = [replace(Sample.of(rows_of(seed + n, 2), n), last_words=b"") for n in range(count)]

    assert_same(together(samples), together(samples[::-1]))


def test_nothing_is_no_sample() -> None:
    with pytest.raises(ValueError, match="no sample"):
        together([])


def test_reasons_events_and_last_words() -> None:
    """Reasons are added up by words, events stay in the order of the machines, and the first words are kept."""
    tuples = [FourTuple(Endpoint(HERE, port), Endpoint(HERE, 80)) for port in (1, 2)]
    one, two = (
        replace(
            Sample.of(np.zeros(1, COUNTERS), 1),
            reasons={"status 503": 2, words: 1},
            events=(Event("connected", where),),
            last_words=words.encode(),
        )
        for words, where in zip(("bye", "sorry"), tuples, strict=True)
    )
    found = together([one, two])

    assert found.reasons == {"status 503": 4, "bye": 1, "sorry": 1}
    assert [event.four_tuple for event in found.events] == tuples
    assert found.last_words == b"bye"


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_what_one_kernel_does_not_report_is_not_known_of_all(missing: int) -> None:
    seen: list[Seen | None] = [Seen(10, 1000, {"TCPSynRetrans": 3}, 5)] * 3
    census: list[Witness | None] = [Witness(10, 9, 8, "sock_diag", 10, 11)] * 3

    assert reports(seen) == Seen(30, 3000, {"TCPSynRetrans": 9}, 15)
    assert witnesses(census) == Witness(30, 27, 24, "sock_diag", 30, 33)
    seen[missing] = census[missing] = None
    assert (reports(seen), witnesses(census)) == (None, None)


def test_a_number_that_one_kernel_does_not_report_is_not_known() -> None:
    known, unknown = Witness(10, 9, 8, "sock_diag", 10, 11), Witness(5, None, None, "/proc/net/tcp, sock_diag")

    assert witnesses([known, unknown]) == Witness(15, None, None, "sock_diag, /proc/net/tcp")
    assert reports([Seen(1, None, {}), Seen(2, 3, {"a": 1})]) == Seen(3, None, {"a": 1}, None)


@given(st.lists(st.dictionaries(st.sampled_from("abcd"), st.integers(0, 5)), max_size=4))
def test_counts_are_sums_without_zeros_the_largest_first(several: list[dict[str, int]]) -> None:
    found = counts(several)

    assert all(found.get(name, 0) == sum(each.get(name, 0) for each in several) for name in "abcd")
    assert all(found.values())
    assert list(found) == sorted(found, key=lambda name: (-found[name], name))


@given(SEEDS, st.booleans())
def test_what_a_machine_had_open_is_lost_when_it_is_gone(seed: int, untried: bool) -> None:
    """Nothing is open any more, the loss has a name, and what was not tried has failed, if nobody else will try."""
    last = Sample.of(rows_of(seed, 2), 7)
    end = gone(last, untried=untried)
    missing = max(0, last.wanted - last.opened - sum(last.failed.values())) if untried else 0

    assert (end.open, end.opening, end.greeting, end.phase) == (0, 0, 0, Phase.CLOSED)
    assert end.lost == last.lost + last.open
    assert sum(end.lost_by.values()) == sum(last.lost_by.values()) + last.open
    assert sum(end.failed.values()) == sum(last.failed.values()) + missing
    assert (end.wanted, end.opened, end.closed) == (last.wanted, last.opened, last.closed)
    assert end.failed.get(NOT_TRIED, 0) == last.failed.get(NOT_TRIED, 0) + missing


@given(SEEDS, SEEDS)
def test_a_machine_that_is_gone_holds_up_nothing(seed: int, other: int) -> None:
    """Phase, stage and identification are those of the machines that are there."""
    last, living = Sample.of(rows_of(seed, 2), 7), Sample.of(rows_of(other, 2), 8)
    found = together([gone(last, untried=True), living])

    assert (found.phase, found.stage, found.identified) == (living.phase, living.stage, living.identified)
    assert len(found.stage_open) == len(living.stage_open)


@given(st.dictionaries(st.sampled_from("abc"), st.integers(1, 9)), st.integers(-3, 30))
def test_failures_that_are_failures_to_reopen(failed: dict[str, int], number: int) -> None:
    """None is added or forgotten, under no name."""
    before = replace(Sample.of(np.zeros(1, COUNTERS), 1), failed=failed, reconnect_failed={"a": 2})
    after, left = not_reopened(before, number)

    assert counts([after.failed, after.reconnect_failed]) == counts([before.failed, before.reconnect_failed])
    assert sum(failed.values()) - sum(after.failed.values()) == max(0, number) - left
    assert not left or not after.failed
