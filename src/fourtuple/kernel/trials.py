"""How what this kernel does is tried: on real sockets, by a process and in a private network namespace of its own.

A trial takes milliseconds and needs no privilege. It opens a few connections on 127.0.0.0/8 and closes them.
"""

import errno
import os
import select
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress

import msgspec

from fourtuple.core.limits.behaviours import (
    BIND_RELEASED,
    BOUND_LISTED,
    RANGE_CAN_BE_SET,
    RANGE_IN_TURN,
    Behaviour,
    KnownBy,
)
from fourtuple.core.limits.settings import PORT_RANGE
from fourtuple.core.numbers import number_of
from fourtuple.core.record import dataclass
from fourtuple.core.sockets.table import State
from fourtuple.kernel import children
from fourtuple.kernel.netlink.sockdiag import Datagram, exchange, parse_datagram, request
from fourtuple.kernel.netns import enter_new
from fourtuple.kernel.proc.files import PROC, whole
from fourtuple.kernel.proc.sysctl import write_sysctl
from fourtuple.kernel.sockopts import IP_LOCAL_PORT_RANGE, LINGER_RESET, connects, pack_port_range, range_can_be_set

MOST_S = 30.0  # far more than all trials take, also if the kernel has to load the module of sock_diag
HERE, ELSEWHERE = "127.0.0.1", "127.0.0.2"
PORTS = range(40000, 40064)  # of a private namespace, whose range is the kernel's default
IN_A_ROW = 16  # connections; by chance all would have the same parity once in 32,768 times
TRIES = 8  # ports, where other programs use the same ones
UNKNOWN = "no trial was possible: {}"


def try_now() -> tuple[Behaviour, ...]:
    """What this kernel does, tried by a process of its own, in a private network namespace if one is permitted."""
    reader, writer = os.pipe()
    parent = os.getpid()
    try:
        with children.signals_held():  # it holds them until it ends: Ctrl-C is for this process
            pid = children.fork(lambda: _answer(writer, parent))
    except OSError as error:
        os.close(reader)
        return _unknown(f"fork(): {error.strerror}")
    finally:
        os.close(writer)
    text, in_time = b"", False
    try:
        with open(reader, "rb") as answer:
            in_time = bool(select.select([answer], [], [], MOST_S)[0])
            text = answer.read() if in_time else b""
    finally:
        if not text:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)
    try:
        return tuple(msgspec.json.decode(text, type=list[Behaviour]))
    except msgspec.DecodeError:
        return _unknown("the process that tries it ended early" if in_time else f"it took more than {MOST_S:.0f} s")


def _unknown(why: str) -> tuple[Behaviour, ...]:
    return tuple(Behaviour(name, None, KnownBy.PROBE, UNKNOWN.format(why)) for name in TRIALS)


def _answer(writer: int, parent: int) -> int:
    """Try everything, and write what came of it as JSON."""
    children.die_with_parent(parent)
    try:
        enter_new({}, {})
        place = _Place(PORTS, is_private=True)
    except OSError:
        place = _Place(_own_ports(), is_private=False)
    with open(writer, "wb") as answer:
        answer.write(msgspec.json.encode([_tried(name, trial, place) for name, trial in TRIALS.items()]))
    return 0


@dataclass(frozen=True, slots=True)
class _Place:
    """Where it is tried. ports: ports of the range that connect() chooses from"""

    ports: range
    is_private: bool

    @property
    def name(self) -> str:
        return "in a private network namespace" if self.is_private else "on loopback"


