"""Lifetimes are what was typed, and many of them have the mean and the quantiles that are known beforehand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.errors import UsageError
from fourtuple.core.talk.lifetime import Lifetime, Spreading, parse_lifetime

LIFETIMES = ["0s", "2s", "exp:2s", "exp:0s", "uniform:1s-5s", "uniform:500ms-500ms"]


def test_a_text_is_a_distribution() -> None:
    assert parse_lifetime("2s") == Lifetime(Spreading.FIXED, 2, 2)
    assert parse_lifetime("0s") == Lifetime(Spreading.FIXED, 0, 0)
    assert parse_lifetime("exp:1.5s") == Lifetime(Spreading.EXP, 1.5, 1.5)
    assert parse_lifetime("uniform:500ms - 5s") == Lifetime(Spreading.UNIFORM, 0.5, 5)
    assert parse_lifetime("uniform:1s-5s").mean_s == 3


@pytest.mark.parametrize("text", LIFETIMES)
def test_the_text_can_be_typed_again(text: str) -> None:
    assert parse_lifetime(str(parse_lifetime(text))) == parse_lifetime(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not a time"),
        ("2", "no unit"),
        ("-2s", "negative"),
        ("exp:", "not a time"),
        ("uniform:1s", "shortest and a longest"),
        ("uniform:5s-1s", "above the longest"),
        ("uniform:1s-2s-3s", "not a time"),
        ("gamma:2s", "'gamma' is not a distribution"),
        ("fixed:2s", "'fixed' is not a distribution"),
        ("9999999999s", "too long"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        parse_lifetime(text)

    assert "uniform:1s-5s" in caught.value.do


@pytest.mark.parametrize("text", LIFETIMES)
def test_many_lifetimes_have_the_known_mean_and_quantiles(text: str) -> None:
    """100,000 of one seed: within five standard errors, which are below 2 % of the mean."""
    lifetime = parse_lifetime(text)
    drawn_s = lifetime.draw_ns(np.random.default_rng(1), 100_000) / 1e9

    assert drawn_s.mean() == pytest.approx(lifetime.mean_s, rel=0.02)
    for share in (0.05, 0.25, 0.5, 0.9, 0.99):
        assert np.mean(drawn_s <= lifetime.quantile_s(share) + 1e-9) >= share - 0.01
        assert np.mean(drawn_s < lifetime.quantile_s(share) - 1e-9) <= share + 0.01


def test_the_quantiles_of_known_shares() -> None:
    assert parse_lifetime("exp:2s").quantile_s(0.5) == pytest.approx(2 * math.log(2))
    assert parse_lifetime("exp:2s").quantile_s(1) == math.inf
    assert parse_lifetime("exp:0s").quantile_s(1) == 0
    assert parse_lifetime("uniform:1s-5s").quantile_s(0.25) == 2
    assert parse_lifetime("2s").quantile_s(0) == parse_lifetime("2s").quantile_s(1) == 2
    with pytest.raises(ValueError, match="not a share"):
        parse_lifetime("2s").quantile_s(1.1)


@given(st.sampled_from(LIFETIMES), st.integers(0, 5), st.integers(0, 9))
def test_the_same_generator_gives_the_same_lifetimes(text: str, count: int, seed: int) -> None:
    lifetime = parse_lifetime(text)
    one, other = (lifetime.draw_ns(np.random.default_rng(seed), count) for _ in range(2))

    assert one.tolist() == other.tolist()
    assert len(one) == count
    assert one.dtype == np.int64
    assert (one >= 0).all()


def test_a_lifetime_is_at_most_the_longest_duration() -> None:
    lifetime = Lifetime(Spreading.EXP, 1e9, 1e9)

    assert lifetime.draw_ns(np.random.default_rng(1), 1000).max() == 10**18
