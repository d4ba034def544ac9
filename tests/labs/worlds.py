"""Random small worlds: predict what they have room for, fill them up, compare. `python -m tests.labs.worlds 7 1`.

Each world has a seed and a network namespace of its own: a range of a few ports, some of them reserved, listeners,
sockets that bound first in every way there is, TIME_WAIT, up to three sources and destinations, a limit of open files.
Run inside of a lab (it must be root there); says a line of JSON for each world that was not as predicted, and a last
one with the number of worlds.
"""

import contextlib
import errno
import fcntl
import json
import os
import random
import re
import resource
import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.limits.verdicts import Limits, Verdict
from fourtuple.kernel.netns import set_loopback_up
from fourtuple.kernel.proc.sysctl import write_sysctl
from fourtuple.kernel.sockopts import (
    IP_BIND_ADDRESS_NO_PORT,
    IP_LOCAL_PORT_RANGE,
    LINGER_RESET,
    pack_port_range,
    range_can_be_set,
)
from fourtuple.kernel.syscalls import CLONE_NEWNET, unshare
from fourtuple.verbs.lab import port_facts
from fourtuple.verbs.limits import limits
from tests.waiting import PATIENCE_S

SIOCSIFADDR = 0x8916
IPV4_SOURCES = ["127.0.0.1", "127.0.0.2", "10.9.0.1", "10.9.0.2"]
IPV4_DESTINATIONS = ["127.0.0.9", "127.0.0.1", "10.9.0.9"]
End = tuple[str, int]


@dataclass
class World:
    """What was made, and what the test knows of it that the kernel does not tell."""

    seed: int
    dice: random.Random
    range: range
    strategy: Strategy
    sources: list[str]
    destinations: list[End]
    sockets: list[socket.socket] = field(default_factory=list)
    untold: set[int] = field(default_factory=set)  # ports of which nobody can tell how they were got
    connected: set[int] = field(default_factory=set)  # ports of connected sockets that did not name them
    ending: list[str] = field(default_factory=list)  # closed sockets, by state, whose 4-tuple is perhaps reusable
    told: list[str] = field(default_factory=list)
    files: int | None = None

    def say(self, what: str) -> None:
        self.told.append(what)

    @property
    def family(self) -> socket.AddressFamily:
        return socket.AF_INET6 if ":" in self.destinations[0][0] else socket.AF_INET

    def socket(self, family: socket.AddressFamily | None = None) -> socket.socket:
        sock = socket.socket(family or self.family, socket.SOCK_STREAM)
        self.sockets.append(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        return sock


def new_namespace(dice: random.Random) -> range:
    unshare(CLONE_NEWNET)
    set_loopback_up()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:  # 10.9.0.1/8 on lo makes all of 10/8 local
        address = struct.pack("16sHH4s8x", b"lo:1", socket.AF_INET, 0, socket.inet_aton("10.9.0.1"))
        fcntl.ioctl(sock, SIOCSIFADDR, address)
    low = dice.randrange(40000, 40020)
    ports = range(low, low + dice.randint(1, 24))
    write_sysctl("net.ipv4.ip_local_port_range", f"{ports.start} {ports.stop - 1}")
    write_sysctl("net.ipv4.tcp_tw_reuse", str(dice.randrange(3)))
    with contextlib.suppress(OSError):  # Linux 6.14
        write_sysctl("net.ipv4.tcp_tw_reuse_delay", dice.choice(["1", "1", "60000"]))
    write_sysctl("net.ipv4.tcp_timestamps", dice.choice(["1", "0"]))
    reserved = [port for port in range(low - 3, low + 30) if dice.random() < 0.08]
    write_sysctl("net.ipv4.ip_local_reserved_ports", ",".join(map(str, reserved)))
    return ports


def make(seed: int) -> World:
    dice = random.Random(seed)  # noqa: S311  (a seed to repeat it is the point)
    ports = new_namespace(dice)
    strategy = dice.choice(list(Strategy))
    ipv6 = dice.random() < 0.15
    hosts = ["::1"] if ipv6 else dice.sample(IPV4_DESTINATIONS, dice.randint(1, 3))
    destinations = [(host, dice.choice([8000, 8001, 39990])) for host in hosts]
    if ipv6 or dice.random() < 0.3:
        destinations.append((hosts[0], 8002))
    if dice.random() < 0.1:
        destinations[-1] = (hosts[-1], dice.choice(ports))
    destinations = list(dict.fromkeys(destinations))
    sources = ["::1"] if ipv6 else dice.sample(IPV4_SOURCES, dice.randint(1, 3))
    if strategy in (Strategy.PLAIN, Strategy.LATE) and (strategy is Strategy.PLAIN or dice.random() < 0.5):
        sources = []
    world = World(seed, dice, ports, strategy, sources, destinations)
    for host, port in destinations:
        listener = world.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(4096)
    occupants = [listen, bound_only, bound_and_connected, bound_first, late, plain, shared, narrow, fin_wait2, gone]
    occupants += [time_wait] * world.dice.choice([0, 1, 8]) + [listen] * world.dice.choice([0, 0, 8])
    for _ in range(dice.choice([0, 0, 1, 3, 6, 10, 15])):
        occupant = dice.choice(occupants)
        with contextlib.suppress(OSError):  # a port may be somebody's already: then this one is not there
            occupant(world)
    return world


def to(world: World) -> End:
    return world.dice.choice(world.destinations)


def address(world: World) -> str:
    return "::1" if world.family == socket.AF_INET6 else world.dice.choice(IPV4_SOURCES)


def listen(world: World) -> None:
    host = world.dice.choice(["127.0.0.5", "0.0.0.0", "::1", "::", "::"])
    port = world.dice.choice(world.range)
    sock = world.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    if host == "::":  # then it has the port of IPv4 too, or not
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, world.dice.randrange(2))
    sock.bind((host, port))
    sock.listen(5)
    world.say(f"listen {host}:{port}")


