"""Sockets: the rows of `ss -tan` and of `netstat -an`, with any of their options, and the summary of `ss -s`."""

import re

from fourtuple.core.late import late_pattern
from fourtuple.core.numbers import number_of
from fourtuple.core.snapshot.pastes.found import MOST_SOCKETS, FoundParts, PastedSocket, packed_of
from fourtuple.core.sockets.table import PROC_NET_TCP, SOCK_DIAG, State

SS_STATES = {
    "ESTAB": State.ESTABLISHED,
    "SYN-SENT": State.SYN_SENT,
    "SYN-RECV": State.SYN_RECV,
    "FIN-WAIT-1": State.FIN_WAIT1,
    "FIN-WAIT-2": State.FIN_WAIT2,
    "TIME-WAIT": State.TIME_WAIT,
    "CLOSE-WAIT": State.CLOSE_WAIT,
    "LAST-ACK": State.LAST_ACK,
    "LISTEN": State.LISTEN,
    "CLOSING": State.CLOSING,
}
STATES = {state.name: state for state in SS_STATES.values()}
# Well-known names of ports, where ss was called without -n.
PORTS = {"http": 80, "https": 443, "ssh": 22, "domain": 53, "smtp": 25, "mysql": 3306, "postgresql": 5432}
_SS = late_pattern(
    rf"(?:(tcp|mptcp) +)?({'|'.join(SS_STATES)}) +(\d+) +(\d+) +(\S+?):([\w*-]+) +(\S+?):([\w*-]+)(?: +(.*))?$"
)
_NETSTAT = late_pattern(rf"tcp6? +(\d+) +(\d+) +(\S+):(\d+|\*) +(\S+):(\d+|\*) +({'|'.join(STATES)})\b *(.*)$")
_HEADS = late_pattern(
    r"(?:Netid +)?State +Recv-Q +Send-Q|Proto +Recv-Q +Send-Q|Active (?:Internet|UNIX domain) |Recv-Q +Send-Q +Local"
)
_USER = late_pattern(r'users:\(\("([^"]*)",(?:pid=)?(\d+)')
_NETSTAT_USER = late_pattern(r"(?:^| )(\d+)/(\S+)")
_TIMER = late_pattern(r"timer:\(timewait,([\w.]+),")
_NETSTAT_TIMER = late_pattern(r"timewait \((\d+)\.(\d\d)/")
_UID = late_pattern(r"\buid:(\d+)")
_SUMMARY = late_pattern(r"TCP: +(\d+) \(estab (\d+), closed (\d+), orphaned (\d+),(?: synrecv \d+,)? timewait (\d+)")
_TRANSPORT = late_pattern(r"TCP[ \t]+(\d+)[ \t]+(\d+)[ \t]+(\d+)$")
_TOTAL = late_pattern(r"Total: \d+(?: \(kernel \d+\))?$")


def take_socket(line: str, found: FoundParts) -> bool:
    """Whether the line is a TCP socket of ss or netstat, or the head of such a table."""
    if row := _SS.match(line):
        return _ss_row(row, found)
    if row := _NETSTAT.match(line):
        return _netstat_row(row, found)
    if not _HEADS.match(line):
        return False
    found.tables += 1
    return True


def take_summary(line: str, found: FoundParts) -> bool:
    """Whether the line is one of `ss -s` about TCP: what /proc/net/sockstat counts."""
    if summary := _SUMMARY.match(line):
        _, established, _, orphans, waiting = (number_of(text) or 0 for text in summary.groups())
        found.sockstat |= {"TCP.orphan": orphans, "TCP.tw": waiting}
        found.counters["CurrEstab"] = established
        found.note("ss -s")
        return True
    if "ss -s" in found.sources and (transport := _TRANSPORT.match(line)):
        _, ipv4, ipv6 = (number_of(text) or 0 for text in transport.groups())
        found.sockstat |= {"TCP.inuse": ipv4, "TCP6.inuse": ipv6}
        return True
    return bool(_TOTAL.match(line))


def _ss_row(row: re.Match[str], found: FoundParts) -> bool:
    _, state, recv_q, send_q, local, local_port, remote, remote_port, rest = row.groups()
    rest = rest or ""
    user, timer, uid = _USER.search(rest), _TIMER.search(rest), _UID.search(rest)
    pid = number_of(user[2]) if user else None
    if user and pid:
        found.names.setdefault(pid, user[1])
    found.by = SOCK_DIAG
    return _add(
        found,
        "ss",
        SS_STATES[state],
        (local, local_port, remote, remote_port),
        (recv_q, send_q),
        uid=number_of(uid[1]) or 0 if uid else 0,
        pid=pid,
        expires_ms=_ms(timer[1]) if timer else None,
    )


def _netstat_row(row: re.Match[str], found: FoundParts) -> bool:
    recv_q, send_q, local, local_port, remote, remote_port, state, rest = row.groups()
    user, timer = _NETSTAT_USER.search(rest), _NETSTAT_TIMER.search(rest)
    pid = number_of(user[1]) if user else None
    if user and pid:
        found.names.setdefault(pid, user[2])
    found.by = found.by or PROC_NET_TCP
    return _add(
        found,
        "netstat",
        STATES[state],
        (local, local_port, remote, remote_port),
        (recv_q, "0" if state == State.LISTEN.name else send_q),
        pid=pid,
        expires_ms=int(timer[1]) * 1000 + int(timer[2]) * 10 if timer and len(timer[1]) < 6 else None,
    )


def _add(
    found: FoundParts,
    tool: str,
    state: State,
    ends: tuple[str, str, str, str],
    queues: tuple[str, str],
    *,
    uid: int = 0,
    pid: int | None = None,
    expires_ms: int | None = None,
) -> bool:
    """Whether these are the ends of a socket, which is added."""
    local, remote = packed_of(ends[0]), packed_of(ends[2])
    local_port, remote_port = _port(ends[1]), _port(ends[3])
    if local is None or remote is None or local_port is None or remote_port is None:
        return False
    is_wild = ends[0].strip("[]").partition("%")[0] in ("*", "::")
    if is_wild and state is State.LISTEN:  # ss shows * for ::, and netstat :: for it
        local = bytes(16)
    if len(found.sockets) < MOST_SOCKETS and (pid is None or pid < 2**31):
        recv_q, send_q = (min(number_of(text) or 0, 2**32 - 1) for text in queues)
        socket = PastedSocket(
            state,
            local,
            local_port,
            remote,
            remote_port,
            recv_q,
            send_q,
            min(uid, 2**32 - 1),
            pid,
            expires_ms,
            found.tables,
        )
        found.sockets.append(socket)
    found.note(tool)
    return True


def _port(text: str) -> int | None:
    """The port; * is 0. None: it is none, or a name that is not known."""
    number = 0 if text == "*" else PORTS.get(text) or number_of(text)
    return number if number is not None and number < 65536 else None


def _ms(text: str) -> int | None:
    """The time of a timer as ss prints it: `32sec`, `1min2sec`, `832ms`, `3.5sec`; None: another form."""
    units = {"ms": 1, "sec": 1000, "min": 60_000}
    parts = re.findall(r"(\d{1,6})(?:\.(\d))?\d*(ms|sec|min)", text)
    return sum(int(whole) * units[unit] + int(tenth or 0) * units[unit] // 10 for whole, tenth, unit in parts) or None
