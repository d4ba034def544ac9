"""The crew of forked workers: how they start, report, are noticed when they die, and end.

Workers are forked, so they inherit the listening sockets and an anonymous shared mapping, which leaves no file behind
in any case. The mapping has a row of counters for each worker, and the control words that all of them read. If a worker
dies, the connections it held are counted as lost. All workers die with their parent.
"""

import errno
import mmap
import os
import pickle
import select
import signal
import socket
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from fourtuple.core.errnos import name_of
from fourtuple.core.errors import ShortfallError
from fourtuple.core.limits.cost import MOST_WORKERS
from fourtuple.core.runs.counters import COUNTERS, MOST_STAGES, Counters, Phase
from fourtuple.core.runs.records import Event, Sample
from fourtuple.engine.control import CONTROL_WORDS, Control, Cookies, now_ns
from fourtuple.engine.crews.contract import SAMPLE_S, Work
from fourtuple.kernel import children

END_S = 30.0  # how long workers may take to close what they hold before they are killed
EVENTS_AT_ONCE = 50  # in one datagram: far below the send buffer of a socket pair (net.core.wmem_default, 208 KiB)


class Workers:
    """A crew of up to MOST_WORKERS forked processes; log: the workers report events."""

    def __init__(self, *, log: bool) -> None:
        memory = mmap.mmap(-1, (MOST_WORKERS + 1) * COUNTERS.itemsize)
        self._rows: Counters = np.frombuffer(memory, COUNTERS, MOST_WORKERS, COUNTERS.itemsize)
        self.control = Control(np.frombuffer(memory, np.int64, CONTROL_WORDS))
        self.killed = 0
        self._works: list[Work] = []
        self._cookies: list[Cookies] = []
        self._pids: list[int] = []
        self._running: set[int] = set()  # numbers of rows
        # Datagrams keep boundaries: all workers share one socket, and a killed worker leaves no half message.
        self._told: socket.socket | None = None
        self._tell: socket.socket | None = None
        if log:
            self._told, self._tell = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._told.setblocking(False)

    def add(self, work: Work, wanted: int = 0) -> None:
        if len(self._works) == MOST_WORKERS:
            raise ShortfallError("another worker process", f"at most {MOST_WORKERS} are possible")
        self._rows[len(self._works)]["wanted"] = wanted
        shared = mmap.mmap(-1, wanted * 8) if wanted else bytearray()
        self._cookies.append(np.frombuffer(shared, np.uint64))
        self._works.append(work)
        if self._pids:
            self._start(len(self._works) - 1)

    def cookies(self) -> Cookies:
        return np.concatenate([np.zeros(0, np.uint64), *self._cookies])

    def samples(self) -> Iterator[Sample]:
        try:
            for number in range(len(self._works)):
                self._start(number)
            while True:
                self._bury()
                over = not self._running
                yield self._sample(self._listen())
                if over:
                    return
                select.select([self._told] if self._told else [], [], [], SAMPLE_S)
        finally:
            self._end()

    def _start(self, number: int) -> None:
        """Fork a worker. Raises ShortfallError if fork() fails."""
        work = partial(self._works[number], self._rows[number], self.control, self._cookies[number])
        parent = os.getpid()
        try:
            pid = children.fork(lambda: _work(work, self._tell, parent))
        except OSError as error:
            stopped_by = f"fork(): {error.strerror} ({name_of(error.errno or 0)})"
            do = "Check pids.max, ulimit -u and kernel.threads-max."
            raise ShortfallError(f"worker process {number + 1}", stopped_by, do) from None
        self._pids.append(pid)
        self._running.add(number)

    def _sample(self, events: list[Event]) -> Sample:
        return Sample.of(self._rows[: len(self._works)], now_ns(), tuple(events))

    def _listen(self) -> list[Event]:
        """The events that the workers have sent since the last call."""
        events: list[Event] = []
        while self._told is not None:
            try:
                events += pickle.loads(self._told.recv(1 << 20))  # noqa: S301  (our own workers wrote it)
            except BlockingIOError:
                break
        return events

    def _bury(self) -> None:
        """Notice workers that have ended. If one was killed, correct its row: the connections it held are lost.

        If the exit code is unknown, the row tells: a worker that did all its work has reached the last phase.
        """
        for number in list(self._running):
            ended, code = children.has_ended(self._pids[number])
            if not ended:
                continue
            self._running.discard(number)
            row = self._rows[number]
            if code or (code is None and row["phase"] != Phase.CLOSED):
                self.killed += 1
                row["failed"][errno.ECANCELED] += max(0, row["wanted"] - row["opened"] - row["failed"].sum())
                row["lost"] += row["open"]
                row["lost_by"][errno.ECANCELED] += row["open"]
                row["open"] = row["opening"] = row["capacity"] = 0
                row["identified"] = np.iinfo(np.int64).max  # it has nothing to identify
                row["stage"], row["target"] = MOST_STAGES, 0  # nor to follow
                row["phase"] = Phase.CLOSED

    def _end(self) -> None:
        self.control.close()
        until_ns = now_ns() + (0 if self.control.dropped else int(END_S * 1e9))
        while self._running:
            self._listen()  # a worker blocks in send() while the socket is full, and could not end
            self._bury()
            select.select([self._told] if self._told else [], [], [], SAMPLE_S / 10)
            if now_ns() > until_ns:
                for number in self._running:
                    os.kill(self._pids[number], signal.SIGKILL)
        for channel in (self._told, self._tell):
            if channel is not None:
                channel.close()


def _work(work: Callable[[], Iterator[list[Event]]], tell: socket.socket | None, parent: int) -> int:
    """Run a worker in the forked process, from start to end → its exit code."""
    # Only the parent stops workers, by the control word: a signal to the process group must not end them before.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    children.die_with_parent(parent)
    for events in work():
        if tell is not None:
            for start in range(0, len(events), EVENTS_AT_ONCE):
                tell.send(pickle.dumps(events[start : start + EVENTS_AT_ONCE]))
    return 0
