"""`export`: the gauges of the namespace, or of all namespaces, periodically, for a monitor."""

import time
from collections.abc import Iterator, Mapping
from functools import partial

from fourtuple.core.census.gauges import CountFailure, Gauges
from fourtuple.core.census.usage import Usage
from fourtuple.core.limits.facts import World
from fourtuple.core.limits.meters import EXPORTED
from fourtuple.core.limits.table import SYSCTLS
from fourtuple.core.record import dataclass
from fourtuple.core.snapshot.rounds import Bounds, CountedNamespace, Round, Whose
from fourtuple.core.sockets.columns import Mask
from fourtuple.core.sockets.filter import EVERYWHERE
from fourtuple.core.sockets.table import State
from fourtuple.kernel.netlink.sockdiag import read_listeners
from fourtuple.kernel.netns import NamespaceGoneError, Place, in_namespace, places
from fourtuple.kernel.probes import behaviours
from fourtuple.kernel.proc.cgroups import cgroup_path
from fourtuple.kernel.proc.netstat import read_motion, read_there
from fourtuple.kernel.proc.sysctl import host_sysctls
from fourtuple.kernel.proc.world import read_inside, read_world
from fourtuple.kernel.runtimes import Runtimes, cgroups_of
from fourtuple.verbs.census import CONNECTED, usage_of
from fourtuple.verbs.interrupt import was_interrupted

BOUND_S = 120.0  # between two searches for ports named in bind(): each search is one more dump of the socket table

PARTS = 8  # of BOUND_S, so that the searches of many namespaces do not fall into one round
EXPORTED_SYSCTLS = ("net.netfilter.nf_conntrack_count", *(meter.setting for meter in EXPORTED))
MOST_RESIDENTS = 256  # processes of a namespace that are asked whom they belong to


def gauges(most: int) -> Iterator[Gauges | CountFailure]:
    """Yield the gauges of this thread's network namespace per request, or why there is none this time.

    most: how many pairs, and how many listeners, are exported separately; the others are added up
    """
    bound: Mask | None = None
    asked_s = 0.0
    while True:
        start_s = time.monotonic()
        if bound is not None and start_s - asked_s >= BOUND_S:
            bound = None
        counted: Gauges | CountFailure
        try:
            usage, counted = _count(most, bound)
            if bound is None:
                bound, asked_s = usage.named, start_s
        except Exception as error:  # whatever it is: a monitor goes on, and reports it
            if was_interrupted():
                raise KeyboardInterrupt from error
            counted = CountFailure(f"{type(error).__name__}: {error}")
        yield counted


def rounds(most: int, bounds: Bounds) -> Iterator[Round | CountFailure]:
    """Yield per request the gauges of every network namespace that this user may enter, or why there are none now.

    most:   how many pairs, and how many listeners, are exported separately of each namespace
    bounds: how many namespaces, pairs and listeners are exported separately in all

    A thread enters each namespace; this process stays where it is.
    """
    runtimes = Runtimes()
    held: dict[str, Held] = {}
    before: frozenset[str] = frozenset()
    while True:
        try:
            found = _round(runtimes, most, held).bounded(bounds, before)
            before = frozenset(each.whose.netns for each in found.counted)
            yield found
        except Exception as error:  # whatever it is: a monitor goes on, and reports it
            yield CountFailure(f"{type(error).__name__}: {error}")


@dataclass(frozen=True, slots=True)
class Held:
    """The ports of a namespace that sockets hold by bind(), without listeners, and when to look for them again."""

    ports: Mask
    until_s: float


def _round(runtimes: Runtimes, most: int, held: dict[str, Held]) -> Round:
    """One count in every namespace. held: by namespace; kept for the next round"""
    start_s, start_cpu_s = time.monotonic(), time.process_time()
    outside = host_sysctls(SYSCTLS)
    host = read_world((), known=behaviours(), network=False, details=False, outside=outside)
    everywhere, closed = places()
    counted, failures, idle = [], [], 0
    for gone in held.keys() - {place.netns for place in everywhere}:
        del held[gone]
    for number, place in enumerate(everywhere):
        known = held.get(place.netns)
        ports = known.ports if known is not None and start_s < known.until_s else None
        try:
            usage, gauges = in_namespace(place, partial(_count_inside, host, outside, most, ports))
        except NamespaceGoneError:
            held.pop(place.netns, None)
            continue
        except PermissionError:
            closed += 1
            continue
        except Exception as error:
            failures.append(f"{place.netns} {place.name}: {type(error).__name__}: {error}")
            continue
        if ports is None:  # those that are new together are looked at again in different rounds
            part = 1 if known is not None else (number % PARTS + 1) / PARTS
            held[place.netns] = Held(usage.named | (usage.holders["state"] == State.CLOSE), start_s + BOUND_S * part)
        idle += not any(state.sockets for state in gauges.states)
        counted.append(CountedNamespace(_whose(place, runtimes), gauges))
    return Round.of(
        counted,
        kernel=host.kernel,
        at_s=time.time(),
        took_s=time.monotonic() - start_s,
        cpu_s=time.process_time() - start_cpu_s,
        idle=idle,
        closed=closed,
        failures=tuple(failures),
    )


def _whose(place: Place, runtimes: Runtimes) -> Whose:
    paths = [path for pid in place.pids[:MOST_RESIDENTS] if (path := cgroup_path(pid))]
    cgroups = cgroups_of(paths, runtimes, usage=False)
    return Whose.of(place.netns, [cgroups[path] for path in paths])


def _count_inside(host: World, outside: Mapping[str, str], most: int, held: Mask | None) -> tuple[Usage, Gauges]:
    """One count in this thread's network namespace, which is one of many: the kernel's table is walked once at most.

    held: ports known to be held by bind(); None: look for them, which takes more walks

    The walk for sockets that are only bound takes as long as that for all others, and there is one more for ports that
    were named in bind() (inet_diag_dump_icsk() in net/ipv4/inet_diag.c, v6.18). A namespace whose sockets all listen
    needs no other walk; handshakes that its listeners have not finished are not seen then.
    """
    start_s = time.monotonic()
    world = read_inside(host, EXPORTED_SYSCTLS, outside=outside)
    states = frozenset[State]() if read_there() == len(read_listeners()) else CONNECTED
    if held is None:
        states |= {State.BOUND_INACTIVE}
    else:
        states -= {State.BOUND_INACTIVE}
    usage, read_from = usage_of(EVERYWHERE, states, world.ports, held)
    took_s = time.monotonic() - start_s
    return usage, Gauges.of(usage, world, most, read_from, at_s=time.time(), took_s=took_s, changed=None)


def _count(most: int, bound: Mask | None) -> tuple[Usage, Gauges]:
    """One count. bound: as for `usage_of`"""
    start_s = time.monotonic()
    world, motion = read_world(SYSCTLS, known=behaviours(), details=False), read_motion()
    usage, read_from = usage_of(EVERYWHERE, CONNECTED, world.ports, bound)
    changed = motion.until(read_motion())
    took_s = time.monotonic() - start_s
    return usage, Gauges.of(usage, world, most, read_from, at_s=time.time(), took_s=took_s, changed=changed)
