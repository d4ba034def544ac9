"""Samples of several machines as one: sums, the slowest phase, the first start and the last connection.

`together` is exact and associative: it does not matter in which order, or in which groups, machines are put together.
"""

import errno
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np

from fourtuple.core.runs.counters import GROWTHS, MOST_STAGES, TABLE, Merge, Phase
from fourtuple.core.runs.records import Sample, Seen, Witness, elapsed_s

NOT_TRIED = errno.errorcode[errno.ECANCELED]
_PLAIN = tuple(each for each in TABLE if each.size == 1 and each.merge is not Merge.APART and each.name != "phase")
_COUNTED = ("failed", "lost_by", "reconnect_failed", "reasons")


def together(samples: Sequence[Sample]) -> Sample:
    """One sample for all of these. Raises ValueError if there are none.

    The kernel's numbers (`seen`, `census`) are known if they are known for every one of them. `start` and `machines`
    are those of the run of all machines, and not of these.
    """
    if not samples:
        raise ValueError("no sample")
    first_ns = min((each.first_start_ns for each in samples if each.first_start_ns), default=0)
    last_ns = max(each.last_open_ns for each in samples)
    sums: dict[str, Any] = {name: counts(getattr(sample, name) for sample in samples) for name in _COUNTED}
    for each in _PLAIN:
        values = [getattr(sample, each.field) for sample in samples]
        sums[each.field] = min(values) if each.merge is Merge.LEAST else sum(values)
    for each in GROWTHS:
        sums[each.field] = reduce(np.add, [getattr(sample, each.field) for sample in samples])
    return Sample(
        **sums,
        at_ns=max(each.at_ns for each in samples),
        phase=Phase(min(each.phase for each in samples)),
        stage_open=_stages([each.stage_open for each in samples]),
        first_start_ns=first_ns,
        last_open_ns=last_ns,
        elapsed_s=elapsed_s(first_ns, last_ns),
        workers=sum(each.workers for each in samples),
        cpu_user_s=round(sum(each.cpu_user_s for each in samples), 6),
        cpu_system_s=round(sum(each.cpu_system_s for each in samples), 6),
        events=tuple(event for each in samples for event in each.events),
        seen=reports([each.seen for each in samples]),
        census=witnesses([each.census for each in samples]),
        last_words=next((each.last_words for each in samples if each.last_words), b""),
    )


def gone(last: Sample, *, untried: bool) -> Sample:
    """The final sample of a machine that is gone, from its last one: what was open is lost.

    untried: what it had not opened has failed, because nobody else will try
    """
    missing = max(0, last.wanted - last.opened - sum(last.failed.values())) if untried else 0
    return replace(
        last,
        phase=Phase.CLOSED,
        opening=0,
        open=0,
        greeting=0,
        capacity=0,
        target=0,
        stage=MOST_STAGES,
        stage_open=(*last.stage_open, *(0,) * (MOST_STAGES - len(last.stage_open))),
        identified=np.iinfo(np.int64).max,
        lost=last.lost + last.open,
        lost_by=counts([last.lost_by, {NOT_TRIED: last.open}]),
        failed=counts([last.failed, {NOT_TRIED: missing}]),
        census=None,
    )


def not_reopened(sample: Sample, number: int) -> tuple[Sample, int]:
    """(the sample with this many failures as failures to reopen a connection, how many more it would have taken)"""
    left, moved = max(0, number), dict.fromkeys(sample.failed, 0)
    for name, count in sample.failed.items():
        moved[name] = min(left, count)
        left -= moved[name]
    failed = counts([sample.failed, {name: -count for name, count in moved.items()}])
    return replace(sample, failed=failed, reconnect_failed=counts([sample.reconnect_failed, moved])), left


def counts(several: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Sums by key, the largest first, those of the same size by name; without zeros."""
    found: dict[str, int] = {}
    for each in several:
        for name, number in each.items():
            found[name] = found.get(name, 0) + number
    return dict(sorted(((name, n) for name, n in found.items() if n), key=lambda item: (-item[1], item[0])))


def witnesses(several: Sequence[Witness | None]) -> Witness | None:
    """The counts of several kernels together; None: one of them has not counted."""
    known = [each for each in several if each is not None]
    if len(known) < len(several):
        return None
    return Witness(
        client=sum(each.client for each in known),
        server=total_of(each.server for each in known),
        accepted=total_of(each.accepted for each in known),
        by=", ".join(dict.fromkeys(name for each in known for name in each.by.split(", "))),
        least=total_of(each.least for each in known),
        most=total_of(each.most for each in known),
        queues=tuple(queue for each in known for queue in each.queues),
    )


def reports(several: Sequence[Seen | None]) -> Seen | None:
    """What the kernels of several machines reported, together; None: one of them has not reported."""
    known = [each for each in several if each is not None]
    if len(known) < len(several):
        return None
    return Seen(
        connections=total_of(each.connections for each in known),
        memory_bytes=total_of(each.memory_bytes for each in known),
        moved=counts(each.moved for each in known),
        time_wait=total_of(each.time_wait for each in known),
    )


def _stages(several: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Connections at the end of each stage that is over on all machines."""
    return tuple(sum(each) for each in zip(*several, strict=False))


def total_of(values: Iterable[int | None]) -> int | None:
    """The sum; None: one of them is not known."""
    total = 0
    for value in values:
        if value is None:
            return None
        total += value
    return total
