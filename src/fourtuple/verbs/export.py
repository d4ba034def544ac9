"""`export`: the gauges of the namespace, periodically, for a monitor."""

import time
from collections.abc import Iterator

from fourtuple.core.census.gauges import CountFailure, Gauges
from fourtuple.core.census.usage import Usage
from fourtuple.core.limits.table import SYSCTLS
from fourtuple.core.sockets.columns import Mask
from fourtuple.core.sockets.filter import EVERYWHERE
from fourtuple.kernel.probes import behaviours
from fourtuple.kernel.proc.netstat import read_motion
from fourtuple.kernel.proc.world import read_world
from fourtuple.verbs.census import CONNECTED, usage_of
from fourtuple.verbs.interrupt import was_interrupted

BOUND_S = 120.0  # between two searches for ports named in bind(): each search is one more dump of the socket table


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


def _count(most: int, bound: Mask | None) -> tuple[Usage, Gauges]:
    """One count. bound: as for `usage_of`"""
    start_s = time.monotonic()
    world, motion = read_world(SYSCTLS, known=behaviours(), details=False), read_motion()
    usage, read_from = usage_of(EVERYWHERE, CONNECTED, world.ports, bound)
    changed = motion.until(read_motion())
    took_s = time.monotonic() - start_s
    return usage, Gauges.of(usage, world, most, read_from, at_s=time.time(), took_s=took_s, changed=changed)
