"""Which findings report one failure, and which follow from another one."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from fourtuple.core.doctor.records import Rank, Subject, Trouble

# A counter, or a line of the log → the limits whose exhaustion it reports.
LIMITS_OF: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "accept-queue-overflows": ("accept-queue",),
        "syn-queue-drops": ("syn-queue",),
        "conntrack-drop": ("conntrack",),
        "conntrack-early-drop": ("conntrack",),
        "counter-TCPMemoryPressures": ("tcp-memory",),
        "counter-TCPAbortOnMemory": ("tcp-memory", "orphans"),
        "counter-TCPTimeWaitOverflow": ("time-wait",),
        "neighbours": ("neighbours4", "neighbours6"),
        "neighbours4-full": ("neighbours4",),
        "neighbours6-full": ("neighbours6",),
        "pids-max-refused": ("pids-max",),
        "oom-kills": ("cgroup-memory", "host-memory"),
    }
)
QUEUES = ("accept-queue", "accept-queue-overflows", "unix-backlog")
# A cause → what follows from it in the same process.
FOLLOW_IN_PROCESS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"open-files": QUEUES, "close-wait": ("open-files",)}
)
# A cause → what follows from it anywhere on the host.
FOLLOW_ON_HOST: Mapping[str, tuple[str, ...]] = MappingProxyType({"host-files": QUEUES})


def joined(found: Iterable[Trouble]) -> list[Trouble]:
    """The findings, each failure once: a counter or log of a limit that is a finding itself becomes its evidence."""
    findings = list(found)
    states = [each for each in findings if each.used is not None]
    evidence: dict[int, list[Trouble]] = {}
    kept = []
    for each in findings:
        state = None if each.used is not None else _state_of(each, states)
        if state is None:
            kept.append(each)
        else:
            evidence.setdefault(id(state), []).append(each)
    return [_with(each, evidence.get(id(each), [])) for each in kept]


def _state_of(report: Trouble, states: Iterable[Trouble]) -> Trouble | None:
    """The finding of the limit whose exhaustion this one reports; the one of the same process, if there is one."""
    keys = LIMITS_OF.get(report.key, (report.key,))
    fitting = [each for each in states if each.key in keys and _may_be_of(report.subject, each.subject)]
    return max(fitting, key=lambda each: each.subject.pid == report.subject.pid, default=None)


def _may_be_of(report: Subject, state: Subject) -> bool:
    """Whether a report can be about the subject of a limit: in its namespace, or its cgroup; the host's about any."""
    if report == Subject():
        return True
    if report.netns:
        return state.netns in ("", report.netns)
    return (report.pod, report.container, report.service) == (state.pod, state.container, state.service)


def _with(state: Trouble, reports: list[Trouble]) -> Trouble:
    """The finding with what was counted and logged of it; as bad as the worst of them."""
    if not reports:
        return state
    ranks = [state.rank, *(each.rank for each in reports if each.rank is Rank.FAILS)]
    more = (sentence for each in reports for sentence in each.evidence if sentence not in state.evidence)
    return replace(
        state, rank=min(ranks, key=lambda each: each.place), evidence=(*state.evidence, *dict.fromkeys(more))
    )


def linked(found: Iterable[Trouble]) -> Iterator[Trouble]:
    """The findings; of those that follow from another one, the cause is that one, and its remedies come first."""
    findings = list(found)
    for each in findings:
        cause = next((other for other in findings if _follows(each, other)), None)
        if cause is None:
            yield each
            continue
        own = each.cures if cause.key == "close-wait" else ()
        yield replace(
            each,
            cause=f"this follows from another finding: {cause.says}",
            cures=(*cause.cures, *own),
            follows_from=cause.key,
        )


def _follows(each: Trouble, cause: Trouble) -> bool:
    """Whether a finding follows from this one: a full limit, or a leak, of the same process or of the host."""
    if cause.rank not in (Rank.FAILS, Rank.GROWS) or not each.rank.is_now:
        return False
    pid = each.subject.pid
    if pid is not None and pid == cause.subject.pid and each.key in FOLLOW_IN_PROCESS.get(cause.key, ()):
        return True
    return each.key in FOLLOW_ON_HOST.get(cause.key, ())
