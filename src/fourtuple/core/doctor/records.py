"""What `doctor` finds: one frozen record for each limit that stops something, and the diagnosis that they make."""

from collections.abc import Mapping
from dataclasses import asdict, field
from datetime import datetime, timezone
from typing import Any

from fourtuple.core.backports import StrEnum
from fourtuple.core.limits.cures import Cure
from fourtuple.core.record import dataclass

OWN = "this network namespace"  # in which doctor runs


class Rank(StrEnum):
    """How bad it is; the worst first.

    All but the last count, and give exit code 1. LOGGED is a failure in the kernel's log that may be of now. SO_FAR is
    a counter that is above zero, and whose last increase may have been long ago, or a failure that the kernel logged
    more than a day ago: it is no limit of now.
    """

    FAILS = "fails"  # nothing is left, or a counter of failures moved during --for
    NEAR = "near"  # at least NEAR_SHARE of it is used
    GROWS = "grows"  # at this rate it will run out, or a program leaks
    LOGGED = "logged"
    SO_FAR = "so far"

    @property
    def place(self) -> int:
        return list(Rank).index(self)

    @property
    def is_now(self) -> bool:
        return self is not Rank.SO_FAR


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a finding belongs to; what is empty, or None, does not apply or is not known.

    netns:     the network namespace, as in /proc/PID/ns/net; empty: the finding is of the whole host
    name:      its name in ip-netns(8), OWN, or `of NAME (PID)`, by a process inside
    pod, container, service: as in Cgroup; container is the container's name, or else its ID
    pid, process: the process; of several the one with the most of what is counted
    uid:       the user, where the limit is the user's
    """

    netns: str = ""
    name: str = ""
    pod: str = ""
    container: str = ""
    service: str = ""
    pid: int | None = None
    process: str = ""
    uid: int | None = None

    def __str__(self) -> str:
        """`pod shop/web, container nginx, nginx (4242)`; `the host` if it is nobody's."""
        words = [f"pod {self.pod}"] if self.pod else []
        if self.container:
            words.append(f"container {self.container}")
        if self.service and not self.container:
            words.append(self.service)
        if self.uid is not None:
            words.append(f"user {self.uid}")
        if self.process:
            words.append(f"{self.process} ({self.pid})")
        if self.name or (self.netns and not words):
            words.append(OWN if self.name == OWN else f"the network namespace {self.name or self.netns}")
        return ", ".join(words) or "the host"


@dataclass(frozen=True, slots=True)
class Trouble:
    """One finding of `doctor`.

    key:      of the rule, such as `source-ports`
    says:     one sentence: what is used up, or fails
    used, most: what is used, and the limit; None: the finding is a count of failures
    evidence: what was read, one fact each
    cause:    why
    cures:    in the order in which this user can apply them
    source:   where the rule comes from: a man page, or a file of the kernel
    follows_from: the key of the finding that causes this one; empty: none does
    """

    key: str
    rank: Rank
    says: str
    subject: Subject
    evidence: tuple[str, ...]
    cause: str
    cures: tuple[Cure, ...]
    source: str
    used: int | None = None
    most: int | None = None
    follows_from: str = ""

    @property
    def share(self) -> float:
        """The share of the limit that is used, at most 1; also 1 if it is not a share, since something failed."""
        return min(1.0, self.used / self.most) if self.used is not None and self.most else 1.0


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What limits something on a host.

    at_s:     the time of the snapshot, in seconds since the epoch
    source:   what the snapshot was read from, such as `this host`
    for_s:    how long counters were watched; None: they were read once
    findings: the worst first
    unseen:   sentences: what this user could not see
    first:    what to do first; one sentence
    looked:   how many `namespaces`, `processes` and `cgroups` were looked at
    """

    host: str
    at_s: float
    source: str
    for_s: float | None
    findings: tuple[Trouble, ...]
    unseen: tuple[str, ...]
    first: str
    looked: Mapping[str, int] = field(default_factory=dict)

    @property
    def limits_now(self) -> bool:
        """Whether something limits now, or did when the kernel logged it; counters that were read once do not tell."""
        return any(trouble.rank.is_now for trouble in self.findings)

    def to_json(self) -> dict[str, Any]:
        record = asdict(self)
        at = datetime.fromtimestamp(record.pop("at_s"), timezone.utc).isoformat(timespec="seconds")
        return {"host": record.pop("host"), "at": at, "limits_now": self.limits_now, **record}
