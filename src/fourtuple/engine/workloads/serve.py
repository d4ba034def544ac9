"""What a worker of `serve` does: accept, greet, echo, hold, and close after a time; accept() takes no port."""

from collections.abc import Callable, Iterator, Sequence
from socket import socket

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.record import dataclass
from fourtuple.core.runs.counters import Counters
from fourtuple.core.runs.records import Event
from fourtuple.engine.control import Control
from fourtuple.engine.dialogues.contract import Dialogue
from fourtuple.engine.dialogues.replies import Replies
from fourtuple.engine.dialogues.sessions import Sessions
from fourtuple.engine.loops.contract import Loop, Op
from fourtuple.engine.protocols.contract import ServerKind
from fourtuple.engine.states import empty_slots
from fourtuple.engine.workloads.accepter import Accepter
from fourtuple.engine.workloads.closer import Closer
from fourtuple.engine.workloads.contract import Worker, Workload, run
from fourtuple.engine.workloads.lifetimes import Lifetimes
from fourtuple.engine.workloads.notes import Notes
from fourtuple.engine.workloads.reads import Reads
from fourtuple.engine.workloads.speaker import Speaker
from fourtuple.engine.workloads.watcher import Watcher

READ_ROWS, READ_BYTES = 1024, 16384
GREETING_S = 30.0  # a client's session that is not established after this time has failed


@dataclass(frozen=True, slots=True)
class ServeJob:
    """The work of each worker of a server.

    greet:         sent to each client; may be empty
    echo:          send received data back
    close_after_s: close each connection after this time; None: keep it
    reset:         close by RST, otherwise by FIN
    log:           yield an event for everything that happens to a connection
    watch:         poll all connections for data; otherwise they are only read when the control says so
    kind:          the session that runs on each connection, instead of greeting and echo; None: none
    """

    greet: bytes
    echo: bool
    close_after_s: float | None
    reset: bool
    log: bool
    watch: bool = True
    kind: ServerKind | None = None


def serve(
    job: ServeJob,
    listeners: Sequence[socket],
    loop: Loop,
    counters: Counters,
    control: Control,
    clock_ns: Callable[[], int],
) -> Iterator[list[Event]]:
    """Accept from `listeners` until the control says to close; yields the events to log at each tick."""
    state = empty_slots(loop.capacity)
    replies = _dialogue(job, state, counters, clock_ns)
    reads, notes = Reads(READ_ROWS, READ_BYTES), Notes(loop, log=job.log)
    worker = Worker(loop, counters, control, clock_ns, state, reads, notes, replies)
    closer = Closer(worker, reset=job.reset, peer="the client")
    watcher = Watcher(worker, closer.lost, watch=job.watch, log_data=False)
    speaker = Speaker(worker, replies, watcher.listen, closer.lost) if replies else None
    lifetimes = Lifetimes(worker, closer, job.close_after_s) if job.close_after_s is not None else None
    accepter = Accepter(worker, listeners, (watcher.opened, *([lifetimes.opened] if lifetimes else [])))
    workload = Workload(
        starts=(
            *([speaker.give_up] if speaker else []),
            *(part.start for part in (watcher, accepter, speaker, lifetimes, closer) if part),
        ),
        takes=(
            (Op.ACCEPT, accepter.take),
            *([(Op.SEND, speaker.take)] if speaker else []),
            (Op.WATCH, watcher.take_watches),
            (Op.CLOSE, closer.take),
        ),
        ticks=(),
        close=(closer.close_all,),
        closing=lambda: closer.is_closing,
    )
    return run(workload, worker)


def _dialogue(
    job: ServeJob, state: NDArray[np.uint8], counters: Counters, clock_ns: Callable[[], int]
) -> Dialogue | None:
    if job.kind is None:
        return Replies(job.greet, echo=job.echo, state=state, counters=counters) if job.greet or job.echo else None
    return Sessions(
        job.kind,
        None,
        0.0,
        connection=0,
        source=lambda _: "",
        state=state,
        counters=counters,
        timeout_s=GREETING_S,
        clock_ns=clock_ns,
        half_duplex=True,
        replies=job.kind.replies,
    )
