"""When a hold is over, on a clock that the test sets."""

from dataclasses import replace

import pytest

from fourtuple.core.runs.counters import Phase
from fourtuple.core.runs.records import Sample
from fourtuple.core.talk.stages import parse_stages
from fourtuple.engine.control import Control
from fourtuple.verbs import agenda
from fourtuple.verbs.agenda import LATE_S, Agenda
from tests import made

S = 10**9


def begun(monkeypatch: pytest.MonkeyPatch, stages: str) -> Agenda:
    """Its stages begin at 0 s, and have been counted."""
    monkeypatch.setattr(agenda, "now_ns", lambda: 0)
    found = Agenda(made.options(stages=parse_stages(stages)), Control())
    found.counted(holding(23))
    return found


def holding(count: int) -> Sample:
    sample = next(iter(made.samples()))
    return replace(sample, phase=Phase.HOLDING, open=count, lost=0, failed={})


def test_what_the_last_stage_closes_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that a busy host lets run late may do its last part; one that never does, ends the run all the same."""
    found = begun(monkeypatch, "23@1s, 7@1s")
    for at_s, count, is_over in (
        (1.9, 7, False), (2.0, 23, False), (2.1 + LATE_S / 2, 8, False), (2.1 + LATE_S / 2, 7, True),
    ):  # fmt: skip
        monkeypatch.setattr(agenda, "now_ns", lambda at_s=at_s: int(at_s * S))
        assert found.is_over(holding(count)) is is_over

    found = begun(monkeypatch, "23@1s, 7@1s")
    monkeypatch.setattr(agenda, "now_ns", lambda: int((2 + LATE_S) * S))
    assert found.is_over(holding(23))


def test_what_is_missing_at_the_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    found = begun(monkeypatch, "23@1s, 40@1s")
    monkeypatch.setattr(agenda, "now_ns", lambda: 2 * S)
    assert found.is_over(holding(30))
