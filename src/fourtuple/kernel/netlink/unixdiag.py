"""Unix sockets that listen in this network namespace, and how full their queues are, by sock_diag.

connect() of a stream socket blocks, or fails with EAGAIN if it is not to block, while more connections wait than the
backlog (unix_recvq_full() in net/unix/af_unix.c). Here, unlike ss(8), an abstract name begins with `@`.

Sources: sock_diag(7); include/uapi/linux/unix_diag.h, net/unix/diag.c (v6.18).
"""

import struct
from collections.abc import Callable, Iterable

from fourtuple.core.sockets.table import State
from fourtuple.kernel.netlink import wire
from fourtuple.kernel.netlink.reading import NoSuchDumpError, retried
from fourtuple.kernel.netlink.sockdiag import NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY

AF_UNIX = 1
UDIAG_SHOW_NAME, UDIAG_SHOW_RQLEN = 0x01, 0x10
UNIX_DIAG_NAME, UNIX_DIAG_RQLEN = 0, 4
_REQUEST = struct.Struct("=BBHIIIII")  # struct unix_diag_req: family, protocol, pad, states, inode, show, cookie
_MESSAGE = struct.Struct("=BBBBIII")  # struct unix_diag_msg: family, type, state, pad, inode, cookie
_LENGTHS = struct.Struct("=II")  # struct unix_diag_rqlen: of a listener, connections that wait, and the backlog
_ANY_COOKIE = 0xFFFFFFFF

Ask = Callable[[bytes], Iterable[wire.Bytes]]
UnixQueue = tuple[int, str, int, int]  # inode, path, waiting, backlog


def exchange(message: bytes) -> Iterable[wire.Bytes]:
    """Send a request over a sock_diag socket, and yield the datagrams of the answer. Raises OSError."""
    return wire.exchange(NETLINK_SOCK_DIAG, message)


def read_unix_listeners(ask: Ask = exchange) -> list[UnixQueue] | None:
    """(inode, path, waiting, backlog) of each; None: this kernel cannot list them, or does not permit it.

    Raises OSError, DumpInterruptedError, BrokenMessageError.
    """
    body = _REQUEST.pack(
        AF_UNIX, 0, 0, 1 << State.LISTEN, 0, UDIAG_SHOW_NAME | UDIAG_SHOW_RQLEN, _ANY_COOKIE, _ANY_COOKIE
    )
    message = wire.request(SOCK_DIAG_BY_FAMILY, body)

    def fold(entries: Iterable[wire.NetlinkMessage]) -> list[UnixQueue]:
        return [parse_listener(entry.content) for entry in entries]

    try:
        return retried(fold, lambda: wire.dump(ask(message), "unix_diag"))
    except NoSuchDumpError:
        return None


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
