"""The loop contract on real sockets, tested on every loop; a new loop is added to LOOPS."""

import contextlib
import errno
import fcntl
import gc
import resource
import socket
import sys
import termios
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fourtuple.core.sockets.own import cookies_of
from fourtuple.core.sockets.table import State
from fourtuple.core.space.tuples import Block, TupleSpace
from fourtuple.engine.loops import entries
from fourtuple.engine.loops.contract import COMPLETION, Completions, How, Loop, Op
from fourtuple.engine.loops.epoll import EpollLoop
from fourtuple.engine.loops.ring import RingLoop
from fourtuple.kernel.netlink.sockdiag import fold_sockets
from fourtuple.kernel.sockopts import IP_LOCAL_PORT_RANGE, LINGER_RESET, pack_port_range
from fourtuple.kernel.uring import Features, Opcode, Ring, Sqes, features
from tests.conftest import need
from tests.waiting import PATIENCE_S, wait_until

CAN = features()
LOOPS: dict[str, Callable[[int], Loop]] = {
    "epoll": EpollLoop,
    "ring": RingLoop,
    # The same kernel, with what older ones lack switched off one by one.
    "ring without SETSOCKOPT": partial(RingLoop, can=replace(CAN, setsockopt=False)),
    "ring without BIND": partial(RingLoop, can=replace(CAN, opcodes=CAN.opcodes - {Opcode.BIND})),
    "ring without NO_SQARRAY": partial(RingLoop, can=replace(CAN, no_sqarray=False)),
    "ring without ACCEPT_DONTWAIT": partial(RingLoop, can=replace(CAN, dontwait=False)),
    "ring that releases files late": partial(RingLoop, can=replace(CAN, releases=False)),
}
HOW = How(bind=False, port_range=None, timeout_s=30)
BOUND = replace(HOW, bind=True)


@pytest.fixture(params=list(LOOPS.values()), ids=list(LOOPS))
def make(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], Loop]]:
    """A loop that uses only the kernel features that it was given."""
    if request.param is not EpollLoop:
        need(CAN.why_not is None, f"io_uring ({CAN.why_not})")
    made: list[Loop] = []
    can: Features = getattr(request.param, "keywords", {}).get("can", CAN)
    submit = Ring.submit

    def checked(ring: Ring, sqes: Sqes, chain: int = 1) -> None:
        assert {*sqes["opcode"].ravel().tolist()} <= can.opcodes
        assert can.setsockopt or Opcode.URING_CMD not in sqes["opcode"]
        assert can.dontwait or not sqes["ioprio"].any()
        submit(ring, sqes, chain)

    monkeypatch.setattr(Ring, "submit", checked)

    def one(capacity: int) -> Loop:
        made.append(request.param(capacity))
        return made[-1]

    yield one
    for loop in made:
        loop.shut()


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        listener.setblocking(False)
        yield listener


def towards(listener: socket.socket, count: int, source: str = "127.0.0.1", port: int = 0) -> Block:
    host, destination = listener.getsockname()[:2]
    ends = f"[{host}]:{destination}" if ":" in host else f"{host}:{destination}"
    space = TupleSpace.of([source], range(port or 1, (port or 1) + count), [ends])
    return space.block(0, count) if port else space.pair_block(np.zeros(count, np.int64))


def collect(loop: Loop, op: int, count: int) -> Completions:
    """Wait until `count` completions of that kind have come; others are not expected."""
    found = collected(loop, count)
    assert (found["op"] == op).all()
    assert len(found) == count
    return found


def collected(loop: Loop, count: int) -> Completions:
    """Wait until `count` completions of any kind have come."""
    found = np.zeros(0, COMPLETION)
    until = time.monotonic() + PATIENCE_S
    while len(found) < count and time.monotonic() < until:
        found = np.concatenate((found, loop.wait(0.05)))
    return found


def need_links(loop: Loop) -> None:
    if not loop.links:
        pytest.skip("this loop does not link a message to a connect")


def has_all(peer: socket.socket) -> bool:
    """Has the remote end acknowledged all data that was sent?"""
    unsent = fcntl.ioctl(peer, termios.TIOCOUTQ, bytes(4))
    return int.from_bytes(unsent, sys.byteorder) == 0


def has_ended(peer: socket.socket) -> bool:
    """Read what has come → whether the end has, too."""
    peer.setblocking(False)
    try:
        while peer.recv(1 << 20):
            pass
    except BlockingIOError:
        return False
    except ConnectionResetError:
        pass
    return True


