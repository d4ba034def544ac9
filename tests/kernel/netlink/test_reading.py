"""Streams that threads read arrive complete and in order, and leave no thread behind."""

import threading
from collections.abc import Iterable, Iterator

import pytest

from fourtuple.kernel.netlink.reading import as_they_come
from fourtuple.kernel.netlink.wire import BUFFERS
from tests.waiting import wait_until


def threads_have_ended() -> bool:
    return wait_until(lambda: all(each.name != "sock_diag" for each in threading.enumerate()))


def failing(numbers: Iterable[int], error: Exception) -> Iterator[int]:
    yield from numbers
    raise error


@pytest.mark.parametrize("sizes", [[], [0], [5], [0, 3], [40, 1, 7], [1] * 6])
def test_of_several_streams_everything_comes_in_the_order_of_each(sizes: list[int]) -> None:
    found = list(as_they_come([range(size) for size in sizes]))

    assert len(found) == sum(sizes)
    for number, size in enumerate(sizes):
        assert [item for stream, item in found if stream == number] == list(range(size))
    assert threads_have_ended()


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("after", [0, 1, 50])
def test_the_error_of_one_stream_is_raised_and_the_others_are_left(place: int, after: int) -> None:
    streams: list[Iterable[int]] = [iter(range(100)) for _ in range(3)]
    streams[place] = failing(range(after), ValueError("broken"))

    with pytest.raises(ValueError, match="broken"):
        list(as_they_come(streams))

    assert threads_have_ended()


@pytest.mark.parametrize("taken", [1, 2, 5])
def test_a_caller_that_leaves_early_leaves_no_thread(taken: int) -> None:
    """It also does not read the stream to its end, which may be far."""
    read = [0, 0]

    def stream(number: int) -> Iterator[int]:
        for item in range(1_000_000):
            read[number] += 1
            yield item

    items = as_they_come([stream(0), stream(1)])
    for _ in range(taken):
        next(items)
    items.close()  # type: ignore[attr-defined]

    assert threads_have_ended()
    assert max(read) < taken + 5


def test_a_stream_is_never_far_ahead_of_its_caller() -> None:
    """exchange() overwrites the item before the last BUFFERS - 1. The stream is read as far ahead as that allows."""
    read: list[int] = []
    ahead: list[int] = []
    taken = 0

    def stream() -> Iterator[int]:
        for item in range(20):
            read.append(item)
            ahead.append(item - taken)
            yield item

    for _, item in as_they_come([stream()]):
        expected = min(20, item + BUFFERS)
        assert wait_until(lambda expected=expected: len(read) >= expected)  # type: ignore[misc]
        taken = item + 1  # it is done with

    assert max(ahead) == BUFFERS - 1


def refuse(*_: object) -> None:
    raise RuntimeError("can't start new thread")


def test_without_threads_the_streams_come_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """pids.max or RLIMIT_NPROC can prevent threads."""
    monkeypatch.setattr(threading.Thread, "start", refuse)

    assert list(as_they_come(["ab", "", "c"])) == [(0, "a"), (0, "b"), (2, "c")]


def test_with_one_thread_only_the_rest_comes_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def once(thread: threading.Thread) -> None:
        if started:
            refuse()
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", once)

    assert list(as_they_come(["ab", "cd", "e"])) == [(0, "a"), (0, "b"), (1, "c"), (1, "d"), (2, "e")]
