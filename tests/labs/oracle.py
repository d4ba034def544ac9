"""The narrowest room that the facts force, port by port: what `limits` has to say of a world, computed a second time.

It is made of /proc/net/tcp and of what the world's maker knows, in Python's sets; nothing of the product's model.
What a kernel leaves open is a port that may be taken: it counts against `least`, and not against `most`.
"""

import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fourtuple.kernel.proc.sysctl import write_sysctl
from fourtuple.kernel.sockopts import IP_BIND_ADDRESS_NO_PORT, LINGER_RESET
from tests.labs import features
from tests.labs.known import STATES, end_of_proc

End = tuple[str, int]
CANARY = ("127.0.0.1", 38_999)  # outside of every world's range
TIMED = 3  # the timer of a closed socket that only waits, in TIME_WAIT or FIN_WAIT2
TICK_MS = 10  # of times in /proc/net/tcp
TIME_WAIT_MS = 60_000
ANY4, ANY6 = "0.0.0.0", "::"


@dataclass(frozen=True)
class Row:
    state: str
    local: End
    remote: End
    waits: bool = False
    age_ms: int = 0


@dataclass
class Seen:
    """What the kernel lets anybody know of a world's sockets.

    rows:    the sockets that are listed
    named:   ports that bind() named, of sockets that are connected now
    late:    (local, remote) of sockets of which the kernel reports that connect() chose their port
    hidden:  at most so many sockets are bound and not listed
    asked:   ports that were tested, and
    blocked: those of them that connect() cannot choose
    """

    ports: range
    reserved: set[int]
    rows: list[Row] = field(default_factory=list)
    named: set[int] = field(default_factory=set)
    late: set[tuple[End, End]] = field(default_factory=set)
    hidden: int = 0
    asked: set[int] = field(default_factory=set)
    blocked: set[int] = field(default_factory=set)

    @property
    def automatic(self) -> set[int]:
        return set(self.ports) - self.reserved

    @property
    def bound(self) -> set[int]:
        listed = {row.local[1] for row in self.rows if row.state in ("LISTEN", "BOUND_INACTIVE")}
        return listed | self.named

    @property
    def connected(self) -> list[Row]:
        left_out = ("LISTEN", "BOUND_INACTIVE", "NEW_SYN_RECV")
        return [row for row in self.rows if row.state not in left_out and row.local[1] not in self.bound]

    @property
    def unattributed(self) -> set[int]:
        """Ports in use that somebody may have bound: one socket shows nothing, two on the same address share."""
        if not features.bind_is_released():
            return {row.local[1] for row in self.connected}
        unknown = set()
        for row in self.connected:
            same = [each for each in self.connected if each.local == row.local]
            shares = len(same) > 1 and any(each.state != "TIME_WAIT" for each in same)
            if not shares and (row.local, row.remote) not in self.late:
                unknown.add(row.local[1])
        return unknown


def look(ports: range, sockets: list[socket.socket], idle: list[socket.socket], named: list[socket.socket]) -> Seen:
    """idle: sockets that are only bound. named: those of which bind() named the port, before they connected"""
    reserved = Path("/proc/sys/net/ipv4/ip_local_reserved_ports").read_text().strip()
    seen = Seen(ports, set(_listed(reserved)))
    seen.rows = list(rows())
    if features.bound_are_listed():
        seen.rows += [Row("BOUND_INACTIVE", sock.getsockname()[:2], ("", 0)) for sock in idle]
    else:
        seen.hidden = max(0, _sockstat("TCP", "alloc") - _sockstat("TCP", "inuse") - _sockstat("TCP6", "inuse"))
    seen.named = {sock.getsockname()[1] for sock in named}
    for sock in sockets if features.options_are_listed() else ():
        with suppress(OSError):
            ends = sock.getsockname()[:2], sock.getpeername()[:2]
            if sock.getsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT):
                seen.late.add(ends)
    return seen


def rows() -> Iterator[Row]:
    for file in ("tcp", "tcp6") if features.has_ipv6() else ("tcp",):
        for line in Path(f"/proc/thread-self/net/{file}").read_text().splitlines()[1:]:
            _, local, remote, state, _, timer, *_ = line.split()
            kind, _, when = timer.partition(":")
            yield Row(
                STATES[int(state, 16) - 1],
                end_of_proc(local),
                end_of_proc(remote),
                waits=int(kind, 16) == TIMED,
                age_ms=TIME_WAIT_MS - int(when, 16) * TICK_MS,
            )


def tested(seen: Seen, truth: set[int]) -> Seen:
    """What is known after each port in question was tested. truth: the blocked ports"""
    used = {row.local[1] for row in seen.connected}
    wanted = seen.automatic & (seen.automatic - seen.bound if seen.hidden else seen.unattributed)
    asked = wanted if features.range_can_be_set() else wanted - used
    return Seen(
        seen.ports, seen.reserved, seen.rows, seen.named, seen.late, seen.hidden, asked=asked, blocked=asked & truth
    )


