"""Unix listeners: the kernel's own answer about real ones, and damaged messages."""

import os
import socket
import struct
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from fourtuple.core.errors import CannotError
from fourtuple.core.sockets.ends import Tally
from fourtuple.core.sockets.own import cookies_of
from fourtuple.core.sockets.unix import identify_unix
from fourtuple.kernel.netlink import wire
from fourtuple.kernel.netlink.reading import NoSuchDumpError
from fourtuple.kernel.netlink.sockdiag import SOCK_DIAG_BY_FAMILY
from fourtuple.kernel.netlink.unixdiag import (
    UNIX_DIAG_NAME,
    UNIX_DIAG_PEER,
    UNIX_DIAG_RQLEN,
    fold_unix,
    parse_listener,
    parse_unix_sockets,
    read_unix_listeners,
    read_unix_listeners_at,
)
from fourtuple.kernel.sockopts import cookie_of
from tests.conftest import need

HEAD = struct.pack("=BBBBIII", 1, 1, 10, 0, 4711, 0, 0)


def made(name: bytes, waiting: int = 3, backlog: int = 5) -> bytes:
    return (
        HEAD
        + wire.attribute(UNIX_DIAG_NAME, name)
        + wire.attribute(UNIX_DIAG_RQLEN, struct.pack("=II", waiting, backlog))
    )


def test_connections_that_wait_are_counted() -> None:
    """23 of 99 at an abstract socket, whose name begins with `@` here."""
    name = f"fourtuple-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0{name}")
        server.listen(99)
        clients = [socket.socket(socket.AF_UNIX) for _ in range(23)]
        for client in clients:
            client.connect(f"\0{name}")
        listed = read_unix_listeners()
        need(listed is not None, "unix_diag")
        inode = os.fstat(server.fileno()).st_ino
        for client in clients:
            client.close()

    assert listed is not None
    assert (inode, f"@{name}", 23, 99) in listed


def test_the_ends_of_connections_name_each_other() -> None:
    """23 connections, of which 7 are accepted and 3 closed by the server: cookies, peers and shutdowns as they are."""
    name = f"\0fourtuple-test-{os.getpid()}"
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket(socket.AF_UNIX))
        server.bind(name)
        server.listen(99)
        clients = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(23)]
        for client in clients:
            client.connect(name)
        peers = [stack.enter_context(server.accept()[0]) for _ in range(7)]
        for peer in peers[:3]:
            peer.close()
        try:
            table = fold_unix(lambda tables: np.concatenate(list(tables)))
        except NoSuchDumpError:
            need(False, "unix_diag")
        rows = table[np.isin(table["inode"], [os.fstat(client.fileno()).st_ino for client in clients])]
        cookies = np.array([cookie_of(client) for client in clients], np.uint64)
        accepted = {os.fstat(peer.fileno()).st_ino: cookie_of(peer) for peer in peers[3:]}
        tally, own = identify_unix([table], cookies)

    assert sorted(cookies_of(rows).tolist()) == sorted(cookies.tolist())
    assert {*rows["peer"].tolist()} - {0} == {*accepted}
    assert np.count_nonzero(rows["shutdown"]) == 3
    assert tally == Tally(client=20, server=20, accepted=4)
    assert sorted(own.server.tolist()) == sorted(accepted.values())


def test_a_listener_is_found_by_every_path_to_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was bound by a relative path; a link leads there, too."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "x.sock")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("x.sock")
        server.listen(5)
        inode = os.fstat(server.fileno()).st_ino
        found = [read_unix_listeners_at([str(tmp_path / each)]) for each in ("x.sock", "link", "other")]

    need(found[0] is not None, "unix_diag")
    assert found == [[(inode, "x.sock", 0, 5)], [(inode, "x.sock", 0, 5)], []]


def test_a_dump_that_is_cut_short_is_not_taken_for_whole() -> None:
    """Damaged messages, and an answer without an end."""
    row = struct.pack("=BBBBIII", 1, 1, 1, 0, 4711, 7, 0) + wire.attribute(UNIX_DIAG_PEER, struct.pack("=I", 9))
    message = wire.HEADER.pack(16 + len(row), SOCK_DIAG_BY_FAMILY, 0, 1, 0) + row

    table, done = parse_unix_sockets(message)
    assert (table["inode"].tolist(), table["peer"].tolist(), done) == ([4711], [9], False)
    with pytest.raises(CannotError):
        fold_unix(list, lambda _: [message])
    with pytest.raises(CannotError):
        parse_unix_sockets(wire.HEADER.pack(20, SOCK_DIAG_BY_FAMILY, 0, 1, 0) + b"abcd")


@pytest.mark.parametrize(
    ("name", "path"), [(b"/run/a.sock\0", "/run/a.sock"), (b"\0ab\0c", "@ab\0c"), (b"", ""), (b"/\xff", "/\\xff")]
)
def test_names(name: bytes, path: str) -> None:
    """A path ends with a zero byte, an abstract name begins with one and may have more."""
    assert parse_listener(made(name)) == (4711, path, 3, 5)


def test_a_listener_without_attributes_has_no_name_and_no_queue() -> None:
    assert parse_listener(HEAD) == (4711, "", 0, 0)


@pytest.mark.parametrize("size", [0, 7, 15])
def test_a_message_that_is_too_short(size: int) -> None:
    with pytest.raises(CannotError):
        parse_listener(HEAD[:size])


def test_a_kernel_without_unix_diag_has_no_listing() -> None:
    """ENOENT, as sock_diag gives it for a family that is not compiled in."""

    def refuse(message: bytes) -> list[bytes]:
        sequence = struct.unpack_from("=I", message, 8)[0]
        error = struct.pack("=i", -2) + message[:16]
        return [wire.HEADER.pack(16 + len(error), wire.NLMSG_ERROR, 0, sequence, 0) + error]

    assert read_unix_listeners(refuse) is None
    with pytest.raises(NoSuchDumpError):
        fold_unix(list, refuse)
