"""The rules that differ between kernels, as small scenes on real sockets: what the product predicts, what is observed.

`python -m tests.kernels.rules [A B …]` prints them as a table. Each scene has a network namespace of its own, except
for those that ask for the settings of the host.
A prediction is right if the observed number lies in it, and if it is exact wherever this kernel lets anybody know.
"""

import json
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec

from fourtuple.core.limits.behaviours import RANGE_IN_TURN
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.space.interval import Interval
from fourtuple.kernel.proc.sysctl import write_sysctl
from fourtuple.kernel.sockopts import IP_BIND_ADDRESS_NO_PORT, IP_LOCAL_PORT_RANGE, LINGER_RESET, pack_port_range
from fourtuple.kernel.uring import features as ring_features
from fourtuple.verbs.background import holding, serving
from fourtuple.verbs.census import census
from fourtuple.verbs.lab import Lab
from fourtuple.verbs.limits import limits
from tests.conftest import COMMAND
from tests.kernels.findings import Came, Finding
from tests.labs import features, oracle
from tests.waiting import PATIENCE_S, wait_until

HERE, SERVER = "127.0.0.1", "127.0.0.9"
ACCEPTED, SLOWER_AT_MOST = 3_000, 8.0  # one accept per turn was 17 times slower than epoll
LOW = 40_000
SECOND_S, STEP_S, TRIES = 1.0, 0.2, 10
SCENE_S = 120.0


def trials() -> Iterator[Finding]:
    """All scenes in turn; last the check of a program, which some builds of user-mode Linux do not survive."""
    for name in sorted(SCENES, key="F".__eq__):
        yield trial(name)


