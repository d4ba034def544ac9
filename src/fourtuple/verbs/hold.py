"""`hold`: open N connections, hold them, close them, and say what three witnesses saw."""

import math
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from fourtuple.core.errors import ShortfallError, UsageError
from fourtuple.core.limits.cost import MEMORY_SHARE, MEMORY_SHARE_OF_AN_EMPTY_HOST, memory_lacking, workers_needed
from fourtuple.core.limits.facts import HostFacts
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.plan.fit import memory
from fourtuple.core.runs.memory import SLABS, MemoryUse, Slabs, memory_use
from fourtuple.core.runs.orders import LoopName, Watch
from fourtuple.core.runs.pace import Pace
from fourtuple.core.runs.records import Counters, Event, HoldRecord, Loss, Phase, Sample, Seen, Witness
from fourtuple.core.runs.slices import Plan, split
from fourtuple.core.runs.spread import Sharing, Spread
from fourtuple.core.runs.start import Planned
from fourtuple.core.sockets.ends import Ends, Tally
from fourtuple.core.sockets.table import Sockets, State
from fourtuple.core.space.endpoints import Address
from fourtuple.core.space.ranges import Ranges
from fourtuple.core.space.tuples import TupleSpace
from fourtuple.core.units import format_count
from fourtuple.engine.control import TICK_S, Control, interruptible, now_ns
from fourtuple.engine.crews.choose import crew_of
from fourtuple.engine.crews.workers import MOST_WORKERS
from fourtuple.engine.dialogues.fixed import Talk
from fourtuple.engine.loops.choose import Choice, choose
from fourtuple.engine.loops.contract import How
from fourtuple.engine.workloads.hold import HoldJob
from fourtuple.engine.workloads.hold import hold as hold_work
from fourtuple.kernel import addresses, process
from fourtuple.kernel.netlink.sockdiag import fold_sockets
from fourtuple.kernel.proc import host
from fourtuple.kernel.proc.slab import read_slabs
from fourtuple.kernel.proc.world import read_sysctl
from fourtuple.kernel.sockopts import port_range_is_quick
from fourtuple.verbs.observer import Observer
from fourtuple.verbs.plan import refuse
from fourtuple.verbs.request import usable
from fourtuple.verbs.start import start_of
from fourtuple.verbs.survey import look
from fourtuple.verbs.watch import Lookout

