"""How tests wait: for the thing itself, with a deadline that only something broken will meet."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeVar

T = TypeVar("T")

PATIENCE_S = 120  # for what takes a moment, on a machine that is slow and does other things, too
COMMAND_S = 500  # for a whole command, some of which take many seconds when nothing else is done
POLL_S = 0.01


def wait_until(condition: Callable[[], T], timeout_s: float = PATIENCE_S) -> T:
    """What the condition gives as soon as that is true, or in the end: `assert wait_until(…)`."""
    until_s = time.monotonic() + timeout_s
    while not (found := condition()) and time.monotonic() < until_s:
        time.sleep(POLL_S)
    return found


def lines_until(stream: IO[str] | None, words: str, times: int = 1) -> list[str]:
    """Read until so many lines with these words have come → all lines. Read the rest from the stream itself."""
    assert stream is not None
    lines: list[str] = []
    for line in stream:
        lines.append(line)
        print(line, end="")  # shown by pytest if the words never come
        times -= words in line
        if not times:
            return lines
    raise AssertionError(f"it ended without {words!r}: {''.join(lines)}")


def has_gone_on(pid: int, sleeps: int = 2) -> Callable[[], bool]:
    """Has that process, since this call, slept and been woken so often? A signal that came before has been handled."""

    def counted() -> int:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("voluntary_ctxt_switches")).split()[1])

    before = counted()
    return lambda: counted() >= before + sleeps
