"""Unix sockets of this network namespace, by sock_diag: those that listen, how full their queues are, and connections.

connect() of a stream socket blocks, or fails with EAGAIN if it is not to block, while more connections wait than the
backlog (unix_recvq_full() in net/unix/af_unix.c). Here, unlike ss(8), an abstract name begins with `@`.
Both ends of a connection are in the namespace of the socket that connected, wherever the listener is
(unix_stream_connect() makes them there).

Sources: sock_diag(7); include/uapi/linux/unix_diag.h, net/unix/diag.c (v6.18).
"""

import os
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TypeVar

import numpy as np

from fourtuple.core.sockets.table import State
from fourtuple.core.sockets.unix import UNIX_SOCKET, UnixSockets
from fourtuple.kernel.netlink import columns, wire
from fourtuple.kernel.netlink.reading import NoSuchDumpError, retried
from fourtuple.kernel.netlink.sockdiag import NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY

AF_UNIX, SOCK_STREAM = 1, 1
UDIAG_SHOW_NAME, UDIAG_SHOW_VFS, UDIAG_SHOW_PEER, UDIAG_SHOW_RQLEN = 0x01, 0x02, 0x04, 0x10
UNIX_DIAG_NAME, UNIX_DIAG_VFS, UNIX_DIAG_PEER, UNIX_DIAG_RQLEN, UNIX_DIAG_SHUTDOWN = 0, 1, 2, 4, 6
_REQUEST = struct.Struct("=BBHIIIII")  # struct unix_diag_req: family, protocol, pad, states, inode, show, cookie
_MESSAGE = struct.Struct("=BBBBIII")  # struct unix_diag_msg: family, type, state, pad, inode, cookie
_LENGTHS = struct.Struct("=II")  # struct unix_diag_rqlen: of a listener, connections that wait, and the backlog
_FILE = struct.Struct("=II")  # struct unix_diag_vfs: the inode of the file, and its device
_MINOR_BITS = 20  # of a device number inside the kernel (include/linux/kdev_t.h)
_ANY_COOKIE = 0xFFFFFFFF
_MESSAGE_WORDS = _MESSAGE.size // 4
_ATTRIBUTES = columns.HEADER_WORDS + _MESSAGE_WORDS  # where attributes begin in a message, in words
_TYPE_BYTE = 1  # where the type of the socket is in a message

T = TypeVar("T")
Ask = Callable[[bytes], Iterable[wire.Bytes]]
UnixQueue = tuple[int, str, int, int]  # inode, path, waiting, backlog


def exchange(message: bytes) -> Iterable[wire.Bytes]:
    """Send a request over a sock_diag socket, and yield the datagrams of the answer. Raises OSError."""
    return wire.exchange(NETLINK_SOCK_DIAG, message)


def fold_unix(fold: Callable[[Iterable[UnixSockets]], T], ask: Ask = exchange) -> T:
    """Apply `fold` to the connected stream sockets of this network namespace; it may be called more than once.

    Raises NoSuchDumpError if this kernel cannot list them, or does not permit it; DumpInterruptedError, OSError,
    BrokenMessageError.
    """
    message = _request({State.ESTABLISHED}, UDIAG_SHOW_PEER)
    return retried(fold, lambda: _tables(ask(message)))


def read_unix_listeners(ask: Ask = exchange) -> list[UnixQueue] | None:
    """(inode, path, waiting, backlog) of each; None: this kernel cannot list them, or does not permit it.

    Raises OSError, DumpInterruptedError, BrokenMessageError.
    """
    return _listeners(UDIAG_SHOW_NAME | UDIAG_SHOW_RQLEN, ask, lambda content: True)