FAR_AWAY = 1000  # more connections than that to someone else's address need a word from the user
STILL_S, SETTLE_S = 1.0, 5.0  # how long the kernel's count may stand still, or take, before it is believed to differ
GONE_S = 3.0  # how long it may stand still after closing before what is left is said to stay
MOST = 2**40
EVERY_ADDRESS = Ranges([range(2**128)])
HOLD_S = 10.0
TIMEOUT_S = 30.0
EVERY_S = 30.0
ESTABLISHED = frozenset({State.ESTABLISHED})
WAITING = frozenset({State.TIME_WAIT})
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
    watch: Watch = Watch.POLL,
    reconnect: bool = False,
    send: bytes = b"",
    every_s: float | None = None,
    expect: bytes = b"",
    fill_memory: bool = False,
    anyway: bool = False,
    i_own_this_target: bool = False,
) -> Generator[Sample, None, HoldRecord]:
    """Open `wanted` connections to `destinations`, hold them for `hold_s`, close them.

    destinations: HOST:PORT or HOST:PORT-PORT
    sources:      ADDRESS, range or network, ADDRESS:PORT[-PORT]; none means what the route gives
    strategy:     None means explicit where `sources` name ports, late elsewhere
    workers:      processes; None means one with the ring, else as many as the limit of open files asks for
    reset:        close by RST, which leaves no TIME_WAIT; else by FIN
    timeout_s:    a connect() without an answer fails with ETIMEDOUT after that long; what is sent must be acknowledged
                  within it too
    reconnect:    open lost ones again, at the rate
    send:         on every connection
    every_s:      … so often, evenly spread; 0: again as soon as the answer is there; None means 30 s
    expect:       what is to come back after each, or after connecting where nothing is sent; empty: anything
    fill_memory:  take 98 % of the memory that is free, not 90: for a host that does nothing else

    anyway:       open what there is, also where the plan says that so many cannot be had

    Raises this process's soft limit of open files to the hard one. Ctrl-C ends the run in order, with its record.
    Raises UsageError, ShortfallError, CannotError before anything is opened; later, what fails is in the record.
    """
    if not 1 <= wanted <= MOST:
        raise UsageError(f"{wanted:,} connections", f"from 1 to {MOST:,} can be wanted")
    if timeout_s < 0.001:
        raise UsageError(f"a timeout of {timeout_s:g} s", "it is 1 ms or more")
    if every_s is not None and not send:
        raise UsageError("--every", "nothing is sent", "See --send.")
    _check_watch(watch, talks=bool(send or expect), reconnect=reconnect)
    soft_before, _ = process.raise_soft_files()
    facts = host.read_host_facts()
    seen = look(destinations, sources=sources, strategy=strategy)
    strategy = seen.strategy
    if seen.ports is None or strategy is Strategy.BIND0:
        raise UsageError(f"--strategy {strategy}", "hold does not open connections that way", "See --help.")
    space = usable(seen.space, seen.uses[0], strategy, wanted)
    targets = [space.address(value) for values, _ in space.destinations.parts for value in values]
    here = _all_here(targets, wanted, i_own_this_target=i_own_this_target)
    share = MEMORY_SHARE_OF_AN_EMPTY_HOST if fill_memory else MEMORY_SHARE
    if lacking := memory_lacking(wanted, facts.memory, both_ends=here, share=share):
        raise ShortfallError(f"{format_count(wanted)} connections", lacking, "Ask for fewer, or see --fill-memory.")
    if not anyway:
        refuse(seen, wanted, destinations, but=("memory", "memory.max"))
    # Without --from, destinations may be reached from several addresses, of which the space names one.
    anyone = not sources and len(targets) > 1
    kernel = _Kernel(space, any_source=anyone, here=here)
    choice = choose(loop, log=log)
    count = workers or (1 if choice.name == LoopName.RING else _workers_needed(wanted, facts))
    plan = Plan(
        wanted=wanted,
        room=seen.ports.room_max,
        room_least=seen.ports.room,
        space=space,
        strategy=strategy,
        slices=split(wanted, space.size, count, Pace.of(wanted, rate_per_s)),
    )
    port_range = facts.port_range if strategy is Strategy.LATE and port_range_is_quick(facts.kernel_version) else None
    job = HoldJob(
        plan=plan,
        how=How(bool(sources) or strategy is Strategy.EXPLICIT, port_range, timeout_s if send else None),
        timeout_s=timeout_s,
        reset=reset,
        log=log,
        watch=watch is Watch.POLL,
        reconnect=reconnect,
        talk=Talk(send, EVERY_S if every_s is None else every_s, expect) if send or expect else None,
    )
    start = start_of(
        "hold",
        facts,
        soft_before=soft_before,
        sysctls=seen.world.sysctls,
        planned=Planned(
            destinations=tuple(destinations),
            sources=tuple(sources) if sources else (f"{space.address(space.sources[0])}{' …' if anyone else ''}",),
            strategy=strategy,
            loop=choice.name,
            loop_because=choice.because,
            workers=count,
            wanted=wanted,
            predicted=plan.predicted,
            predicted_least=plan.predicted_least,
            pairs=space.pairs,
            usable=space.ports.size,
            rate_per_s=rate_per_s,
            run_s=hold_s,
            here=here,
        ),
    )
    crew = crew_of(count, log=log)
    for number, part in enumerate(plan.slices):
        crew.add(partial(_hold_slice, job, number, choice), part.wanted)
    lookout = Lookout(watch, lambda: kernel.count(ESTABLISHED).client, crew.control)
    observer = Observer(facts.memory, ends=2 if here else 1, share=share)
    slabs, losses = read_slabs(SLABS), _Losses()
    full: Sample | None = None
    census: Witness | None = None
    use: MemoryUse | None = None
    stopped_by: str | None = None
    until_ns = closing_ns = 0
    with interruptible(crew.control):
        for sample in crew.samples():
            losses.add(sample)
            seen_now = observer.look(busy=sample.phase != Phase.HOLDING)
            if full is None and sample.phase >= Phase.HOLDING:
                full = sample
                census = kernel.witness(full.open, crew.control)
                seen_now = observer.look(now=True)
                polled = job.watch if choice.name == LoopName.RING else None
                use = _memory(full, kernel.sharing, seen_now, slabs, here=here, polled=polled)
                until_ns = full.at_ns + int(hold_s * 1e9)
            yield replace(sample, start=start, seen=seen_now, census=census)
            if full is None and observer.short:
                stopped_by = observer.short
                crew.control.stop()
            if full:
                lookout.look(sample.open)
            if full and (now_ns() >= until_ns or crew.control.interrupted or not (sample.open or reconnect)):
                closing_ns = closing_ns or now_ns()
                crew.control.close()
        full = full or sample
        closing_ns = closing_ns or now_ns()
        left = kernel.until_gone(crew.control)
        moved = observer.moved()
        return HoldRecord.of(
            predicted=plan.predicted,
            predicted_least=plan.predicted_least,
            full=full,
            last=sample,
            census=census or Witness(0, None, None, ""),
            held_s=(max(closing_ns, full.at_ns) - full.at_ns) / 1e9,
            started_at=start.started_at,
            stopped_by=stopped_by,
            losses=losses.listed(),
            closing_s=round((now_ns() - closing_ns) / 1e9, 3),
            left=left,
            listen_overflows=observer.grown("ListenOverflows") if here else None,
            syn_retransmits=observer.grown("TCPSynRetrans"),
            moved=moved,
            time_wait_left=kernel.time_wait(),
            sharing=kernel.sharing,
            memory=use,
            interrupted=crew.control.interrupted,
            loop=choice.name,
            loop_because=choice.because,
            strategy=strategy,
            watch=watch,
            workers_killed=crew.killed,
        )