def blocked_ports(ports: set[int], everything: range) -> set[int]:
    """Ports that connect() cannot choose, asked one at a time, by a range that has only this one."""
    blocked = set()
    with socket.create_server(CANARY, backlog=64) as listener:
        for port in sorted(ports):
            write_sysctl("net.ipv4.ip_local_port_range", f"{port} {port}")
            with socket.socket() as canary:
                canary.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
                try:
                    canary.connect(CANARY)
                except OSError:
                    blocked.add(port)
                else:
                    listener.accept()[0].close()
    write_sysctl("net.ipv4.ip_local_port_range", f"{everything.start} {everything.stop - 1}")
    return blocked


def automatic_room(seen: Seen, source: str, to: End, *, in_turn: bool) -> tuple[int, int]:
    """Least and most that connect() can open from one address to one end."""
    open_ports = _searched(seen, in_turn=in_turn) - seen.bound - seen.blocked
    sure = open_ports - (seen.unattributed - seen.asked)
    pair = [row for row in seen.rows if row.local[0] == source and row.remote == to]
    perhaps = {row.local[1] for row in pair if _reuse(row) is not True}
    certain = {row.local[1] for row in pair if _reuse(row) is False}
    left = sure - perhaps
    return _less(seen, left, left - seen.asked, in_turn=in_turn), len(open_ports - certain)


def bound_room(seen: Seen, source: str) -> tuple[int, int]:
    """Least and most that bind(address, 0) can give."""
    theirs, maybe = _wildcards(seen.rows, source)
    own = {row.local[1] for row in seen.rows if row.local[0] == source}
    open_ports = _searched(seen, in_turn=False) - theirs - own
    left = open_ports - maybe
    untested = left - (seen.asked - seen.blocked)
    return _less(seen, left, untested, in_turn=False), len(open_ports)


def explicit_room(seen: Seen, source: str, to: End) -> tuple[int, int]:
    """Least and most that bind(address, port) with SO_REUSEADDR, and connect(), can open."""
    theirs, maybe = _wildcards(seen.rows, source)
    listening, _ = _wildcards([row for row in seen.rows if row.state == "LISTEN"], source)
    own = [row for row in seen.rows if row.local[0] == source]
    listens = {row.local[1] for row in own if row.state == "LISTEN"}
    stamped = features.number("net.ipv4.tcp_timestamps") != 0
    taken = {row.local[1] for row in own if row.remote == to and not (row.state == "TIME_WAIT" and stamped)}
    left = set(seen.ports) - theirs - maybe - {row.local[1] for row in own}
    untested = left - (seen.asked - seen.blocked)
    return len(left) - min(seen.hidden, len(untested)), len(set(seen.ports) - listening - listens - taken)


def _less(seen: Seen, left: set[int], untested: set[int], *, in_turn: bool) -> int:
    """At least so many: a hidden socket may have any untested one, and connect() skips one end of an odd range."""
    count = len(seen.ports)
    skips = not in_turn and count % 2 == 1 and count > 3 and bool(left & {seen.ports.start, seen.ports.stop - 1})
    return max(0, len(left) - skips - min(seen.hidden, len(untested)))


def _searched(seen: Seen, *, in_turn: bool) -> set[int]:
    never = {seen.ports.stop - 1} if not in_turn and len(seen.ports) == 3 else set()
    return seen.automatic - never


def _wildcards(rows: list[Row], source: str) -> tuple[set[int], set[int]]:
    """Ports that a wildcard has for this address, and those that it may have: a listing says nothing of IPV6_V6ONLY."""
    four = {row.local[1] for row in rows if row.local[0] == ANY4}
    six = {row.local[1] for row in rows if row.local[0] == ANY6}
    return (six, set()) if ":" in source else (four, six)


def _reuse(row: Row) -> bool | None:
    """Whether connect() can reuse the 4-tuple; None: nobody knows."""
    orphan = row.state == "FIN_WAIT2" and row.waits and features.fin_wait2_may_be_reused()
    if row.state != "TIME_WAIT" and not orphan:
        return False
    reuse = features.number("net.ipv4.tcp_tw_reuse")
    local = any(end[0].startswith("127.") or end[0] == "::1" for end in (row.local, row.remote))
    if not features.number("net.ipv4.tcp_timestamps") or not (reuse == 1 or (reuse == 2 and local)):
        return False
    if orphan:
        return None
    old = row.age_ms >= features.number("net.ipv4.tcp_tw_reuse_delay", 1000)
    return old or (None if not features.time_wait_is_in_ms() else False)


def _listed(text: str) -> Iterator[int]:
    for item in filter(None, text.split(",")):
        low, _, high = item.partition("-")
        yield from range(int(low), int(high or low) + 1)


def _sockstat(section: str, name: str) -> int:
    for file in ("sockstat", "sockstat6") if features.has_ipv6() else ("sockstat",):
        for line in Path(f"/proc/thread-self/net/{file}").read_text().splitlines():
            head, _, rest = line.partition(":")
            words = rest.split()
            if head == section and name in words:
                return int(words[words.index(name) + 1])
    return 0
