"""Findings that report the same failure, counted as one; a bounded number of them, on one time line."""

from dataclasses import replace
from typing import Any

from fourtuple.core.record import dataclass
from fourtuple.core.why.findings import Finding
from fourtuple.core.why.reader.frames import Stamp
from fourtuple.core.why.reader.said import is_vague

MOST_GROUPS = 1000
MOST_BETWEEN = 20  # lines between a client's words and the errno that its stack trace ends with


@dataclass(slots=True)
class _Group:
    """One failure: the finding that reported it first in the text, how often it was, and its first and last time."""

    finding: Finding
    count: int
    first: Stamp | None
    last: Stamp | None

    def add(self, finding: Finding, stamp: Stamp | None, count: int) -> None:
        self.count += count
        ours = self.finding
        if finding != ours:
            self.finding = replace(
                ours,
                source=ours.source if ours.source == finding.source else _shared(ours.source, finding.source),
                host=ours.host if ours.host == finding.host else "",
                pid=ours.pid if ours.pid == finding.pid else None,
                number=max(filter(None, (ours.number, finding.number)), default=None),
                system=ours.system or finding.system,
            )
        if stamp and (self.first is None or (stamp.clock is self.first.clock and stamp.at_s < self.first.at_s)):
            self.first = stamp
        if stamp and (self.last is None or stamp.clock is not self.last.clock or stamp.at_s >= self.last.at_s):
            self.last = stamp

    def whole(self) -> Finding:
        first, last = self.first.text if self.first else "", self.last.text if self.last else ""
        return replace(self.finding, count=self.count, first=first, last=last)


def _shared(one: str, other: str) -> str:
    """The address of both sources, if only their ports differ; empty otherwise."""
    return _address(one) if _address(one) == _address(other) else ""


def _address(end: str) -> str:
    if end.startswith("["):
        return end[1:].partition("]")[0]
    return end.partition(":")[0] if end.count(":") == 1 else end


class Groups:
    """All failures of a text.

    dropped: how many findings were not kept, because there were too many groups
    """

    def __init__(self) -> None:
        self._groups: dict[Any, _Group] = {}
        self.dropped = 0

    def add(self, finding: Finding, stamp: Stamp | None, count: int = 1) -> None:
        """Count a finding. count: how many lines report it, with this time at the end"""
        key = (
            finding.error,
            finding.call,
            finding.destination,
            finding.protocol,
            finding.program,
            finding.port,
            finding.causes,
            finding.limit,
            finding.source if finding.port else "",
        )
        if group := self._groups.get(key):
            group.add(finding, stamp, count)
        elif len(self._groups) < MOST_GROUPS:
            self._groups[key] = _Group(finding, count, stamp, stamp)
        else:
            self.dropped += count

    def in_order(self) -> tuple[Finding, ...]:
        """Return them by their first time, if all have times of one clock; otherwise as they are in the text."""
        groups = sorted(self._groups.values(), key=lambda group: group.finding.where)
        clocks = {group.first.clock if group.first else None for group in groups}
        if len(clocks) == 1 and None not in clocks:
            groups = sorted(groups, key=lambda group: (group.first.at_s if group.first else 0.0, group.finding.where))
        found = [group.whole() for group in groups]
        return tuple(each for each in found if not any(_wraps(each, other) for other in found))


def _wraps(finding: Finding, other: Finding) -> bool:
    """Whether the finding is only what a client says around an errno that stands a few lines below it."""
    is_near = 0 < other.where - finding.where <= MOST_BETWEEN and finding.first == other.first
    return is_vague(finding.causes) and not finding.error and bool(other.error) and is_near