def _memory(
    full: Sample, sharing: Sharing | None, seen: Seen, before: Slabs | None, *, here: bool, polled: bool | None
) -> MemoryUse | None:
    """What each takes, now that all are open. before: the slabs before the first was"""
    client_bytes, server_bytes, _ = memory(full.open)
    entries = read_sysctl("net.ipv4.tcp_ehash_entries")
    return memory_use(
        full.open,
        here=here,
        ports=sharing.ports if sharing else 0,
        polled=polled,
        taken_bytes=seen.memory_bytes,
        user_bytes=full.rss_bytes,
        # Below 0 where the namespace shares the host's table, which has so many (ip-sysctl.rst).
        hash_entries=abs(int(entries)) if entries.lstrip("-").isdecimal() else None,
        before=before,
        after=read_slabs(SLABS),
        model_bytes=(client_bytes + (server_bytes if here else 0)) / max(1, full.open),
    )


def _all_here(targets: Sequence[Address], wanted: int, *, i_own_this_target: bool) -> bool:
    """Are all destinations this host's? Raises UsageError for too many to somebody else's."""
    here = [addresses.is_local(address) for address in targets]
    for address, is_here in zip(targets, here, strict=True):
        if wanted > FAR_AWAY and address.is_global and not is_here and not i_own_this_target:
            raise UsageError(
                f"{format_count(wanted)} connections to {address}",
                f"it is neither this host nor a private address, where at most {format_count(FAR_AWAY)} are opened",
                "If it is yours, say --i-own-this-target.",
            )
    return all(here)


def _check_watch(watch: Watch, *, talks: bool, reconnect: bool) -> None:
    if watch is not Watch.POLL and talks:
        raise UsageError(f"--watch {watch} with --send or --expect", "what comes back is seen by polling only")
    if watch is Watch.OFF and reconnect:
        raise UsageError("--watch off with --reconnect", "what is lost is not noticed then")


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


