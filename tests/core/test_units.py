"""What is printed can be typed in again, and what cannot be read says how to write it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core import units
from fourtuple.core.errors import UsageError


@given(st.integers(0, 10**15))
def test_a_count_reads_back_exactly(value: int) -> None:
    assert units.parse_count(units.format_count(value)) == value


@given(st.floats(1e-9, 3e6))
def test_a_duration_reads_back_to_three_digits(seconds: float) -> None:
    assert units.parse_duration(units.format_duration(seconds)) == pytest.approx(seconds, rel=6e-3)


@given(st.integers(1, 2**50))
def test_a_size_reads_back_to_three_digits(size_bytes: int) -> None:
    assert units.parse_size(units.format_size(size_bytes)) == pytest.approx(size_bytes, rel=6e-3, abs=1)


@pytest.mark.parametrize(
    ("text", "value"), [("1M", 10**6), ("20k", 20_000), ("1.5k", 1500), ("100,000", 100_000), ("1_000", 1000), ("7", 7)]
)
def test_counts(text: str, value: int) -> None:
    assert units.parse_count(text) == value


@pytest.mark.parametrize(("text", "seconds"), [("3s", 3), ("500ms", 0.5), ("2m", 120), ("1h", 3600), ("18µs", 18e-6)])
def test_durations(text: str, seconds: float) -> None:
    assert units.parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(("text", "per_s"), [("20k/s", 20_000), ("500", 500), ("0.5/s", 0.5)])
def test_rates(text: str, per_s: float) -> None:
    assert units.parse_rate(text) == per_s


@pytest.mark.parametrize(("text", "size"), [("64KiB", 65_536), ("512B", 512), ("2GiB", 2**31)])
def test_sizes(text: str, size: int) -> None:
    assert units.parse_size(text) == size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 ns"),
        (18e-6, "18 µs"),
        (0.051, "51 ms"),
        (0.055, "55 ms"),
        (0.9996, "1 s"),
        (2.336, "2.34 s"),
        (59.97, "60 s"),
        (93, "93 s"),
        (690, "11.5 m"),
    ],
)
def test_a_duration_is_short_to_read(seconds: float, text: str) -> None:
    assert units.format_duration(seconds) == text


@pytest.mark.parametrize("text", ["", "k", "-5", "1K", "1.2345k", "ten", "1e6", "5 5"])
def test_a_bad_count_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        units.parse_count(text)

    assert repr(text) in caught.value.wanted


@pytest.mark.parametrize("text", ["3", "3 sec", "s", "-1s"])
def test_a_duration_needs_its_unit(text: str) -> None:
    with pytest.raises(UsageError, match="500ms, 3s, 2m"):
        units.parse_duration(text)


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="'0/s'"):
        units.parse_rate("0/s")


@pytest.mark.parametrize(
    ("per_s", "shown"),
    [(0.5, "0.5/s"), (0.667, "0.67/s"), (1.0, "1/s"), (8.33, "8.3/s"), (9.99, "10/s"), (62.5, "62/s"), (0.0, "0/s"),
     (0.001, "0.001/s"), (19_988.4, "19,988/s")],
)  # fmt: skip
def test_a_rate_below_ten_per_second_keeps_its_fraction(per_s: float, shown: str) -> None:
    """Half a connection per second is not none."""
    assert units.format_rate(per_s) == shown


def test_one_thing_is_not_things() -> None:
    assert (units.format_things(1, "message"), units.format_things(0, "message")) == ("1 message", "0 messages")
    assert (units.format_were(1, "SYN"), units.format_were(1200)) == ("1 SYN was", "1,200 were")
