"""Workloads of which every socket is known, and plain counts to hold a census against.

`python -m tests.labs.known 997` inside of a lab (it must be root there) says a line of JSON, `Made`, and keeps
everything until its standard input closes. The clients are in one process, the accepted ends in another, its child.

The counts are made of rows as `ss` or /proc/net/tcp shows them, in Python's own dictionaries: nothing of the product.
"""

import ipaddress
import json
import os
import re
import resource
import socket
import struct
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from fourtuple.kernel.proc.sysctl import write_sysctl
from fourtuple.kernel.sockopts import IP_BIND_ADDRESS_NO_PORT
from tests.waiting import wait_until

LOW, HIGH, RESERVED, INSIDE = 40_000, 40_999, "40900-40909,50000", 10
SERVER = "127.0.0.9"
PAIRS = (("127.0.0.1", 8000), ("127.0.0.2", 8000), ("127.0.0.1", 8001))  # source, and port of SERVER
LISTENS, BOUND, CONNECTED, OUTSIDE = 40_100, 40_200, 40_300, 30_000  # ports that are named in bind()
BACKLOG, WAITING, SIX, MAPPED_CLIENTS = 7, 3, 5, 2
CLIENT, SERVES = "client", "server"
COMMS = ("known-clients", "known-servers")
SETTLED = {"ESTABLISHED", "TIME_WAIT", "CLOSE_WAIT", "FIN_WAIT2", "LISTEN", "BOUND_INACTIVE"}
STATES = (  # as /proc/net/tcp numbers them, from 1
    *("ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE", "CLOSE_WAIT", "LAST_ACK"),
    *("LISTEN", "CLOSING", "NEW_SYN_RECV"),
)
OF_SS = {"ESTAB": "ESTABLISHED", "UNCONN": "BOUND_INACTIVE", "SYN-RECV": "NEW_SYN_RECV"}
Key = tuple[str, str, str]  # role, source, destination
End = tuple[str, int]


@dataclass(frozen=True)
class Row:
    """A socket: addresses as Python writes them, v4-mapped ones as IPv4."""

    state: str
    local: End
    remote: End


@dataclass
class Made:
    """What there is, known from having made it.

    ends:  [role, source, destination, state, local port] of each end of each connection
    pids:  of the clients' process and of the servers'; they are called as COMMS
    idle:  ports of sockets that are only bound; any: the one that bind(address, 0) gave
    """

    ends: list[tuple[str, str, str, str, int]] = field(default_factory=list)
    listeners: dict[str, tuple[int, int]] = field(default_factory=dict)  # how many wait, how many can
    idle: list[int] = field(default_factory=list)
    any: int = 0
    pids: list[int] = field(default_factory=list)

    def pairs(self) -> dict[Key, Counter[str]]:
        found: dict[Key, Counter[str]] = {}
        for role, source, destination, state, _ in self.ends:
            found.setdefault((role, source, destination), Counter())[state] += 1
        return found

    def states(self) -> Counter[str]:
        states = Counter(state for *_, state, _ in self.ends)
        return states + Counter(LISTEN=len(self.listeners), BOUND_INACTIVE=len(self.idle))

    def held(self) -> dict[int, str]:
        """Ports of the range that connect() can give to nobody."""
        return {LISTENS: "listening", BOUND: "bound", self.any: "bound", CONNECTED: "bound and connected"}

    def client_ports(self) -> Counter[int]:
        return Counter(port for role, *_, port in self.ends if role == CLIENT)


def name(end: End) -> str:
    return f"[{end[0]}]:{end[1]}" if ":" in end[0] else f"{end[0]}:{end[1]}"


