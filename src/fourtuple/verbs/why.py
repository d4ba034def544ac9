"""`why`: explain what a text says about failures, by the evidence on this host, or on the host of a snapshot."""

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone

from fourtuple.core.errors import FourtupleError, ShortfallError, UsageError
from fourtuple.core.snapshot.answers import Recorded
from fourtuple.core.snapshot.host import Host
from fourtuple.core.snapshot.pastes.paste import paste
from fourtuple.core.snapshot.records import HostNamespace, Snapshot
from fourtuple.core.space.endpoints import Endpoint, EndpointSpec, Resolved
from fourtuple.core.units import format_count, format_things
from fourtuple.core.visible import visible
from fourtuple.core.why.catalogue.rows import catalogue, phrases
from fourtuple.core.why.causes import SESSIONS
from fourtuple.core.why.findings import Finding, System
from fourtuple.core.why.judge import Why, fit_of, judge
from fourtuple.core.why.leads import target_of
from fourtuple.core.why.reader import BLOCK, PHRASES, TextRead, read_text
from fourtuple.core.why.reader.errnos import no_errno
from fourtuple.core.why.scene import Bearing, Scene
from fourtuple.core.why.when import bearing_of
from fourtuple.verbs.hosts import here
from fourtuple.verbs.survey import look
from fourtuple.verbs.viewpoint import Viewpoint

MOST_SECONDS = 4.0  # for looking into other namespaces
MOST_PASTE = 1 << 20  # characters of a text that may be output of tools such as ss
LOGS = frozenset({"dmesg"})  # sources of a paste that report failures, and not the state of a host
OF_PORTS = ("EADDRNOTAVAIL", "EADDRINUSE", "")  # errors of connect() that may be a lack of ports; curl prints none
MOST_EXPLAINED = 50  # findings that are weighed; the others are counted


def why(
    text: str | bytes | Iterable[str | bytes],
    *,
    destination: str | None = None,
    first_address: bool = False,
    pid: int | None = None,
    everywhere: bool = True,
    ask: bool = False,
    host: Host | None = None,
) -> Why:
    """Find the likely causes of each failure that a text reports, the likeliest first, with the evidence.

    text:        a number of connections at which they stop, an errno, log lines or a traceback of any length, also as
                 chunks
    destination: HOST:PORT of the failed connections; None: those that the text names. Of a name that has several
                 addresses, the one with the least room is examined
    first_address: examine the first address of a name instead
    pid:         the process whose files, cgroup and namespace count; None: the one that the text names, if exactly one
                 runs, or that listens where files ran out
    everywhere:  look into every network namespace that this user may enter, and name the one that fits; False: only
                 into that of `host`
    ask:         also ask programs for their own settings, by their protocols; otherwise only their files are read
    host:        whom to ask: a namespace of this host, or of a snapshot; None: this thread's

    Raises UsageError, CannotError.
    """
    read, pasted = _read([text] if isinstance(text, str | bytes) else text)
    findings = read.findings
    if not findings and isinstance(text, str) and (says := no_errno(text)):
        raise UsageError(f"why {text.strip()}", says, "Give a number, an errno, or lines of a log.")
    cut = (f"the end of {_lines(read.cut)} longer than {format_count(BLOCK)} characters",) if read.cut else ()
    resolved: tuple[Resolved, ...] = ()
    end: Endpoint | None = None
    is_given = host is not None and host.origin is not None
    if destination is not None:
        end, resolved = _destination(destination, host or here(), first_address=first_address)
    if not findings:
        return Why((), {}, resolved, unseen=cut, pasted=pasted.source if pasted else "")
    explained = findings[:MOST_EXPLAINED]
    targets = [str(end) if end else target_of(each) for each in explained]
    answer = None
    if pasted and not is_given:
        with suppress(FourtupleError):  # it tells too little
            answer = _judged(explained, targets, Recorded(pasted), everywhere=everywhere)
    if answer is None:
        elsewhere = pasted is not None and not is_given
        answer = _judged(explained, targets, host or here(), pid, everywhere=everywhere, ask=ask, elsewhere=elsewhere)
    more = len(findings) - len(explained)
    beyond = (f"{format_count(more)} more kinds of failures in the text, which are not weighed",) if more else ()
    return replace(
        answer, resolved=resolved, unseen=(*beyond, *cut, *answer.unseen), pasted=pasted.source if pasted else ""
    )


