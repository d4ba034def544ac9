"""How a program uses source ports: what was seen of it → findings, the worst first, and one verdict.

A port that connect() has chosen serves every destination. One that bind() got, by number or as bind(address, 0), is
kept from every automatic choice of the namespace, so what the namespace can still do tells how it was got, even of a
single connection.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from fourtuple.core.check.timeline import Connection
from fourtuple.core.limits.attribution import TIME_WAIT_S
from fourtuple.core.units import format_count

DEFAULT_RANGE = 28_232  # ports: 32768-60999, net.ipv4.ip_local_port_range as kernels have it
CHURN, CHURN_FEW = 0.1, 10  # connections that are opened in place of closed ones: of so many the pace matters
IN_STEP = 0.8  # of the connections follow both lists at once


class Kind(StrEnum):
    """The worst first."""

    BOUND = "bound"
    LOCKSTEP = "lockstep"
    POISONS = "poisons"
    LEAKS = "leaks"
    TIME_WAIT = "time-wait"
    UNSEEN = "unseen"
    SHARED = "shared"


class Ended(StrEnum):
    ITSELF = "it ended by itself"
    SETTLED = "nothing changed any more, so it was ended"
    TIME = "its time was over"
    ASKED = "it was interrupted"


FIXES: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.BOUND: "Do not bind, or set IP_BIND_ADDRESS_NO_PORT (24, level SOL_IP) before bind(): setsockopt in C;"
        " sock.setsockopt(socket.IPPROTO_IP, 24, 1) or fourtuple.connect in Python; net.Dialer.Control instead of"
        " LocalAddr alone in Go; socket2 with libc::setsockopt in Rust; leave the local address out in Java and Node.",
        Kind.LOCKSTEP: "Walk the product, not both lists at once: for connection i take source i // D % S and"
        " destination i % D, as itertools.product, nested loops in C, Go, Rust and Java, or fourtuple.TupleSpace do.",
        Kind.POISONS: "Leave the port to connect(), or name ports that are outside of net.ipv4.ip_local_port_range,"
        " or in net.ipv4.ip_local_reserved_ports: bind(address, 0) with IP_BIND_ADDRESS_NO_PORT names none.",
        Kind.LEAKS: "Close what the other end has closed, when read() returns 0: close() in C, a with block in Python,"
        " defer Close() and io.Copy(io.Discard, Body) in Go, drop in Rust, try-with-resources in Java.",
        Kind.TIME_WAIT: "Use connections again: keep-alive and a pool, as requests.Session, Go's one http.Client with"
        " MaxIdleConnsPerHost, curl with several URLs, nginx's upstream keepalive do; or let the server close first.",
        Kind.UNSEEN: "Let it hold its connections for a moment, 0.1 s is enough, or end them by a FIN: what is reset at"
        " once leaves nothing to look at.",
        Kind.SHARED: "",
    }
)


@dataclass(frozen=True, slots=True)
class Destination:
    """connections: at once, when there were most in all; local_ports: how many different ones they had"""

    address: str
    connections: int
    local_ports: int


@dataclass(frozen=True, slots=True)
class Observation:
    """What a program did, and what it did to others.

    ports:          the range's, so many towards each destination from each source
    destinations:   ADDRESS:PORT, as the program was told
    most:           the connections, when there were most
    opened:         in all; closed_first: by the program, before the server did
    asked:          ports of its connections of which it was asked, while they were open, whether others can have them
    kept_own:       … and others could not
    kept:           ports of the whole range that no other connect() could have while it ran, if anybody asked
    kept_after:     … 2 s after it had ended
    named:          ports of the range that it has named in bind(), or listened on
    time_wait:      4-tuples that it has left in TIME_WAIT
    close_wait:     connections that the server has closed, and it did not for a second
    left:           connections that other processes held, a second after it had ended
    errno, call:    what it said that it met; empty: nothing
    exit:           its exit code; None: it was still running, and has been ended
    ended:          why it was over
    lost:           packets that were not seen: the numbers of connections are too low
    driven:         what was to listen (--through) did; None: nothing was to
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
class Finding:
    """says: what it does, in a sentence; fix: what to change, in another; numbers: what it rests on"""

    kind: Kind
    numbers: Mapping[str, int | float | str]
    says: str
    fix: str


@dataclass(frozen=True, slots=True)
class Conduct:
    """verdict: the worst of the findings, which come in that order; connections: at once, to all destinations

    possible: how many there can be at once, from the sources that it used
    exit:     the program's exit code; None: it was still running, and has been ended
    """

    verdict: Kind
    findings: tuple[Finding, ...]
    destinations: tuple[Destination, ...]
    connections: int
    possible: int
    opened: int
    exit: int | None
    ended: Ended

    def found(self, kind: Kind) -> Finding | None:
        return next((finding for finding in self.findings if finding.kind is kind), None)

    @property
    def shared(self) -> bool:
        """Nothing is to be said against it."""
        return self.verdict is Kind.SHARED

    def is_expected(self, expected: Kind | int) -> bool:
        """A verdict, or a number of connections at once, at least."""
        return self.connections >= expected if isinstance(expected, int) else self.verdict is expected

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def judge(seen: Observation) -> Conduct:
    """seen: of a program that has opened one connection at least"""
    sources = {source for source, _, _ in seen.most}
    possible = seen.ports * len(seen.destinations) * max(1, len(sources))
    findings = [finding for fault in _FAULTS if (finding := fault(seen, possible))]
    if not {Kind.BOUND, Kind.LOCKSTEP, Kind.UNSEEN} & {finding.kind for finding in findings}:
        findings.append(_shared(seen, possible))
    if seen.errno:
        findings[0] = _with_errno(findings[0], seen)
    if seen.lost:
        says = f"{findings[0].says} {_count(seen.lost, 'packet')} came too fast to be seen: there were more."
        findings[0] = replace(findings[0], numbers={**findings[0].numbers, "lost_packets": seen.lost}, says=says)
    at_once = Counter(number for _, _, number in seen.most)
    ports = Counter(number for _, number in {(port, number) for _, port, number in seen.most})
    return Conduct(
        verdict=findings[0].kind,
        findings=tuple(findings),
        destinations=tuple(
            Destination(address, at_once[number], ports[number]) for number, address in enumerate(seen.destinations)
        ),
        connections=len(seen.most),
        possible=possible,
        opened=seen.opened,
        exit=seen.exit,
        ended=seen.ended,
    )


