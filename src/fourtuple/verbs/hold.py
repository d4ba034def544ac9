"""`hold`: open N connections, hold them, close them, and say what three witnesses saw."""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from functools import partial

from fourtuple.core.census import Ends, State
from fourtuple.core.errors import ShortfallError, UsageError
from fourtuple.core.facts import HostFacts
from fourtuple.core.pace import Pace
from fourtuple.core.plan import Plan, Strategy, memory_lacking, split, workers_needed
from fourtuple.core.ranges import Ranges
from fourtuple.core.run import Counters, Event, HoldRecord, Phase, Sample, Witness
from fourtuple.core.tuples import TupleSpace
from fourtuple.core.units import format_count
from fourtuple.engine.control import TICK_S, Control, interruptible, now_ns
from fourtuple.engine.hold import HoldJob
from fourtuple.engine.hold import hold as hold_work
from fourtuple.engine.loop import How
from fourtuple.engine.loops import Choice, LoopName, choose
from fourtuple.engine.workers import MOST_WORKERS, Crew
from fourtuple.kernel import addresses, process, procfs
from fourtuple.kernel.sockdiag import fold_sockets
from fourtuple.kernel.sockopts import port_range_is_quick
from fourtuple.verbs.space import space_of

FAR_AWAY = 1000  # more connections than that to someone else's address need a word from the user
STILL_S, SETTLE_S = 1.0, 5.0  # how long the kernel's count may stand still, or take, before it is believed to differ
MOST = 2**40
EVERY_ADDRESS = Ranges([range(2**128)])
Look = Callable[[frozenset[State]], tuple[Ends, str]]
HOLD_S = 10.0
TIMEOUT_S = 30.0
IN_USE = frozenset(State) - {State.LISTEN, State.CLOSE, State.BOUND_INACTIVE, State.TIME_WAIT, State.NEW_SYN_RECV}


def hold(
    wanted: int,
    destinations: Sequence[str],
    *,
    sources: Sequence[str] = (),
    strategy: Strategy | None = None,
    rate_per_s: float | None = None,
    hold_s: float = HOLD_S,
    workers: int | None = None,
    reset: bool = True,
    log: bool = False,
    loop: LoopName = LoopName.AUTO,
    timeout_s: float = TIMEOUT_S,
    i_own_this_target: bool = False,
) -> Generator[Sample, None, HoldRecord]:
    """Open `wanted` connections to `destinations`, hold them for `hold_s`, close them.

    destinations: HOST:PORT or HOST:PORT-PORT
    sources:      ADDRESS, range or network, ADDRESS:PORT[-PORT]; none means what the route gives
    strategy:     None means explicit where `sources` name ports, late elsewhere
    workers:      processes; None means one with the ring, else as many as the limit of open files asks for
    reset:        close by RST, which leaves no TIME_WAIT; else by FIN
    timeout_s:    a connect() without an answer fails with ETIMEDOUT after that long

    Raises this process's soft limit of open files to the hard one. Ctrl-C ends the run in order, with its record.
    Raises UsageError, ShortfallError, CannotError before anything is opened; later, what fails is in the record.
    """
    if not 1 <= wanted <= MOST:
        raise UsageError(f"{wanted:,} connections", f"from 1 to {MOST:,} can be wanted")
    if timeout_s < 0.001:
        raise UsageError(f"a timeout of {timeout_s:g} s", "it is 1 ms or more")
    process.raise_soft_files()
    facts = procfs.read_host_facts()
    space, strategy = space_of(facts, wanted, destinations, sources, strategy)
    targets = [space.address(value) for values, _ in space.destinations.parts for value in values]
    here = [addresses.is_local(address) for address in targets]
    for address, is_here in zip(targets, here, strict=True):
        if wanted > FAR_AWAY and address.is_global and not is_here and not i_own_this_target:
            raise UsageError(
                f"{format_count(wanted)} connections to {address}",
                f"it is neither this host nor a private address, where at most {format_count(FAR_AWAY)} are opened",
                "If it is yours, say --i-own-this-target.",
            )
    if lacking := memory_lacking(wanted, facts.memory_free_bytes, both_ends=all(here)):
        raise ShortfallError(f"{format_count(wanted)} connections", lacking, "Ask for fewer.")
    # Without --from, destinations may be reached from several addresses, of which the space names one.
    anyone = not sources and len(targets) > 1
    look = partial(_ends, replace(space, sources=EVERY_ADDRESS) if anyone else space)
    before, _ = look(IN_USE)
    choice = choose(loop)
    count = workers or (1 if choice.name == LoopName.RING else _workers_needed(wanted, facts))
    plan = Plan(
        wanted=wanted,
        room=max(0, space.size - len(before.client)),
        space=space,
        strategy=strategy,
        slices=split(wanted, space.size, count, Pace(rate_per_s)),
    )
    port_range = facts.port_range if strategy is Strategy.LATE and port_range_is_quick(facts.kernel_version) else None
    job = HoldJob(plan, How(bool(sources) or strategy is Strategy.EXPLICIT, port_range, timeout_s), reset, log)
    crew = Crew(here=count == 1, log=log)
    for number, share in enumerate(plan.slices):
        crew.add(partial(_hold_slice, job, number, choice), share.wanted)
    full: Sample | None = None
    witness = Witness(0, None, None, "")
    until_ns = closing_ns = 0
    with interruptible(crew.control):
        for sample in crew.samples():
            if full is None and sample.phase >= Phase.HOLDING:
                full = sample
                witness = _witness(look, before, full.open, crew.control, here=all(here))
                until_ns = now_ns() + int(hold_s * 1e9)
            yield sample
            if full and (now_ns() >= until_ns or crew.control.interrupted or sample.open == 0):
                closing_ns = closing_ns or now_ns()
                crew.control.close()
        full = full or sample
        return HoldRecord.of(
            wanted=wanted,
            predicted=plan.predicted,
            full=full,
            last=sample,
            census=witness,
            held_s=(max(closing_ns, full.at_ns) - full.at_ns) / 1e9,
            interrupted=crew.control.interrupted,
            loop=choice.name,
            loop_because=choice.because,
            strategy=strategy,
        )


