"""Why connections stop: the causes that each finding of a text leads to, weighed, and the order of the findings.

Evidence counts only for its subject. How far a host's state of now bears on a text says `Scene.bearing`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from fourtuple.core.errnos import SYMPTOMS
from fourtuple.core.limits.cures import Cure, Needs, at_hand_first
from fourtuple.core.record import dataclass
from fourtuple.core.space.endpoints import Resolved
from fourtuple.core.units import format_count
from fourtuple.core.why.catalogue.rows import CatalogueRow
from fourtuple.core.why.causes import CAUSES, SESSIONS
from fourtuple.core.why.findings import Finding
from fourtuple.core.why.leads import agrees, causes_of_code, causes_of_error, plateaus_of, stopped_at
from fourtuple.core.why.scene import Bearing, Cause, Evidence, Scene, near
from fourtuple.core.why.timeline import first_cause

FIRST_WORD, NEXT_WORDS, OWN_LIMIT, BROUGHT = 6, 4, 8, 6  # weights: more than one observation, less than a clear one
ANY_NUMBER = 2  # the weight of words where the text has nothing else to go by
CLEAR = 4  # the weight from which on an observation leaves little doubt
OF_ANY_LIMIT = ("ETIMEDOUT", "ECONNREFUSED", "ECONNRESET", "EPIPE")  # how clients meet a limit of a server or pool
# An errno → the causes that its usual meaning (SYMPTOMS) is about; not here: all that ERRORS leads to.
MEANT: Mapping[str, tuple[str, ...]] = {
    "EADDRNOTAVAIL": ("port-range", "time-wait", "close-wait", "bound-first", "reserved"),
    "EADDRINUSE": ("port-owned",),
    "EMFILE": ("files", "close-wait"),
    "ENOSPC": ("watches",),
    "ENOMEM": ("memory", "ring-memory", "tcp-mem"),
    "ENOBUFS": ("memory", "tcp-mem"),
    "ETIMEDOUT": ("accept-queue", "syn-queue", "conntrack", "nat", "firewall"),
    "ECONNRESET": ("reset", "accept-queue"),
    "EHOSTUNREACH": ("no-way", "firewall"),
    "ENETUNREACH": ("no-way",),
    "EACCES": ("privileged", "firewall"),
    "EPERM": ("firewall",),
}
_CLOUD, _CLIENT, _LIBRARY = "the cloud platform", "the client", "the library"
WHOSE: Mapping[str, str] = {  # whose limit a row of the catalogue is, where it is no server's own
    **dict.fromkeys(("aws", "azure", "gcp", "heroku"), _CLOUD),
    **dict.fromkeys(("browser",), _CLIENT),
    **dict.fromkeys(("kubernetes", "docker"), "the container platform"),
    **dict.fromkeys(("systemd", "inetd", "xinetd"), "the service manager"),
    **dict.fromkeys(("dotnet", "erlang", "go", "java", "node", "python", "ruby"), _LIBRARY),
}
OF_SESSION = "a failure of the session, after TCP had connected: not of this end's ports"
MOST_ROWS = 4  # of the catalogue that a number leads to

# What cannot be told apart without a look at the host in question: an errno → the alternatives, and what tells.
OPEN: Mapping[str, tuple[str, str]] = {
    "EADDRNOTAVAIL": (
        "no port left (TIME_WAIT, a leak, a small or reserved range), or a source address that the host does not have",
        "ss -tan dst {target} on that host",
    ),
    "ETIMEDOUT": (
        "a full accept queue, full connection tracking or NAT, or a firewall that drops",
        "nstat -az TcpExtListenOverflows on the server, and conntrack -S on each host of the path",
    ),
    "ECONNRESET": (
        "the server closed or crashed, or a router on the path had forgotten the connection",
        "the server's log at that time, and nstat -az TcpExtTCPAbortOnData on the server",
    ),
    "EAGAIN": (
        "which call failed decides: read() or write() is no error, connect() to a Unix socket is its backlog, fork() is"
        " a limit of threads",
        "strace -f -e trace=connect,clone,clone3,sendto -p PID",
    ),
    "EMFILE": ("a limit that is too small, or a leak", "ls /proc/PID/fd | wc -l twice, a minute apart, on that host"),
    "ECONNREFUSED": ("nothing listens, or a firewall answers with a reset", "ss -lntp on the server"),
    "EHOSTUNREACH": (
        "no host answers on the link, a firewall rejects, or the neighbour table is full",
        "ip neighbour show to {address} on that host",
    ),
    "": (
        "nothing listens there, or this host has no port left: the text has no errno",
        "ss -lnt on the server, and fourtuple limits {target} here",
    ),
    "ENOBUFS": ("which table or buffer is full", "dmesg | tail on that host"),
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """One cause, weighed.

    cause:    its key in CAUSES, or that of a row of the catalogue
    says:     the cause in one line
    score:    the sum of the weights; a cause below 0 is unlikely
    evidence: what supports it, of this host if the text is of here and now, and of the text itself
    against:  what contradicts it
    contrary: what the host says against it now, where that does not count
    notes:    what does neither
    cures:    remedies, those first that this user can apply now
    brought:  whether an earlier failure of the text suggests it
    """

    cause: str
    says: str
    score: int
    evidence: tuple[str, ...]
    against: tuple[str, ...]
    contrary: tuple[str, ...]
    notes: tuple[str, ...]
    cures: tuple[Cure, ...]
    brought: bool = False

    def to_json(self) -> dict[str, Any]:
        record = asdict(self)
        del record["cures"]
        return record | {
            "do": [cure.do for cure in self.cures],
            "costs": [cure.costs for cure in self.cures],
            "needs": [cure.needs for cure in self.cures],
        }


@dataclass(frozen=True, slots=True)
class Explained:
    """One finding with its explanations.

    means:         the usual meanings of its number or errno
    explanations:  the causes, the likeliest first; none if no known cause matches
    here_now:      whether the state of the host counted as evidence
    subject:       the namespace or process whose state that is; empty: this one
    host_now:      what that host says now, where it did not count
    open:          what cannot be told apart, and what would tell; empty: nothing is open
    follows:       the index of the finding of which this one is a consequence; None: of none
    """

    finding: Finding
    target: str | None
    means: tuple[str, ...]
    explanations: tuple[Explanation, ...]
    here_now: bool
    subject: str
    host_now: tuple[str, ...]
    open: str
    follows: int | None = None

    def to_json(self) -> dict[str, Any]:
        finding = asdict(self.finding)
        finding["causes"], finding["system"] = list(self.finding.causes), self.finding.system
        return finding | {
            "target": self.target,
            "means": list(self.means),
            "here_now": self.here_now,
            "subject": self.subject,
            "this_host_now": list(self.host_now),
            "open": self.open,
            "follows": self.follows,
            "explanations": [each.to_json() for each in self.explanations],
        }


@dataclass(frozen=True, slots=True)
class Why:
    """The answer to one text.

    findings: what it reports, in the order of time
    unknown:  facts that could not be read, and why
    resolved: the name of the destination, if it has several addresses
    unseen:   sentences: where else this user could not look
    pasted:   the tools whose output the text has, such as `ss -s`: it tells of another host; empty: none
    source:   the snapshot or pasted output that was asked instead of this host; empty: this host was
    """

    findings: tuple[Explained, ...]
    unknown: Mapping[str, str]
    resolved: tuple[Resolved, ...] = ()
    unseen: tuple[str, ...] = ()
    pasted: str = ""
    source: str = ""

    @property
    def is_known(self) -> bool:
        """Whether a possible cause is known for anything in the text."""
        return any(each.explanations for each in self.findings)

    def to_json(self) -> dict[str, Any]:
        return {
            "findings": [each.to_json() for each in self.findings],
            "unknown": dict(self.unknown),
            "resolved": [asdict(each) for each in self.resolved],
            "unseen": list(self.unseen),
            "pasted": self.pasted,
        }


def judge(
    scenes: Sequence[Scene],
    ceilings: Mapping[str, int],
    unknown: Mapping[str, str],
    *,
    rows: Mapping[str, CatalogueRow],
    root: bool = False,
) -> Why:
    """Weigh the causes of each finding, and say which findings follow from which.

    scenes:   one for each finding, in the order of time
    ceilings: limits of this host by name; the nearest ones are named if no cause matches a number
    unknown:  facts that could not be read, and why
    rows:     the catalogue of limits that are not the kernel's
    root:     this user is root, who can change settings of the host
    """
    found = [explain(scene, ceilings, rows=rows, root=root) for scene in scenes]
    for at, scene in enumerate(scenes):
        firsts = [_kind(each.explanations[0].cause) if each.explanations else "" for each in found]
        earlier = first_cause([each.finding for each in scenes], firsts, at)
        if earlier is not None:
            brought = frozenset({found[earlier].explanations[0].cause, *scenes[earlier].finding.causes})
            found[at] = replace(
                explain(scene, ceilings, rows=rows, root=root, brought=brought), follows=earlier, open=""
            )
    return Why(tuple(found), unknown)


def explain(
    scene: Scene,
    ceilings: Mapping[str, int],
    *,
    rows: Mapping[str, CatalogueRow],
    root: bool = False,
    brought: frozenset[str] = frozenset(),
) -> Explained:
    """Weigh the causes that a finding leads to, and sort them by score.

    brought: the causes of an earlier finding of which this one may be a consequence; empty: none
    """
    finding = scene.finding
    names = _candidates(scene, rows)
    weighed, host_now = [], []
    for rank, name in enumerate(names):
        cause = CAUSES.get(name) or _of_row(rows[name])
        explanation, aside = _weigh(name, cause, scene, root=root)
        words = _from_words(finding, name, rows) + (BROUGHT if name in brought else 0)
        explanation = replace(explanation, score=explanation.score + words, brought=name in brought)
        weighed.append((-explanation.score, rank, explanation))
        host_now += aside
    explanations = tuple(explanation for _, _, explanation in sorted(weighed, key=lambda each: each[:2]))
    number = stopped_at(finding)
    means = _usual(number, explanations)
    codes = [CAUSES[name].says for name in causes_of_code(finding)]
    if number is not None and len(explanations) == len(codes):
        means += _nearest(number, ceilings)
    means += [f"{says} ({OF_SESSION})" for says in codes]
    if not finding.error and number is None and explanations and explanations[0].cause in SESSIONS:
        means.insert(0, OF_SESSION)
    if finding.error and (says := _meaning(finding, explanations)):
        means.insert(0, says)
    return Explained(
        finding=finding,
        target=scene.target,
        means=tuple(means),
        explanations=explanations,
        here_now=scene.bearing is not Bearing.THEN,
        subject=scene.subject,
        host_now=tuple(dict.fromkeys(host_now)),
        open=_open(scene, explanations),
    )


def fit_of(scene: Scene, rows: Mapping[str, CatalogueRow]) -> int:
    """How clearly the scene shows a cause of its finding to be at work: its strongest evidence; 0: not clearly."""
    causes = (CAUSES[name] for name in _candidates(scene, rows) if name in CAUSES)
    weights = (each.weight for cause in causes for each in cause.evidence(scene) if not each.said)
    return max((weight for weight in weights if weight >= CLEAR), default=0)


def _candidates(scene: Scene, rows: Mapping[str, CatalogueRow]) -> list[str]:
    """The causes that the finding leads to, the likeliest first: its limit, its errno with its words, its number."""
    finding = scene.finding
    words = list(finding.causes)
    first = [name for name in words if agrees(finding, name)]
    own = [finding.limit] if finding.limit in rows else []
    outranked = own if own and not _limit_agrees(finding, rows) else []
    names = [name for name in own if name not in outranked] + first + list(causes_of_error(finding)) + outranked
    names += [name for name in words if name not in first]
    number = stopped_at(finding)
    names += [cause for plateau in plateaus_of(number) for cause in plateau.causes]
    if number is not None:
        names += [name for name, cause in CAUSES.items() if _stops_here(scene, cause)]
        names += _rows_at(finding, rows)
    names += causes_of_code(finding)
    return [name for name in dict.fromkeys(names) if name in CAUSES or name in rows]


def _limit_agrees(finding: Finding, rows: Mapping[str, CatalogueRow]) -> bool:
    """Whether the limit outranks the errno: the program itself reports it, or the errno is only what limits lead to.

    What another program meets is the errno.
    """
    return finding.error in ("", *OF_ANY_LIMIT) or finding.program == rows[finding.limit].program


def _stops_here(scene: Scene, cause: Cause) -> bool:
    return scene.bearing is not Bearing.THEN and any(near(scene.number, limit) for limit in cause.stops_at(scene))


def _rows_at(finding: Finding, rows: Mapping[str, CatalogueRow]) -> list[str]:
    """The rows of the catalogue with which clients stop at exactly this number, those of its program first."""
    at = [row for row in rows.values() if any(near_row(finding.number, stop.number) for stop in row.stops_at)]
    at.sort(key=lambda row: row.program != finding.program)
    return [row.key for row in at[:MOST_ROWS]]


def near_row(number: int | None, limit: int) -> bool:
    """Whether a program with this limit stops at the number: a few connections may be others'."""
    return number is not None and limit - min(3, limit // 50) <= number <= limit + 1


def _from_words(finding: Finding, name: str, rows: Mapping[str, CatalogueRow]) -> int:
    """The weight of a cause that the words of the text suggest."""
    if name in rows and name == finding.limit:
        return OWN_LIMIT if _limit_agrees(finding, rows) else 0
    if name not in finding.causes or not agrees(finding, name):
        return 0
    return FIRST_WORD if name == finding.causes[0] else NEXT_WORDS


def _weigh(name: str, cause: Cause, scene: Scene, *, root: bool) -> tuple[Explanation, list[str]]:
    """The explanation, and what the host says now that did not count."""
    counts: list[Evidence] = []
    aside: list[Evidence] = []
    own = [Evidence(2, text) for text in scene.settings.get(name, ())]
    if name in scene.logged and name not in scene.finding.causes:
        own.append(Evidence(CLEAR, f"the kernel's log of that host: {scene.logged[name]}"))
    for each in (*cause.evidence(scene), *own):
        if each.said or scene.bearing is Bearing.NOW or (scene.bearing is Bearing.PERHAPS and each.weight >= 0):
            counts.append(each)
        elif each.weight:
            aside.append(each)
    explanation = Explanation(
        cause=name,
        says=cause.says,
        score=sum(each.weight for each in counts),
        evidence=tuple(each.text for each in counts if each.weight > 0),
        against=tuple(each.text for each in counts if each.weight < 0),
        contrary=tuple(each.text for each in aside if each.weight < 0),
        notes=tuple(each.text for each in counts if each.weight == 0),
        cures=at_hand_first(cause.cures_in(scene), root=root),
    )
    return explanation, [each.text for each in aside]


def _of_row(row: CatalogueRow) -> Cause:
    """A row of the catalogue as a cause."""
    where = f" (set in {row.configured})" if row.configured else ""
    cures = [Cure(f"{row.do}{where}", row.costs, Needs.SETTING)]
    if row.runtime:
        cures.append(Cure(f"look at it: {row.runtime}"))
    notes = [f"default: {row.default}"] if row.default else []
    notes += [f"seen by clients: {row.seen}"] if row.seen else []
    evidence = tuple(Evidence(0, note, said=True) for note in notes)
    whose = WHOSE.get(row.program, "the program itself")
    return Cause(f"a limit of {whose}: {row.title} ({row.key})", cures, lambda _: iter(evidence))


def _kind(cause: str) -> str:
    """The cause as the time line knows it: `limit` for a row of the catalogue."""
    return cause if cause in CAUSES else "limit"


def _usual(number: int | None, explanations: Sequence[Explanation]) -> list[str]:
    """The usual meanings of the number; where this host shows another cause to be the first, that one."""
    first = next((each for each in explanations[:1] if each.evidence), None)
    plateaus = plateaus_of(number)
    kept = [plateau.says for plateau in plateaus if first is None or first.cause in plateau.causes]
    return kept or ([first.says] if first and plateaus else [])


def _meaning(finding: Finding, explanations: Sequence[Explanation]) -> str:
    """The usual meaning of the errno, where the likeliest cause is of its kind."""
    symptom = SYMPTOMS.get(finding.errno)
    usual = not finding.causes and not finding.limit and finding.protocol in ("", "tcp")
    first = explanations[0].cause if explanations else ""
    if (
        not symptom
        or not usual
        or finding.system not in (None, "Linux")
        or first not in MEANT.get(finding.error, (first,))
    ):
        return ""
    return symptom.limit


def _open(scene: Scene, explanations: Sequence[Explanation]) -> str:
    """What cannot be told apart: nothing supports the first cause more than the second."""
    if len(explanations) < 2 or scene.error not in OPEN or scene.finding.limit:
        return ""
    if not scene.error and scene.finding.call != "connect":  # a number, or a session, of which no call failed
        return ""
    first, second = explanations[:2]
    if first.score - second.score >= 2 or first.evidence:
        return ""
    what, tells = OPEN[scene.error]
    target = scene.target or scene.finding.destination or "ADDRESS:PORT"
    return f"{what}; {tells.format(target=target, address=target.rpartition(':')[0] or target)} tells"


def _nearest(number: int, ceilings: Mapping[str, int]) -> list[str]:
    """Name the limits of this host next below and next above the number."""
    below = max(((limit, name) for name, limit in ceilings.items() if limit < number), default=None)
    above = min(((limit, name) for name, limit in ceilings.items() if limit >= number), default=None)
    words = [f"{name}, {format_count(limit)}" for limit, name in filter(None, (below, above))]
    are = "the nearest are" if len(words) > 1 else "the nearest is"
    return [f"no limit of this host is at this number; {are} {' and '.join(words)}"] if words else []
