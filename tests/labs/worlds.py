"""Random small worlds: predict what they have room for, fill them up, compare. `python -m tests.labs.worlds 7 1`.

Each world has a seed and a network namespace of its own: a range of a few ports, some of them reserved, listeners,
sockets that bound first in every way there is, TIME_WAIT, FIN_WAIT2 that is nobody's, ports that were bound elsewhere
for a moment, up to three sources and destinations, a limit of open files. What the kernel leaves open is an interval:
the number that is found lies in it, and it is no wider than the facts force (tests/labs/oracle.py).
Run inside of a lab (it must be root there); says a line of JSON for each world that was not as predicted, and a last
one with the number of worlds.
"""

import contextlib
import errno
import fcntl
import json
import os
import random
import resource
import socket
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.limits.verdicts import Limits, Verdict
from fourtuple.core.space.interval import Interval
from fourtuple.kernel.netns import set_loopback_up
from fourtuple.kernel.proc.sysctl import write_sysctl
from fourtuple.kernel.sockopts import IP_BIND_ADDRESS_NO_PORT, IP_LOCAL_PORT_RANGE, LINGER_RESET, pack_port_range
from fourtuple.kernel.syscalls import CLONE_NEWNET, unshare
from fourtuple.verbs.limits import limits
from tests.labs import features, oracle
from tests.labs.known import rows_of_proc
from tests.waiting import PATIENCE_S, wait_until

SIOCSIFADDR = 0x8916
IPV4_SOURCES = ["127.0.0.1", "127.0.0.2", "10.9.0.1", "10.9.0.2"]
IPV4_DESTINATIONS = ["127.0.0.9", "127.0.0.1", "10.9.0.9"]
End = tuple[str, int]
STRATEGIES = [each for each in Strategy if each is not Strategy.UNIX]  # those that have ports
YOUNG_S = 0.9  # in which no TIME_WAIT is a second old
OLD_S = 1.1
AGED = 0.04  # of the worlds wait until theirs are: each costs a second
TRIES = 5  # for a world to be judged while its TIME_WAITs are young


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
    idle: list[socket.socket] = field(default_factory=list)  # those that are only bound
    named: list[socket.socket] = field(default_factory=list)  # those of which bind() named the port, and connected
    waits_since_s: float | None = None  # the first TIME_WAIT or FIN_WAIT2
    is_aged: bool = False  # all of them are over a second old
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
    strategy = dice.choice(STRATEGIES)
    ipv6 = dice.random() < 0.15 and features.has_ipv6()
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
    occupants = [listen, bound_only, bound_and_connected, bound_first, late, plain, shared, narrow]
    occupants += [orphan, bound_elsewhere, bound_elsewhere]
    occupants += [time_wait] * world.dice.choice([0, 1, 8]) + [listen] * world.dice.choice([0, 0, 8])
    for _ in range(dice.choice([0, 0, 1, 3, 6, 10, 15])):
        occupant = dice.choice(occupants)
        with contextlib.suppress(OSError):  # a port may be somebody's already: then this one is not there
            occupant(world)
    if world.waits_since_s is not None and dice.random() < AGED:
        time.sleep(OLD_S)
        world.is_aged = True
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
    world.idle.append(sock)
    world.say(f"bound {host}:{port} reuse {reuse}")


def bound_and_connected(world: World) -> None:
    port, reuse, host = world.dice.choice(world.range), world.dice.randrange(2), address(world)
    for target in world.dice.sample(world.destinations, world.dice.randint(1, len(world.destinations))):
        sock = world.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
        sock.bind((host, port))
        world.idle.append(sock)
        sock.connect(target)
        world.named.append(world.idle.pop())
        world.say(f"explicit {host}:{port} reuse {reuse} → {target}")


def bound_elsewhere(world: World) -> None:
    """A port in use is bound on another address for a moment."""
    ends = [sock.getsockname() for sock in world.sockets]
    port = world.dice.choice([end[1] for end in ends if end[1] in world.range] or [0])
    with socket.socket(world.family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, world.dice.randrange(2))
        sock.bind((host := address(world), port))
    world.say(f"bound for a moment {host}:{port}")


