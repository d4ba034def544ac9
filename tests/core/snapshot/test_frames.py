"""A recording: its moments, whatever it was cut at."""

from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.errors import UsageError
from fourtuple.core.snapshot.coding import decode, encode
from fourtuple.core.snapshot.frames import at_or_before, framed, frames_of, parse_time
from fourtuple.core.snapshot.records import Snapshot

NOON_S = datetime(2026, 1, 2, 12, tzinfo=timezone.utc).timestamp()
TIMES = [NOON_S, NOON_S + 10, NOON_S + 20]
PARTS = [framed(at_s, encode(Snapshot(at_s, host="web1"))) for at_s in TIMES]
WHOLE = b"".join(PARTS)


def test_each_moment_is_found_and_read() -> None:
    frames = frames_of(WHOLE)

    assert [frame.at_s for frame in frames] == TIMES
    assert [decode(WHOLE[frame.start : frame.stop]).at_s for frame in frames] == TIMES


@given(st.integers(0, len(WHOLE)))
def test_wherever_it_was_cut_the_whole_frames_are_there(length: int) -> None:
    """The recorder may be killed at any moment, and read at any moment."""
    ends = [len(b"".join(PARTS[:count])) for count in range(len(PARTS) + 1)]

    assert len(frames_of(WHOLE[:length])) == sum(end <= length for end in ends[1:])


@given(st.binary(max_size=300))
def test_other_content_has_no_frames(content: bytes) -> None:
    """And what follows the last whole frame does not matter."""
    assert frames_of(WHOLE + content)[:3] == frames_of(WHOLE)
    assert frames_of(encode(Snapshot(1.0))) == []


@pytest.mark.parametrize(
    ("time", "found_s"),
    [
        (None, 20),
        ("12:00", 0),
        ("12:00:10", 10),
        ("12:00:19", 10),
        ("2026-01-02T12:00:15", 10),
        ("2026-01-02T13:00:15+01:00", 10),
        ("2026-01-03", 20),
        ("-5s", 10),
        ("-0s", 20),
    ],
)
def test_a_time_means_the_last_moment_that_is_not_later(time: str | None, found_s: int) -> None:
    assert at_or_before(frames_of(WHOLE), time).at_s == NOON_S + found_s


@pytest.mark.parametrize("time", ["11:59", "12:01", "-1h", "2025-01-01"])
def test_a_time_before_the_first_says_when_it_was_recorded(time: str) -> None:
    """12:01 is after the last moment, so it means that of the day before."""
    with pytest.raises(UsageError, match="recorded from 2026-01-02 12:00:00 UTC to 2026-01-02 12:00:20 UTC"):
        at_or_before(frames_of(WHOLE), time)


@pytest.mark.parametrize("time", ["", "noon", "25:00", "12:60", "-x", "2026-13-01", "-"])
def test_what_is_no_time_is_said(time: str) -> None:
    with pytest.raises(UsageError):
        parse_time(time, NOON_S)