def _judged(
    findings: Sequence[Finding],
    targets: Sequence[str | None],
    host: Host,
    pid: int | None = None,
    *,
    everywhere: bool,
    ask: bool = False,
    elsewhere: bool = False,
) -> Why:
    """The answer of this host to the findings. elsewhere: they are known to be another's"""
    now = datetime.now(timezone.utc).astimezone()
    if isinstance(host, Recorded):  # a snapshot is chosen for its text: what it shows of that time supports
        snapshot = host.snapshot
        bearings = [Bearing.PERHAPS if each.system in (None, System.LINUX) else Bearing.THEN for each in findings]
    else:
        snapshot = _sweep()
        bearings = [bearing_of(each, now, elsewhere=elsewhere) for each in findings]
    looks = _Looks(host, snapshot, findings, pid=pid, everywhere=everywhere, ask=ask)
    scenes = [looks.scene(*each) for each in zip(findings, bearings, targets, strict=True)]
    if logged := _logged(snapshot):
        scenes = [replace(scene, logged=logged) for scene in scenes]
    own, root = looks.own, os.geteuid() == 0
    ceilings = own.ceilings() if any(each.number is not None for each in findings) else {}
    answer = judge(scenes, ceilings, own.unknown(), rows=catalogue(), root=root)
    # Where else the cause may be is of interest as long as it was not seen.
    is_seen = all(
        each.explanations and (each.explanations[0].evidence or each.explanations[0].cause in SESSIONS)
        for each in answer.findings
    )
    if elsewhere:  # what this host says is of no interest
        answer = replace(answer, findings=tuple(replace(each, host_now=()) for each in answer.findings))
    source = host.origin.source if host.origin else ""
    return replace(answer, source=source, unseen=tuple(looks.unseen) if any(bearings) and not is_seen else ())


def _logged(snapshot: Snapshot) -> dict[str, str]:
    """The causes that the kernel's log in a paste reports, each with the first line that does."""
    found: dict[str, str] = {}
    for finding in read_text([f"{line}\n" for line in snapshot.log], PHRASES).findings if snapshot.log else ():
        for cause in finding.causes[:1]:
            found.setdefault(cause, visible(finding.text))
    return found


class _Looks:
    """The namespaces that a text may be about: the own one, and the others as far as a snapshot has them."""

    def __init__(
        self,
        host: Host,
        snapshot: Snapshot,
        findings: Sequence[Finding],
        *,
        pid: int | None,
        everywhere: bool,
        ask: bool,
    ) -> None:
        ports = frozenset(each.port for each in findings if each.port is not None)
        netns = _own_netns() if pid is None and host.origin is None else host.world(pid, details=False).netns
        self.own = Viewpoint(host, snapshot, snapshot.namespaces.get(netns), ports, pid, _whose(host), ask=ask)
        self.unseen: list[str] = []
        others = [each for each in snapshot.namespaces.values() if each.netns != netns] if everywhere else []
        others.sort(key=lambda inside: -len(inside.sockets))
        self._others = [
            Viewpoint(Recorded(snapshot, netns=each.netns), snapshot, each, ports, None, subject_of(each, snapshot))
            for each in others
        ]
        if everywhere:
            self.unseen += [each for each in snapshot.unseen if "namespace" in each]
        self._over_s = time.monotonic() + MOST_SECONDS

    def scene(self, finding: Finding, bearing: Bearing, target: str | None) -> Scene:
        """The scene in the own namespace if that shows a cause clearly, or no other does; else in the one that fits."""
        if bearing is Bearing.THEN:
            return self.own.scene(finding, bearing, target)
        source = _host_of(finding.source)
        if source and finding.error != "EADDRNOTAVAIL" and not self.own.has(source):
            theirs = [other for other in self._others if other.has(source)]
            if not theirs:
                return self.own.scene(finding, Bearing.THEN, target)
            return theirs[0].scene(finding, bearing, target)
        best = self.own.scene(finding, bearing, target)
        best_fit = fit_of(best, catalogue())
        fitting = [] if best_fit else [other for other in self._others if other.may_fit(finding)]
        for number, other in enumerate(fitting):
            if time.monotonic() > self._over_s:
                left = len(fitting) - number
                self.unseen.append(f"{format_things(left, 'network namespace')}: there was no time to look into them")
                break
            with suppress(FourtupleError, OSError):
                scene = other.scene(finding, bearing, target)
                if finding.error in OF_PORTS and finding.destination and scene.pair is None:
                    continue  # nothing there connects to what the text names, so its ports say nothing
                if (fit := fit_of(scene, catalogue())) > best_fit:
                    best, best_fit = scene, fit
        return best


