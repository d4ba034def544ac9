"""Stages say exactly how many connections are to be open at any time, and when that changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.errors import UsageError
from fourtuple.core.talk.stages import Ramp, Stages, parse_stages

S = 10**9
RAMPS = st.lists(st.builds(Ramp, st.integers(0, 30), st.integers(0, 40)), min_size=1, max_size=5)


def test_a_text_is_ramps_from_zero() -> None:
    stages = parse_stages("10k@10s, 100k@60s,100,000@5m , 0@20s")

    assert stages.ramps == (Ramp(10_000, 10 * S), Ramp(100_000, 60 * S), Ramp(100_000, 300 * S), Ramp(0, 20 * S))
    assert (stages.most, stages.total_ns) == (100_000, 390 * S)
    assert str(stages) == "10,000 after 10 s, 100,000 after 60 s, 100,000 after 300 s, 0 after 20 s"
    seconds = (-1, 0, 5, 10, 40, 70, 200, 370, 380, 390, 400)
    assert [stages.target(second * S) for second in seconds] == [
        0, 0, 5_000, 10_000, 55_000, 100_000, 100_000, 100_000, 50_000, 0, 0,
    ]  # fmt: skip


def test_a_ramp_without_time_is_a_jump() -> None:
    stages = parse_stages("5@0s,5@10s,2@0s,2@1s")

    assert [stages.target(at) for at in (0, 10 * S - 1, 10 * S)] == [5, 5, 2]
    assert stages.changes_ns(-1) == 0
    assert stages.changes_ns(0) == 10 * S
    assert stages.changes_ns(10 * S) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "'' is not N@TIME"),
        ("10k", "'10k' is not N@TIME"),
        ("10k@1s, 5", "'5' is not N@TIME"),
        ("10k@1s 5@2s", "is not N@TIME"),
        ("10k@1s;5@2s", "is not N@TIME"),
        ("@1s", "'': it is not a count"),
        ("1.5@1s", "not a whole number"),
        ("5@", "'': it is not a time"),
        ("5@5", "'5': it has no unit"),
        ("-5@5s", "'-5': it is negative"),
        ("0@5s", "no stage has a connection"),
        ("5@0s", "no time"),
        ("5@900000000s,5@900000000s", "31 years"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_stages(text)

    assert why in caught.value.stopped_by
    assert "10k@10s" in caught.value.do


@given(RAMPS, st.integers(0, 250))
def test_the_target_is_on_the_line_between_two_ramps(ramps: list[Ramp], at: int) -> None:
    """Rounded towards where the ramp comes from, and exact at its end."""
    stages = Stages(tuple(ramps))
    before, begin = 0, 0
    for ramp in ramps:
        if begin <= at < begin + ramp.within_ns:
            exact = before + (ramp.target - before) * (at - begin) / ramp.within_ns
            assert abs(stages.target(at) - exact) < 1
            assert min(before, ramp.target) <= stages.target(at) <= max(before, ramp.target)
        before, begin = ramp.target, begin + ramp.within_ns
    assert stages.target(begin) == before
    assert stages.target(begin + 1) == before


@given(RAMPS, st.integers(-2, 250))
def test_the_next_change_is_the_first_time_with_another_target(ramps: list[Ramp], at: int) -> None:
    stages = Stages(tuple(ramps))
    found = stages.changes_ns(at)
    later = range(at, stages.total_ns + 2)
    other = next((time for time in later if stages.target(time) != stages.target(at)), None)

    if any(ramp.within_ns == 0 for ramp in ramps):  # a jump may be followed by a jump back, which changes nothing
        assert found is None or other is None or found <= other
    else:
        assert found == other