def connected_to(listener: socket.socket) -> int:
    """The sockets of this host that are connected to the port of that socket, as the kernel lists them."""
    end = f":{listener.getsockname()[1]:04X} 01"
    return sum(end in line for line in Path("/proc/net/tcp").read_text().splitlines())


def lists(port: int) -> bool:
    """Does the kernel list a connection of this port?"""
    return any(f":{port:04X} " in line for line in Path("/proc/net/tcp").read_text().splitlines())


def slots(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int32)


def unused_port(address: str) -> int:
    """A port that no socket of this address uses."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def source_of_next(server: socket.socket) -> tuple[str, int]:
    """Accept a connection, and close it → the address and port that it came from."""
    with server.accept()[0] as peer:
        host, port, *_ = peer.getpeername()
    return host, port


def need_port_range() -> None:
    with socket.socket() as sock:
        try:
            sock.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, pack_port_range(range(50_000, 50_010)))
        except OSError as error:
            need(False, f"IP_LOCAL_PORT_RANGE ({error.strerror})")


def connected(loop: Loop, server: socket.socket, count: int) -> list[socket.socket]:
    loop.connect(np.arange(count, dtype=np.int32), towards(server, count), HOW)
    assert (collect(loop, Op.CONNECT, count)["result"] == 0).all()
    return [server.accept()[0] for _ in range(count)]


def read(loop: Loop, slot: int, size: int = 16) -> tuple[int, bytes]:
    buffers = np.zeros((1, size), np.uint8)
    result = int(loop.receive(slots(slot), buffers)[0])
    return result, buffers[0, : max(0, result)].tobytes()


def test_connects_complete_each_in_its_slot(make: Callable[[int], Loop], server: socket.socket) -> None:
    loop = make(23)
    loop.connect(np.arange(23, dtype=np.int32)[::-1].copy(), towards(server, 23), HOW)
    done = collect(loop, Op.CONNECT, 23)

    assert sorted(done["slot"].tolist()) == list(range(23))
    assert (done["result"] == 0).all()


def test_cookies_are_those_that_the_kernel_lists(make: Callable[[int], Loop], server: socket.socket) -> None:
    """Of each slot, in the order that was asked for; sock_diag has the same."""
    loop = make(997)
    loop.connect(slots(*range(997)), towards(server, 997), HOW)
    collect(loop, Op.CONNECT, 997)
    found = loop.cookies(slots(*range(996, -1, -1)))
    listed, _ = fold_sockets(
        lambda tables: np.concatenate([cookies_of(table) for table in tables]), {State.ESTABLISHED}
    )

    assert len(set(found.tolist())) == 997
    assert np.isin(found, listed).all()
    assert loop.cookies(slots(7)).tolist() == [found[996 - 7]]


def test_the_time_of_a_handshake_is_that_of_one_connection(make: Callable[[int], Loop], server: socket.socket) -> None:
    """It is not more than the whole batch took; a slot without a connection has none."""
    loop = make(100)
    begin_ns = time.monotonic_ns()
    loop.connect(slots(*range(99)), towards(server, 99), HOW)
    collect(loop, Op.CONNECT, 99)
    took_us = (time.monotonic_ns() - begin_ns) / 1000
    found = [us for slot in range(99) if (us := loop.handshake_us(slot)) is not None]

    assert len(found) == (99 if loop.describe(0) else 0)
    assert all(0 < each <= took_us for each in found)
    assert loop.handshake_us(99) is None


def test_the_poll_of_a_connection_ends_with_it(make: Callable[[int], Loop]) -> None:
    """By RST and by FIN the peer sees the end, there is one completion, and no poll keeps the socket in memory."""
    loop = make(50)
    with socket.create_server(("127.0.0.9", 0), backlog=4096) as server:
        for reset in (True, False, True):
            loop.connect(slots(*range(50)), towards(server, 50), HOW)
            collect(loop, Op.CONNECT, 50)
            peers = [server.accept()[0] for _ in range(50)]
            loop.watch(slots(*range(50)))
            loop.close(slots(*range(49, -1, -1)), reset)
            collect(loop, Op.CLOSE, 50)
            for peer in peers:
                assert ended(peer) == (errno.ECONNRESET if reset else 0)
                peer.close()
            assert loop.wait(0).tolist() == []
            assert polls_in(loop) == 0
            loop.connect(slots(0), towards(server, 1), HOW)
            collect(loop, Op.CONNECT, 1)
            loop.watch(slots(0))
            assert polls_in(loop) == (1 if isinstance(loop, RingLoop) else 0)
            loop.close(slots(0), True)
            collect(loop, Op.CLOSE, 1)
            server.accept()[0].close()


def polls_in(loop: Loop) -> int:
    """How many polls the kernel has in the first ring of the loop, as /proc/PID/fdinfo lists them."""
    if not isinstance(loop, RingLoop):
        return 0
    _, _, polls = Path(f"/proc/self/fdinfo/{loop._rings[0].fd}").read_text().partition("PollList:")
    return polls.count("op=")


def ended(peer: socket.socket) -> int:
    """How the connection ended: 0 by FIN, or the errno."""
    peer.settimeout(PATIENCE_S)
    try:
        return len(peer.recv(1))
    except OSError as error:
        return error.errno or 0


def test_a_refused_connect_keeps_its_errno_and_leaves_the_slot_empty(
    make: Callable[[int], Loop], server: socket.socket
) -> None:
    loop = make(1)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        loop.connect(slots(0), towards(nobody, 1), HOW)
        assert collect(loop, Op.CONNECT, 1)["result"].tolist() == [-errno.ECONNREFUSED]

    (peer,) = connected(loop, server, 1)
    with closing(peer):
        peer.sendall(b"hello")
        loop.watch(slots(0))
        collect(loop, Op.WATCH, 1)
        assert read(loop, 0) == (5, b"hello")


def test_a_first_message_is_sent_with_the_connect_and_the_slot_is_watched(
    make: Callable[[int], Loop], server: socket.socket
) -> None:
    """One call: connected, sent, and once the peer has answered, readable; the next message goes its usual way."""
    loop = make(5)
    need_links(loop)
    first = np.frombuffer(b"hello", np.uint8)
    loop.connect(slots(*range(5)), towards(server, 5), HOW, first)
    done = collected(loop, 10)
    peers = [server.accept()[0] for _ in range(5)]
    try:
        assert [peer.recv(100) for peer in peers] == [b"hello"] * 5
        assert sorted(zip(done["op"].tolist(), done["result"].tolist(), strict=True)) == [
            *[(Op.CONNECT, 0)] * 5,
            *[(Op.SEND, 5)] * 5,
        ]
        for peer in peers:
            peer.sendall(b"welcome")
        assert sorted(collect(loop, Op.WATCH, 5)["slot"].tolist()) == list(range(5))
        assert read(loop, 3) == (7, b"welcome")
        loop.close(slots(*range(5)), reset=True)
        collect(loop, Op.CLOSE, 5)
    finally:
        for peer in peers:
            peer.close()


def test_a_first_message_is_forgotten_where_the_connect_fails(
    make: Callable[[int], Loop], server: socket.socket
) -> None:
    """The errno of the connect comes alone, and the slot can be used again, with a first message or without."""
    loop = make(1)
    need_links(loop)
    first = np.frombuffer(b"hello", np.uint8)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        for _ in range(3):
            loop.connect(slots(0), towards(nobody, 1), HOW, first)
            assert collect(loop, Op.CONNECT, 1)["result"].tolist() == [-errno.ECONNREFUSED]
    assert len(loop.wait(0.05)) == 0

    loop.connect(slots(0), towards(server, 1), HOW, first)
    assert sorted(collected(loop, 2)["result"].tolist()) == [0, 5]
    loop.close(slots(0), reset=False)
    collect(loop, Op.CLOSE, 1)


def test_a_slot_whose_connect_with_a_first_message_is_not_answered_can_be_closed(
    make: Callable[[int], Loop], server: socket.socket
) -> None:
    """Nothing of it completes any more, and the slot is empty."""
    loop = make(5)
    need_links(loop)
    first = np.frombuffer(b"hello", np.uint8)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as clients:
        for _ in range(3):  # the accept queue is full from now on: SYNs are dropped (listen(2))
            client = clients.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        loop.connect(slots(*range(5)), towards(full, 5), HOW, first)
        assert len(loop.wait(0.05)) == 0
        loop.close(slots(*range(5)), reset=True)
        collect(loop, Op.CLOSE, 5)
        assert len(loop.wait(0.05)) == 0

    loop.connect(slots(4), towards(server, 1), HOW, first)
    assert sorted(collected(loop, 2)["result"].tolist()) == [0, 5]


def test_a_failed_connect_lets_go_of_its_port(make: Callable[[int], Loop], server: socket.socket) -> None:
    """Its socket is gone, and so is the binding, while another slot is polled; at once where the kernel does that."""
    loop = make(2)
    loop.connect(slots(1), towards(server, 1), HOW)
    collect(loop, Op.CONNECT, 1)
    loop.watch(slots(1))
    with socket.socket() as nobody, socket.socket() as again:
        nobody.bind(("127.0.0.1", 0))
        port = unused_port("127.0.0.3")
        loop.connect(slots(0), towards(nobody, 1, "127.0.0.3", port), BOUND)
        assert collect(loop, Op.CONNECT, 1)["result"].tolist() == [-errno.ECONNREFUSED]

        def is_free() -> bool:
            loop.wait(0)
            with contextlib.suppress(OSError):
                again.bind(("127.0.0.3", port))
            return bool(again.getsockname()[1] == port)

        assert wait_until(is_free, PATIENCE_S if isinstance(loop, RingLoop) and not CAN.releases else 0)


@pytest.mark.parametrize("end", ["refused", "closed by us", "reset by us"])
def test_a_four_tuple_can_be_used_again(end: str, make: Callable[[int], Loop], server: socket.socket) -> None:
    """As soon as the kernel lists its connection no more, however that ended, and while another slot is polled."""
    loop = make(2)
    (other,) = connected(loop, server, 1)
    loop.watch(slots(0))
    to, port = server.getsockname(), unused_port("127.0.0.3")
    block = towards(server, 1, "127.0.0.3", port)
    if end == "refused":
        server.close()
    loop.connect(slots(1), block, BOUND)
    assert (collect(loop, Op.CONNECT, 1)["result"] < 0).all() == (end == "refused")
    with contextlib.ExitStack() as sockets:
        sockets.enter_context(other)
        if end == "refused":
            server = sockets.enter_context(socket.create_server(to))
        else:
            peer = sockets.enter_context(server.accept()[0])
            loop.close(slots(1), end == "reset by us")
            collect(loop, Op.CLOSE, 1)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)  # so that no TIME_WAIT is left
            peer.close()
        assert wait_until(lambda: not lists(port))
        loop.connect(slots(1), block, BOUND)

        assert collect(loop, Op.CONNECT, 1)["result"].tolist() == [0]


def test_a_slot_that_is_polled_anew_reports_each_event_once(make: Callable[[int], Loop], server: socket.socket) -> None:
    """A ring that releases files late polls the other slots anew after a close; nobody notices."""
    loop = make(3)
    peers = connected(loop, server, 3)
    loop.watch(slots(0, 1, 2))
    buffers = np.zeros((1, 4), np.uint8)
    loop.send(slots(0, 2), buffers, np.zeros(2, np.intp), np.array([4, 4]))
    loop.close(slots(1), True)
    assert sorted(collected(loop, 3)["op"].tolist()) == [Op.SEND, Op.SEND, Op.CLOSE]
    assert len(loop.wait(0.05)) == 0
    assert [peers[slot].recv(4, socket.MSG_WAITALL) for slot in (0, 2)] == [bytes(4)] * 2
    for peer in (peers[0], peers[2]):
        peer.sendall(b"hello")
    assert sorted(collect(loop, Op.WATCH, 2)["slot"].tolist()) == [0, 2]
    assert [read(loop, slot) for slot in (0, 2)] == [(5, b"hello")] * 2
    loop.watch(slots(0, 2))
    assert len(loop.wait(0.05)) == 0
    for peer in peers:
        peer.close()
    assert sorted(collect(loop, Op.WATCH, 2)["slot"].tolist()) == [0, 2]

    assert [read(loop, slot) for slot in (0, 2)] == [(0, b"")] * 2


def test_a_buffer_is_kept_until_all_who_send_from_it_are_done(
    make: Callable[[int], Loop], server: socket.socket
) -> None:
    """The kernel reads it after send() has returned, so the loop must not release it with the first completion."""
    loop = make(2)
    first, second = connected(loop, server, 2)
    size = 8 * 2**20
    buffers = np.zeros((1, size), np.uint8)
    kept = weakref.ref(buffers)
    loop.send(slots(0, 1), buffers, np.array([0, 0]), np.array([size, size]))
    del buffers
    assert read_all(first, size, loop) == 1
    assert kept() is not None
    assert read_all(second, size, loop) == 1
    for peer in (first, second):
        peer.close()

    gc.collect()
    assert kept() is None


def read_all(peer: socket.socket, size: int, loop: Loop) -> int:
    """Read all data sent to this peer while the loop runs → how many sends have completed."""
    peer.settimeout(0.01)
    got = finished = 0
    until = time.monotonic() + PATIENCE_S
    while (got < size or not finished) and time.monotonic() < until:
        with contextlib.suppress(TimeoutError):
            got += len(peer.recv(2**20))
        finished += len(loop.wait(0))
    assert got == size
    return finished


def test_a_system_that_gives_no_more_is_a_finding_of_each_connect(
    make: Callable[[int], Loop], server: socket.socket
) -> None:
    """The limit of open files is lowered after the loop was created: each connect completes with EMFILE."""
    loop = make(20)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        loop.connect(np.arange(20, dtype=np.int32), towards(server, 20), HOW)
        done = collect(loop, Op.CONNECT, 20)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)

    assert set(done["result"].tolist()) == {-errno.EMFILE}


def test_a_chosen_source_address_and_port_are_used(make: Callable[[int], Loop], server: socket.socket) -> None:
    loop, port = make(2), unused_port("127.0.0.3")
    sources = []
    for slot, block in enumerate((towards(server, 1, "127.0.0.3", port), towards(server, 1, "127.0.0.3"))):
        loop.connect(slots(slot), block, BOUND)
        assert collect(loop, Op.CONNECT, 1)["result"].tolist() == [0]
        sources.append(source_of_next(server))

    assert sources[0] == ("127.0.0.3", port)
    assert sources[1][0] == "127.0.0.3"


def test_the_same_four_tuple_twice_is_an_error_at_connect(make: Callable[[int], Loop], server: socket.socket) -> None:
    loop, port = make(2), unused_port("127.0.0.3")
    loop.connect(slots(0), towards(server, 1, "127.0.0.3", port), BOUND)
    collect(loop, Op.CONNECT, 1)
    loop.connect(slots(1), towards(server, 1, "127.0.0.3", port), BOUND)

    assert collect(loop, Op.CONNECT, 1)["result"].tolist() == [-errno.EADDRNOTAVAIL]


def test_a_port_range_confines_the_kernels_choice(make: Callable[[int], Loop], server: socket.socket) -> None:
    loop = make(1)
    need_port_range()
    ports = range(50_000, 50_010)
    loop.connect(slots(0), towards(server, 1), replace(HOW, port_range=ports))
    collect(loop, Op.CONNECT, 1)

    assert source_of_next(server)[1] in ports


def test_ipv6(make: Callable[[int], Loop]) -> None:
    loop = make(3)
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        loop.connect(slots(0, 1, 2), towards(server, 3, "::1"), BOUND)
        assert (collect(loop, Op.CONNECT, 3)["result"] == 0).all()

        assert [source_of_next(server)[0] for _ in range(3)] == ["::1"] * 3


def test_watch_waits_for_data_and_receive_reads_it(make: Callable[[int], Loop], server: socket.socket) -> None:
    loop = make(2)
    first, second = connected(loop, server, 2)
    with closing(first), closing(second):
        loop.watch(slots(0, 1))
        assert len(loop.wait(0.05)) == 0
        first.sendall(b"hello")
        (event,) = collect(loop, Op.WATCH, 1)
        assert read(loop, int(event["slot"])) == (5, b"hello")
        assert read(loop, int(event["slot"])) == (-errno.EAGAIN, b"")


def test_a_slot_that_is_watched_twice_completes_once(make: Callable[[int], Loop], server: socket.socket) -> None:
    loop = make(2)
    peers = connected(loop, server, 2)
    loop.watch(slots(0))
    loop.watch(slots(0, 1))
    for peer in peers:
        peer.sendall(b"hello")
    done = collect(loop, Op.WATCH, 2)
    others = loop.wait(0.05)
    for peer in peers:
        peer.close()

    assert sorted(done["slot"].tolist()) == [0, 1]
    assert len(others) == 0


def test_data_that_came_before_the_watch_is_not_missed(make: Callable[[int], Loop], server: socket.socket) -> None:
    loop = make(1)
    (peer,) = connected(loop, server, 1)
    with closing(peer):
        peer.sendall(b"hello")
        assert wait_until(lambda: has_all(peer))
        loop.wait(0)
        loop.watch(slots(0))
        collect(loop, Op.WATCH, 1)


def test_what_a_short_buffer_left_is_announced_again(make: Callable[[int], Loop], server: socket.socket) -> None:
    loop = make(1)
    (peer,) = connected(loop, server, 1)
    with closing(peer):
        peer.sendall(b"0123456789")
        got = b""
        while len(got) < 10:
            loop.watch(slots(0))
            collect(loop, Op.WATCH, 1)
            got += read(loop, 0, size=4)[1]
        loop.watch(slots(0))
        assert len(loop.wait(0.05)) == 0

    assert got == b"0123456789"


def test_the_end_is_seen_also_behind_data(make: Callable[[int], Loop], server: socket.socket) -> None:
    loop = make(1)
    (peer,) = connected(loop, server, 1)
    peer.sendall(b"bye")
    peer.close()
    loop.watch(slots(0))
    collect(loop, Op.WATCH, 1)
    assert read(loop, 0) == (3, b"bye")
    loop.watch(slots(0))
    collect(loop, Op.WATCH, 1)

    assert read(loop, 0) == (0, b"")


@pytest.mark.parametrize("says", [False, True])
@pytest.mark.parametrize("how", [HOW, BOUND, replace(HOW, timeout_s=None)])
def test_a_socket_that_cannot_be_made_is_reported_once_with_its_errno(
    how: How, says: bool, server: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entries that follow it find no socket in the slot; afterwards the slots are as usable as others."""
    need(CAN.why_not is None and CAN.prepares(bind=True), "an io_uring that makes sockets and binds them")
    loop = RingLoop(3)
    first = np.zeros(4, np.uint8) if says and loop.links else None
    with monkeypatch.context() as patched:
        patched.setattr(entries, "socket", SimpleNamespace(**{**vars(socket), "SOCK_STREAM": 77}))
        loop.connect(slots(0, 1, 2), towards(server, 3), how, first)
        done = collect(loop, Op.CONNECT, 3)
        others = loop.wait(0)
    loop.connect(slots(0, 1, 2), towards(server, 3), replace(how, timeout_s=7))
    again = collect(loop, Op.CONNECT, 3)
    loop.shut()

    assert sorted(done[["slot", "result"]].tolist()) == [(slot, -errno.EINVAL) for slot in range(3)]
    assert len(others) == 0
    assert (again["result"] == 0).all()


