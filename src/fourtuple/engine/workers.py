"""Who does the work of a run: this process itself, or as many workers as the limit of open files asks for.

Workers are forked, so that they inherit the listening sockets, however many, and an anonymous shared mapping, which
leaves no name behind whatever happens: in it each has its row of counters, and all read one word that tells them to
stop. A worker that dies is noticed, what it held is counted as lost, and all of them die with their parent.
"""

import errno
import mmap
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, Pipe, wait

import numpy as np

from fourtuple.core.errors import ShortfallError
from fourtuple.core.run import COUNTERS, Counters, Event, Phase, Sample
from fourtuple.core.symptoms import name_of
from fourtuple.engine.control import Control, now_ns
from fourtuple.kernel import process

Work = Callable[[Counters, Control], Iterator[list[Event]]]
MOST_WORKERS = 1000
SAMPLE_S = 0.1
END_S = 30.0  # how long workers may take to close what they hold before they are killed


class Crew:
    """`for sample in crew.samples()` until all workers have ended."""

    def __init__(self, works: list[Work], *, here: bool, log: bool) -> None:
        """here: the one piece of work is done by this process itself; log: workers have events to tell"""
        memory = mmap.mmap(-1, (MOST_WORKERS + 1) * COUNTERS.itemsize)
        self._rows: Counters = np.frombuffer(memory, COUNTERS, MOST_WORKERS, COUNTERS.itemsize)
        self.control = Control(np.frombuffer(memory, np.int64, 1))
        self._works, self._here, self._log = works, here, log
        self._pids: list[int] = []
        self._running: set[int] = set()  # numbers of rows
        self._readers: list[Connection] = []

    def start(self, work: Work) -> None:
        """One worker more. Raises ShortfallError where the system gives no process."""
        number = len(self._pids)
        wanted = f"worker process number {number + 1}"
        if number == MOST_WORKERS:
            raise ShortfallError(wanted, f"{MOST_WORKERS} are the most there can be")
        reader, writer = Pipe(duplex=False) if self._log else (None, None)
        parent = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            pid = os.fork()
        except OSError as error:
            stopped_by = f"fork(): {error.strerror} ({name_of(error.errno or 0)})"
            raise ShortfallError(wanted, stopped_by, "Look at pids.max, ulimit -u, kernel.threads-max.") from None
        if pid == 0:
            for inherited in (*self._readers, reader):
                if inherited is not None:
                    inherited.close()
            _work_and_exit(work, self._rows[number], self.control, writer, parent)
        if reader is not None and writer is not None:
            writer.close()
            self._readers.append(reader)
        self._pids.append(pid)
        self._running.add(number)

    def samples(self) -> Iterator[Sample]:
        """A sample at least every SAMPLE_S; the last one when all have ended."""
        try:
            if self._here:
                for events in self._works[0](self._rows[0], self.control):
                    yield self._sample(1, events)
                return
            for work in self._works:
                self.start(work)
            while True:
                self._bury()
                over = not self._running
                yield self._sample(len(self._pids), self._drain())
                if over:
                    return
                wait(self._readers, SAMPLE_S)
        finally:
            self._end()

    def _sample(self, workers: int, events: list[Event]) -> Sample:
        return Sample.of(self._rows[:workers], now_ns(), tuple(events))

    def _drain(self) -> list[Event]:
        events: list[Event] = []
        for reader in list(self._readers):
            try:
                while reader.poll():
                    events.extend(reader.recv())
            except EOFError:
                reader.close()
                self._readers.remove(reader)
        return events

    def _bury(self) -> None:
        """Notice who has ended. The row of one that was killed is put right: what it held is lost."""
        for number in list(self._running):
            pid, status = os.waitpid(self._pids[number], os.WNOHANG)
            if not pid:
                continue
            self._running.discard(number)
            if status:
                row = self._rows[number]
                row["failed"][errno.ECANCELED] += max(0, row["wanted"] - row["opened"] - row["failed"].sum())
                row["lost"] += row["open"]
                row["lost_by"][errno.ECANCELED] += row["open"]
                row["open"] = row["opening"] = row["capacity"] = 0
                row["phase"] = Phase.CLOSED

    def _end(self) -> None:
        self.control.close()
        until_ns = now_ns() + int(END_S * 1e9)
        while self._running:
            self._drain()  # a worker with much to tell could not end otherwise
            self._bury()
            wait(self._readers, SAMPLE_S / 10)
            if now_ns() > until_ns:
                for number in self._running:
                    os.kill(self._pids[number], signal.SIGKILL)
        for reader in self._readers:
            reader.close()


def _work_and_exit(work: Work, row: Counters, control: Control, events: Connection | None, parent: int) -> None:
    """The whole life of a worker; it never returns into what its parent was doing."""
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides, and tells us by the control word
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        process.die_with_parent(parent)
        for happened in work(row, control):
            if happened and events is not None:
                events.send(happened)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)