def _whose(host: Host) -> str:
    return f"another host, of which this is {host.origin.source}" if host.origin else ""


def subject_of(inside: HostNamespace, snapshot: Snapshot) -> str:
    """The namespace in words: its pod, container or service, its name or a process in it."""
    cgroup = snapshot.cgroups.get(inside.cgroup)
    process = snapshot.processes.get(inside.pid) if inside.pid is not None else None
    owner = ""
    if cgroup:
        known = (("pod", cgroup.pod), ("container", cgroup.name or cgroup.container[:12]), ("service", cgroup.service))
        owner = ", ".join(f"{kind} {name}" for kind, name in known if name)
    who = f"{process.name} ({process.pid})" if process else ""
    named = inside.name if inside.name and inside.name != who else ""
    return "; ".join(filter(None, (owner, f"network namespace {named or inside.netns}", who)))


def _lines(count: int) -> str:
    return "1 line that is" if count == 1 else f"{format_things(count, 'line')} that are"


def _read(chunks: Iterable[str | bytes]) -> tuple[TextRead, Snapshot | None]:
    """What the text says, and the host that output of tools in it tells of; None: there is no such output.

    Ctrl-C on a text without an end gives what was found so far. Raises UsageError.
    """
    empty, size, kept = True, 0, list[str | bytes]()

    def passed() -> Iterator[str | bytes]:
        nonlocal empty, size
        with suppress(KeyboardInterrupt):
            for chunk in chunks:
                empty, size = empty and not chunk.strip(), size + len(chunk)
                if size <= MOST_PASTE:
                    kept.append(chunk)
                yield chunk

    read = read_text(passed(), (*PHRASES, *phrases()))
    if empty:
        raise UsageError("why", "the text is empty", "Give a number, an errno, or lines of a log.")
    whole = "".join(each if isinstance(each, str) else each.decode(errors="replace") for each in kept)
    pasted = paste(whole) if size <= MOST_PASTE else None
    return read, pasted if pasted and pasted.source not in LOGS else None


def _own_netns() -> str:
    from fourtuple.kernel.netns import own_netns

    return own_netns()


def _sweep() -> Snapshot:
    from fourtuple.verbs.sweep import sweep

    return sweep()


def _host_of(end: str) -> str:
    """The address of ADDRESS:PORT or ADDRESS; empty: none, or any."""
    text = end.rpartition(":")[0] if end.count(":") == 1 or "]:" in end else end
    address = text.strip("[]")
    return "" if address in ("", "0.0.0.0", "::") else address  # noqa: S104  (not a listener)


def _destination(text: str, host: Host, *, first_address: bool) -> tuple[Endpoint, tuple[Resolved, ...]]:
    """The endpoint to be examined, and its name: of several addresses the one with the least room.

    Raises UsageError.
    """
    spec = EndpointSpec.parse(text)
    if spec.ports is None or len(spec.ports) != 1:
        return Endpoint.parse(text), ()  # raises
    found = host.resolve(spec)
    first = Endpoint(found[0], spec.ports[0])
    if len(found) == 1:
        return first, ()
    try:
        seen = look([text], first_address=first_address, host=host)
    except ShortfallError:  # no way there, which may be the failure in question
        return first, ()
    if not seen.resolved or seen.ports is None:
        return first, seen.resolved
    fullest = min(seen.ports.routes, key=lambda route: (route.room.least, route.room.most))
    return Endpoint.parse(str(fullest.destination)), seen.resolved
