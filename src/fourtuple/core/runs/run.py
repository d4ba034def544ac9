"""A run: something that happens in steps, and has a record at its end."""

from collections.abc import Generator, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

Step = TypeVar("Step", covariant=True)
Record = TypeVar("Record", covariant=True)


class Run(Generic[Step, Record]):
    """Iterate over it to see its steps; `record` is there after the last one.

        with hold(1000, ["127.0.0.1:8000"]) as run:
            for sample in run:
                print(sample.open)
        print(run.record.held)

    Nothing happens between two steps: a run goes on when its next step is asked for. Leaving the `with` block, or
    `close()`, stops it cleanly before its end.
    """

    def __init__(self, steps: Generator[Step, None, Record]) -> None:
        """steps: yields each step and returns the record"""
        self._steps = steps
        self._over = False  # it has ended, was stopped, or failed
        self._record: list[Record] = []  # one, where it has come to its end

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
        """Raises RuntimeError where the run has not come to its end."""
        if not self._record:
            raise RuntimeError("the run has not ended, or was stopped: it has no record")
        return self._record[0]

    def finish(self) -> Record:
        """Take all steps that are left → the record."""
        for _ in self:
            pass
        return self.record

    def close(self) -> None:
        """Stop it, if it has not ended."""
        self._over = True
        self._steps.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