def bound_first(world: World) -> None:
    sock, host, target = world.socket(), address(world), to(world)
    sock.bind((host, 0))
    world.idle.append(sock)
    sock.connect(target)
    world.idle.pop()
    world.say(f"bind0 {sock.getsockname()} → {target}")


def late(world: World) -> None:
    sock, host, target = world.socket(), address(world), to(world)
    sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    sock.bind((host, 0))
    sock.connect(target)
    world.say(f"noport {sock.getsockname()} → {target}")


def plain(world: World) -> None:
    sock, target = world.socket(), to(world)
    sock.connect(target)
    world.say(f"plain {sock.getsockname()} → {target}")


def shared(world: World) -> None:
    """Plain to every destination: these tend to share ports."""
    for target in world.destinations:
        sock = world.socket()
        sock.connect(target)
        world.say(f"plain {sock.getsockname()} → {target}")


def narrow(world: World) -> None:
    sock, target = world.socket(), to(world)
    port = world.dice.choice(world.range)
    sock.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, pack_port_range(range(port, port + 1)))
    sock.connect(target)
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
        accepted = accept(world, ours if direct else listener, name)
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes(8))  # else its reset would end the TIME_WAIT
        client.close()
        world.waits_since_s = world.waits_since_s or time.monotonic()
        accepted.settimeout(PATIENCE_S)
        assert accepted.recv(1) == b""  # its FIN is here: it has closed first
        accepted.close()
    world.say(f"TIME_WAIT {kind} {name} → {target if direct else port}")


def orphan(world: World) -> None:
    """The client closes first, and the server does not follow: FIN_WAIT2 that is nobody's."""
    target, host = to(world), world.dice.choice(world.sources) if world.sources else address(world)
    listener = next(s for s in world.sockets if s.getsockname()[:2] == target)
    client = socket.socket(world.family, socket.SOCK_STREAM)
    with client:
        client.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        client.bind((host, 0))
        client.connect(target)
        name = client.getsockname()
        accepted = accept(world, listener, name)
    world.waits_since_s = world.waits_since_s or time.monotonic()
    accepted.settimeout(PATIENCE_S)
    assert accepted.recv(1) == b""
    # The FIN is here, but its acknowledgement may be delayed, and until then the client's end is in FIN_WAIT1.
    assert wait_until(lambda: "FIN_WAIT1" not in {row.state for row in rows_of_proc()})
    world.sockets.append(accepted)
    world.say(f"FIN_WAIT2 {name} → {target}")


def accept(world: World, listener: socket.socket, name: End) -> socket.socket:
    """The server's end of this client; whoever came before is taken along and stays connected."""
    listener.settimeout(PATIENCE_S)
    while True:
        accepted, peer = listener.accept()
        if peer[:2] == name[:2]:
            return accepted
        world.sockets.append(accepted)
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)


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
            if world.strategy is Strategy.LATE and features.range_can_be_set():
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


