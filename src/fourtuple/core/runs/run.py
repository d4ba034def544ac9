"""A run: a process in steps that gives a record at its end."""

from collections.abc import Generator, Iterator
from types import TracebackType
from typing import Generic, TypeVar

from fourtuple.core.backports import Self

Step = TypeVar("Step", covariant=True)
Record = TypeVar("Record", covariant=True)


class Run(Generic[Step, Record]):
    """Steps to iterate over, and a `record` after the last one.

        with hold(1000, ["127.0.0.1:8000"]) as run:
            for sample in run:
                print(sample.open)
        print(run.record.held)

    Nothing happens between two steps: a run continues when its next step is requested. Leaving the `with` block, or
    `close()`, stops it cleanly before its end.
    """

    def __init__(self, steps: Generator[Step, None, Record]) -> None:
        """Nothing happens before the first step is requested.

        steps: yields each step and returns the record
        """
        self._steps = steps
        self._over = False  # the run has ended, was stopped, or failed
        self._record: list[Record] = []  # one element once the run has ended

    def __iter__(self) -> Iterator[Step]:
        return self

    def __next__(self) -> Step:
        try:
            return next(self._steps)
        except StopIteration as end:
            if not self._over:
                self._record.append(end.value)
            self._over = True
            raise StopIteration from None
        except BaseException:
            self._over = True
            raise

    @property
    def record(self) -> Record:
        """The record. Raises RuntimeError if the run has not ended."""
        if not self._record:
            raise RuntimeError("the run has not ended, or was stopped: it has no record")
        return self._record[0]

    def finish(self) -> Record:
        """Take all remaining steps → the record."""
        for _ in self:
            pass
        return self.record

    def close(self) -> None:
        """Stop the run if it has not ended."""
        self._over = True
        self._steps.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
