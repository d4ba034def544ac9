"""Unix listeners: the kernel's own answer about real ones, and damaged messages."""

import os
import socket
import struct

import pytest

from fourtuple.core.errors import CannotError
from fourtuple.kernel.netlink import wire
from fourtuple.kernel.netlink.unixdiag import (
    UNIX_DIAG_NAME,
    UNIX_DIAG_RQLEN,
    parse_listener,
    read_unix_listeners,
)
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