def test_a_reset_keeps_its_errno(make: Callable[[int], Loop], server: socket.socket) -> None:
    loop = make(1)
    (peer,) = connected(loop, server, 1)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
    peer.close()
    loop.watch(slots(0))
    collect(loop, Op.WATCH, 1)

    assert read(loop, 0) == (-errno.ECONNRESET, b"")


def test_what_happens_twice_before_anyone_looks_is_told_once(
    make: Callable[[int], Loop], server: socket.socket
) -> None:
    """Data, then a reset, an error and an end at once: one completion for one watch, and the end stays known."""
    loop = make(20)
    peers = connected(loop, server, 20)
    loop.watch(np.arange(20, dtype=np.int32))
    for peer in peers:
        peer.sendall(b"x")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        peer.close()
    assert wait_until(lambda: not connected_to(server))
    done = collect(loop, Op.WATCH, 20)
    assert sorted(done.tolist()) == [(Op.WATCH, slot, 0) for slot in range(20)]
    assert len(loop.wait(0.05)) == 0
    assert read(loop, 3) == (1, b"x")
    loop.watch(slots(3))
    collect(loop, Op.WATCH, 1)

    assert read(loop, 3)[0] == -errno.ECONNRESET


def test_a_large_send_completes_once_with_all_of_it(make: Callable[[int], Loop], server: socket.socket) -> None:
    """More data than the socket buffers hold: the loop continues when the peer has read, and rows may be shared."""
    loop = make(2)
    peers = connected(loop, server, 2)
    size = 8 * 2**20
    buffers = np.arange(size, dtype=np.uint8).reshape(1, size)
    loop.send(slots(0, 1), buffers, np.array([0, 0]), np.array([size, size]))
    assert len(loop.wait(0.05)) == 0
    got = [b"", b""]
    done: list[tuple[int, int, int]] = []
    for peer in peers:
        peer.setblocking(False)
    until = time.monotonic() + PATIENCE_S
    while (len(done) < 2 or min(map(len, got)) < size) and time.monotonic() < until:
        for number, peer in enumerate(peers):
            try:
                got[number] += peer.recv(2**20)
            except BlockingIOError:
                continue
        done += loop.wait(0).tolist()
    for peer in peers:
        peer.close()

    assert sorted(done) == [(Op.SEND, 0, size), (Op.SEND, 1, size)]
    assert got == [buffers.tobytes()] * 2


