"""One limit set small each, predicted by `limits`, met on real sockets: `python -m tests.labs.scenes NAME`, in a lab.

Says one line of JSON: {"predicted": …, "observed": …}, and more that is of interest.
"""

import errno
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fourtuple.core.limits.verdicts import Verdict
from fourtuple.core.sockets.role import Role
from fourtuple.core.sockets.table import State
from fourtuple.core.space.interval import Interval
from fourtuple.kernel.netlink.sockdiag import fold_sockets
from fourtuple.kernel.proc.sysctl import write_sysctl
from fourtuple.kernel.sockopts import LINGER_RESET
from fourtuple.verbs.limits import limits
from tests.labs import features

HERE = "127.0.0.1"
SYN_AGAIN_S = 1.0
LINEAR = "net.ipv4.tcp_syn_linear_timeouts"
Seen = dict[str, Any]


def least(room: Interval | None) -> int | None:
    return room.least if room else None


def verdict(name: str, **how: Any) -> Verdict:
    found = {each.limit: each for each in limits(**how).verdicts}
    return found[name]


def client(to: tuple[str, int]) -> socket.socket | None:
    """Connected, or None where nothing answers: a listener has counted a drop, or the SYN had to be sent again."""
    drops = counted("ListenDrops")
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
    sock.setblocking(False)
    sock.connect_ex(to)
    over_s = time.monotonic() + SYN_AGAIN_S
    while not select.select([], [sock], [], 0.005)[1]:
        if counted("ListenDrops") > drops or time.monotonic() > over_s:
            sock.close()
            return None
    sock.setblocking(True)
    sock.getpeername()
    return sock


def counted(name: str) -> int:
    lines = [line.split() for line in Path("/proc/thread-self/net/netstat").read_text().splitlines()]
    return sum(int(v[v0.index(name)]) for v0, v in zip(lines[::2], lines[1::2], strict=True) if name in v0)


def accept_queue(backlog: int, somaxconn: int, waiting: int = 0, listeners: int = 1) -> Seen:
    """Connections that nobody accepts; overflows are counted where the next one is dropped."""
    write_sysctl("net.core.somaxconn", str(somaxconn))
    servers = []
    for _ in range(listeners):
        server = socket.socket()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind((HERE, 8000))
        server.listen(backlog)
        servers.append(server)
    clients = [client((HERE, 8000)) for _ in range(waiting)]
    said = verdict("net.core.somaxconn", pid=os.getpid(), role=Role.SERVER)
    count, misses = 0, 0
    # By their hash, three of four may fall to a listener that is full; so where there should be room, look for longer.
    while misses < (1 if listeners == 1 else 12 if count >= (said.room.least if said.room else 0) else 60):
        clients.append(client((HERE, 8000)))
        count, misses = (count + 1, 0) if clients[-1] else (count, misses + 1)
    overflows = counted("ListenOverflows")
    return {"predicted": least(said.room), "observed": count, "ceiling": said.ceiling, "overflows": overflows}


def syn_queue(most: int, backlog: int) -> Seen:
    """SYNs from addresses that never answer; each stays until its queue is full."""
    write_sysctl("net.ipv4.tcp_syncookies", "0")
    write_sysctl("net.ipv4.tcp_max_syn_backlog", str(most))
    server = socket.create_server((HERE, 8000), backlog=backlog)
    said = verdict("net.ipv4.tcp_max_syn_backlog", pid=os.getpid(), role=Role.SERVER)
    # What answers them goes to 10.9.x.x over the loopback device, where nobody is.
    subprocess.run(["ip", "route", "add", "10.9.0.0/16", "dev", "lo"], check=True)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        for number in range(4 * backlog if backlog < most else 4 * most):
            raw.sendto(syn(f"10.9.{number >> 8}.{number & 255}", 40000), (HERE, 0))
    waiting, _ = fold_sockets(lambda tables: sum(map(len, tables)), {State.NEW_SYN_RECV, State.SYN_RECV})
    server.close()
    return {"predicted": said.ceiling, "observed": waiting, "exact": said.exact}


def syn(source: str, port: int) -> bytes:
    """An IPv4 packet with a SYN from `source`:`port` to 127.0.0.1:8000."""
    ends = socket.inet_aton(source) + socket.inet_aton(HERE)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 40, 1, 0, 64, socket.IPPROTO_TCP, 0) + ends
    tcp = struct.pack("!HHIIBBHHH", port, 8000, 1, 0, 5 << 4, 2, 65535, 0, 0)
    total = sum(struct.unpack("!6H", ends[:8] + struct.pack("!HH", socket.IPPROTO_TCP, len(tcp))))
    total += sum(struct.unpack("!10H", tcp))
    total = (total >> 16) + (total & 0xFFFF)
    checksum = ~(total + (total >> 16)) & 0xFFFF
    return head + tcp[:16] + struct.pack("!H", checksum) + tcp[18:]


def time_waits(most: int, closes: int) -> Seen:
    write_sysctl("net.ipv4.tcp_max_tw_buckets", str(most))
    server = socket.create_server((HERE, 8000), backlog=64)
    said = verdict("net.ipv4.tcp_max_tw_buckets")
    for _ in range(closes):
        with socket.create_connection((HERE, 8000)):
            accepted, _ = server.accept()
        while accepted.recv(1):
            pass
        accepted.close()
    stays, _ = fold_sockets(lambda tables: sum(map(len, tables)), {State.TIME_WAIT})
    return {"predicted": least(said.room), "observed": stays, "overflows": counted("TCPTimeWaitOverflow")}


