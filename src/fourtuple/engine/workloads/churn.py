"""What a worker of `churn` does: open connections at their moments, exchange messages, close; its slots are reused."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.record import dataclass
from fourtuple.core.runs.churn_orders import ClosedBy
from fourtuple.core.runs.counters import Counters
from fourtuple.core.runs.records import Event
from fourtuple.core.runs.slices import Plan, Slice
from fourtuple.core.talk.arrivals import Arrivals
from fourtuple.core.talk.lifetime import Lifetime
from fourtuple.core.talk.template import Template
from fourtuple.engine.control import Control
from fourtuple.engine.dialogues.contract import Dialogue
from fourtuple.engine.dialogues.course import Course
from fourtuple.engine.dialogues.fixed import Requests, Talk
from fourtuple.engine.dialogues.sessions import Sessions
from fourtuple.engine.dialogues.wording import words_of
from fourtuple.engine.loops.contract import First, How, Loop, Op, Slots
from fourtuple.engine.protocols.contract import SessionKind
from fourtuple.engine.states import empty_slots
from fourtuple.engine.workloads.arriver import Arriver
from fourtuple.engine.workloads.closer import Closer
from fourtuple.engine.workloads.contract import Worker, Workload, run
from fourtuple.engine.workloads.leaver import Leaver
from fourtuple.engine.workloads.notes import Notes
from fourtuple.engine.workloads.reads import Reads
from fourtuple.engine.workloads.speaker import Speaker
from fourtuple.engine.workloads.toward import Toward
from fourtuple.engine.workloads.turns import Turns
from fourtuple.engine.workloads.watcher import Watcher

if TYPE_CHECKING:
    from numpy.random import Generator

READ_ROWS, READ_BYTES = 1024, 4096
MOST_LINKED_BYTES = 4096  # of a message: it fits into any send buffer, so that it is sent before anything is read


@dataclass(frozen=True, slots=True)
class ChurnJob:
    """The work of each worker of a churn.

    plan:      how many connections there may be at once, and which 4-tuples they use
    run_s:     connections are due in this time
    lifetime:  how long each lives, at least
    timeout_s: a connect(), or the exchanges of a connection, that take longer fail with ETIMEDOUT
    closed_by: which end closes, and how
    requests:  messages on each connection, one after the other
    log:       yield an event for everything that happens to a connection
    talk:      what is sent and expected; None: nothing
    kind:      the session that runs on each connection, instead of `talk`; None: none
    message:   what the sessions send; None: nothing, and a session is complete once it is established
    """

    plan: Plan
    how: How
    run_s: float
    lifetime: Lifetime
    timeout_s: float
    closed_by: ClosedBy
    requests: int = 1
    log: bool = False
    talk: Talk | None = None
    kind: SessionKind | None = None
    message: Template | None = None


def churn(
    job: ChurnJob,
    share: Slice,
    arrivals: Arrivals,
    random: "Generator",
    loop: Loop,
    counters: Counters,
    control: Control,
    clock_ns: Callable[[], int],
) -> Iterator[list[Event]]:
    """Start connections at their moments until the time is over or the control says to stop; yields events to log.

    share:    how many connections may exist at the same time, and the 4-tuples of the space that they use
    arrivals: when they are due
    random:   draws their lifetimes
    """
    state = empty_slots(min(share.wanted, loop.capacity))
    course = Course(len(state), _messages(job))
    dialogue = _dialogue(job, share, loop, state, counters, course, clock_ns)
    reads, notes = Reads(READ_ROWS, READ_BYTES), Notes(loop, log=job.log)
    worker = Worker(loop, counters, control, clock_ns, state, reads, notes, dialogue)
    toward = Toward(counters, job.plan.destinations, len(state))
    closer = Closer(
        worker, reset=job.closed_by is ClosedBy.RST, peer="the peer", toward=toward, can_reset=not job.plan.sockets
    )
    linked = np.zeros(len(state), bool)
    first = _first(job)
    opened: list[Callable[[NDArray[np.int32], int], None]] = []
    turns = Turns(job.plan.possible, share, job.plan.strategy)
    arriver = Arriver(worker, turns, arrivals, job.run_s, job.how, job.timeout_s, closer, toward, opened, first, linked)
    lifetimes_ns = partial(job.lifetime.draw_ns, random)
    leaver = Leaver(worker, closer, course, lifetimes_ns, job.closed_by, job.timeout_s, arriver.since_us)
    watcher = Watcher(worker, leaver.ended, watch=True, log_data=job.log, last_words=True, stays=leaver.staying)
    speaker = Speaker(worker, dialogue, watcher.listen, leaver.ended, linked) if dialogue else None
    links = first is not None and loop.links
    opened += [leaver.opened, _said(dialogue, speaker, linked) if links else watcher.opened]
    workload = Workload(
        starts=(
            *([speaker.give_up] if speaker else []),
            *(part.start for part in (watcher, arriver, speaker, leaver, closer) if part),
        ),
        takes=(
            (Op.CONNECT, arriver.take),
            *([(Op.SEND, speaker.take)] if speaker else []),
            (Op.WATCH, watcher.take_watches),
            (Op.CLOSE, arriver.take_closes),
        ),
        ticks=(arriver.tick, leaver.tick),
        close=(arriver.stop, closer.close_all),
        closing=lambda: closer.is_closing,
    )
    return run(workload, worker)


def _first(job: ChurnJob) -> First | None:
    """The message that can be sent along with each connect; None: none, or one that may not fit into a send buffer."""
    if job.kind is not None or job.talk is None or not 0 < len(job.talk.send) <= MOST_LINKED_BYTES:
        return None
    return np.frombuffer(job.talk.send, np.uint8)


def _said(
    dialogue: Dialogue | None, speaker: Speaker | None, linked: NDArray[np.bool_]
) -> Callable[[Slots, int], None]:
    """What is called with new connections whose first message was sent along: they are watched, and have said it."""
    assert dialogue is not None  # noqa: S101  (for the type checker: there is a message)
    assert speaker is not None  # noqa: S101

    def said(slots: Slots, now_ns: int) -> None:
        dialogue.opened(slots, now_ns)
        while linked[slots].any():  # at once: the completions of the sends come next
            speaker.start()

    return said


def _messages(job: ChurnJob) -> int:
    """How many answers a connection has to get until it is complete."""
    if job.kind is not None:
        return job.requests if job.message else 0
    if job.talk is None:
        return 0
    return job.requests if job.talk.send else 1


def _dialogue(
    job: ChurnJob,
    share: Slice,
    loop: Loop,
    state: NDArray[np.uint8],
    counters: Counters,
    course: Course,
    clock_ns: Callable[[], int],
) -> Dialogue | None:
    if job.kind is None:
        return Requests(job.talk, state, counters, clock_ns(), course) if job.talk else None

    def source(slot: int) -> str:
        ends = loop.describe(slot)
        return str(ends.source) if ends else ""

    return Sessions(
        job.kind,
        words_of(job.message, len(state), share.first, source) if job.message else None,
        0.0,
        connection=share.first,
        source=source,
        state=state,
        counters=counters,
        timeout_s=job.timeout_s,
        clock_ns=clock_ns,
        course=course,
    )
