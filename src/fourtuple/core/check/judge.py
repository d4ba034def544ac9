"""How a program uses source ports: from an observation to findings, the worst first, and one verdict.

A port that connect() chose serves every destination. A port that bind() took, by number or as bind(address, 0), is
excluded from every automatic choice of the namespace. Whether other connects can still get the port therefore shows
how it was taken, even for a single connection.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from types import MappingProxyType
from typing import Any

from fourtuple.core.backports import StrEnum
from fourtuple.core.check.cures import IN_CODE, WITHOUT_CODE, cure_for
from fourtuple.core.check.timeline import Connection
from fourtuple.core.limits.time_wait import TIME_WAIT_S
from fourtuple.core.record import dataclass
from fourtuple.core.units import format_count, format_things

DEFAULT_RANGE = 28_232  # ports: 32768-60999, the kernel's default of net.ipv4.ip_local_port_range
SIGNALS = range(1, 65)  # signal(7): shells report that one ended a program as exit code 128 + its number
MOST_NAMED = 4  # listening ports in a remark
CHURN, CHURN_FEW = 0.1, 10  # share and number of reopened connections from which TIME_WAIT matters
LISTENERS = 0.1  # share of the range up to which listeners are a remark; a single one always is
IN_STEP = 0.8  # share of the connections that advance in both lists at once, from which it is lockstep


class Kind(StrEnum):
    """What a program does with its source ports, the worst first; FAILED: it does not show what it does."""

    FAILED = "failed"
    BOUND = "bound"
    LOCKSTEP = "lockstep"
    POISONS = "poisons"
    LEAKS = "leaks"
    TIME_WAIT = "time-wait"
    UNSEEN = "unseen"
    SHARED = "shared"


class Ended(StrEnum):
    """Why the observation ended."""

    ITSELF = "the program exited by itself"
    SETTLED = "the program was stopped: nothing changed any more"
    TIME = "the program was stopped: its time limit was reached"
    ASKED = "the program was interrupted"


FIXES: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.FAILED: "Run the command until it ends with exit code 0; its own output goes to standard error. If it is"
        " meant to fail, say so in the command: sh -c 'COMMAND; true'.",
        Kind.BOUND: f"{WITHOUT_CODE} {IN_CODE}",
        Kind.LOCKSTEP: "Use every pair instead of advancing in both lists at once: connection i takes source i // D % S"
        " and destination i % D, as itertools.product, nested loops in C, Go, Rust and Java,"
        " or fourtuple.TupleSpace do.",
        Kind.POISONS: "Name ports outside net.ipv4.ip_local_port_range in its options, or add these ports to"
        " net.ipv4.ip_local_reserved_ports. In its code, let connect() choose the port: call bind(address, 0) with"
        " IP_BIND_ADDRESS_NO_PORT.",
        Kind.LEAKS: "Close the connection when read() returns 0, as the other end has closed it: close() in C,"
        " a with block in"
        " Python, defer Close() and io.Copy(io.Discard, Body) in Go, drop in Rust, try-with-resources in Java.",
        Kind.TIME_WAIT: "Reuse connections (keep-alive, a pool), as requests.Session, a single http.Client with"
        " MaxIdleConnsPerHost in Go, curl with several URLs and nginx's upstream keepalive do. Or let the server"
        " close first.",
        Kind.UNSEEN: "Let the program hold its connections briefly (0.1 s is enough), or close them with a FIN:"
        " a connection"
        " that is reset at once leaves no trace in the kernel.",
        Kind.SHARED: "",
    }
)
MORE_CONNECTIONS = "Let it open several, to several destinations: {url1} {url2}, or {dests} in the command."
SAME_AS_BOUND = "The same change: a port that bind() has taken is lost to all other programs."


@dataclass(frozen=True, slots=True)
class Destination:
    """The program's connections to one destination at its peak.

    address:     ADDRESS:PORT
    connections: open connections when the program had the most in all
    local_ports: the number of different local ports of these
    """

    address: str
    connections: int
    local_ports: int


@dataclass(frozen=True, slots=True)
class Observation:
    """What a program did, and which ports it kept from other programs.

    ports:        the size of the port range: local ports per source and destination
    destinations: the servers that the program was given, as ADDRESS:PORT
    most:         the connections that were open when there were the most
    opened:       connections that the program opened in all
    refused:      connections that were answered with a RST
    closed_first: connections that the program closed before the server did
    asked:        local ports that were tested when a connection had just got them: can another connect() get them?
    kept_own:     those of `asked` that no other connect() could get
    kept:         ports of the whole range that no other connect() could get during the run; empty: not tested
    kept_after:   ports of the whole range that no other connect() could get 2 s after the program ended
    named:        ports of the range that the program named in bind(), or listened on
    listened:     those of `named` that it listened on
    time_wait:    4-tuples that the program left in TIME_WAIT
    close_wait:   connections that the program had not closed 1 s after the server did
    left:         connections that other processes held 1 s after the program ended
    errno:        the name of the errno that the program reported; empty: none
    call:         the call that failed with it; empty: not reported
    exit:         the exit code; None: the program was still running and was stopped
    ended:        why the observation ended
    lost:         packets that were not captured: the numbers of connections are too low
    driven:       whether the program listened where --through said; None: --through was not given
    """

    ports: int
    destinations: Sequence[str]
    most: Sequence[Connection]
    opened: int
    refused: int
    closed_first: int
    asked: frozenset[int]
    kept_own: frozenset[int]
    kept: frozenset[int]
    kept_after: frozenset[int]
    named: frozenset[int]
    listened: frozenset[int]
    time_wait: int
    close_wait: int
    left: int
    errno: str
    call: str
    exit: int | None
    ended: Ended
    lost: int
    driven: bool | None


@dataclass(frozen=True, slots=True)
class Trait:
    """One thing that the program does.

    numbers: the measured values that it rests on
    says:    what the program does, as a sentence
    fix:     what to change, as a sentence; empty: nothing
    """

    kind: Kind
    numbers: Mapping[str, int | float | str]
    says: str
    fix: str


@dataclass(frozen=True, slots=True)
class Conduct:
    """The verdict on a program, with its findings and the numbers.

    verdict:      the kind of the worst finding
    findings:     the worst first
    remarks:      what else to know about the program, as sentences; they do not change the verdict
    destinations: the program's connections by destination
    connections:  connections open at once, to all destinations, at the peak
    possible:     connections possible at once from the sources that the program used
    opened:       connections that the program opened in all
    exit:         the exit code; None: the program was still running and was stopped
    ended:        why the observation ended
    """

    verdict: Kind
    findings: tuple[Trait, ...]
    remarks: tuple[str, ...]
    destinations: tuple[Destination, ...]
    connections: int
    possible: int
    opened: int
    exit: int | None
    ended: Ended

    def __str__(self) -> str:
        """The headline, and what was found, with what to change."""
        found = (f"{each.kind}: {each.says}{f' Fix: {each.fix}' if each.fix else ''}" for each in self.findings)
        return "\n".join((self.headline, *found))

    @property
    def headline(self) -> str:
        """The verdict and the number of connections that it is about."""
        held = format_things(self.connections, "connection")
        return f"{self.verdict}: {held} at once, {format_count(self.possible)} possible"

    def found(self, kind: Kind) -> Trait | None:
        return next((finding for finding in self.findings if finding.kind is kind), None)

    @property
    def shared(self) -> bool:
        """Whether the program uses source ports well."""
        return self.verdict is Kind.SHARED

    def is_expected(self, expected: Kind | int) -> bool:
        """Whether the verdict is `expected`, or at least that many connections were open at once.

        A program that failed is never as expected.
        """
        if self.verdict is Kind.FAILED:
            return False
        return self.connections >= expected if isinstance(expected, int) else self.verdict is expected

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def judge(seen: Observation, command: Sequence[str] = ()) -> Conduct:
    """Judge an observation of a program that has opened at least one connection.

    command: the program and its arguments, for the fix that its user can apply
    """
    sources = {source for source, _, _ in seen.most}
    possible = seen.ports * len(seen.destinations) * max(1, len(sources))
    findings = [finding for fault in _FAULTS if (finding := fault(seen, possible))]
    if not {Kind.FAILED, Kind.BOUND, Kind.LOCKSTEP, Kind.UNSEEN} & {finding.kind for finding in findings}:
        findings.append(_shared(seen, possible))
    findings = _with_fixes(findings, cure_for(command))
    if seen.errno:
        findings[0] = _with_errno(findings[0], seen)
    if seen.lost:
        says = (
            f"{findings[0].says} {_count(seen.lost, 'packet')} could not be captured, so the real numbers are higher."
        )
        findings[0] = replace(findings[0], numbers={**findings[0].numbers, "lost_packets": seen.lost}, says=says)
    at_once = Counter(number for _, _, number in seen.most)
    ports = Counter(number for _, number in {(port, number) for _, port, number in seen.most})
    return Conduct(
        verdict=findings[0].kind,
        findings=tuple(findings),
        remarks=_remarks(seen),
        destinations=tuple(
            Destination(address, at_once[number], ports[number]) for number, address in enumerate(seen.destinations)
        ),
        connections=len(seen.most),
        possible=possible,
        opened=seen.opened,
        exit=seen.exit,
        ended=seen.ended,
    )


def _failed(seen: Observation, _: int) -> Trait | None:
    if not seen.exit:
        return None
    number = seen.exit - 128
    by = f" (128 + signal {number})" if number in SIGNALS else ""
    says = f"the program ended with exit code {seen.exit}{by}"
    says += ", and a program that failed does not show that it shares its ports"
    return _finding(Kind.FAILED, {"exit": seen.exit, "opened": seen.opened}, says)


def _bound(seen: Observation, possible: int) -> Trait | None:
    used = {port for _, port, _ in seen.most}
    kept = _kept_unnamed(seen)
    if not kept:
        return None
    held, total = len(seen.most), possible // len(seen.destinations)
    numbers = {"connections": held, "possible": possible, "local_ports": len(used), "kept": len(kept)}
    says = "the program calls bind() before connect(), so each local port serves only one connection"
    if held < total:
        says += f": only {_count(total, 'connection')} in total can be open, not {format_count(possible)}"
    else:
        says = f"{_count(held, 'connection')} in total, out of {format_count(possible)} possible: {says}"
    return _finding(Kind.BOUND, numbers, says)


def _lockstep(seen: Observation, possible: int) -> Trait | None:
    walk = [(source, number) for source, _, number in seen.most]
    pairs, sources, destinations = set(walk), {source for source, _ in walk}, {number for _, number in walk}
    of, turn = len(sources) * len(destinations), math.lcm(len(sources), len(destinations))
    if not 1 < len(pairs) == turn < of:
        return None
    steps = [
        here == again and here[0] != after[0] and here[1] != after[1]
        for here, after, again in zip(walk, walk[1:], walk[turn:], strict=False)
    ]
    if not steps or sum(steps) < IN_STEP * len(steps):
        return None
    says = (
        f"the program uses {len(pairs)} of the {of} pairs of source and destination: it advances in both lists at once,"
        f" which gives lcm({len(sources)}, {len(destinations)}) pairs"
    )
    numbers = {"pairs": len(pairs), "of": of, "sources": len(sources), "destinations": len(destinations)}
    return _finding(Kind.LOCKSTEP, numbers, says)


def _poisons(seen: Observation, _: int) -> Trait | None:
    after = len(seen.kept_after)
    kept = _kept(seen)
    if not kept - _few_listeners(seen):
        return None
    numbers = {"while_running": seen.ports - len(kept), "after": seen.ports - after, "of": seen.ports}
    says = (
        f"other destinations can use {numbers['while_running']} of {seen.ports} ports while the program runs,"
        f" and {numbers['after']} 2 s after it has ended"
    )
    if seen.named:
        numbers["named"] = len(seen.named)
        says += f"; it called bind() for, or listened on, {format_count(len(seen.named))} ports of the range"
    return _finding(Kind.POISONS, numbers, says)


def _leaks(seen: Observation, _: int) -> Trait | None:
    parts = []
    if seen.close_wait:
        many = _count(seen.close_wait, "connection")
        parts.append(f"{many} closed by the server but not by the program (CLOSE_WAIT), which keeps the ports in use")
    if seen.left:
        parts.append(f"{_count(seen.left, 'connection')} still held by processes that the program left running")
    if not parts:
        return None
    return _finding(Kind.LEAKS, {"close_wait": seen.close_wait, "left": seen.left}, "; ".join(parts))


def _time_wait(seen: Observation, _: int) -> Trait | None:
    again = seen.opened - len(seen.most)
    if not seen.time_wait or min(again, seen.closed_first) < max(CHURN_FEW, CHURN * seen.opened):
        return None
    rate, usual = seen.ports / TIME_WAIT_S, DEFAULT_RANGE / TIME_WAIT_S
    numbers = {
        "opened": seen.opened,
        "at_once": len(seen.most),
        "closed_first": seen.closed_first,
        "time_wait": seen.time_wait,
        "per_s": round(rate, 3),
        "per_s_of_default_range": round(usual, 1),
    }
    says = (
        f"the program opened {_count(seen.opened, 'connection')}, {format_count(len(seen.most))} at once, and closed"
        f" {format_count(seen.closed_first)} of them first, which keeps each port for {TIME_WAIT_S:g} s: to one"
        f" destination the default range allows {usual:.0f} per second, the range here {rate:.2f}"
    )
    return _finding(Kind.TIME_WAIT, numbers, says)


def _unseen(seen: Observation, _: int) -> Trait | None:
    if seen.opened == 1 and not seen.kept_after:
        says = "the program opened one connection, which does not show whether several share a port"
        return replace(_finding(Kind.UNSEEN, {"opened": 1}, says), fix=MORE_CONNECTIONS)
    if seen.asked or seen.time_wait or seen.kept_after or _several(seen):
        return None
    says = "the connections ended before the kernel could be asked how their ports were chosen"
    return _finding(Kind.UNSEEN, {"opened": seen.opened}, says)


def _shared(seen: Observation, possible: int) -> Trait:
    held, ports = len(seen.most), len({port for _, port, _ in seen.most})
    numbers = {"connections": held, "possible": possible, "local_ports": ports}
    says = f"{_count(held, 'connection')} at once on {_count(ports, 'local port')}"
    if held == possible:
        says += ", all that are possible: each port serves every destination"
    elif not _kept(seen) - _few_listeners(seen):
        says += f", out of {format_count(possible)} possible; the ports stay available to other destinations"
    return _finding(Kind.SHARED, numbers, says)


_FAULTS = (_failed, _bound, _lockstep, _poisons, _leaks, _time_wait, _unseen)  # the worst first, as in Kind


def _count(number: int, what: str) -> str:
    return f"{format_count(number)} {what}{'s' * (number != 1)}"


def _finding(kind: Kind, numbers: Mapping[str, int | float | str], says: str) -> Trait:
    return Trait(kind, numbers, f"{says}.", FIXES[kind])


def _kept(seen: Observation) -> frozenset[int]:
    """Ports that others could not get at some time; a port kept afterwards was also kept before."""
    return seen.kept | seen.kept_own | seen.kept_after


def _few_listeners(seen: Observation) -> frozenset[int]:
    """Ports of the range on which the program only listened, if few of them were lost to others at the same time."""
    listeners = seen.listened - {port for _, port, _ in seen.most}
    return listeners if len(listeners & _kept(seen)) <= max(1, LISTENERS * seen.ports) else frozenset()


def _remarks(seen: Observation) -> tuple[str, ...]:
    if not (listeners := _few_listeners(seen)):
        return ()
    few = ", ".join(map(str, sorted(listeners)[:MOST_NAMED])) + " …" * (len(listeners) > MOST_NAMED)
    them = "them" if len(listeners) > 1 else "it"
    return (
        f"The program listens on {_count(len(listeners), 'port')} of net.ipv4.ip_local_port_range ({few}). While it"
        f" listens, no connect() can choose {them}, and it cannot listen where a connection already has the port. A"
        " fixed port belongs outside the range, or into net.ipv4.ip_local_reserved_ports.",
    )


def _with_fixes(findings: Sequence[Trait], cure: str) -> list[Trait]:
    """The findings with the fix of known programs, and without saying the same thing twice.

    cure: what to change about a program that calls bind(); empty: not known
    """
    bound = any(finding.kind is Kind.BOUND for finding in findings)
    fixes = {Kind.BOUND: cure, Kind.POISONS: SAME_AS_BOUND if bound else cure}
    return [replace(finding, fix=fixes.get(finding.kind) or finding.fix) for finding in findings]


def _several(seen: Observation) -> frozenset[int]:
    """Ports that carried several connections from one source at once: bind(address, 0) did not choose these."""
    ends = Counter((source, port) for source, port, _ in seen.most)
    return frozenset(port for (_, port), count in ends.items() if count > 1)


def _kept_unnamed(seen: Observation) -> frozenset[int]:
    """Ports that bind(address, 0) chose: each serves one connection, was not named, and is kept from others.

    A port that others could get when its connection was new was lost to them later, by another socket.
    """
    used = frozenset(port for _, port, _ in seen.most)
    kept = seen.kept_own | (seen.kept_after | seen.kept & used) - seen.asked
    return kept - seen.named - _several(seen)


def _with_errno(finding: Trait, seen: Observation) -> Trait:
    met = f"the program reported {seen.errno}{f' from {seen.call}()' if seen.call else ''}"
    says = f"{finding.says.removesuffix('.')}; {met}."
    return replace(finding, numbers={**finding.numbers, "errno": seen.errno}, says=says)