def _bound(seen: Observation, possible: int) -> Finding | None:
    used = {port for _, port, _ in seen.most}
    kept = _kept_unnamed(seen)
    if not kept:
        return None
    held, total = len(seen.most), possible // len(seen.destinations)
    numbers = {"connections": held, "possible": possible, "local_ports": len(used), "kept": len(kept)}
    says = "it binds before it connects, so a local port serves one connection, and nobody else"
    if held < total:
        says += f": {_count(total, 'connection')} in total are possible, not {format_count(possible)}"
    else:
        says = f"{_count(held, 'connection')} in total, where {format_count(possible)} are possible: {says}"
    return _finding(Kind.BOUND, numbers, says)


def _lockstep(seen: Observation, possible: int) -> Finding | None:
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
        f"it reaches {len(pairs)} of the {of} pairs of a source and a destination: it walks both lists at once,"
        f" and comes to lcm({len(sources)}, {len(destinations)})"
    )
    numbers = {"pairs": len(pairs), "of": of, "sources": len(sources), "destinations": len(destinations)}
    return _finding(Kind.LOCKSTEP, numbers, says)


def _poisons(seen: Observation, _: int) -> Finding | None:
    after = len(seen.kept_after)
    kept = len(seen.kept | seen.kept_own | seen.kept_after)  # what is kept after was kept before
    if not kept:
        return None
    numbers = {"while_running": seen.ports - kept, "after": seen.ports - after, "of": seen.ports}
    says = (
        f"another destination gets {numbers['while_running']} of {seen.ports} ports while it runs,"
        f" and {numbers['after']} 2 s after it has ended"
    )
    if seen.named:
        numbers["named"] = len(seen.named)
        says += f"; it named {format_count(len(seen.named))} of them in bind(), or listens there"
    return _finding(Kind.POISONS, numbers, says)


def _leaks(seen: Observation, _: int) -> Finding | None:
    said = []
    if seen.close_wait:
        many = _count(seen.close_wait, "connection")
        said.append(f"{many} that the server has closed stay open here (CLOSE_WAIT), and keep their ports")
    if seen.left:
        said.append(f"{_count(seen.left, 'connection')} held by processes that it has left behind")
    if not said:
        return None
    return _finding(Kind.LEAKS, {"close_wait": seen.close_wait, "left": seen.left}, "; ".join(said))


def _time_wait(seen: Observation, _: int) -> Finding | None:
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
        f"it opened {_count(seen.opened, 'connection')}, {format_count(len(seen.most))} at once, and closed"
        f" {format_count(seen.closed_first)} of them first, which keeps each port for {TIME_WAIT_S:g} s: with the"
        f" default range {usual:.0f} a second to one destination are possible, here {rate:.2f}"
    )
    return _finding(Kind.TIME_WAIT, numbers, says)


def _unseen(seen: Observation, _: int) -> Finding | None:
    if seen.asked or seen.time_wait or seen.kept_after or _several(seen):
        return None
    says = "its connections were over before it could be seen how they got their ports"
    return _finding(Kind.UNSEEN, {"opened": seen.opened}, says)


def _shared(seen: Observation, possible: int) -> Finding:
    held, ports = len(seen.most), len({port for _, port, _ in seen.most})
    numbers = {"connections": held, "possible": possible, "local_ports": ports}
    says = f"{_count(held, 'connection')} at once on {_count(ports, 'local port')}"
    if held == possible:
        says += ", all that are possible: a port serves every destination"
    elif not (seen.kept or seen.kept_own or seen.kept_after):
        says += f", of {format_count(possible)} that are possible; its ports stay free for other destinations"
    return _finding(Kind.SHARED, numbers, says)


_FAULTS = (_bound, _lockstep, _poisons, _leaks, _time_wait, _unseen)  # the worst first, as in Kind


def _count(number: int, what: str) -> str:
    return f"{format_count(number)} {what}{'s' * (number != 1)}"


def _finding(kind: Kind, numbers: Mapping[str, int | float | str], says: str) -> Finding:
    return Finding(kind, numbers, f"{says}.", FIXES[kind])


def _several(seen: Observation) -> frozenset[int]:
    """Ports that carried several connections from one source at once, as those of bind(address, 0) never do."""
    ends = Counter((source, port) for source, port, _ in seen.most)
    return frozenset(port for (_, port), count in ends.items() if count > 1)


def _kept_unnamed(seen: Observation) -> frozenset[int]:
    """Ports that bind(address, 0) got: of one connection each, which nobody saw named, and others cannot have."""
    used = frozenset(port for _, port, _ in seen.most)
    kept = seen.kept_own | seen.kept_after | seen.kept & used
    return kept - seen.named - _several(seen)


def _with_errno(finding: Finding, seen: Observation) -> Finding:
    met = f"it met {seen.errno}{f' at {seen.call}()' if seen.call else ''}"
    says = f"{finding.says.removesuffix('.')}; {met}."
    return replace(finding, numbers={**finding.numbers, "errno": seen.errno}, says=says)