@pytest.mark.parametrize(("reset", "ends"), [(True, ConnectionResetError), (False, None)])
def test_close_ends_by_reset_or_by_fin(
    reset: bool, ends: type[Exception] | None, make: Callable[[int], Loop], server: socket.socket
) -> None:
    """While another connection, which was polled before, stays open."""
    loop = make(2)
    other, peer = connected(loop, server, 2)
    loop.watch(slots(0, 1))
    loop.close(slots(1), reset)
    assert collect(loop, Op.CLOSE, 1)["slot"].tolist() == [1]

    peer.settimeout(PATIENCE_S)
    with closing(other), closing(peer):
        if ends:
            with pytest.raises(ends):
                peer.recv(1)
        else:
            assert peer.recv(1) == b""


@pytest.mark.parametrize("reset", [True, False])
def test_connections_with_different_things_pending_are_closed_together(
    reset: bool, make: Callable[[int], Loop], server: socket.socket
) -> None:
    """One is idle; others are watched, send to a peer that does not read, or both. Each slot can be used again."""
    loop = make(5)
    peers = connected(loop, server, 5)
    much, little = np.zeros((1, 16_000_000), np.uint8), np.zeros((1, 8), np.uint8)
    loop.watch(slots(1, 3, 4))
    loop.send(slots(2, 3), much, np.zeros(2, np.intp), np.full(2, much.size))
    loop.send(slots(4), little, np.zeros(1, np.intp), np.full(1, 8))
    loop.close(slots(4, 3, 2, 1, 0), reset)

    assert sorted(collect(loop, Op.CLOSE, 5)["slot"].tolist()) == [0, 1, 2, 3, 4]
    for peer in peers:
        assert wait_until(partial(has_ended, peer))
        peer.close()
    for peer in connected(loop, server, 5):
        peer.close()


