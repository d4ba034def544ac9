"""Messages over a pair of pipes: what arrives is put into a queue, and a sample replaces one that was not yet sent.

So a reader that hangs never stops the run that writes. Each message is its length, as four bytes, and its bytes.
"""

import os
import queue
import threading
from collections.abc import Iterator
from typing import IO

LENGTH_BYTES = 4
MOST_BYTES = 2**28  # of a message: no order or record is larger


def framed(data: bytes) -> bytes:
    """The message with its length before it."""
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


def frames(stream: IO[bytes]) -> Iterator[bytes]:
    """The messages of a stream until it ends, or until it is cut off in the middle of one."""
    while len(head := stream.read(LENGTH_BYTES)) == LENGTH_BYTES:
        size = int.from_bytes(head, "big")
        if size > MOST_BYTES or len(data := stream.read(size)) < size:
            return
        yield data


class Channel:
    """The messages from a stream, and those to another one."""

    def __init__(self, source: IO[bytes], sink: IO[bytes]) -> None:
        self._source, self._sink = source, sink
        self._inbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._ready = threading.Condition()
        self._messages: list[bytes] = []
        self._sample: bytes | None = None
        self._over = False
        threading.Thread(target=self._read, daemon=True).start()
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._writer.start()

    def received(self, wait_s: float | None = 0.0) -> bytes | None:
        """The next message, or None once the stream has ended; empty: nothing has arrived.

        wait_s: how long to wait for one; None: for ever
        """
        try:
            return self._inbox.get(block=wait_s != 0.0, timeout=wait_s or None)
        except queue.Empty:
            return b""

    def send(self, message: bytes) -> None:
        """Send a message, after all that were sent before."""
        with self._ready:
            if self._sample is not None:
                self._messages.append(self._sample)
                self._sample = None
            self._messages.append(message)
            self._ready.notify()

    def send_latest(self, sample: bytes) -> None:
        """Send a message that replaces the last one of its kind, if that is still waiting."""
        with self._ready:
            self._sample = sample
            self._ready.notify()

    def flush(self, patience_s: float) -> None:
        """Wait until all is sent, or for `patience_s`; nothing can be sent afterwards."""
        with self._ready:
            self._over = True
            self._ready.notify()
        self._writer.join(patience_s)

    def _read(self) -> None:
        for message in frames(self._source):
            self._inbox.put(message)
        self._inbox.put(None)

    def _write(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._messages or self._sample is not None or self._over)
                waiting, self._messages = self._messages, []
                if self._sample is not None:
                    waiting.append(self._sample)
                    self._sample = None
                if not waiting:
                    return
            try:
                for message in waiting:
                    self._sink.write(framed(message))
                self._sink.flush()
            except (OSError, ValueError):  # the reader is gone
                return


def own_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """This process's standard input and output, which print() and its children no longer reach."""
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return source, sink
