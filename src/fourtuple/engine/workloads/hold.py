"""What a worker of `hold` does: open its slice of the plan at its pace or along stages, hold it, close at the end."""

import errno
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.record import dataclass
from fourtuple.core.runs.counters import Counters
from fourtuple.core.runs.records import Event
from fourtuple.core.runs.slices import Plan, Slice
from fourtuple.core.runs.timetable import Timetable
from fourtuple.core.talk.stages import Stages
from fourtuple.core.talk.template import Template
from fourtuple.engine.control import Control, Cookies
from fourtuple.engine.dialogues.contract import Dialogue
from fourtuple.engine.dialogues.fixed import Requests, Talk
from fourtuple.engine.dialogues.sessions import Sessions
from fourtuple.engine.dialogues.wording import words_of
from fourtuple.engine.loops.contract import How, Loop, Op
from fourtuple.engine.protocols.contract import SessionKind
from fourtuple.engine.states import empty_slots
from fourtuple.engine.workloads.closer import Closer
from fourtuple.engine.workloads.contract import Worker, Workload, run
from fourtuple.engine.workloads.identifier import Identifier
from fourtuple.engine.workloads.notes import Notes
from fourtuple.engine.workloads.opener import Opener
from fourtuple.engine.workloads.population import Population
from fourtuple.engine.workloads.reads import Reads
from fourtuple.engine.workloads.replacer import Replacer
from fourtuple.engine.workloads.retries import Retries
from fourtuple.engine.workloads.routes import AutomaticRoutes, ExplicitRoutes
from fourtuple.engine.workloads.speaker import Speaker
from fourtuple.engine.workloads.toward import Toward
from fourtuple.engine.workloads.unused import Unused
from fourtuple.engine.workloads.watcher import Watcher

READ_ROWS, READ_BYTES = 1024, 4096


@dataclass(frozen=True, slots=True)
class HoldJob:
    """The work of each worker of a client, which opens its slice of the plan.

    timeout_s: a connect() without an answer for this time fails with ETIMEDOUT
    reset:     close by RST, otherwise by FIN
    log:       yield an event for everything that happens to a connection
    watch:     poll all connections for data; otherwise they are only read when the control says so
    reconnect: open lost connections again
    talk:      what is sent and expected; None: nothing
    kind:      the session that runs on each connection, instead of `talk`; None: none
    message:   what the sessions send; None: nothing
    every_s:   the interval between two messages of a session
    stages:    how many connections are to be open at which time; None: all, once they have been opened
    churn_per_s: connections of all workers to replace per second while the control says so; 0: none
    """

    plan: Plan
    how: How
    timeout_s: float
    reset: bool
    log: bool
    watch: bool = True
    reconnect: bool = False
    talk: Talk | None = None
    kind: SessionKind | None = None
    message: Template | None = None
    every_s: float = 0.0
    stages: Stages | None = None
    churn_per_s: float = 0.0


def hold(
    job: HoldJob,
    share: Slice,
    loop: Loop,
    counters: Counters,
    control: Control,
    cookies: Cookies,
    clock_ns: Callable[[], int],
) -> Iterator[list[Event]]:
    """Open `share` of the plan and hold it until the control says to close; yields the events to log at each tick.

    cookies: (share.wanted,) uint64, where the cookies of its sockets are written when the control asks for them
    """
    routes = _routes(job.plan, share)
    state = empty_slots(min(share.wanted, loop.capacity))
    counters["failed"][errno.EMFILE] = share.wanted - len(state)
    dialogue = _dialogue(job, share, loop, state, counters, clock_ns)
    reads, notes = Reads(READ_ROWS, READ_BYTES), Notes(loop, log=job.log)
    worker = Worker(loop, counters, control, clock_ns, state, reads, notes, dialogue)
    again = job.reconnect or job.churn_per_s or job.stages
    retries = Retries(len(state), routes.ways) if again else None
    toward = Toward(counters, job.plan.destinations, len(state))
    closer = Closer(
        worker,
        reset=job.reset,
        peer="the peer",
        closed_by="by reset" if job.reset else "",
        retries=retries,
        reconnect=job.reconnect,
        refills=job.stages is not None,
        toward=toward,
        can_reset=not job.plan.sockets,
    )
    watcher = Watcher(worker, closer.lost, watch=job.watch, log_data=job.log, last_words=True)
    speaker = Speaker(worker, dialogue, watcher.listen, closer.lost) if dialogue else None
    identifier = Identifier(worker, cookies)
    unused, population, replacer = Unused(len(state)), None, None
    if job.stages and retries:
        population = Population(worker, Timetable(job.stages), share, unused, closer, retries)
    if job.churn_per_s and retries:
        replacer = Replacer(worker, closer, retries, job.churn_per_s, share, job.plan.wanted)
    opener = Opener(
        worker,
        routes,
        share.pace,
        job.how,
        job.timeout_s,
        closer,
        toward,
        (watcher.opened,),
        unused,
        retries,
        population,
    )
    workload = Workload(
        starts=(
            *([speaker.give_up] if speaker else []),
            *(part.start for part in (watcher, opener, speaker, population, replacer, closer) if part),
        ),
        takes=(
            (Op.CONNECT, opener.take),
            *([(Op.SEND, speaker.take)] if speaker else []),
            (Op.WATCH, watcher.take_watches),
            (Op.CLOSE, closer.take),
        ),
        ticks=(opener.tick, identifier.tick),
        close=(opener.stop, closer.close_all),
        closing=lambda: closer.is_closing,
    )
    return run(workload, worker)


def _routes(plan: Plan, share: Slice) -> AutomaticRoutes:
    if plan.space and plan.strategy is Strategy.EXPLICIT:
        return ExplicitRoutes(plan.space, share, plan.room_of(share))
    return AutomaticRoutes(plan.possible, share, plan.room_of(share))


def _dialogue(
    job: HoldJob, share: Slice, loop: Loop, state: NDArray[np.uint8], counters: Counters, clock_ns: Callable[[], int]
) -> Dialogue | None:
    if job.kind is None:
        return Requests(job.talk, state, counters, clock_ns()) if job.talk else None

    def source(slot: int) -> str:
        ends = loop.describe(slot)
        return str(ends.source) if ends else ""

    return Sessions(
        job.kind,
        words_of(job.message, len(state), share.first, source) if job.message else None,
        job.every_s,
        connection=share.first,
        source=source,
        state=state,
        counters=counters,
        timeout_s=job.timeout_s,
        clock_ns=clock_ns,
    )