def test_a_closed_slot_can_be_used_again_and_tells_nothing_of_before(
    make: Callable[[int], Loop], server: socket.socket
) -> None:
    loop = make(1)
    (peer,) = connected(loop, server, 1)
    peer.sendall(b"old")
    assert wait_until(lambda: has_all(peer))
    loop.watch(slots(0))
    collect(loop, Op.WATCH, 1)
    loop.close(slots(0), True)
    collect(loop, Op.CLOSE, 1)
    peer.close()
    (peer,) = connected(loop, server, 1)
    loop.watch(slots(0))

    assert len(loop.wait(0.05)) == 0
    peer.close()


def test_closing_drops_what_has_completed_but_was_not_handed_out(
    make: Callable[[int], Loop], server: socket.socket
) -> None:
    """Otherwise a completion of the old connection would be taken for one of the next connection in the slot."""
    loop = make(2)
    peers = connected(loop, server, 2)
    for peer in peers:
        peer.sendall(b"data")
    assert wait_until(lambda: all(map(has_all, peers)))
    loop.wait(0)
    buffers = np.zeros((2, 16), np.uint8)
    loop.watch(slots(0, 1))
    loop.send(slots(0, 1), buffers, np.array([0, 1]), np.array([4, 4]))
    loop.close(slots(0), True)
    done = sorted((op, slot) for op, slot, _ in loop.wait(0).tolist())
    for peer in peers:
        peer.close()

    assert done == [(Op.WATCH, 1), (Op.SEND, 1), (Op.CLOSE, 0)]