def _own_ports() -> range:
    """Ports in the middle of this namespace's range; empty if it is unknown."""
    words = [number_of(word) for word in whole(PROC / "sys/net/ipv4/ip_local_port_range").split()]
    low, high = words if len(words) == 2 else (None, None)
    if low is None or high is None:
        return range(0)
    middle = (low + high) // 2
    return range(max(low, middle - len(PORTS) // 2), min(high + 1, middle + len(PORTS) // 2))


def _tried(name: str, trial: "Trial", place: _Place) -> Behaviour:
    try:
        holds, evidence = trial(place)
    except OSError as error:
        what = f"{error.strerror or error} ({errno.errorcode.get(error.errno or 0, error.errno)})"
        holds, evidence = None, UNKNOWN.format(what)
    return Behaviour(name, holds, KnownBy.PROBE, f"{evidence}, {place.name}" if holds is not None else evidence)


def _range_can_be_set(_: _Place) -> tuple[bool | None, str]:
    can = range_can_be_set()
    return can, "setsockopt(IP_LOCAL_PORT_RANGE) succeeded" if can else "setsockopt(IP_LOCAL_PORT_RANGE) failed"


def _range_in_turn(place: _Place) -> tuple[bool | None, str]:
    """Whether connections in a row take ports of both parities, if IP_LOCAL_PORT_RANGE is set."""
    if not range_can_be_set():
        return False, "IP_LOCAL_PORT_RANGE cannot be set"
    if len(place.ports) < 4 * IN_A_ROW:
        return None, UNKNOWN.format("the port range is too small")
    with ExitStack() as until_the_end:
        listener = until_the_end.enter_context(socket.create_server((HERE, 0), backlog=IN_A_ROW))
        odd = 0
        for _ in range(IN_A_ROW):
            sock = until_the_end.enter_context(_socket())
            sock.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, pack_port_range(place.ports))
            sock.connect(listener.getsockname())
            odd += sock.getsockname()[1] % 2
    return odd not in (0, IN_A_ROW), f"{odd} of {IN_A_ROW} connections took an odd port"


def _bind_released(place: _Place) -> tuple[bool | None, str]:
    """Whether connect() can choose a port in use again, after a socket that bound it elsewhere has closed."""
    if not (range_can_be_set() or place.is_private):
        return None, UNKNOWN.format("neither IP_LOCAL_PORT_RANGE nor a private namespace is available")
    for port in place.ports[:TRIES]:
        if (released := _is_released(port)) is not None:
            after = "succeeded" if released else "failed with EADDRNOTAVAIL"
            return released, f"after bind() to a port in use, and close(), connect() from it {after}"
    return None, UNKNOWN.format("other programs use the ports")


def _is_released(port: int) -> bool | None:
    """The trial with one port; None: another program uses it."""
    with ExitStack() as until_the_end:
        targets = [until_the_end.enter_context(socket.create_server((HERE, 0))).getsockname() for _ in range(3)]
        if not range_can_be_set():
            # Two ports, of which a listener has one: the kernel would log a warning about a range of one port.
            until_the_end.enter_context(socket.create_server((HERE, port + 1)))
            write_sysctl(PORT_RANGE, f"{port} {port + 1}")
        if not all(_connects(until_the_end, port, target) for target in targets[:2]):
            return None
        try:
            with _socket() as elsewhere:
                elsewhere.bind((ELSEWHERE, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return None
            raise
        return _connects(until_the_end, port, targets[2])


def _connects(until_the_end: ExitStack, port: int, target: tuple[str, int]) -> bool:
    """Connect from this port, the only one that the kernel can choose; False: it does not choose it."""
    sock = until_the_end.enter_context(_socket())
    if range_can_be_set():
        sock.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, pack_port_range(range(port, port + 1)))
    return connects(sock, target)


def _bound_listed(_: _Place) -> tuple[bool | None, str]:
    """Whether sock_diag lists a socket that is only bound."""
    with _socket() as sock:
        sock.bind((HERE, 0))
        port = sock.getsockname()[1]
        datagrams = map(parse_datagram, exchange(request(socket.AF_INET, {State.BOUND_INACTIVE})))
        listed = any((each.sockets["local_port"] == port).any() for each in _until_done(datagrams))
    return listed, f"sock_diag {'lists' if listed else 'does not list'} a socket after bind()"


def _until_done(datagrams: Iterator[Datagram]) -> Iterator[Datagram]:
    for datagram in datagrams:
        yield datagram
        if datagram.done:
            return


def _socket() -> socket.socket:
    """A TCP socket whose connection is reset when it is closed, so that nothing of it remains."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
    sock.settimeout(1)
    return sock


Trial = Callable[[_Place], tuple[bool | None, str]]
TRIALS: Mapping[str, Trial] = {
    RANGE_CAN_BE_SET: _range_can_be_set,
    RANGE_IN_TURN: _range_in_turn,
    BIND_RELEASED: _bind_released,
    BOUND_LISTED: _bound_listed,
}