def _hold_slice(
    job: HoldJob, number: int, choice: Choice, counters: Counters, control: Control
) -> Iterator[list[Event]]:
    """Runs in the worker, so that the loop is made there."""
    share = job.plan.slices[number]
    return hold_work(job, share, choice.make(share.wanted), counters, control, now_ns)


def _workers_needed(wanted: int, facts: HostFacts) -> int:
    limit = f"open files: ulimit -n {format_count(facts.files_soft)}, {facts.files_open} in use"
    try:
        count = workers_needed(wanted, facts.files_soft - facts.files_open)
    except ValueError:
        raise ShortfallError(f"{format_count(wanted)} connections", limit, "Raise it.") from None
    if count > MOST_WORKERS:
        raise ShortfallError(
            f"{format_count(wanted)} connections",
            f"{limit}, and at most {MOST_WORKERS} processes",
            "Raise it.",
        )
    return count


def _ends(space: TupleSpace, states: frozenset[State]) -> tuple[Ends, str]:
    return fold_sockets(lambda tables: Ends.of(tables, space.destinations, space.sources, space.ports), states)


def _witness(look: Look, before: Ends, held: int, control: Control, *, here: bool) -> Witness:
    """What the kernel lists beyond what was there before; again, while it differs: the far end may be accepting.

    It is not waited for when it stands still, when it takes very long, or when the user has had enough.
    """
    last: Witness | None = None
    start_ns = still_ns = now_ns()
    while True:
        now, by = look(frozenset({State.ESTABLISHED}))
        ours = now.since(before)
        witness = Witness(len(ours.client), len(ours.server) if here else None, ours.accepted if here else None, by)
        if witness != last:
            last, still_ns = witness, now_ns()
        agrees = {witness.client, witness.server, witness.accepted} <= {held, None}
        late = now_ns() - still_ns > STILL_S * 1e9 or now_ns() - start_ns > SETTLE_S * 1e9
        if agrees or late or control.interrupted:
            return witness
        time.sleep(TICK_S)
