"""The loop contract over Unix sockets, where connect() never waits and nothing resets a connection."""

import errno
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from fourtuple.core.sockets.own import cookies_of
from fourtuple.core.space.unix import UnixBlock, UnixSpace
from fourtuple.engine.loops.contract import COMPLETION, Completions, How, Loop, Op
from fourtuple.engine.loops.epoll import EpollLoop
from fourtuple.engine.loops.ring import RingLoop
from fourtuple.kernel.netlink.unixdiag import fold_unix
from fourtuple.kernel.uring import features
from tests.conftest import need
from tests.waiting import wait_until

CAN = features()
LOOPS: dict[str, Callable[[int], Loop]] = {
    "epoll": EpollLoop,
    "ring": partial(RingLoop, unix=True),
    "ring that releases files late": partial(RingLoop, can=replace(CAN, releases=False), unix=True),
}
HOW = How(bind=False, port_range=None, timeout_s=None)


@pytest.fixture(params=list(LOOPS.values()), ids=list(LOOPS))
def loop(request: pytest.FixtureRequest) -> Iterator[Loop]:
    if request.param is not EpollLoop:
        need(CAN.why_not is None, f"io_uring ({CAN.why_not})")
    made: Loop = request.param(997)
    yield made
    made.shut()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "x.sock")


@pytest.fixture
def server(path: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1000)
        yield listener


def slots(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int32)


def to(name: str, count: int = 1) -> UnixBlock:
    return UnixSpace((name,)).pair_block(np.zeros(count, np.int64))


def collect(loop: Loop, op: int, count: int) -> Completions:
    """Wait until `count` completions have come, all of that kind."""
    done = collected(loop, count)
    assert (done["op"] == op).all()
    assert len(done) == count
    return done


def collected(loop: Loop, count: int) -> Completions:
    found = [np.zeros(0, COMPLETION)]

    def all_have_come() -> bool:
        found.append(loop.wait(0.05))
        return sum(map(len, found)) >= count

    assert wait_until(all_have_come)
    return np.concatenate(found)


def connected(loop: Loop, server: socket.socket, path: str, count: int) -> list[socket.socket]:
    loop.connect(np.arange(count, dtype=np.int32), to(path, count), HOW)
    assert (collect(loop, Op.CONNECT, count)["result"] == 0).all()
    return [server.accept()[0] for _ in range(count)]


def read(loop: Loop, slot: int) -> tuple[int, bytes]:
    buffers = np.zeros((1, 16), np.uint8)
    result = int(loop.receive(slots(slot), buffers)[0])
    return result, buffers[0, : max(0, result)].tobytes()


def test_connects_complete_each_in_its_slot_with_the_cookie_that_the_kernel_lists(
    loop: Loop, server: socket.socket, path: str
) -> None:
    loop.connect(slots(*range(997))[::-1].copy(), to(path, 997), HOW)
    done = collect(loop, Op.CONNECT, 997)
    listed = fold_unix(lambda tables: np.concatenate([cookies_of(table) for table in tables]))
    cookies = loop.cookies(slots(*range(997)))

    assert sorted(done["slot"].tolist()) == list(range(997))
    assert (done["result"] == 0).all()
    assert len(set(cookies.tolist())) == 997
    assert np.isin(cookies, listed).all()
    assert (loop.describe(0), loop.handshake_us(0)) == (None, None)


def test_an_abstract_name_ends_where_it_ends(loop: Loop) -> None:
    """Its bytes count, without a zero byte behind them."""
    name = f"@fourtuple-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0{name[1:]}")
        server.listen(5)
        loop.connect(slots(3, 4), UnixSpace((name, f"{name}x")).pair_block(np.array([0, 1])), HOW)
        done = {int(each["slot"]): int(each["result"]) for each in collect(loop, Op.CONNECT, 2)}

    assert done == {3: 0, 4: -errno.ECONNREFUSED}


def test_a_full_accept_queue_is_told_at_once_and_the_slot_is_free_again(loop: Loop, path: str) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(4)
        loop.connect(slots(*range(23)), to(path, 23), HOW)
        done = collect(loop, Op.CONNECT, 23)
        refused = done["slot"][done["result"] < 0]
        server.accept()[0].close()
        loop.connect(refused[:1], to(path), HOW)
        again = collect(loop, Op.CONNECT, 1)

    assert {*done["result"].tolist()} == {0, -errno.EAGAIN}
    assert len(refused) == 23 - 5
    assert again["result"].tolist() == [0]


@pytest.mark.parametrize("make", ["nothing", "left behind", "datagrams", "file"])
def test_what_connect_says_is_passed_on(loop: Loop, path: str, make: str) -> None:
    number = {"nothing": errno.ENOENT, "datagrams": errno.EPROTOTYPE}.get(make, errno.ECONNREFUSED)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM if make == "datagrams" else socket.SOCK_STREAM) as sock:
        if make == "file":
            Path(path).touch()
        elif make != "nothing":
            sock.bind(path)
        loop.connect(slots(7), to(path), HOW)
        done = collect(loop, Op.CONNECT, 1)

    assert (done["slot"].tolist(), done["result"].tolist()) == ([7], [-number])


def test_data_and_the_end_are_seen_and_the_slots_are_used_again(loop: Loop, server: socket.socket, path: str) -> None:
    for _ in range(3):
        peers = connected(loop, server, path, 50)
        loop.watch(slots(*range(50)))
        peers[7].send(b"hello")
        assert collect(loop, Op.WATCH, 1)["slot"].tolist() == [7]
        assert read(loop, 7) == (5, b"hello")
        loop.send(slots(7), np.frombuffer(b"echo", np.uint8).reshape(1, 4), np.array([0]), np.array([4]))
        assert collect(loop, Op.SEND, 1)["result"].tolist() == [4]
        assert peers[7].recv(16) == b"echo"
        peers[3].close()
        assert collect(loop, Op.WATCH, 1)["slot"].tolist() == [3]
        assert read(loop, 3)[0] == 0
        loop.close(slots(*range(49, -1, -1)), False)
        assert sorted(collect(loop, Op.CLOSE, 50)["slot"].tolist()) == list(range(50))
        for number, peer in enumerate(peers):
            assert number == 3 or peer.recv(16) == b""
            peer.close()


def test_a_peer_that_has_not_read_everything_resets_it(loop: Loop, server: socket.socket, path: str) -> None:
    """unix_release_sock(): the other end gets ECONNRESET."""
    (peer,) = connected(loop, server, path, 1)
    with peer:
        loop.send(slots(0), np.frombuffer(b"x", np.uint8).reshape(1, 1), np.array([0]), np.array([1]))
        collect(loop, Op.SEND, 1)
        loop.watch(slots(0))
    collect(loop, Op.WATCH, 1)

    assert read(loop, 0)[0] == -errno.ECONNRESET


def test_more_than_a_send_buffer_is_sent_when_the_peer_reads(loop: Loop, server: socket.socket, path: str) -> None:
    size = 1 << 20
    (peer,) = connected(loop, server, path, 1)
    with peer:
        loop.send(slots(0), np.ones((1, size), np.uint8), np.array([0]), np.array([size]))
        assert not len(loop.wait(0.05))
        reader = Thread(target=read_all, args=(peer, size))
        reader.start()
        done = collect(loop, Op.SEND, 1)
        reader.join()

    assert done["result"].tolist() == [size]


def read_all(peer: socket.socket, size: int) -> None:
    while size:
        size -= len(peer.recv(1 << 16))