def bound_only(world: World) -> None:
    port, reuse = world.dice.choice(world.range), world.dice.randrange(2)
    sock, host = world.socket(), address(world)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
    sock.bind((host, port))
    world.say(f"bound {host}:{port} reuse {reuse}")


def bound_and_connected(world: World) -> None:
    port, reuse, host = world.dice.choice(world.range), world.dice.randrange(2), address(world)
    for target in world.dice.sample(world.destinations, world.dice.randint(1, len(world.destinations))):
        sock = world.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
        sock.bind((host, port))
        sock.connect(target)
        world.say(f"explicit {host}:{port} reuse {reuse} → {target}")


def bound_first(world: World) -> None:
    sock, host, target = world.socket(), address(world), to(world)
    sock.bind((host, 0))
    sock.connect(target)
    world.untold.add(sock.getsockname()[1])
    world.connected.add(sock.getsockname()[1])
    world.say(f"bind0 {sock.getsockname()} → {target}")


def late(world: World) -> None:
    sock, host, target = world.socket(), address(world), to(world)
    sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    sock.bind((host, 0))
    sock.connect(target)
    world.connected.add(sock.getsockname()[1])
    world.say(f"noport {sock.getsockname()} → {target}")


def plain(world: World) -> None:
    sock, target = world.socket(), to(world)
    sock.connect(target)
    world.untold.add(sock.getsockname()[1])
    world.connected.add(sock.getsockname()[1])
    world.say(f"plain {sock.getsockname()} → {target}")


def shared(world: World) -> None:
    """Plain to every destination: these tend to share ports."""
    for target in world.destinations:
        sock = world.socket()
        sock.connect(target)
        world.untold.add(sock.getsockname()[1])
        world.connected.add(sock.getsockname()[1])
        world.say(f"plain {sock.getsockname()} → {target}")


def narrow(world: World) -> None:
    sock, target = world.socket(), to(world)
    port = world.dice.choice(world.range)
    sock.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, pack_port_range(range(port, port + 1)))
    sock.connect(target)
    world.untold.add(port)
    world.connected.add(port)
    world.say(f"narrow {sock.getsockname()} → {target}")