def judge(world: World) -> list[str]:
    """What was not as predicted; empty: all was."""
    wrong = []
    seen = look(world)
    blocked = oracle.blocked_ports(seen.automatic, world.range)
    answers = []
    for name, probe in (("told", False), ("probed", True)):
        answer = ask(world, probe=probe)
        answers.append((name, answer))
        # Whatever has aged meanwhile: one of the two is what was there when it was asked.
        before, seen = seen, look(world)
        known = [oracle.tested(each, blocked) if probe else each for each in (before, seen)]
        wrong += [f"{name}: {each}" for each in unlike(world, answer, known)]
    if world.dice.random() < 0.25:
        used = len(os.listdir("/proc/self/fd")) - 1
        world.files = used + world.dice.randint(8, 30)
        resource.setrlimit(resource.RLIMIT_NOFILE, (world.files, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        answers = [(name, ask(world, probe=name == "probed")) for name, _ in answers]
    found, ends = fill(world)
    for name, answer in answers:
        if answer.room is None or answer.tightest is None:
            wrong.append(f"{name}: unknown")
        elif not answer.room.least <= found <= answer.room.most:
            wrong.append(f"{name}: {answer.room}, found {found}")
    _, probed = answers[-1]
    if probed.room and probed.room.exact and probed.tightest and not wrong:
        tie = sum(verdict.stops and verdict.room == probed.room for verdict in probed.verdicts) > 1
        if not (tie and world.strategy is Strategy.EXPLICIT):  # it never comes to ask once more than there are ports
            wrong += says(probed.tightest, ends, world.strategy)
    return wrong


def look(world: World) -> oracle.Seen:
    return oracle.look(world.range, world.sockets, world.idle, world.named)


def unlike(world: World, answer: Limits, known: list[oracle.Seen]) -> Iterator[str]:
    """Routes whose interval is not the narrowest one, and a sum that is not that of the routes."""
    pools = {}
    for route in answer.routes:
        source, to = str(route.source), end_of(str(route.destination))
        pools[source, None if world.strategy is Strategy.BIND0 else to] = route.room
        narrowest = [room_of(world, each, source, to) for each in known]
        if (route.room.least, route.room.most) not in narrowest:
            yield f"{source} → {to} is said to have {route.room}, the facts force {narrowest}"
    total = Interval.total(pools.values())
    if world.files is None and answer.room != total:
        yield f"{answer.room} of pools with {total}"


def room_of(world: World, seen: oracle.Seen, source: str, to: End) -> tuple[int, int]:
    if world.strategy is Strategy.BIND0:
        return oracle.bound_room(seen, source)
    if world.strategy is Strategy.EXPLICIT:
        return oracle.explicit_room(seen, source, to)
    return oracle.automatic_room(seen, source, to, in_turn=world.strategy is Strategy.LATE and features.range_in_turn())


def end_of(text: str) -> End:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def says(verdict: Verdict, ends: set[tuple[str, str]], strategy: Strategy) -> list[str]:
    """Does the application see what was said?"""
    expected = {(call, verdict.errno) for call in verdict.call.split(", ")}
    if strategy is Strategy.EXPLICIT and verdict.limit != "RLIMIT_NOFILE":
        expected |= {("connect()", "EADDRNOTAVAIL")}
    return [] if ends <= expected else [f"said {expected}, seen {ends}"]


def judged(seed: int) -> tuple[World, list[str]]:
    """The world of this seed, and what was not as predicted; made anew if its TIME_WAITs came of age meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for tries_left in reversed(range(TRIES)):
        world = make(seed)
        try:
            wrong = judge(world)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for sock in world.sockets:
                sock.close()
        in_time = world.is_aged or not world.waits_since_s or time.monotonic() - world.waits_since_s < YOUNG_S
        if not wrong or in_time or not tries_left:
            break
    return world, wrong


def main(first: int, count: int) -> None:
    features.learn()  # before there is a world: it takes ports for a moment
    failed = 0
    for seed in range(first, first + count):
        world, wrong = judged(seed)
        failed += bool(wrong)
        if wrong:
            files = {name: Path(f"/proc/sys/net/ipv4/{name}") for name in SHOWN}
            facts = {name: file.read_text().strip() for name, file in files.items() if file.exists()}
            ends = [f"{host}:{port}" for host, port in world.destinations]
            said = {"seed": seed, "wrong": wrong, "strategy": world.strategy, "from": world.sources, "to": ends}
            print(json.dumps(said | facts | {"files": world.files, "made": world.told}, ensure_ascii=False), flush=True)
    print(json.dumps({"worlds": count, "failed": failed}), flush=True)


SHOWN = ("ip_local_port_range", "ip_local_reserved_ports", "tcp_tw_reuse", "tcp_tw_reuse_delay", "tcp_timestamps")
if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
