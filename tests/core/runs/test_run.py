"""A run: steps, then a record; it can be stopped, and then has none."""

from collections.abc import Generator

import pytest

from fourtuple.core.runs.run import Run


class Counted:
    """A run of three steps, which says whether it was ended cleanly."""

    def __init__(self) -> None:
        self.begun = self.ended = False

    def steps(self) -> Generator[int, None, str]:
        self.begun = True
        try:
            yield from range(3)
        finally:
            self.ended = True
        return "over"


def test_steps_come_in_order_and_then_the_record() -> None:
    run = Run(Counted().steps())

    assert list(run) == [0, 1, 2]
    assert run.record == "over"
    assert list(run) == []
    assert run.record == "over"


def test_nothing_happens_before_the_first_step_is_asked_for() -> None:
    counted = Counted()
    run = Run(counted.steps())

    assert not counted.begun
    assert run.finish() == "over"


def test_finish_takes_the_steps_that_are_left() -> None:
    run = Run(Counted().steps())

    assert next(run) == 0
    assert run.finish() == "over"


def test_leaving_the_block_stops_it_cleanly_and_there_is_no_record() -> None:
    counted = Counted()
    with Run(counted.steps()) as run:
        next(run)

    assert counted.ended
    with pytest.raises(RuntimeError):
        run.record  # noqa: B018
    with pytest.raises(RuntimeError):
        run.finish()


def test_an_error_of_a_step_is_passed_on() -> None:
    def broken() -> Generator[int, None, str]:
        yield 1
        raise OSError(99, "no")

    run = Run(broken())
    with pytest.raises(OSError, match="no"):
        run.finish()
    with pytest.raises(RuntimeError):
        run.finish()
