"""`churn`: open connections at a rate, use them, close them, and report whether the rate was kept.

prepare(options) reads the host once and makes all decisions; run(order, crew) does the work and yields samples;
core/runs/churn_conclude.py makes the record from them.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from math import ceil
from typing import Any

from fourtuple.core.errors import ShortfallError
from fourtuple.core.limits.cost import MEMORY_SHARE, fitting, memory_lacking
from fourtuple.core.limits.facts import Memory, World
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.plan import fit
from fourtuple.core.runs.churn_conclude import ChurnEnding, ChurnStory
from fourtuple.core.runs.churn_orders import ChurnOptions, ChurnOrder, ClosedBy, PortRate
from fourtuple.core.runs.churn_record import ChurnRecord
from fourtuple.core.runs.counters import Counters, Phase
from fourtuple.core.runs.destinations import endpoints_of
from fourtuple.core.runs.pace import OpeningPace
from fourtuple.core.runs.records import Event, Sample
from fourtuple.core.runs.requested import requested
from fourtuple.core.runs.run import Run
from fourtuple.core.runs.slices import Plan, split
from fourtuple.core.runs.start import Planned, Start
from fourtuple.core.space.endpoints import Address
from fourtuple.core.space.tuples import TupleSpace
from fourtuple.core.units import format_count, format_duration, format_rate, format_things
from fourtuple.engine.control import Control, Controller, Cookies, interruptible, now_ns
from fourtuple.engine.crews.choose import crew_of
from fourtuple.engine.crews.contract import Assignment, Crew
from fourtuple.engine.dialogues.fixed import talk_of
from fourtuple.engine.loops.choose import Choice, choose, make
from fourtuple.engine.loops.contract import How
from fourtuple.engine.protocols.kinds import kind_of, message_of
from fourtuple.engine.workloads.churn import ChurnJob
from fourtuple.engine.workloads.churn import churn as churn_work
from fourtuple.kernel import addresses, process
from fourtuple.verbs.content import with_files
from fourtuple.verbs.hold import MEMORY_LIMITS, check_foreign, targets_of
from fourtuple.verbs.observer import Observer
from fourtuple.verbs.plan import refuse
from fourtuple.verbs.request import usable
from fourtuple.verbs.start import start_of
from fourtuple.verbs.survey import Look, look_to_connect
from fourtuple.verbs.unix import read_unix_world, refuse_over_unix, refuse_source, sockets_of

GRACE_S = 1.0  # how much later than planned the last connections may be started
DRAIN_S = 10.0  # how long open connections may go on when no more are due
SEEDS = 2**32
WORTH_RATE_PER_S = 10_000  # a process of its own pays off for each such rate


def churn(rate_per_s: float, destinations: str | Sequence[str], **options: Any) -> Run[Sample, ChurnRecord]:
    """Open connections at a rate, use and close them: a run of samples with the result as its record.

    options: the other fields of ChurnOptions (core/runs/churn_orders.py)

    Raises this process's soft limit of open files to the hard one. Ctrl-C ends the run cleanly, with its record.
    Raises UsageError, ShortfallError, CannotError before anything is opened; later failures are in the record.
    """
    return start_churn(prepare(ChurnOptions.of(rate_per_s, destinations, **options)))


def start_churn(order: ChurnOrder, controlled_by: Controller | None = None) -> Run[Sample, ChurnRecord]:
    """The prepared order as a run, by this process and its workers.

    controlled_by: called with the control of the run when it begins
    """

    def steps() -> Generator[Sample, None, ChurnRecord]:
        crew = crew_for(order)
        if controlled_by:
            controlled_by(crew.control)
        story, samples = ChurnStory(order), Run(run(order, crew))
        for sample in samples:
            story.add(sample)
            yield sample
        return story.conclude(samples.record)

    return Run(steps())


# Before: read the host, and decide


def prepare(options: ChurnOptions) -> ChurnOrder:
    """Read the host once, and make every decision that can be made before the first connection.

    Raises UsageError, ShortfallError, CannotError.
    """
    options.check()
    kind_of(options.session, options.script)  # raises for a certificate that cannot be read, and the like
    script = with_files(options.script)
    soft_before, _ = process.raise_soft_files()
    seed = now_ns() % SEEDS if options.seed is None else options.seed
    if sockets := sockets_of(options.destinations):
        world = read_unix_world()
        start = start_of("churn", world, soft_before=soft_before)
        choice = _choice(options, world.free_memory)
        return replace(unix_order_of(options, sockets, world, choice, start, seed), script=script)
    seen = look_to_connect("churn", options)
    choice = _choice(options, seen.world.free_memory)
    space = usable(seen.space, seen.uses[0], seen.strategy, options.slots)
    here = {address for address in targets_of(space) if addresses.is_local(address)}
    start = start_of("churn", seen.world, soft_before=soft_before)
    return replace(order_of(options, seen, space, here, choice, start, seed), script=script)


def unix_order_of(
    options: ChurnOptions, sockets: tuple[str, ...], world: World, choice: Choice, start: Start, seed: int
) -> ChurnOrder:
    """The order of a churn over Unix sockets. Pure: it reads nothing. The arguments are those of `order_of`.

    Raises UsageError, ShortfallError.
    """
    refuse_source(kind_of(options.session, options.script), message_of(options.session, options.script))
    at_once = options.open_expected
    what = f"{options.product}: {format_things(at_once, 'connection')} at once"
    if not options.anyway:
        do = "Use a lower rate or a shorter --lifetime, or --anyway."
        refuse_over_unix(at_once, world, choice, what, do)
    slots = _slots(options, world.free_memory, choice)
    workers = min(choice.room.workers, slots)
    plan = Plan.of_sockets(slots, sockets, workers, OpeningPace())
    closed_by = ClosedBy.SERVER if options.closed_by is ClosedBy.SERVER else ClosedBy.FIN
    return ChurnOrder(
        options=replace(options, closed_by=closed_by),
        start=replace(start, planned=planned(options, plan, choice, here=True)),
        plan=plan,
        seed=seed,
        ports=None,
        loop=choice.name,
        loop_because=choice.because,
        bind=False,
        here=True,
        port_range=None,
        free=world.free_memory,
        share=MEMORY_SHARE,
    )


def order_of(
    options: ChurnOptions,
    seen: Look,
    space: TupleSpace,
    here: set[Address],
    choice: Choice,
    start: Start,
    seed: int,
) -> ChurnOrder:
    """The order that follows from the options and from `seen`. Pure: it reads nothing.

    seen, space, here, choice, start: as for order_of in verbs/hold.py

    Raises UsageError, ShortfallError.
    """
    world, ports = seen.world, seen.ports
    assert ports is not None  # noqa: S101  (for the type checker: prepare has checked it)
    assert world.ports is not None  # noqa: S101
    targets = targets_of(space)
    elsewhere = [address for address in targets if address not in here]
    check_foreign(options.arrivals_expected, elsewhere, is_own=options.i_own_this_target)
    all_here = len(here) == len(targets)
    rate = port_rate(seen) if options.closed_by is ClosedBy.FIN else None
    if not options.anyway:
        _refuse(options, seen, choice, rate, both_ends=all_here)
    slots = _slots(options, world.free_memory, choice)
    workers = min(choice.room.workers, slots)
    plan = Plan(slots, ports.room, space, seen.strategy, split(slots, space.size, workers, OpeningPace()))
    return ChurnOrder(
        options=options,
        start=replace(start, planned=replace(planned(options, plan, choice, here=all_here), resolved=seen.resolved)),
        plan=plan,
        seed=seed,
        ports=rate,
        loop=choice.name,
        loop_because=choice.because,
        bind=bool(options.sources) or seen.strategy is Strategy.EXPLICIT,
        here=all_here,
        port_range=world.ports.port_range if seen.strategy is Strategy.LATE and world.ports.range_is_quick else None,
        free=world.free_memory,
        share=MEMORY_SHARE,
    )


def _slots(options: ChurnOptions, memory: Memory, choice: Choice) -> int:
    """How many connections there may be at once."""
    return max(1, min(options.slots, choice.room.connections, fitting(options.slots, memory)))


def planned(options: ChurnOptions, plan: Plan, choice: Choice, *, here: bool) -> Planned:
    """What a churn intends to do, for the stored run and the screens."""
    space = plan.space
    return Planned(
        destinations=options.targets,
        sources=options.sources or ((str(space.address(space.sources[0])),) if space else ()),
        strategy=plan.strategy,
        loop=choice.name,
        loop_because=choice.because,
        workers=len(plan.slices),
        pairs=plan.possible.pairs,
        usable=space.ports.size if space else 0,
        rate_per_s=options.rate_per_s,
        run_s=options.run_s,
        here=here,
        endpoints=endpoints_of(plan),
        endpoint_count=plan.destinations,
        requested=requested(options),
    )


def port_rate(seen: Look) -> PortRate | None:
    """The rate that the ports allow if this end closes by FIN; None: any.

    connect() of a socket with a port of its own takes a 4-tuple in TIME_WAIT at once, if the kernel sends timestamps
    (tcp_twsk_unique() with twp = NULL, net/ipv4/tcp_ipv4.c, v6.18).
    """
    assert seen.ports is not None  # noqa: S101  (for the type checker)
    assert seen.world.ports is not None  # noqa: S101
    if seen.strategy is Strategy.EXPLICIT and seen.world.ports.timestamps:
        return None
    found = fit.churn(0.0, seen.ports, seen.world.ports, 0, loopback=seen.space.stays_on_loopback)
    return PortRate(found.kept_s, found.most_per_s, found.most)


def _refuse(options: ChurnOptions, seen: Look, choice: Choice, ports: PortRate | None, *, both_ends: bool) -> None:
    """Raise ShortfallError, with the numbers, for what cannot work: too many at once, or ports that run out."""
    at_once = options.open_expected
    if lacking := memory_lacking(at_once, seen.world.free_memory, both_ends=both_ends):
        what = f"{options.product}: {format_things(at_once, 'connection')} at once"
        raise ShortfallError(what, lacking, "Use a lower rate or a shorter --lifetime, or --anyway.")
    first = options.first_address
    try:
        refuse(seen, at_once, options.destinations, choice, first_address=first, but=MEMORY_LIMITS)
    except ShortfallError as error:
        raise ShortfallError(f"{options.product}: {error.wanted}", error.stopped_by, error.do) from None
    if ports is None:
        return
    needed = at_once + ceil(options.rate_per_s * min(options.run_s, ports.kept_s))
    if needed > ports.most:
        raise ShortfallError(
            f"{format_rate(options.rate_per_s)} for {format_duration(options.run_s)}, closed by FIN on this end:"
            f" {format_things(needed, 'port')}",
            f"each stays in TIME_WAIT for {format_duration(ports.kept_s)}, and {format_count(ports.most)} are free now:"
            f" at most {format_rate(ports.most_per_s)} in the long run (EADDRNOTAVAIL 99)",
            "Use --close rst or server, a lower rate, more sources (--from) or destinations; --anyway tries it.",
        )


def _choice(options: ChurnOptions, memory: Memory) -> Choice:
    """The loop, with as few processes as the rate is worth, or with as many as the connections take."""

    def with_workers(count: int | None) -> Choice:
        return choose(
            options.loop,
            log=options.log,
            connections=fitting(options.slots, memory),
            workers=count,
            free_bytes=memory.free_bytes,
        )

    choice = with_workers(options.workers or _workers_worth(options.rate_per_s))
    if not options.workers and choice.room.connections < options.open_expected:
        return with_workers(None)
    return choice


def _workers_worth(rate_per_s: float) -> int | None:
    """One process unless the rate is high: then as `choose` decides by the CPUs."""
    return 1 if rate_per_s <= WORTH_RATE_PER_S else None


# During: a crew opens and closes connections, and the kernel is observed


def crew_for(order: ChurnOrder) -> Crew:
    """The workers, each with its share of the rate; they start with the first sample."""
    slices = order.plan.slices
    crew = crew_of(len(slices), log=order.options.log)
    for number in range(len(slices)):
        crew.add(Assignment(work, order, number))
    return crew


def work(order: ChurnOrder, number: int, counters: Counters, control: Control, _: Cookies) -> Iterator[list[Event]]:
    """One share of the order; it runs in the worker, so that the loop is made there."""
    from numpy.random import default_rng

    share, workers = order.plan.slices[number], len(order.plan.slices)
    arrivals, random = order.arrivals.of_worker(number, workers), default_rng((order.seed, number))
    loop = make(order.loop, share.wanted, unix=bool(order.plan.sockets))
    return churn_work(job_of(order), share, arrivals, random, loop, counters, control, now_ns)


def job_of(order: ChurnOrder) -> ChurnJob:
    """What the engine is to do."""
    options = order.options
    kind = kind_of(options.session, order.script)
    talks = kind is None and options.script.exchanges
    return ChurnJob(
        plan=order.plan,
        how=How(order.bind, order.port_range, None),
        run_s=options.run_s,
        lifetime=options.lifetime,
        timeout_s=options.timeout_s,
        closed_by=options.closed_by,
        requests=options.requests,
        log=options.log,
        talk=talk_of(options.script, 0.0) if talks else None,
        kind=kind,
        message=message_of(options.session, order.script),
    )


def run(order: ChurnOrder, crew: Crew) -> Generator[Sample, None, ChurnEnding]:
    """Let the crew open and close until the time is over; yields samples with the kernel's numbers, every 0.1 s or so.

    Then connections that are open may go on for DRAIN_S, and connections that are due be started for GRACE_S.
    """
    options, control = order.options, crew.control
    observer = Observer(order.free, ends=order.ends, share=order.share, unix=bool(order.plan.sockets))
    stopped_by: str | None = None
    begin_ns = over_ns = 0
    elapsed_s = options.run_s
    with interruptible(control):
        for sample in crew.samples():
            yield replace(sample, start=order.start, seen=observer.look())
            at_ns = now_ns()
            begin_ns = begin_ns or sample.at_ns
            if control.closing:
                continue
            if observer.short and not stopped_by:
                stopped_by = observer.short
                control.stop()
            late = at_ns >= begin_ns + (options.run_s + GRACE_S) * 1e9
            if not over_ns and (control.stopping or late or sample.phase >= Phase.HOLDING):
                over_ns = at_ns
                if control.stopping or sample.phase < Phase.HOLDING:
                    elapsed_s = (at_ns - begin_ns) / 1e9
                control.stop()
            elif over_ns and sample.phase >= Phase.HOLDING:
                is_empty = not (sample.open or sample.opening)
                if is_empty or control.interrupted or at_ns >= over_ns + DRAIN_S * 1e9:
                    control.close()
        moved = observer.moved()
        return ChurnEnding(
            elapsed_s=round(elapsed_s, 3),
            stopped_by=stopped_by,
            time_wait_left=observer.look(now=True).time_wait,
            listen_overflows=observer.grown("ListenOverflows", moved) if order.here else None,
            syn_retransmits=observer.grown("TCPSynRetrans", moved),
            moved=moved,
            interrupted=control.interrupted,
            workers_killed=crew.killed,
        )