def test_never_more_is_accepted_than_there_is_room_for(make: Callable[[int], Loop], server: socket.socket) -> None:
    """Further connections stay in the queue, connected, and are accepted when there is room again. None is lost."""
    loop = make(10)
    loop.listen([server])
    clients = [socket.create_connection(server.getsockname()) for _ in range(23)]
    loop.accept(7)
    first = collect(loop, Op.ACCEPT, 7)
    assert len(loop.wait(0.05)) == 0
    loop.accept(100)
    second = collect(loop, Op.ACCEPT, 3)
    assert len(loop.wait(0.05)) == 0
    assert {*first["slot"].tolist(), *second["slot"].tolist()} == set(range(10))
    loop.accept(0)
    loop.close(np.arange(10, dtype=np.int32), True)
    collect(loop, Op.CLOSE, 10)
    loop.accept(100)
    collect(loop, Op.ACCEPT, 10)
    loop.close(slots(0, 1, 2), True)
    loop.accept(3)
    done = [*collected(loop, 6), *loop.wait(0.05).tolist()]
    for client in clients:
        client.close()

    assert [op for op, _, _ in done].count(Op.ACCEPT) == 3


def test_several_full_listeners_and_few_slots_lose_nobody(make: Callable[[int], Loop]) -> None:
    """All are ready at once and have more connections than there is room for: the rest stays connected."""
    listeners = [socket.create_server(("127.0.0.1", 0), backlog=64) for _ in range(4)]
    clients = [socket.create_connection(listener.getsockname()) for listener in listeners for _ in range(50)]
    loop = make(90)
    for listener in listeners:
        listener.setblocking(False)
    loop.listen(listeners)
    accepted, until, more = 0, time.monotonic() + PATIENCE_S, 3
    while more and time.monotonic() < until:
        loop.accept(90 - accepted)
        done = loop.wait(0.02)
        assert (done["result"] >= 0).all()
        accepted += len(done)
        more -= accepted >= 90
    ended = []
    for client in clients:
        client.setblocking(False)
        try:
            ended.append(client.recv(1))
        except BlockingIOError:
            continue
    for sock in (*clients, *listeners):
        sock.close()

    assert (accepted, ended) == (90, [])


