"""`hold`: open N connections, hold them, close them, and say what three witnesses saw."""

import time
from collections.abc import Generator, Iterator, Sequence
from functools import partial

from fourtuple.core.census import Ends, State
from fourtuple.core.errors import ShortfallError, UsageError
from fourtuple.core.facts import HostFacts
from fourtuple.core.pace import Pace
from fourtuple.core.plan import Plan, Strategy, split, workers_needed
from fourtuple.core.run import Counters, Event, HoldRecord, Phase, Sample, Witness
from fourtuple.core.tuples import Destinations, Ranges
from fourtuple.core.units import format_count
from fourtuple.engine.control import Control, interruptible, now_ns
from fourtuple.engine.epoll_loop import EpollLoop
from fourtuple.engine.hold import HoldJob
from fourtuple.engine.hold import hold as hold_work
from fourtuple.engine.loop import How
from fourtuple.engine.workers import MOST_WORKERS, Crew
from fourtuple.kernel import addresses, process, procfs, sockopts
from fourtuple.kernel.sockdiag import fold_sockets
from fourtuple.verbs.space import space_of

FAR_AWAY = 1000  # more connections than that to someone else's address need a word from the user
SETTLE_S = 1.0  # how long the kernel's count may stand still before it is believed to differ from ours
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
    timeout_s: float = TIMEOUT_S,
    i_own_this_target: bool = False,
) -> Generator[Sample, None, HoldRecord]:
    """Open `wanted` connections to `destinations`, hold them for `hold_s`, close them.

    destinations: HOST:PORT or HOST:PORT-PORT
    sources:      ADDRESS, range or network, ADDRESS:PORT[-PORT]; none means what the route gives
    strategy:     None means explicit where `sources` name ports, late elsewhere
    workers:      processes; None means as many as the limit of open files asks for
    reset:        close by RST, which leaves no TIME_WAIT; else by FIN
    timeout_s:    a connect() without an answer fails with ETIMEDOUT after that long

    Raises this process's soft limit of open files to the hard one. Ctrl-C ends the run in order, with its record.
    Raises UsageError, ShortfallError, CannotError before anything is opened; later, what fails is in the record.
    """
    if wanted < 1:
        raise UsageError(f"{wanted} connections", "at least 1 can be wanted")
    process.raise_soft_files()
    facts = procfs.read_host_facts()
    space, strategy = space_of(facts, destinations, sources, strategy)
    ends = space.destinations
    targets = [space.address(value) for values, _ in ends.parts for value in values]
    here = [addresses.is_local(address) for address in targets]
    for address, is_here in zip(targets, here, strict=True):
        if wanted > FAR_AWAY and address.is_global and not is_here and not i_own_this_target:
            raise UsageError(
                f"{format_count(wanted)} connections to {address}",
                f"it is neither this host nor a private address, where at most {format_count(FAR_AWAY)} are opened",
                "If it is yours, say --i-own-this-target.",
            )
    known_sources = space.sources if sources else None
    before, _ = _ends(ends, known_sources)
    in_use, _ = fold_sockets(lambda tables: len(Ends.of(tables, ends, known_sources).client), IN_USE)
    count = workers or _workers_needed(wanted, facts)
    plan = Plan(
        wanted=wanted,
        room=max(0, space.size - in_use),
        space=space,
        strategy=strategy,
        pace=Pace(rate_per_s).shared(count),
        slices=split(wanted, space.size, count),
    )
    how = How(bool(sources) or strategy is Strategy.EXPLICIT, _port_range(facts, strategy), timeout_s)
    job = HoldJob(plan, how, reset, log)
    crew = Crew([partial(_hold_slice, job, number) for number in range(count)], here=count == 1, log=log)
    full: Sample | None = None
    witness = Witness(0, None, None, "")
    until_ns = closing_ns = 0
    with interruptible(crew.control):
        for sample in crew.samples():
            if full is None and sample.phase >= Phase.HOLDING:
                full = sample
                witness = _witness(ends, known_sources, before, full.open, here=all(here))
                until_ns = now_ns() + int(hold_s * 1e9)
            yield sample
            if full and (now_ns() >= until_ns or crew.control.interrupted or sample.open == 0):
                closing_ns = closing_ns or now_ns()
                crew.control.close()
        full = full or sample
        return HoldRecord.of(
            predicted=plan.predicted,
            full=full,
            last=sample,
            census=witness,
            held_s=(max(closing_ns, full.at_ns) - full.at_ns) / 1e9,
            interrupted=crew.control.interrupted,
            loop=EpollLoop.name,
            strategy=strategy,
        )


def _hold_slice(job: HoldJob, number: int, counters: Counters, control: Control) -> Iterator[list[Event]]:
    """Runs in the worker, so that the loop is made there."""
    share = job.plan.slices[number]
    return hold_work(job, share, EpollLoop(share.wanted), counters, control, now_ns)


def _port_range(facts: HostFacts, strategy: Strategy) -> range | None:
    """IP_LOCAL_PORT_RANGE for each socket: from Linux 6.8 on it makes the last port as cheap as the first."""
    useful = strategy is Strategy.LATE and facts.kernel_version >= (6, 8) and sockopts.supports_port_range()
    return facts.port_range if useful else None


def _workers_needed(wanted: int, facts: HostFacts) -> int:
    room = facts.files_soft - facts.files_open
    try:
        count = workers_needed(wanted, room)
    except ValueError as error:
        raise ShortfallError(f"{format_count(wanted)} connections", str(error), "Raise ulimit -n.") from None
    if count > MOST_WORKERS:
        raise ShortfallError(
            f"{format_count(wanted)} connections",
            f"open files: {format_count(facts.files_soft)} a process and {MOST_WORKERS} processes",
            "Raise ulimit -n.",
        )
    return count


def _ends(destinations: Destinations, sources: Ranges | None) -> tuple[Ends, str]:
    return fold_sockets(lambda tables: Ends.of(tables, destinations, sources), {State.ESTABLISHED})


def _witness(destinations: Destinations, sources: Ranges | None, before: Ends, held: int, *, here: bool) -> Witness:
    """The kernel's count, taken again while it differs and still moves: the far end may be accepting."""
    last: Witness | None = None
    until_ns = 0
    while True:
        now, by = _ends(destinations, sources)
        client = len(now.client) - len(before.client)
        server = len(now.server) - len(before.server) if here else None
        accepted = now.accepted - before.accepted if here else None
        witness = Witness(client, server, accepted, by)
        if witness != last:
            last, until_ns = witness, now_ns() + int(SETTLE_S * 1e9)
        if (client == held and server in (None, held) and accepted in (None, held)) or now_ns() > until_ns:
            return witness
        time.sleep(0.05)
