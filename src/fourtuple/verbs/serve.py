"""`serve`: accept connections on any number of addresses and ports.

prepare(options) reads the host once; run(order, listeners, crew) accepts connections and yields samples; conclude(…)
makes the record from them.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

from fourtuple.core.errors import ShortfallError
from fourtuple.core.limits.table import SYSCTLS
from fourtuple.core.record import dataclass
from fourtuple.core.runs.counters import Counters
from fourtuple.core.runs.judge import judge_serve
from fourtuple.core.runs.loop_name import LoopName
from fourtuple.core.runs.orders import ServeOptions, ServeOrder, Watch
from fourtuple.core.runs.records import Event, MachineResult, Sample, ServeRecord
from fourtuple.core.runs.requested import requested
from fourtuple.core.runs.run import Run
from fourtuple.core.runs.start import Planned
from fourtuple.core.space.endpoints import EndpointSpec, is_unix
from fourtuple.engine.control import Control, Controller, Cookies, interruptible, now_ns
from fourtuple.engine.crews.choose import crew_of
from fourtuple.engine.crews.contract import Crew, Work
from fourtuple.engine.loops.choose import choose, make
from fourtuple.engine.protocols.certificate import make_certificate
from fourtuple.engine.protocols.kinds import server_kind_of
from fourtuple.engine.workloads.serve import ServeJob
from fourtuple.engine.workloads.serve import serve as serve_work
from fourtuple.kernel import process
from fourtuple.kernel.probes import behaviours
from fourtuple.kernel.proc.world import read_world
from fourtuple.store.input import read_file
from fourtuple.verbs.listening import Listeners, accepted_by, listen, waiting_at
from fourtuple.verbs.observer import Observer
from fourtuple.verbs.start import start_of
from fourtuple.verbs.watch import Lookout

CERTIFICATE_BYTES = 2**20  # at most


def serve(where: str | Sequence[str], **options: Any) -> Run[Sample, ServeRecord]:
    """Accept on HOST:PORT[-PORT]… and unix:PATH for a time or until Ctrl-C: a run of samples, the result as its record.

    options: the other fields of ServeOptions (core/runs/orders.py)

    The listeners exist when this returns; the first sample is yielded once the workers have started.
    Raises this process's soft limit of open files to the hard one.
    Raises UsageError or ShortfallError if it cannot listen on all addresses and ports.
    """
    return start_serve(prepare(ServeOptions.of(where, **options)))


def start_serve(order: ServeOrder, controlled_by: Controller | None = None) -> Run[Sample, ServeRecord]:
    """The prepared order as a run, by this process and its workers.

    controlled_by: called with the control of the run when it begins

    Raises UsageError, ShortfallError.
    """
    with ExitStack() as opened:
        listeners = listen(order.options.where, order.options.backlog, opened)
        until_the_end = opened.pop_all()

    def steps() -> Generator[Sample, None, ServeRecord]:
        with until_the_end:
            crew = crew_for(order, listeners)
            if controlled_by:
                controlled_by(crew.control)
            samples = Run(run(order, listeners, crew))
            yield from samples
            return conclude(order, samples.record)

    return Run(steps())


def prepare(options: ServeOptions) -> ServeOrder:
    """Read the host once, and make every decision that can be made before the first connection. Raises UsageError."""
    options.check()
    soft_before, _ = process.raise_soft_files()
    world = read_world(SYSCTLS, known=behaviours(), details=False)
    choice = choose(options.loop, log=options.log, workers=options.workers)
    if choice.lacks(1):
        raise ShortfallError("serve can accept no connection", choice.room.because, "Raise the limit.")
    workers = options.workers or (1 if choice.name == LoopName.RING else None)
    planned = Planned(
        options.targets, choice.name, choice.because, workers, options.serve_s, requested=requested(options)
    )
    return ServeOrder(
        options=options,
        start=replace(start_of("serve", world, soft_before=soft_before), planned=planned),
        loop=choice.name,
        loop_because=choice.because,
        workers=workers,
        capacity=choice.room.each,
        free=world.free_memory,
        certificate=_certificate(options) if options.scheme.secure else b"",
    )


def _certificate(options: ServeOptions) -> bytes:
    """The certificate with its key: from the files, or made for the addresses to listen on.

    Raises UsageError, CannotError, also if it cannot be used.
    """
    files = [file for file in (options.certificate, options.key) if file]
    if files:
        certificate = b"\n".join(read_file(file, CERTIFICATE_BYTES, f"the certificate {file}") for file in files)
    else:
        hosts = [EndpointSpec.parse(where).host for where in options.where if not is_unix(where)]
        certificate = make_certificate(["localhost", *hosts])
    server_kind_of(options.scheme, certificate, b"", echo=False)
    return certificate


def crew_for(order: ServeOrder, listeners: Listeners) -> Crew:
    """The workers, which share the listeners; they start when the first sample is requested."""
    crew = crew_of(order.workers, log=order.options.log)
    for _ in range(order.workers or 1):
        crew.add(partial(work, order, listeners))
    return crew


def work(
    order: ServeOrder, listeners: Listeners, counters: Counters, control: Control, _: Cookies
) -> Iterator[list[Event]]:
    """The work of each worker. It runs in the worker, so that the loop is created there."""
    options = order.options
    job = ServeJob(
        options.greet,
        options.echo,
        options.close_after_s,
        options.reset,
        options.log,
        options.watch is Watch.POLL,
        server_kind_of(options.scheme, order.certificate, options.greet, echo=options.echo),
    )
    return serve_work(job, listeners, make(order.loop, order.capacity), counters, control, now_ns)


@dataclass(frozen=True, slots=True)
class ServeEnding:
    """The values that are known only after a serve has ended.

    last:      the last sample
    most_open: most connections open at the same time, as sampled
    waiting:   connections in the accept queues when it was told to stop; None: not known
    moved, listen_overflows, interrupted, workers_killed: as in ServeRecord
    """

    last: Sample
    most_open: int
    waiting: int | None
    moved: Mapping[str, int]
    listen_overflows: int | None
    interrupted: bool
    workers_killed: int


def run(order: ServeOrder, listeners: Listeners, crew: Crew) -> Generator[Sample, None, ServeEnding]:
    """Let the crew accept until its time is over; yields a sample at least every 0.1 s."""
    options, control = order.options, crew.control
    observer = Observer(order.free, ends=1, unix=all(map(is_unix, options.where)))
    until_ns = None if options.serve_s is None else order.start.at_ns + int(options.serve_s * 1e9)
    lookout = Lookout(options.watch, partial(accepted_by, listeners), control)
    most_open = moves_before = 0
    waiting: int | None = None
    grow = order.workers is None
    with interruptible(control):
        for sample in crew.samples():
            moves = sample.opened + sample.lost
            yield replace(sample, start=order.start, seen=observer.look(busy=moves != moves_before))
            moves_before = moves
            most_open = max(most_open, sample.open)
            if not control.closing:
                lookout.look(sample.open)
                if grow and _full(sample):
                    grow = _add_workers(crew, partial(work, order, listeners), sample.workers)
            if not control.closing and (control.stopping or (until_ns is not None and now_ns() >= until_ns)):
                waiting = waiting_at(listeners)
                control.close()
        moved = observer.moved()
        return ServeEnding(
            last=sample,
            most_open=most_open,
            waiting=waiting,
            moved=moved,
            listen_overflows=observer.grown("ListenOverflows", moved),
            interrupted=control.interrupted,
            workers_killed=crew.killed,
        )


def conclude(order: ServeOrder, ending: ServeEnding, machines: tuple[MachineResult, ...] = ()) -> ServeRecord:
    """Make the record. Pure. machines: of a fleet, what became of each one's share"""
    last = ending.last
    record = ServeRecord(
        listening=order.options.where,
        accepted=last.opened,
        most_open=ending.most_open,
        capacity=last.capacity,
        open=last.open_at_end,
        closed=last.closed,
        lost=last.lost,
        lost_by=dict(last.lost_by),
        failed=dict(last.failed),
        greeted=last.greeted,
        received_bytes=last.received_bytes,
        sent_bytes=last.sent_bytes,
        listen_overflows=ending.listen_overflows,
        moved=ending.moved,
        elapsed_s=round((last.at_ns - order.start.at_ns) / 1e9, 3),
        interrupted=ending.interrupted,
        loop=order.loop,
        loop_because=order.loop_because,
        workers=last.workers,
        workers_killed=ending.workers_killed,
        rss_bytes=last.rss_bytes,
        cpu_user_s=round(last.cpu_user_s, 3),
        cpu_system_s=round(last.cpu_system_s, 3),
        waiting=ending.waiting,
        scheme=order.options.scheme,
        sessions=last.sessions,
        reasons=dict(last.reasons),
        machines=machines,
    )
    return replace(record, outcome=judge_serve(record, order.options.require))


def _add_workers(crew: Crew, work: Work, count: int) -> bool:
    """Add `count` workers → whether more can be added later."""
    try:
        for _ in range(count):
            crew.add(work)
    except ShortfallError:  # connections beyond the capacity wait in the queue, and the record shows it
        return False
    return True


def _full(sample: Sample) -> bool:
    """Whether more workers are needed; a little early, so that the queue does not overflow while they start."""
    return sample.capacity > 0 and sample.open >= sample.capacity - min(4096, sample.capacity // 4)