def pair_counts(rows: Iterable[Row]) -> dict[Key, Counter[str]]:
    """Sockets by pair and state: where somebody listens it is a server's, all others are clients'."""
    rows = list(rows)
    listening = {row.local for row in rows if row.state == "LISTEN"}
    found: dict[Key, Counter[str]] = {}
    for row in rows:
        if row.state in ("LISTEN", "BOUND_INACTIVE", "CLOSE"):
            continue
        ends = {row.local, ("::", row.local[1])}  # :: is of IPv4, too, if nobody has set IPV6_V6ONLY
        if ":" not in row.local[0]:
            ends.add(("0.0.0.0", row.local[1]))
        serves = bool(ends & listening) or row.state in ("SYN_RECV", "NEW_SYN_RECV")
        source, destination = (row.remote, row.local) if serves else (row.local, row.remote)
        key = (SERVES if serves else CLIENT, source[0], name(destination))
        found.setdefault(key, Counter())[row.state] += 1
    return found


def state_counts(rows: Iterable[Row]) -> Counter[str]:
    return Counter(row.state for row in rows)


def rows_of_ss(text: str) -> Iterator[Row]:
    """What `ss -Htan` prints."""
    for line in text.splitlines():
        state, _, _, local, remote = line.split()[:5]
        yield Row(OF_SS.get(state, _kernels(state)), _end_of_ss(local), _end_of_ss(remote))


def _kernels(state: str) -> str:
    """ss writes FIN-WAIT-2, the kernel FIN_WAIT2."""
    return re.sub(r"-(\d)$", r"\1", state).replace("-", "_")


def _end_of_ss(text: str) -> End:
    host, _, port = text.rpartition(":")
    host = host.strip("[]").partition("%")[0]
    address = ipaddress.ip_address("::" if host == "*" else host)
    return str(getattr(address, "ipv4_mapped", None) or address), 0 if port == "*" else int(port)


def rows_of_proc() -> Iterator[Row]:
    """Of this thread's namespace, line by line."""
    for file in ("tcp", "tcp6"):
        for line in Path(f"/proc/thread-self/net/{file}").read_text().splitlines()[1:]:
            _, local, remote, state, *_ = line.split()
            yield Row(STATES[int(state, 16) - 1], end_of_proc(local), end_of_proc(remote))


def end_of_proc(text: str) -> End:
    host, _, port = text.partition(":")
    words = [int(host[start : start + 8], 16) for start in range(0, len(host), 8)]
    address = ipaddress.ip_address(struct.pack(f"={len(words)}I", *words))
    return str(getattr(address, "ipv4_mapped", None) or address), int(port, 16)


@dataclass
class Maker:
    made: Made = field(default_factory=Made)
    clients: list[socket.socket] = field(default_factory=list)
    accepted: list[socket.socket] = field(default_factory=list)

    def listener(self, host: str, port: int, backlog: int, waiting: int = 0) -> socket.socket:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=backlog)
        self.accepted.append(listener)
        self.made.listeners[name((host, port))] = (waiting, backlog)
        return listener

    def client(self, source: str, to: End, *, port: int = 0, family: int = 0) -> socket.socket:
        """Its port is chosen at connect(), if none is named."""
        kind = family or (socket.AF_INET6 if ":" in source else socket.AF_INET)
        sock = socket.socket(kind, socket.SOCK_STREAM)
        if not port:
            sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        mapped = "::ffff:" if kind == socket.AF_INET6 and ":" not in source else ""
        sock.bind((mapped + source, port))
        sock.connect((mapped + to[0], to[1]))
        return sock

    def note(self, source: str, to: End, port: int, near: str, far: str = "") -> None:
        """One connection: the states of its client's end and of its server's; none: that end is gone."""
        self.made.ends.append((CLIENT, source, name(to), near, port))
        if far:
            self.made.ends.append((SERVES, source, name(to), far, to[1]))

    def connect(self, listener: socket.socket, source: str, to: End, end: "Ending", **how: int) -> None:
        client = self.client(source, to, **how)
        port = client.getsockname()[1]
        server, peer = listener.accept()
        assert peer[1] == port
        end(client, server)
        self.clients += [client] * (client.fileno() >= 0)
        self.accepted += [server] * (server.fileno() >= 0)
        self.note(source, to, port, *ENDINGS[end])

    def bind(self, port: int) -> int:
        sock = socket.socket()
        sock.bind(("127.0.0.7", port))
        self.clients.append(sock)
        self.made.idle.append(sock.getsockname()[1])
        return self.made.idle[-1]