def trial(name: str) -> Finding:
    """One scene, in a process and a namespace of its own."""
    if SCENES[name] in OF_THE_HOST:
        return SCENES[name]()
    with Lab(processes=False) as lab:
        try:
            done = subprocess.run(
                lab.command([sys.executable, "-m", "tests.kernels.rules", "--scene", name]),
                capture_output=True,
                text=True,
                timeout=SCENE_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return finding(name, "an end", f"none in {SCENE_S:.0f} s", because="it took too long")
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        return finding(name, "an end", "an error", because=" ".join(done.stderr.splitlines()[-1:]))
    return msgspec.json.decode(lines[-1], type=Finding)


def finding(name: str, predicted: object, observed: object, *, because: str = "") -> Finding:
    """because: why it is wrong; empty: it is right"""
    return Finding("rules", name, str(predicted), str(observed), Came.WRONG if because else Came.RIGHT, because)


def no_port(source: str, to: tuple[str, int]) -> socket.socket | None:
    """A connection whose port is chosen at connect(); None: there is none to choose."""
    sock = socket.socket()
    sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    sock.bind((source, 0))
    try:
        sock.connect(to)
    except OSError:
        sock.close()
        return None
    return sock


def set_range(count: int) -> None:
    write_sysctl("net.ipv4.ip_local_port_range", f"{LOW} {LOW + count - 1}")


def room(port: int, *, probe: bool = False) -> Interval:
    """What `limits` says of the connections from HERE to a port of SERVER."""
    said = limits([f"{SERVER}:{port}"], sources=[HERE], strategy=Strategy.NOPORT, probe=probe)
    assert said.room
    return said.room


def opened(stack: ExitStack, port: int) -> int:
    """How many connections can be opened there, one after the other."""
    count = 0
    while sock := no_port(HERE, (SERVER, port)):
        stack.enter_context(sock)
        count += 1
    return count


def unlike(said: dict[str, Interval], forced: dict[str, Interval], observed: int) -> str:
    """Which answers are not the narrowest that the facts force, or do not contain what was observed; empty: none."""
    wrong = [f"{name}: {each}, observed {observed}" for name, each in said.items() if not contains(each, observed)]
    wrong += [f"{name}: {each}, the facts force {forced[name]}" for name, each in said.items() if each != forced[name]]
    return "; ".join(wrong)


def contains(room: Interval, number: int) -> bool:
    return room.least <= number <= room.most


def told(said: dict[str, Interval]) -> str:
    return ", ".join(f"{name} {each}" for name, each in said.items())


def a_accepts() -> Finding:
    """3,000 connections to `serve` over each loop: all are accepted, and no loop is much slower than the other."""
    write_sysctl("net.core.somaxconn", "4096")
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    loops = ["epoll"] if ring_features().why_not else ["ring", "epoll"]
    took_s, accepted = {}, {}
    for port, loop in enumerate(loops, 8000):
        with serving(f"{HERE}:{port}", "--loop", loop) as server, ExitStack() as stack:
            start_s = time.monotonic()
            for _ in range(ACCEPTED):
                sock = stack.enter_context(socket.socket())
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
                sock.connect((HERE, port))
            with suppress(AssertionError):
                wait_until(lambda port=port: not waiting(port))  # type: ignore[misc]
            took_s[loop] = time.monotonic() - start_s
        accepted[loop] = server.record["accepted"]
    slower = max(took_s.values()) / min(took_s.values())
    seen = (
        f"{', '.join(f'{loop} {count:,}' for loop, count in accepted.items())} accepted; the slower {slower:.1f} times"
    )
    wrong = set(accepted.values()) != {ACCEPTED} or slower > SLOWER_AT_MOST
    expected = f"{ACCEPTED:,} by each; at most {SLOWER_AT_MOST:.0f} times"
    return finding("A accepts over each loop", expected, seen, because="not all, or too slow" if wrong else "")


def waiting(port: int) -> int:
    """How many connections wait in the accept queue of the listener on this port."""
    for line in Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, queues, *_ = line.split()
        if int(state, 16) == 10 and int(local.partition(":")[2], 16) == port:
            return int(queues.partition(":")[2], 16)
    return 0


def b_poisoned_port() -> Finding:
    """Four ports in use, each bound on another address for a moment: can connect() choose them for another end?"""
    count = 4
    set_range(count)
    with ExitStack() as stack:
        for port in (7001, 7002):
            stack.enter_context(socket.create_server((SERVER, port)))
        for _ in range(count):
            sock = no_port(HERE, (SERVER, 7002))
            assert sock
            stack.enter_context(sock)
        for _ in range(count):
            with socket.socket() as elsewhere:
                elsewhere.bind(("127.0.0.5", 0))
        said = {"limits": room(7001), "--probe": room(7001, probe=True)}
        observed = opened(stack, 7001)
    known = Interval.of(observed)
    unsure = known if features.bind_is_released() else Interval(0, count)
    forced = {"limits": unsure, "--probe": known if features.range_can_be_set() else unsure}
    return finding("B a port that was bound elsewhere", told(said), observed, because=unlike(said, forced, observed))


def c_only_bound() -> Finding:
    """Three of ten ports are held by sockets that are only bound."""
    count, bound = 10, 3
    set_range(count)
    with ExitStack() as stack:
        stack.enter_context(socket.create_server((SERVER, 7001)))
        idle = [stack.enter_context(socket.socket()) for _ in range(bound)]
        for number, sock in enumerate(idle):
            sock.bind((f"127.0.0.{5 + number}", LOW + number))
        seen = oracle.look(range(LOW, LOW + count), [], idle, [])
        counted_ports = census()
        said = {"limits": room(7001), "--probe": room(7001, probe=True)}
        observed = opened(stack, 7001)
    least = count - bound if features.bound_are_listed() else max(0, count - seen.hidden)
    most = count - bound if features.bound_are_listed() else count
    known = Interval.of(observed)
    because = unlike(said, {"limits": Interval(least, most), "--probe": known}, observed)
    if not (counted_ports.blocked or 0) <= bound <= (counted_ports.blocked or 0) + counted_ports.hidden_ports:
        because += f"; census: {counted_ports.blocked} blocked and {counted_ports.hidden_ports} hidden"
    return finding("C sockets that are only bound", told(said), observed, because=because)


def d_time_wait() -> Finding:
    """Ten 4-tuples in TIME_WAIT, each tried at another age around one second."""
    reusing()
    ports = range(7000, 7000 + TRIES)
    wrong, said, seen = [], [], []
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server((SERVER, port))) for port in ports]
        start_s = time.monotonic()
        for listener in listeners:
            closed(stack, listener, follows=True)
        closed_s = time.monotonic()
        for number, port in enumerate(ports):
            time.sleep(max(0.0, closed_s + STEP_S * (number + 0.5) - time.monotonic()))
            oldest_before_s, youngest_before_s = time.monotonic() - start_s, time.monotonic() - closed_s
            answer, observed = room(port, probe=True), opened(stack, port)
            if youngest_before_s < SECOND_S <= time.monotonic() - start_s:
                continue  # it came of age meanwhile
            said.append(str(answer))
            seen.append(str(observed))
            forced = forced_in_wait(old=oldest_before_s >= SECOND_S)
            if problem := unlike(
                {f"at {youngest_before_s:.1f} s": answer}, {f"at {youngest_before_s:.1f} s": forced}, observed
            ):
                wrong.append(problem)
    return finding("D TIME_WAIT, young and old", "; ".join(said), "; ".join(seen), because=". ".join(wrong))