def time_wait(world: World) -> None:
    """The client closes first; sometimes it had bound its port."""
    target, host = to(world), world.dice.choice(world.sources) if world.sources else address(world)
    with socket.socket(world.family, socket.SOCK_STREAM) as listener:
        port = 20000 + world.dice.randrange(10000)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((target[0], port))
        listener.listen(5)
        # The real destinations accept nobody, so these go to a port of their own, unless the listener is asked.
        ours = next(s for s in world.sockets if s.getsockname()[:2] == target)
        direct = world.dice.random() < 0.9
        client = socket.socket(world.family, socket.SOCK_STREAM)
        kind = world.dice.choice(["plain", "plain", "bind0", "explicit", "noport", "noport"])
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, world.dice.randrange(2) if kind == "explicit" else 0)
        if kind == "noport":
            client.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        if kind != "plain":
            client.bind((host, world.dice.choice(world.range) if kind == "explicit" else 0))
        client.connect(target if direct else (target[0], port))
        name = client.getsockname()
        world.untold.add(name[1])
        world.connected.add(name[1])
        world.ending.append("TIME_WAIT")
        queue = ours if direct else listener
        queue.settimeout(PATIENCE_S)
        while True:  # whoever came before is taken along and stays connected
            accepted, _ = queue.accept()
            if accepted.getpeername()[:2] == name[:2]:
                break
            world.sockets.append(accepted)
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes(8))  # else its reset would end the TIME_WAIT
        client.close()
        accepted.settimeout(PATIENCE_S)
        assert accepted.recv(1) == b""  # its FIN is here: it has closed first
        accepted.close()
    world.say(f"TIME_WAIT {kind} {name} → {target if direct else port}")


def fin_wait2(world: World) -> None:
    """The client has closed, the server has not: an orphan waits in FIN_WAIT2."""
    target, host = to(world), world.dice.choice(world.sources) if world.sources else address(world)
    ours = next(s for s in world.sockets if s.getsockname()[:2] == target)
    client = socket.socket(world.family, socket.SOCK_STREAM)
    client.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    client.bind((host, 0))
    client.connect(target)
    name = client.getsockname()
    ours.settimeout(PATIENCE_S)
    while True:
        accepted, _ = ours.accept()
        world.sockets.append(accepted)
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        if accepted.getpeername()[:2] == name[:2]:
            break
    client.close()
    accepted.settimeout(PATIENCE_S)
    assert accepted.recv(1) == b""  # its FIN is here, so this end has acknowledged it
    world.connected.add(name[1])
    world.untold.add(name[1])
    world.ending.append("FIN_WAIT2")
    world.say(f"FIN_WAIT2 {name} → {target}")


def gone(world: World) -> None:
    """bind() to a port that connected sockets have, on another address, which has closed: old kernels remember it."""
    port = world.dice.choice(sorted(world.connected) or [0])
    with socket.socket(world.family, socket.SOCK_STREAM) as sock:
        sock.bind(("::1" if world.family == socket.AF_INET6 else "127.0.0.77", port))
        world.say(f"bound and closed {sock.getsockname()}")


def ask(world: World, *, probe: bool) -> Limits:
    return limits(
        [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in world.destinations],
        sources=world.sources,
        strategy=world.strategy,
        pid=os.getpid(),
        probe=probe,
    )


def fill(world: World) -> tuple[int, set[tuple[str, str]]]:
    """Open what there is → how many that are, and (call, errno) of what ended each route."""
    count, ends = 0, set()
    for target in world.destinations:
        for source in world.sources or [""]:
            for opened, call, name in attempts(world, source, target):
                count += opened
                if name == "EMFILE":
                    return count, {(call, name)}
                if not opened:
                    ends.add((call, name))
    return count, ends


def attempts(world: World, source: str, target: End) -> Iterator[tuple[int, str, str]]:
    explicit = world.strategy is Strategy.EXPLICIT
    for port in world.range if explicit else iter(lambda: 0, None):
        call, sock = "socket()", None
        try:
            sock = world.socket()
            if world.strategy is Strategy.LATE and range_can_be_set():
                sock.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, pack_port_range(world.range))
            if source:
                if explicit:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                elif world.strategy is not Strategy.BIND0:
                    sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
                call = "bind()"
                sock.bind((source, port))
            elif world.strategy is Strategy.BIND0:
                raise AssertionError("bind0 needs a source here")
            call = "connect()"
            sock.connect(target)
        except OSError as error:
            if sock:
                world.sockets.pop().close()
            yield 0, call, errno.errorcode[error.errno or 0]
            if not explicit or error.errno == errno.EMFILE:
                return
        else:
            yield 1, call, ""