def stay(client: socket.socket, server: socket.socket) -> None:
    """Both are ESTABLISHED."""


def client_closes(client: socket.socket, server: socket.socket) -> None:
    """First, and the server follows: TIME_WAIT."""
    client.close()
    assert not server.recv(1)
    server.close()


def server_closes(client: socket.socket, server: socket.socket) -> None:
    """And the client does not: CLOSE_WAIT. The server's end is nobody's any more."""
    server.close()
    assert not client.recv(1)


def client_shuts_down(client: socket.socket, server: socket.socket) -> None:
    """And keeps its descriptor: FIN_WAIT2; CLOSE_WAIT at the server."""
    client.shutdown(socket.SHUT_WR)
    assert not server.recv(1)


def client_leaves(client: socket.socket, server: socket.socket) -> None:
    """The server does not follow: FIN_WAIT2 that is nobody's."""
    client.close()
    assert not server.recv(1)


Ending = Callable[[socket.socket, socket.socket], None]
ENDINGS: dict[Ending, tuple[str, ...]] = {
    stay: ("ESTABLISHED", "ESTABLISHED"),
    client_closes: ("TIME_WAIT",),
    server_closes: ("CLOSE_WAIT", "FIN_WAIT2"),
    client_shuts_down: ("FIN_WAIT2", "CLOSE_WAIT"),
    client_leaves: ("FIN_WAIT2", "CLOSE_WAIT"),
}
CYCLE: tuple[Ending, ...] = (stay, client_closes, stay, server_closes, client_shuts_down, client_leaves, stay)


def make(count: int) -> Maker:
    """`count` connections over PAIRS, in every state that stays, and one of each kind of what takes ports besides."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    write_sysctl("net.ipv4.ip_local_port_range", f"{LOW} {HIGH}")
    write_sysctl("net.ipv4.ip_local_reserved_ports", RESERVED)
    write_sysctl("net.ipv4.tcp_tw_reuse", "0")  # else connect() would end TIME_WAITs that are older than a second
    maker = Maker()
    listeners = {port: maker.listener(SERVER, port, 100) for port in sorted({port for _, port in PAIRS})}
    maker.bind(BOUND)
    maker.bind(OUTSIDE)
    maker.made.any = maker.bind(0)
    queue = maker.listener(SERVER, LISTENS, BACKLOG, WAITING)
    maker.connect(listeners[8000], "127.0.0.1", (SERVER, 8000), stay, port=CONNECTED)
    for number in range(count):
        source, port = PAIRS[number % len(PAIRS)]
        end = CYCLE[number // len(PAIRS) % len(CYCLE)]
        maker.connect(listeners[port], source, (SERVER, port), end)
    for _ in range(MAPPED_CLIENTS):
        maker.connect(listeners[8000], "127.0.0.1", (SERVER, 8000), stay, family=socket.AF_INET6)
    six = maker.listener("::1", 8006, 100)
    for _ in range(SIX):
        maker.connect(six, "::1", ("::1", 8006), stay)
    for _ in range(WAITING):
        client = maker.client("127.0.0.3", queue.getsockname())
        maker.clients.append(client)
        maker.note("127.0.0.3", (SERVER, LISTENS), client.getsockname()[1], "ESTABLISHED", "ESTABLISHED")
    return maker


def settle() -> None:
    """Until no socket is on its way to another state."""
    assert wait_until(lambda: all(row.state in SETTLED for row in rows_of_proc()))


def part(maker: Maker) -> None:
    """The accepted ends and the listeners go to a child; no connection is closed by that."""
    reading, writing = os.pipe()
    comm = Path("/proc/self/comm")
    comm.write_text(COMMS[1])
    child = os.fork()
    os.close(reading if child else writing)
    for sock in maker.accepted if child else maker.clients:
        sock.close()
    if not child:
        os.read(reading, 1)  # until the parent has ended
        os._exit(0)
    comm.write_text(COMMS[0])
    maker.made.pids = [os.getpid(), child]


def main(count: int) -> None:
    maker = make(count)
    settle()
    part(maker)
    print(json.dumps(asdict(maker.made)), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]))