class _Kernel:
    """What the kernel's table says of our connections: of those in `space`, without what was there before.

    any_source: they may come from any address, not only from those of the space
    here:       the other end is in this network namespace too
    sharing:    how those that were counted last for the witness lay on ports and pairs
    """

    def __init__(self, space: TupleSpace, *, any_source: bool, here: bool) -> None:
        self._space, self._any_source, self._here = space, any_source, here
        self._sources = EVERY_ADDRESS if any_source else space.sources
        self.sharing: Sharing | None = None
        fold = partial(Ends.of, destinations=space.destinations, sources=self._sources, ports=space.ports)
        self._before, self._by = fold_sockets(fold, IN_USE)
        self._waited, _ = fold_sockets(fold, WAITING)

    def count(self, states: frozenset[State]) -> Tally:
        but = self._waited if states == WAITING else self._before
        tally, self._by = fold_sockets(lambda tables: self._tally(tables, but), states)
        return tally

    def _tally(
        self, tables: Iterable[Sockets], but: Ends, each: Callable[[Sockets], None] = lambda clients: None
    ) -> Tally:
        space = self._space
        return Tally.of(tables, space.destinations, self._sources, space.ports, but, each)

    def _spread(self) -> tuple[Tally, Sharing]:
        def fold(tables: Iterable[Sockets]) -> tuple[Tally, Sharing]:
            spread = Spread(self._space, any_source=self._any_source)
            return self._tally(tables, self._before, spread.add), spread.sharing()

        found, self._by = fold_sockets(fold, ESTABLISHED)
        return found

    def time_wait(self) -> int:
        """How many are left in TIME_WAIT, at both ends that are here."""
        left = self.count(WAITING)
        return left.client + (left.server if self._here else 0)

    def witness(self, held: int, control: Control) -> Witness:
        """What is established now; counted again while it differs from `held`: the far end may be accepting.

        It is not waited for when it stands still, when it takes very long, or when the user has had enough.
        """
        last: Witness | None = None
        start_ns = still_ns = now_ns()
        while True:
            ours, self.sharing = self._spread()
            server, accepted = (ours.server, ours.accepted) if self._here else (None, None)
            witness = Witness(ours.client, server, accepted, self._by)
            if witness != last:
                last, still_ns = witness, now_ns()
            agrees = {witness.client, witness.server, witness.accepted} <= {held, None}
            late = now_ns() - still_ns > STILL_S * 1e9 or now_ns() - start_ns > SETTLE_S * 1e9
            if agrees or late or control.interrupted:
                return witness
            time.sleep(TICK_S)

    def until_gone(self, control: Control) -> int:
        """Wait until none is left, TIME_WAIT aside → how many are.

        It is not waited for when the number stands still, or at Ctrl-C.
        """
        least, still_ns, interrupted = math.inf, now_ns(), control.interrupted
        while True:
            ours = self.count(IN_USE)
            left = ours.client + (ours.server if self._here else 0)
            if left < least:
                least, still_ns = left, now_ns()
            late = now_ns() - still_ns > GONE_S * 1e9
            if not left or late or (control.interrupted and not interrupted):
                return left
            time.sleep(TICK_S)


class _Losses:
    """From one sample to the next: who was lost, by what, in which second since the first sample."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[int, str]] = Counter()
        self._before: Mapping[str, int] = {}
        self._start_ns: int | None = None

    def add(self, sample: Sample) -> None:
        self._start_ns = self._start_ns or sample.at_ns
        for by, number in sample.lost_by.items():
            self._counts[(sample.at_ns - self._start_ns) // 10**9, by] += number - self._before.get(by, 0)
        self._before = sample.lost_by

    def listed(self) -> tuple[Loss, ...]:
        return tuple(Loss(at_s, by, count) for (at_s, by), count in sorted(self._counts.items()) if count)