def unlisted(facts: PortFacts) -> int:
    """At most so many sockets are only bound, and in no listing, by what the kernel counts."""
    if facts.bound_are_listed:
        return 0
    counts = dict(re.findall(r"(alloc|TCP: inuse|TCP6: inuse) (\d+)", "".join(map(read, ("sockstat", "sockstat6")))))
    return int(counts["alloc"]) - int(counts["TCP: inuse"]) - int(counts.get("TCP6: inuse", 0))


def read(name: str) -> str:
    """A file of this namespace; empty if the kernel does not have it."""
    file = Path("/proc/thread-self/net") / name
    return file.read_text() if file.exists() else ""


def widths(world: World, facts: PortFacts) -> tuple[int, int, int]:
    """How wide the answers may be, by what was made and by what this kernel leaves open.

    (per pool before the probe, per pool after it, in addition over all pools)
    """
    odd = len(world.range) % 2
    ports = len(world.untold if facts.bind_is_released else world.untold | world.connected)
    hidden = unlisted(facts)
    left = 0 if facts.range_can_be_set else ports
    held = hidden if world.strategy in (Strategy.BIND0, Strategy.EXPLICIT) else 0
    either = world.ending.count("TIME_WAIT") * (not facts.tw_reuse_in_ms)
    either += world.ending.count("FIN_WAIT2") * facts.fin_wait2_reused
    return odd + ports + hidden, odd + left + held, either


def judge(world: World) -> list[str]:
    """What was not as predicted; empty: all was."""
    before = ask(world, probe=False)
    probed = ask(world, probe=True)
    if world.dice.random() < 0.25:
        used = len(os.listdir("/proc/self/fd")) - 1
        world.files = used + world.dice.randint(8, 30)
        resource.setrlimit(resource.RLIMIT_NOFILE, (world.files, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        before, probed = ask(world, probe=False), ask(world, probe=True)
    told, probe, either = widths(world, port_facts())
    found, ends = fill(world)
    pools = len(world.destinations) * max(1, len(world.sources))
    wrong = []
    for name, answer, width in (("told", before, told), ("probed", probed, probe)):
        if answer.room is None or answer.tightest is None:
            wrong.append(f"{name}: unknown")
            continue
        if not answer.room.least <= found <= answer.room.most:
            wrong.append(f"{name}: {answer.room}, found {found}")
        width += sum("listen :::" in each for each in world.told) * (world.strategy is Strategy.BIND0)
        if world.strategy is not Strategy.EXPLICIT and answer.room.most - answer.room.least > width * pools + either:
            wrong.append(f"{name}: {answer.room} is wider than {width} for each of {pools}, and {either}")
    if probed.room and probed.room.exact and probed.tightest and not wrong:
        tie = sum(verdict.stops and verdict.room == probed.room for verdict in probed.verdicts) > 1
        if not (tie and world.strategy is Strategy.EXPLICIT):  # it never comes to ask once more than there are ports
            wrong += says(probed.tightest, ends, world.strategy)
    return wrong


def says(verdict: Verdict, ends: set[tuple[str, str]], strategy: Strategy) -> list[str]:
    """Does the application see what was said?"""
    expected = {(call, verdict.errno) for call in verdict.call.split(", ")}
    if strategy is Strategy.EXPLICIT and verdict.limit != "RLIMIT_NOFILE":
        expected |= {("connect()", "EADDRNOTAVAIL")}
    return [] if ends <= expected else [f"said {expected}, seen {ends}"]


def main(first: int, count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    failed = 0
    for seed in range(first, first + count):
        world = make(seed)
        try:
            wrong = judge(world)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for sock in world.sockets:
                sock.close()
        failed += bool(wrong)
        if wrong:
            files = [Path(f"/proc/sys/net/ipv4/{name}") for name in SHOWN]
            facts = {file.name: file.read_text().strip() for file in files if file.exists()}
            ends = [f"{host}:{port}" for host, port in world.destinations]
            said = {"seed": seed, "wrong": wrong, "strategy": world.strategy, "from": world.sources, "to": ends}
            print(json.dumps(said | facts | {"files": world.files, "made": world.told}), flush=True)
    print(json.dumps({"worlds": count, "failed": failed}), flush=True)


SHOWN = ("ip_local_port_range", "ip_local_reserved_ports", "tcp_tw_reuse", "tcp_tw_reuse_delay", "tcp_timestamps")
if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