def read_unix_listeners_at(names: Sequence[str], ask: Ask = exchange) -> list[UnixQueue] | None:
    """Those that a connect() to one of these names reaches, also where they were bound by another path to the file.

    Raises as read_unix_listeners does.
    """
    files = set[bytes]()
    for name in names:
        with suppress(OSError):  # there is no file: an abstract name, or the server has gone
            file = os.stat(name)
            device = os.major(file.st_dev) << _MINOR_BITS | os.minor(file.st_dev)
            files.add(_FILE.pack(file.st_ino & 0xFFFFFFFF, device))

    def is_there(content: wire.Bytes) -> bool:
        file = dict(wire.attributes(content[_MESSAGE.size :])).get(UNIX_DIAG_VFS, b"")
        return parse_listener(content)[1] in names or bytes(file) in files

    return _listeners(UDIAG_SHOW_NAME | UDIAG_SHOW_VFS | UDIAG_SHOW_RQLEN, ask, is_there)


def _request(states: Iterable[State], show: int) -> bytes:
    mask = sum(1 << state for state in states)
    return wire.request(SOCK_DIAG_BY_FAMILY, _REQUEST.pack(AF_UNIX, 0, 0, mask, 0, show, _ANY_COOKIE, _ANY_COOKIE))


def _listeners(show: int, ask: Ask, wanted: Callable[[wire.Bytes], bool]) -> list[UnixQueue] | None:
    message = _request({State.LISTEN}, show)

    def fold(entries: Iterable[wire.NetlinkMessage]) -> list[UnixQueue]:
        return [parse_listener(entry.content) for entry in entries if wanted(entry.content)]

    try:
        return retried(fold, lambda: wire.dump(ask(message), "unix_diag"))
    except NoSuchDumpError:
        return None


def _tables(answer: Iterable[wire.Bytes]) -> Iterator[UnixSockets]:
    with wire.overflow_interrupts():
        for data in answer:
            table, done = parse_unix_sockets(data)
            yield table
            if done:
                return
        raise wire.DumpInterruptedError(wire.NO_END)


def parse_unix_sockets(data: wire.Bytes) -> tuple[UnixSockets, bool]:
    """Read the stream sockets of a received datagram, or of several in a row → (them, whether the dump ends).

    Raises OSError with the kernel's errno, DumpInterruptedError, BrokenMessageError.
    """
    words, starts, done = columns.of_kinds(data, (SOCK_DIAG_BY_FAMILY,), 4 * _ATTRIBUTES, "unix_diag")
    rows = columns.rows(words, starts, columns.HEADER_WORDS, _MESSAGE_WORDS)
    table: UnixSockets = np.zeros(len(rows), UNIX_SOCKET)
    table["inode"], table["cookie"] = rows[:, 1], np.ascontiguousarray(rows[:, 2:4]).view("V8")[:, 0]
    for kind, name in ((UNIX_DIAG_PEER, "peer"), (UNIX_DIAG_SHUTDOWN, "shutdown")):
        have, values = columns.attribute(words, starts, _ATTRIBUTES, kind, 0)
        table[name][have] = values
    types = rows.view(np.uint8)[:, _TYPE_BYTE] if len(rows) else np.zeros(0, np.uint8)
    return table[types == SOCK_STREAM], done


def parse_listener(content: wire.Bytes) -> UnixQueue:
    """One message of the dump. Raises BrokenMessageError."""
    if len(content) < _MESSAGE.size:
        raise wire.BrokenMessageError(f"a Unix socket of {len(content)} bytes, at least {_MESSAGE.size} needed")
    inode = _MESSAGE.unpack_from(content)[4]
    values = dict(wire.attributes(content[_MESSAGE.size :]))
    lengths = values.get(UNIX_DIAG_RQLEN, b"")
    waiting, backlog = _LENGTHS.unpack_from(lengths) if len(lengths) >= _LENGTHS.size else (0, 0)
    name = bytes(values.get(UNIX_DIAG_NAME, b""))
    is_abstract = name.startswith(b"\0")
    text = (name[1:] if is_abstract else name.rstrip(b"\0")).decode(errors="backslashreplace")
    return inode, f"@{text}" if is_abstract else text, waiting, backlog
