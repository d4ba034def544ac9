"""Predictions with room: what meets them, and that they survive JSON."""

from dataclasses import asdict
from typing import Any

import pytest

from fourtuple.core.runs.proof import Expected, differing


@pytest.mark.parametrize(
    ("expected", "met", "not_met"),
    [
        (Expected(least=5, unit="×"), (5, 69.5), (4.9, 0)),
        (Expected(most=3, unit="×"), (0.9, 3), (3.1,)),
        (Expected.near(200, 0.25, "B"), (150, 200, 250), (149, 251, 0)),
    ],
)
def test_a_prediction_is_met_within_its_bounds(
    expected: Expected, met: tuple[float, ...], not_met: tuple[float, ...]
) -> None:
    assert [expected.meets(each) for each in met] == [True] * len(met)
    assert [expected.meets(each) for each in not_met] == [False] * len(not_met)


@pytest.mark.parametrize("observed", [None, "69.5 ×", [5], float("nan")])
def test_what_is_no_number_meets_no_prediction(observed: Any) -> None:
    assert not Expected(least=0, most=100).meets(observed)


def test_the_same_differs_before_and_after_json() -> None:
    """Exact values must be equal, numbers that vary within their bounds, and what was not observed differs."""
    predicted = {"ports": [7777], "ratio": Expected(least=5), "bytes": Expected.near(168, 0.03, "B"), "held": 5}
    observed = {"ports": [7777], "ratio": 69.5, "bytes": 200.0}
    written = {name: asdict(each) if isinstance(each, Expected) else each for name, each in predicted.items()}

    assert differing(predicted, observed) == differing(written, observed) == ["bytes", "held"]
    assert differing(predicted, observed | {"bytes": 170, "held": 5}) == []