def test_an_accepted_slot_describes_itself_from_the_servers_side(
    make: Callable[[int], Loop], server: socket.socket
) -> None:
    loop = make(1)
    if isinstance(loop, RingLoop):
        need(CAN.describes, "a ring that reports the ends of a connection (FIXED_FD_INSTALL)")
    loop.listen([server])
    loop.accept(1)
    with socket.create_connection(server.getsockname()) as client:
        (accepted,) = collect(loop, Op.ACCEPT, 1)
        four_tuple = loop.describe(int(accepted["slot"]))

        assert four_tuple is not None
        assert (four_tuple.source.port, four_tuple.destination.port) == (
            server.getsockname()[1],
            client.getsockname()[1],
        )


def a_client_of(server: socket.socket) -> socket.socket:
    """A client that leaves no TIME_WAIT, which would take ports from tests that need all of them."""
    client = socket.create_connection(server.getsockname())
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
    return client


def test_a_long_queue_is_accepted_in_a_few_steps(make: Callable[[int], Loop], server: socket.socket) -> None:
    """The more a listener has waiting, the more is accepted at once, with whatever the kernel's io_uring can do."""
    loop = make(1000)
    loop.listen([server])
    clients = [a_client_of(server) for _ in range(997)]
    accepted = steps = 0
    while accepted < 997 and steps < 997:
        loop.accept(1000 - accepted)
        accepted += len(loop.wait(PATIENCE_S))
        steps += 1
    for client in clients:
        client.close()

    assert accepted == 997
    assert steps <= 20