def reusing() -> None:
    """A range of one port, and TIME_WAIT that is reused after a second, if the kernel has a setting for it."""
    set_range(1)
    write_sysctl("net.ipv4.tcp_tw_reuse", "1")


def closed(stack: ExitStack, listener: socket.socket, *, follows: bool) -> None:
    """A connection whose client has closed. follows: the server has closed, too"""
    client = no_port(HERE, listener.getsockname())
    assert client
    accepted = stack.enter_context(listener.accept()[0])
    client.close()
    assert not accepted.recv(1)
    if follows:
        accepted.close()


def forced_in_wait(*, old: bool) -> Interval:
    """The narrowest room of a port whose 4-tuple is in TIME_WAIT, after a probe."""
    if not old:
        return Interval.of(0) if features.time_wait_is_in_ms() else Interval(0, 1)
    return Interval.of(1) if features.range_can_be_set() else Interval(0, 1)


def e_orphan() -> Finding:
    """A closed socket in FIN_WAIT2, older than a second."""
    reusing()
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((SERVER, 7001)))
        closed(stack, listener, follows=False)
        time.sleep(SECOND_S + STEP_S)
        said = {"--probe": room(7001, probe=True)}
        observed = opened(stack, 7001)
    forced = {"--probe": Interval(0, 1) if features.fin_wait2_may_be_reused() else Interval.of(0)}
    return finding("E a closed socket in FIN_WAIT2", told(said), observed, because=unlike(said, forced, observed))


def f_check() -> Finding:
    """`check` on a small program: a verdict."""
    from tests.verbs.check.test_check import HABITS

    done = run("check", "--for", "60s", "--quiet", "--json", *HABITS["plain"])
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    seen = lines[-1]["verdict"] if lines else " ".join(done.stderr.split())
    return finding("F check", "shared", seen, because="" if seen == "shared" else "another verdict, or none")


def g_own_range() -> Finding:
    """IP_LOCAL_PORT_RANGE works, or no text recommends it."""
    name = "G IP_LOCAL_PORT_RANGE"
    with socket.create_server((SERVER, 7001)), socket.socket() as sock:
        works = True
        try:
            sock.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, pack_port_range(range(LOW, LOW + 1)))
        except OSError:
            works = False
        sock.connect((SERVER, 7001))
        if works:
            same = sock.getsockname()[1] == LOW and limits([f"{SERVER}:7001"]).can_probe
            return finding(name, "it works", "it works" if same else "no", because="" if same else "not used")
        texts = [run(*words).stdout for words in (("limits", f"{SERVER}:7001"), ("why", "99"), ("census",))]
    told_of = sum("IP_LOCAL_PORT_RANGE" in text for text in texts)
    return finding(
        name, "no text recommends it", f"{told_of} of {len(texts)} do", because="recommended" if told_of else ""
    )


