"""Messages over pipes: they keep their order, a reader that does not read stops nobody, and a cut stream ends."""

import io
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.fleet.channel import LENGTH_BYTES, MOST_BYTES, Channel, framed, frames
from tests.waiting import PATIENCE_S

PIPE_BYTES = 2**16  # of a pipe on Linux, pipe(7)


class Far:
    """The far end of a channel: what it reads, and what it writes."""

    def __init__(self) -> None:
        from_here, self._to = os.pipe()
        self._from, to_here = os.pipe()
        self._sink = os.fdopen(to_here, "wb")
        self._source = os.fdopen(from_here, "rb")
        self.channel = Channel(self._source, self._sink)
        self.reading: IO[bytes] = os.fdopen(self._from, "rb")
        self.writing: IO[bytes] = os.fdopen(self._to, "wb")

    def say(self, *messages: bytes) -> None:
        for message in messages:
            self.writing.write(framed(message))
        self.writing.flush()

    def end(self) -> None:
        for stream in (self.writing, self.reading):
            stream.close()
        self.channel.flush(PATIENCE_S)
        for stream in (self._source, self._sink):
            with suppress(OSError):  # what is still to be written
                stream.close()


@pytest.fixture
def far() -> Iterator[Far]:
    far = Far()
    yield far
    far.end()


@given(st.lists(st.binary(max_size=50)), st.integers(0, 60))
def test_messages_are_read_as_they_were_written_and_a_cut_stream_ends(messages: list[bytes], cut: int) -> None:
    """Cut off anywhere, the stream gives the whole messages before, and ends."""
    stream = b"".join(map(framed, messages))
    kept = stream[: max(0, len(stream) - cut)]
    found = list(frames(io.BytesIO(kept)))

    assert list(frames(io.BytesIO(stream))) == messages
    assert found == messages[: len(found)]
    assert len(kept) < sum(len(each) + LENGTH_BYTES for each in messages[: len(found) + 1]) or found == messages


def test_a_length_that_no_message_has_ends_the_stream() -> None:
    huge = (MOST_BYTES + 1).to_bytes(LENGTH_BYTES, "big")

    assert list(frames(io.BytesIO(framed(b"one") + huge + b"x" * 100))) == [b"one"]


def test_what_arrives_is_received_in_order_and_then_the_end(far: Far) -> None:
    assert far.channel.received() == b""
    far.say(b"one", b"two", b"")
    far.writing.close()

    assert [far.channel.received(PATIENCE_S) for _ in range(4)] == [b"one", b"two", b"", None]


def test_the_end_is_received_in_the_middle_of_a_message(far: Far) -> None:
    far.say(b"one")
    far.writing.write(framed(b"never whole")[:6])
    far.writing.close()

    assert [far.channel.received(PATIENCE_S) for _ in range(2)] == [b"one", None]


def test_a_reader_that_does_not_read_stops_nobody_and_gets_the_latest_sample(far: Far) -> None:
    """The pipe is full after the first message; of 1,000 samples only the last one is then sent, messages all."""
    full = b"f" * (2 * PIPE_BYTES)
    far.channel.send(full)
    for number in range(1000):
        far.channel.send_latest(b"sample %d" % number)
    far.channel.send(b"a message")
    for number in range(1000):
        far.channel.send_latest(b"later sample %d" % number)
    far.channel.send(b"the last one")
    far.channel.flush(0)  # does not wait
    found = list(_until(far, b"the last one"))

    assert found[0] == full
    assert found[-4:] == [b"sample 999", b"a message", b"later sample 999", b"the last one"]
    assert len(found) <= 6  # at most one sample was on its way before the pipe was full


def _until(far: Far, last: bytes) -> Iterator[bytes]:
    for message in frames(far.reading):
        yield message
        if message == last:
            return


def test_a_reader_that_is_gone_stops_nobody(far: Far) -> None:
    far.reading.close()
    for _ in range(100):
        far.channel.send(b"x" * PIPE_BYTES)
        far.channel.send_latest(b"x")
    far.channel.flush(PATIENCE_S)

    assert far.channel.received() == b""


def test_all_is_sent_before_the_end(far: Far) -> None:
    far.channel.send_latest(b"sample")
    far.channel.send(b"message")
    far.channel.send_latest(b"last sample")
    far.channel.flush(PATIENCE_S)

    assert list(_until(far, b"last sample"))[-2:] == [b"message", b"last sample"]
