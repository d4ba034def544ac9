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
    ("text", "value"),
    [("1M", 10**6), ("20k", 20_000), ("20K", 20_000), ("1.5k", 1500), ("100,000", 100_000), ("1_000", 1000), ("7", 7)],
)
def test_counts(text: str, value: int) -> None:
    assert units.parse_count(text) == value


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3s", 3),
        ("500ms", 0.5),
        ("2m", 120),
        ("1h", 3600),
        ("18µs", 18e-6),
        ("1m30s", 90),
        ("1h 1m 1s", 3661),
        ("1.5m500ms", 90.5),
    ],
)
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


@pytest.mark.parametrize("text", ["", "k", "-5", "1m", "1.2345k", "ten", "1e6", "5 5"])
def test_a_bad_count_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        units.parse_count(text)

    assert repr(text) in caught.value.wanted


@pytest.mark.parametrize(
    ("text", "hint"),
    [("3", "3s"), ("3 sec", "3s"), ("2min", "2m"), ("1.5 hours", "1.5h"), ("s", "3s"), ("-1s", "3s"), ("3d", "h")],
)
def test_a_duration_needs_its_unit(text: str, hint: str) -> None:
    """The error says how to write what was probably meant."""
    with pytest.raises(UsageError) as caught:
        units.parse_duration(text)

    assert repr(text) in caught.value.wanted
    assert hint in caught.value.do


@pytest.mark.parametrize("text", ["30s1m", "1m1m", "1m30", "1m 30", "1m-30s", "1h1x", f"{'1h' * 40}!"])
def test_a_time_of_several_parts_goes_from_large_to_small(text: str) -> None:
    with pytest.raises(UsageError):
        units.parse_duration(text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [("32GB", "32GiB"), ("5k", "5KiB"), ("7 bytes", "7B"), ("1.5mb", "1.5MiB"), ("32B", ""), ("ping", ""), ("5s", "")],
)
def test_a_size_with_another_unit_is_recognised(text: str, meant: str) -> None:
    assert units.size_meant(text) == meant


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
    several = [units.format_things(2000, thing) for thing in ("process", "address", "entry", "more route")]
    assert several == ["2,000 processes", "2,000 addresses", "2,000 entries", "2,000 more routes"]
    assert (units.format_were(1, "SYN"), units.format_were(1200)) == ("1 SYN was", "1,200 were")