def pids(most: int) -> Seen:
    """Processes in a cgroup that allows so many; this one is in it."""
    folder = next(p for p in (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")) if (p / "cgroup.procs").exists())
    home = next(
        (line.rpartition(":")[2] for line in Path("/proc/self/cgroup").read_text().splitlines() if ":pids:" in line),
        "/",
    )
    cgroup = folder / f"fourtuple-test-{os.getpid()}"
    cgroup.mkdir()
    children: list[subprocess.Popen[bytes]] = []
    try:
        (cgroup / "pids.max").write_text(str(most))
        (cgroup / "cgroup.procs").write_text(str(os.getpid()))
        said = verdict("pids.max, RLIMIT_NPROC, kernel.threads-max")
        seen = ""
        try:
            while True:
                children.append(subprocess.Popen(["sleep", "60"]))
        except OSError as error:
            seen = errno.errorcode[error.errno or 0]
        answer = {"predicted": least(said.room), "observed": len(children)}
        return answer | {"errno": [said.errno, seen], "value": said.value}
    finally:
        for child in children:
            child.kill()
            child.wait()
        (folder / home.strip().lstrip("/") / "cgroup.procs").write_text(str(os.getpid()))
        cgroup.rmdir()


def conntrack(room: int) -> Seen:
    """Tracked connections, up to a limit that is the host's: whoever started us lowers it when he is asked to."""
    name = "net.netfilter.nf_conntrack_max"
    rules = (
        "add table ip t; add chain ip t c { type filter hook output priority 0; }; add rule ip t c ct state new accept"
    )
    before = verdict(name)  # nothing is tracked yet, and nothing tells
    subprocess.run(["nft", rules], check=True)
    probed = verdict(name, probe=True)
    server = socket.create_server((HERE, 8000), backlog=64)
    clients = [client((HERE, 8000)) for _ in range(5)]
    tracked = verdict(name)
    print(json.dumps({"wanted": (tracked.in_use or 0) + room}), flush=True)
    sys.stdin.readline()
    said = verdict(name)
    while clients[-1]:
        clients.append(client((HERE, 8000)))
    server.close()
    return {
        "predicted": least(said.room),
        "observed": len(clients) - 6,
        "stops": [before.stops, probed.stops, tracked.stops],
        "in_use": tracked.in_use,
    }


def syn_retries(retries: int, linear: int) -> Seen:
    """How long connect() tries where nobody answers: the kernel's timers may be 4 % late."""
    write_sysctl("net.ipv4.tcp_syn_retries", str(retries))
    if linear or features.has_sysctl(LINEAR):
        write_sysctl(LINEAR, str(linear))
    server = socket.create_server((HERE, 8000), backlog=0)
    first = client((HERE, 8000))
    said = verdict("net.ipv4.tcp_syn_retries")
    start_s = time.monotonic()
    try:
        socket.create_connection((HERE, 8000))
        seen = "connected"
    except OSError as error:
        seen = errno.errorcode[error.errno or 0]
    took_s = time.monotonic() - start_s
    server.close()
    return {
        "predicted": next(word for word in said.note.split() if word.isdecimal()),
        "observed": f"{int(took_s)}",
        "errno": [said.errno, seen],
        "first": bool(first),
    }


def accepts(room: int) -> Seen:
    """A server with files for so many more: its clients believe to be connected all the same."""
    import resource

    server = socket.create_server((HERE, 8000), backlog=64)
    clients = [client((HERE, 8000)) for _ in range(20)]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1 + room, hard))
    judged = limits(pid=os.getpid())
    accepted = []
    try:
        while True:
            accepted.append(server.accept())
    except OSError as error:
        seen = errno.errorcode[error.errno or 0]
    found = next(each for each in judged.verdicts if each.limit == "RLIMIT_NOFILE")
    said = {"predicted": least(judged.room), "observed": len(accepted), "errno": [found.errno, seen]}
    return said | {"binding": judged.binding, "role": judged.role, "connected": sum(map(bool, clients))}


SCENES: dict[str, Callable[[], Seen]] = {
    "accept-queue": lambda: accept_queue(5, 4096),
    "accept-queue-somaxconn": lambda: accept_queue(100, 3),
    "accept-queue-partly-full": lambda: accept_queue(7, 4096, waiting=3),
    "accept-queue-reuseport": lambda: accept_queue(5, 4096, listeners=4),
    "syn-queue": lambda: syn_queue(16, 4096),
    "syn-queue-backlog": lambda: syn_queue(2048, 8),
    "time-waits": lambda: time_waits(4, 10),
    "pids": lambda: pids(20),
    "conntrack": lambda: conntrack(17),
    "syn-retries": lambda: syn_retries(1, 0),
    "syn-retries-linear": lambda: syn_retries(1, 4),
    "accepts": lambda: accepts(12),
}

if __name__ == "__main__":
    print(json.dumps(SCENES[sys.argv[1]]()))