def h_same_port_again() -> Finding:
    """Over the ring: refused once, then a connection from the same explicit port."""
    name, port = "H the same port after a refused connect", 8000
    if why_not := ring_features().why_not:
        return Finding("rules", name, "", "", Came.SKIPPED, why_not)
    listener = socket.create_server((HERE, port))
    listener.settimeout(PATIENCE_S)
    options = ("--from", f"{HERE}:{LOW}", "--strategy", "explicit", "--reconnect", "--loop", "ring")
    with holding("1", f"{HERE}:{port}", *options) as client:
        accepted, _ = listener.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        refused = snmp("OutRsts") + 2  # one for the connection, one for the next SYN
        listener.close()
        accepted.close()
        wait_until(lambda: snmp("OutRsts") >= refused)
        start_s = time.monotonic()
        with socket.create_server((HERE, port)) as again:
            again.settimeout(PATIENCE_S)
            accepted, peer = again.accept()
            took_s = time.monotonic() - start_s
            accepted.close()
    seen = f"from port {peer[1]} after {took_s:.1f} s"
    expected = f"from port {LOW} within 4 s"
    right = peer[1] == LOW and took_s < 4 and client.record
    return finding(name, expected, seen, because="" if right else "not the same port, or late")


def snmp(name: str) -> int:
    head, values = (
        line.split() for line in Path("/proc/thread-self/net/snmp").read_text().splitlines() if line.startswith("Tcp:")
    )
    return int(values[head.index(name)])


def i_parity() -> Finding:
    """200 connections in a range of 200, with IP_LOCAL_PORT_RANGE where it is: does one parity come first?"""
    count, ports = 200, []
    set_range(count)
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server((SERVER, 7001), backlog=count))
        for _ in range(count):
            sock = stack.enter_context(socket.socket())
            if features.range_can_be_set():
                sock.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, pack_port_range(range(LOW, LOW + count)))
            sock.connect(server.getsockname())
            ports.append(sock.getsockname()[1])
    even = sum(port % 2 == 0 for port in ports[: count // 2])
    known = {each.name: each.holds for each in limits().behaviours}[RANGE_IN_TURN]
    expected = "both parities first" if known else "one parity first"
    wrong = known is not (0 < even < count // 2) or len(set(ports)) != count
    seen = f"{even} even and {count // 2 - even} odd of the first {count // 2}"
    return finding("I parity", expected, seen, because="the other way round" if wrong else "")


def j_settings() -> Finding:
    """`limits` reads this kernel's settings without a gap."""
    gaps = limits(pid=os.getpid()).unknown
    seen = "; ".join(f"{name}: {why}" for name, why in gaps.items()) or "nothing is unknown"
    return finding("J settings", "nothing is unknown", seen, because="a gap" if gaps else "")


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=False, env=os.environ | NO_COLOR)


NO_COLOR = {"NO_COLOR": "1"}
SCENES: dict[str, Callable[[], Finding]] = {
    "A": a_accepts,
    "B": b_poisoned_port,
    "C": c_only_bound,
    "D": d_time_wait,
    "E": e_orphan,
    "F": f_check,
    "G": g_own_range,
    "H": h_same_port_again,
    "I": i_parity,
    "J": j_settings,
}
OF_THE_HOST = (f_check, j_settings)


def main(words: list[str]) -> int:
    if words[:1] == ["--scene"]:
        features.learn()
        print(msgspec.json.encode(SCENES[words[1]]()).decode())
        return 0
    wrong = 0
    for name in words or SCENES:
        found = trial(name)
        wrong += found.came is Came.WRONG
        print(
            f"{found.came:8} {found.name}\n    predicted {found.predicted}\n    observed  {found.observed}", flush=True
        )
        if found.because:
            print(f"    because   {found.because}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
