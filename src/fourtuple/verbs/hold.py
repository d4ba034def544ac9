"""`hold`: open N connections, hold them, close them, and report the counts of three witnesses.

prepare(options) reads the host once and makes all decisions; run(order, crew) opens and holds the connections and
yields samples; core/runs/conclude.py makes the record from them.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import Any

from fourtuple.core.errors import ShortfallError, UsageError
from fourtuple.core.limits.cost import (
    MEMORY_SHARE,
    MEMORY_SHARE_OF_AN_EMPTY_HOST,
    UNIX_END_BYTES,
    fitting,
    memory_lacking,
)
from fourtuple.core.limits.facts import World
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.numbers import signed_number_of
from fourtuple.core.plan.fit import Churn, memory
from fourtuple.core.record import dataclass
from fourtuple.core.runs.conclude import HoldEnding, HoldStory
from fourtuple.core.runs.counters import Counters, Phase
from fourtuple.core.runs.destinations import endpoints_of
from fourtuple.core.runs.loop_name import LoopName
from fourtuple.core.runs.memory import SLABS, MemoryUse, Slabs, memory_use
from fourtuple.core.runs.orders import HoldOptions, HoldOrder, Watch
from fourtuple.core.runs.pace import OpeningPace
from fourtuple.core.runs.records import Event, HoldRecord, Sample, Seen, Witness
from fourtuple.core.runs.requested import requested
from fourtuple.core.runs.run import Run
from fourtuple.core.runs.slices import Plan, split
from fourtuple.core.runs.spread import Sharing
from fourtuple.core.runs.start import Planned, Start
from fourtuple.core.space.endpoints import Address
from fourtuple.core.space.reach import foreign
from fourtuple.core.space.tuples import TupleSpace
from fourtuple.core.units import format_count, format_things
from fourtuple.engine.control import Control, Controller, Cookies, interruptible, now_ns
from fourtuple.engine.crews.choose import crew_of
from fourtuple.engine.crews.contract import Assignment, Crew
from fourtuple.engine.dialogues.fixed import talk_of
from fourtuple.engine.loops.choose import Choice, choose, make
from fourtuple.engine.loops.contract import How
from fourtuple.engine.protocols.kinds import kind_of, message_of
from fourtuple.engine.workloads.hold import HoldJob
from fourtuple.engine.workloads.hold import hold as hold_work
from fourtuple.kernel import addresses, process
from fourtuple.kernel.proc.slab import read_slabs
from fourtuple.kernel.proc.sysctl import read_sysctl
from fourtuple.verbs.agenda import Agenda
from fourtuple.verbs.content import with_files
from fourtuple.verbs.observer import Observer
from fourtuple.verbs.plan import refuse
from fourtuple.verbs.replacing import allowed, replacing
from fourtuple.verbs.request import usable
from fourtuple.verbs.start import start_of
from fourtuple.verbs.survey import Look, look_to_connect
from fourtuple.verbs.unix import read_unix_world, refuse_over_unix, refuse_source, sockets_of
from fourtuple.verbs.unix_witness import UnixWitness
from fourtuple.verbs.watch import Lookout
from fourtuple.verbs.witness import Counting, Settling, TableWitness

FAR_AWAY = 1000  # more connections to another host's public address need --i-own-this-target
MEMORY_LIMITS = ("memory", "memory.max")  # checked here, depending on --fill-memory, and not by the plan


def hold(wanted: int, destinations: str | Sequence[str], **options: Any) -> Run[Sample, HoldRecord]:
    """Open `wanted` connections to `destinations`, hold and close them: a run of samples with the result as its record.

    destinations: HOST:PORT[-PORT], unix:PATH, or URLs of tls, http, https, ws, wss, mqtt or mqtts
    options:      as in HoldOptions.of (core/runs/orders.py)

    Raises this process's soft limit of open files to the hard one. Ctrl-C ends the run cleanly, with its record.
    Raises UsageError, ShortfallError, CannotError before anything is opened; later failures are in the record.
    """
    return start_hold(prepare(HoldOptions.of(wanted, destinations, **options)))


def start_hold(order: HoldOrder, controlled_by: Controller | None = None) -> Run[Sample, HoldRecord]:
    """The prepared order as a run, by this process and its workers.

    controlled_by: called with the control of the run when it begins
    """

    def steps() -> Generator[Sample, None, HoldRecord]:
        crew = crew_for(order)
        if controlled_by:
            controlled_by(crew.control)
        story, samples = HoldStory(order), Run(run(order, crew))
        for sample in samples:
            story.add(sample)
            yield sample
        return story.conclude(samples.record)

    return Run(steps())


# Before: read the host, and decide


def prepare(options: HoldOptions) -> HoldOrder:
    """Read the host once, and make every decision that can be made before the first connection.

    Raises UsageError, ShortfallError, CannotError.
    """
    options.check()
    kind_of(options.session, options.script)  # raises for a certificate that cannot be read, and the like
    script = with_files(options.script)
    soft_before, _ = process.raise_soft_files()
    if sockets := sockets_of(options.destinations):
        world = read_unix_world()
        start = start_of("hold", world, soft_before=soft_before)
        return replace(unix_order_of(options, sockets, world, _choice(options, world), start), script=script)
    seen = look_to_connect("hold", options)
    choice = _choice(options, seen.world)
    space = usable(seen.space, seen.uses[0], seen.strategy, options.wanted)
    here = {address for address in targets_of(space) if addresses.is_local(address)}
    start = start_of("hold", seen.world, soft_before=soft_before)
    return replace(order_of(options, seen, space, here, choice, start), script=script)


def _choice(options: HoldOptions, world: World) -> Choice:
    return choose(
        options.loop,
        log=options.log,
        connections=fitting(options.wanted, world.free_memory),
        workers=options.workers,
        rate_per_s=options.rate_per_s,
        free_bytes=world.free_memory.free_bytes,
    )


def unix_order_of(
    options: HoldOptions, sockets: tuple[str, ...], world: World, choice: Choice, start: Start
) -> HoldOrder:
    """The order of a run over Unix sockets. Pure: it reads nothing. The arguments are those of `order_of`.

    Raises UsageError, ShortfallError.
    """
    refuse_source(kind_of(options.session, options.script), message_of(options.session, options.script))
    share = MEMORY_SHARE_OF_AN_EMPTY_HOST if options.fill_memory else MEMORY_SHARE
    what, do = format_things(options.wanted, "connection"), "Open fewer, or see --fill-memory and --anyway."
    refuse_over_unix(options.wanted, world, choice, what, do, share=share, anyway=options.anyway)
    pace = OpeningPace.of(options.wanted, options.rate_per_s)
    order = HoldOrder(
        options=replace(options, reset=False),
        start=start,
        plan=Plan.of_sockets(options.wanted, sockets, choice.room.workers, pace),
        loop=choice.name,
        loop_because=choice.because,
        bind=False,
        any_source=False,
        here=True,
        port_range=None,
        free=world.free_memory,
        share=share,
    )
    return replace(order, start=replace(start, planned=planned(order)))


def order_of(
    options: HoldOptions, seen: Look, space: TupleSpace, here: set[Address], choice: Choice, start: Start
) -> HoldOrder:
    """The order that follows from the options and from `seen`. Pure: it reads nothing.

    seen:  the host and its limits
    space: the tuple space, excluding ports that other sockets block
    here:  the destination addresses that belong to this host
    choice: the loop, and what it can hold
    start: the start of the run, without a plan

    Raises UsageError, ShortfallError.
    """
    world, ports = seen.world, seen.ports
    assert ports is not None  # noqa: S101  (for the type checker: prepare has checked it)
    assert world.ports is not None  # noqa: S101
    targets = targets_of(space)
    elsewhere = [address for address in targets if address not in here]
    check_foreign(options.wanted, elsewhere, is_own=options.i_own_this_target)
    all_here = len(here) == len(targets)
    share = MEMORY_SHARE_OF_AN_EMPTY_HOST if options.fill_memory else MEMORY_SHARE
    if lacking := memory_lacking(options.wanted, world.free_memory, both_ends=all_here, share=share):
        what = format_things(options.wanted, "connection")
        raise ShortfallError(what, lacking, "Open fewer, or see --fill-memory.")
    if not options.anyway:
        first = options.first_address
        refuse(seen, options.wanted, options.destinations, choice, first_address=first, but=MEMORY_LIMITS)
    budget = replacing(options, seen)
    pace = OpeningPace.of(options.wanted, options.rate_per_s)
    order = HoldOrder(
        options=options,
        start=start,
        plan=Plan(
            wanted=options.wanted,
            room=ports.room,
            space=space,
            strategy=seen.strategy,
            slices=split(options.wanted, space.size, choice.room.workers, pace),
        ),
        loop=choice.name,
        loop_because=choice.because,
        bind=bool(options.sources) or seen.strategy is Strategy.EXPLICIT,
        # Without --from, destinations may be reached from several addresses; the space has only one of them.
        any_source=not options.sources and len(targets) > 1,
        here=all_here,
        port_range=world.ports.port_range if seen.strategy is Strategy.LATE and world.ports.range_is_quick else None,
        free=world.free_memory,
        share=share,
    )
    return replace(order, start=replace(start, planned=_with(planned(order), seen, budget)))


def _with(plan: Planned, seen: Look, budget: Churn | None) -> Planned:
    """The plan with what was found out about names, and about the rate of replacement."""
    plan = replace(plan, resolved=seen.resolved)
    if budget is None:
        return plan
    return replace(plan, churn_most_per_s=budget.most_per_s, churn_because=allowed(budget))


def planned(order: HoldOrder) -> Planned:
    """What the order intends to do, for the stored run and the screens."""
    options, plan = order.options, order.plan
    return Planned(
        destinations=options.targets,
        sources=options.sources or _sources(order),
        strategy=plan.strategy,
        loop=order.loop,
        loop_because=order.loop_because,
        workers=len(plan.slices),
        wanted=options.wanted,
        predicted=plan.predicted.most,
        predicted_least=plan.predicted.least,
        pairs=plan.possible.pairs,
        usable=plan.space.ports.size if plan.space else 0,
        rate_per_s=options.rate_per_s,
        run_s=options.run_s,
        here=order.here,
        stages=options.stages,
        churn_per_s=options.churn_per_s,
        endpoints=endpoints_of(plan),
        endpoint_count=plan.destinations,
        requested=requested(options),
    )


def _sources(order: HoldOrder) -> tuple[str, ...]:
    """Where connections come from, if the user did not say it; of Unix sockets from nowhere."""
    space = order.plan.space
    return (f"{space.address(space.sources[0])}{' …' if order.any_source else ''}",) if space else ()


def targets_of(space: TupleSpace) -> list[Address]:
    """The addresses of the destinations."""
    return [space.address(value) for values, _ in space.destinations.parts for value in values]


def check_foreign(wanted: int, elsewhere: Sequence[Address], *, is_own: bool) -> None:
    """Raises UsageError for too many connections to an address that may be somebody else's; is_own: it is the user's"""
    if wanted <= FAR_AWAY or is_own:
        return
    for address in elsewhere:
        if why := foreign(address):
            raise UsageError(
                f"{format_count(wanted)} connections to {address}",
                f"{why}, not of this host; at most {format_count(FAR_AWAY)} are opened to one",
                "If the host is yours, add --i-own-this-target.",
            )


# During: a crew opens connections, and the kernel is observed


def crew_for(order: HoldOrder) -> Crew:
    """The workers, each with its slice; they start with the first sample."""
    slices = order.plan.slices
    crew = crew_of(len(slices), log=order.options.log)
    for number, part in enumerate(slices):
        crew.add(Assignment(work, order, number), part.wanted)
    return crew


def work(
    order: HoldOrder, number: int, counters: Counters, control: Control, cookies: Cookies
) -> Iterator[list[Event]]:
    """One slice of the order; it runs in the worker, so that the loop is made there."""
    share = order.plan.slices[number]
    loop = make(order.loop, share.wanted, unix=bool(order.plan.sockets))
    return hold_work(job_of(order), share, loop, counters, control, cookies, now_ns)


def job_of(order: HoldOrder) -> HoldJob:
    """What the engine is to do."""
    options = order.options
    kind = kind_of(options.session, order.script)
    return HoldJob(
        plan=order.plan,
        how=How(order.bind, order.port_range, options.timeout_s if options.speaks and order.plan.space else None),
        timeout_s=options.timeout_s,
        reset=options.reset,
        log=options.log,
        watch=options.watch is Watch.POLL,
        reconnect=options.reconnect,
        talk=talk_of(options.script, options.interval_s) if options.talks and kind is None else None,
        kind=kind,
        message=message_of(options.session, order.script),
        every_s=options.interval_s,
        stages=options.stages,
        churn_per_s=options.churn_per_s,
    )


def run(order: HoldOrder, crew: Crew) -> Generator[Sample, None, HoldEnding]:
    """Let the crew open, hold and close; yields a sample at least every 0.1 s, with the kernel's numbers.

    The kernel's table is counted twice: when opening has ended, and when the time to hold is over.
    """
    options, control = order.options, crew.control
    witness = _witness(order, crew)
    lookout = Lookout(options.watch, witness.recount, control)
    observer = Observer(order.free, ends=order.ends, share=order.share, unix=bool(order.plan.sockets))
    slabs = read_slabs(SLABS)
    agenda = Agenda(options, control)
    settling: Settling | None = None
    full: Sample | None = None
    use: MemoryUse | None = None
    at_end: Witness | None = None
    stopped_by: str | None = None
    closing_ns = 0
    with interruptible(control):
        for sample in crew.samples():
            agenda.begin(sample)
            seen = observer.look(busy=sample.phase != Phase.HOLDING)
            if full is None and sample.phase >= Phase.HOLDING:
                settling = settling or Settling(witness, control, options.watch, stays_until_ns=agenda.stays_until_ns)
                if counted := settling.step(sample):
                    seen = observer.look(now=True)
                    full, settling = replace(sample, census=counted), None
                    use = _memory(order, full, witness.sharing, seen, slabs)
                    agenda.counted(full)
            yield replace(sample, start=order.start, seen=seen, census=full.census if full else None)
            if full is None:
                if observer.short:
                    stopped_by = observer.short
                    control.stop()
                continue
            if closing_ns:
                continue
            lookout.look(sample.open, sample.reconnected)
            if not agenda.is_over(sample):
                continue
            settling = settling or Settling(witness, control, options.watch, agenda.wanted_at_end(sample))
            if at_end := settling.step(sample):
                closing_ns = now_ns()
                control.close()
        closing_ns = closing_ns or now_ns()
        stopped = Stopped(stopped_by, agenda.began_ns, agenda.held_until_ns or closing_ns, closing_ns, at_end, use)
        return _ending(order, crew, witness, observer, stopped)


def _witness(order: HoldOrder, crew: Crew) -> Counting:
    options, plan = order.options, order.plan
    if plan.space is None:
        return UnixWitness(plan.sockets, crew.cookies)
    return TableWitness(
        plan.space,
        any_source=order.any_source,
        here=order.here,
        cookies=crew.cookies,
        closes=bool(options.stages or options.churn_per_s),
    )


# After: what remains, and the last readings


@dataclass(frozen=True, slots=True)
class Stopped:
    """What is known when closing has ended.

    by:            why opening was stopped; None: it was not
    began_ns:      when the first connection could be opened
    held_until_ns: when the time to hold was over
    closing_ns:    when closing began
    census:        the kernel's count then; None: the run was broken off before
    memory:        of the open connections
    """

    by: str | None
    began_ns: int
    held_until_ns: int
    closing_ns: int
    census: Witness | None
    memory: MemoryUse | None


def _ending(order: HoldOrder, crew: Crew, witness: Counting, observer: Observer, stopped: Stopped) -> HoldEnding:
    """Wait until the kernel lists none of the connections any more, and take the last readings."""
    left = witness.until_gone(crew.control)
    moved = observer.moved()
    return HoldEnding(
        stopped_by=stopped.by,
        began_ns=stopped.began_ns,
        held_until_ns=stopped.held_until_ns,
        census_at_end=stopped.census,
        closing_s=round((now_ns() - stopped.closing_ns) / 1e9, 3),
        left=left,
        listen_overflows=observer.grown("ListenOverflows", moved) if order.here else None,
        syn_retransmits=observer.grown("TCPSynRetrans", moved),
        moved=moved,
        time_wait_left=witness.time_wait(),
        sharing=witness.sharing,
        memory=stopped.memory,
        interrupted=crew.control.interrupted,
        workers_killed=crew.killed,
    )


def _memory(
    order: HoldOrder, full: Sample, sharing: Sharing | None, seen: Seen, before: Slabs | None
) -> MemoryUse | None:
    """The memory of each connection, now that all are open.

    before: the slabs before the first connection
    """
    unix = bool(order.plan.sockets)
    client_bytes, server_bytes, _ = memory(full.open)
    entries = signed_number_of(read_sysctl("net.ipv4.tcp_ehash_entries"))
    return memory_use(
        full.open,
        here=order.here,
        ports=sharing.ports if sharing else 0,
        polled=order.options.watch is Watch.POLL if order.loop == LoopName.RING else None,
        taken_bytes=seen.memory_bytes,
        user_bytes=full.rss_bytes,
        # Negative if the namespace shares the host's table (ip-sysctl.rst).
        hash_entries=None if entries is None else abs(entries),
        before=before,
        after=read_slabs(SLABS),
        model_bytes=2 * UNIX_END_BYTES
        if unix
        else (client_bytes + (server_bytes if order.here else 0)) / max(1, full.open),
        unix=unix,
    )
