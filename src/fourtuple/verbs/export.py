"""`export`: the gauges of the namespace, or of all namespaces, periodically, for a monitor."""

import os
import time
from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np

from fourtuple.core.census.gauges import CountFailure, Gauges
from fourtuple.core.census.usage import Usage
from fourtuple.core.limits.table import SYSCTLS
from fourtuple.core.snapshot.rounds import Bounds, Counted, Round, Whose
from fourtuple.core.sockets.columns import Mask
from fourtuple.core.sockets.filter import EVERYWHERE
from fourtuple.core.sockets.table import LISTENER, SOCK_DIAG
from fourtuple.kernel.netns import NamespaceGoneError, Place, Walker, places
from fourtuple.kernel.probes import behaviours
from fourtuple.kernel.proc.cgroups import cgroup_path
from fourtuple.kernel.proc.netstat import read_motion
from fourtuple.kernel.proc.sysctl import NOTHING, host_sysctls
from fourtuple.kernel.proc.world import read_world
from fourtuple.kernel.runtimes import Runtimes, cgroups_of
from fourtuple.verbs.census import CONNECTED, usage_of
from fourtuple.verbs.interrupt import was_interrupted

BOUND_S = 120.0  # between two searches for ports named in bind(): each search is one more dump of the socket table

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
            if bound is None and usage is not None:
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

    One thread goes from namespace to namespace; this process stays where it is.
    """
    walker, runtimes = Walker(), Runtimes()
    named: dict[str, tuple[Mask, float]] = {}
    before: frozenset[str] = frozenset()
    while True:
        try:
            found = _round(walker, runtimes, most, named).bounded(bounds, before)
            before = frozenset(each.whose.netns for each in found.counted)
            yield found
        except Exception as error:  # whatever it is: a monitor goes on, and reports it
            yield CountFailure(f"{type(error).__name__}: {error}")


def _round(walker: Walker, runtimes: Runtimes, most: int, named: dict[str, tuple[Mask, float]]) -> Round:
    """One count in every namespace. named: by namespace, the ports named in bind(), and when they were looked for"""
    start_s, start_cpu_s = time.monotonic(), time.process_time()
    outside = host_sysctls(SYSCTLS)
    everywhere, closed = places()
    counted, failures, idle = [], [], 0
    for old in named.keys() - {place.netns for place in everywhere}:
        del named[old]
    for place in everywhere:
        bound, asked_s = named.get(place.netns, (None, 0.0))
        if start_s - asked_s >= BOUND_S:
            bound = None
        try:
            usage, gauges = walker.inside(place, partial(_count, most, bound, outside, skips=True))
        except NamespaceGoneError:
            continue
        except PermissionError:
            closed += 1
            continue
        except Exception as error:
            failures.append(f"{place.netns} {place.name}: {type(error).__name__}: {error}")
            continue
        if usage is None:
            idle += 1
        elif bound is None:
            named[place.netns] = usage.named, start_s
        counted.append(Counted(_whose(place, runtimes), gauges))
    return Round.of(
        counted,
        kernel=os.uname().release,
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


def _count(
    most: int, bound: Mask | None, outside: Mapping[str, str] = NOTHING, *, skips: bool = False
) -> tuple[Usage | None, Gauges]:
    """One count in this thread's network namespace.

    bound, outside: as for `usage_of`, `read_world`
    skips: do not read the kernel's table where there is no TCP socket; the usage is None then
    """
    start_s = time.monotonic()
    world, motion = read_world(SYSCTLS, known=behaviours(), details=False, outside=outside), read_motion()
    is_idle = skips and motion.there == 0 and motion.opened is not None
    if is_idle:
        usage, read_from = Usage.of([], np.zeros(0, LISTENER), world.ports, EVERYWHERE), SOCK_DIAG
    else:
        usage, read_from = usage_of(EVERYWHERE, CONNECTED, world.ports, bound)
    changed = motion.until(read_motion())
    took_s = time.monotonic() - start_s
    gauges = Gauges.of(usage, world, most, read_from, at_s=time.time(), took_s=took_s, changed=changed)
    return None if is_idle else usage, gauges