def test_no_accept_is_left_waiting(make: Callable[[int], Loop], server: socket.socket) -> None:
    """What connects after accept(0) stays in the queue, whatever was asked of the kernel before."""
    loop = make(1000)
    loop.listen([server])
    loop.accept(1000)
    clients = [socket.create_connection(server.getsockname()) for _ in range(23)]
    collect(loop, Op.ACCEPT, 23)
    loop.accept(0)
    clients.append(socket.create_connection(server.getsockname()))
    assert len(loop.wait(0.05)) == 0

    server.accept()[0].close()
    for client in clients:
        client.close()


def test_two_loops_share_a_listener_and_accept_each_connection_once(
    make: Callable[[int], Loop], server: socket.socket
) -> None:
    """Each asks for what the other may take; who finds nothing keeps no slot for it."""
    loops = [make(400), make(400)]
    for loop in loops:
        loop.listen([server])
    accepted, clients = [0, 0], []
    for _ in range(8):
        clients += [a_client_of(server) for _ in range(100)]
        until = time.monotonic() + PATIENCE_S
        while sum(accepted) < len(clients) and time.monotonic() < until:
            for number, loop in enumerate(loops):
                loop.accept(400 - accepted[number])
                done = loop.wait(0.01)
                assert (done["result"] >= 0).all()
                accepted[number] += len(done)
    for client in clients:
        client.close()

    assert accepted == [400, 400]
