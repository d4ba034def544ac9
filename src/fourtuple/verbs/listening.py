"""The listeners of `serve`: how they are made, and what the kernel lists at them."""

import errno
import ipaddress
import os
import socket
import stat
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress

import numpy as np

from fourtuple.core.errnos import cannot_listen, name_of
from fourtuple.core.errors import CannotError, ShortfallError
from fourtuple.core.limits.cost import FILES_RESERVED
from fourtuple.core.sockets.columns import is_wildcard
from fourtuple.core.sockets.table import SOCK_DIAG, Sockets, State, mapped
from fourtuple.core.space.endpoints import UNIX, Address, Endpoint, EndpointSpec, is_unix, sun_path, unix_names
from fourtuple.kernel import addresses, process
from fourtuple.kernel.netlink.sockdiag import fold_sockets
from fourtuple.kernel.netlink.unixdiag import read_unix_listeners

Listeners = Sequence[socket.socket]


def waiting_at(listeners: Listeners) -> int | None:
    """The number of connections in the accept queues of these listeners; None: not known."""
    inodes = [os.fstat(listener.fileno()).st_ino for listener in listeners]

    def count(tables: Iterable[Sockets]) -> int:
        return sum(int(table["recv_q"][np.isin(table["inode"], inodes)].sum()) for table in tables)

    waiting, by = fold_sockets(count, {State.LISTEN})
    queues = read_unix_listeners() if any(listener.family == socket.AF_UNIX for listener in listeners) else []
    if by != SOCK_DIAG or queues is None:
        return None
    return waiting + sum(waits for inode, _, waits, _ in queues if inode in inodes)


def accepted_by(listeners: Listeners) -> int:
    """The number of accepted connections at the addresses and ports of these listeners."""
    ports: dict[bytes, list[int]] = {}  # by address; those on the wildcard accept on every address
    for listener in listeners:
        host, port = listener.getsockname()[:2]
        ports.setdefault(mapped(ipaddress.ip_address(host)), []).append(port)

    def count(tables: Iterable[Sockets]) -> int:
        accepted = 0
        for table in tables:
            ours = np.zeros(len(table), bool)
            for address, some in ports.items():
                is_there = is_wildcard(np.array([address], "V16"))[0] | (table["local"] == np.void(address))
                ours |= is_there & np.isin(table["local_port"], some)
            accepted += int(np.count_nonzero(ours & (table["inode"] != 0)))
        return accepted

    return fold_sockets(count, {State.ESTABLISHED})[0]


def listen(where: Sequence[str], backlog: int, until_the_end: ExitStack) -> list[socket.socket]:
    """Listen on every HOST:PORT[-PORT] and unix:NAME until the stack is closed. Raises UsageError, ShortfallError."""
    wanted: list[Endpoint] = []
    names = unix_names(where)
    for text in where:
        if is_unix(text):
            continue
        spec = EndpointSpec.parse(text)
        if spec.ports is None:
            raise spec.no_port("address", text)
        found = addresses.resolve(spec)
        ours = [
            address for address in found if addresses.is_local(address)
        ]  # a name may have other addresses too, such as ::1
        wanted += [Endpoint(address, port) for address in ours or found for port in spec.ports]
    wanted = list(dict.fromkeys(wanted))
    files = process.read_files()
    if len(wanted) + len(names) + FILES_RESERVED >= files.soft - files.open:
        raise ShortfallError(
            f"{len(wanted) + len(names):,} listeners",
            f"open files of the process: RLIMIT_NOFILE {files.soft:,}, {files.open} in use (EMFILE 24)",
            "Listen on fewer ports, in several processes, or raise ulimit -n.",
        )
    return [
        *(until_the_end.enter_context(_listener(endpoint, backlog)) for endpoint in wanted),
        *(_unix_listener(name, backlog, until_the_end) for name in dict.fromkeys(names)),
    ]


def _listener(endpoint: Endpoint, backlog: int) -> socket.socket:
    address: Address = endpoint.address
    try:
        listener = socket.socket(addresses.family_of(address), socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    except OSError as error:  # EAFNOSUPPORT: IPv6 is disabled
        raise cannot_listen(str(endpoint), error) from None
    try:
        listener.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # bind() succeeds in spite of TIME_WAITs of an earlier run
        if address.version == 6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((str(address), endpoint.port))
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        raise cannot_listen(str(endpoint), error) from None
    return listener


def _unix_listener(name: str, backlog: int, until_the_end: ExitStack) -> socket.socket:
    """Listen at a path, whose file is removed in the end, or at an abstract name.

    A file that a server has left behind, because it was killed, is replaced.
    """
    path, where = sun_path(name), f"{UNIX}{name}"
    listener = until_the_end.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
    try:
        if _is_left_behind(path):
            os.unlink(path)
        listener.bind(path)
        if not name.startswith("@"):
            until_the_end.callback(_remove, path, os.stat(path))
        listener.listen(backlog)
    except OSError as error:
        number = error.errno or 0
        what = f"{error.strerror} ({name_of(number)} {number})"
        if number == errno.EADDRINUSE:
            why = f"{what}; a process listens there, or a file that is no socket has this name"
            raise ShortfallError(f"cannot listen on {where}", why, "See `ss -xlp`, or take another.") from None
        kind = CannotError if number in (errno.EACCES, errno.EPERM) else ShortfallError
        raise kind(f"cannot listen on {where}", what, "Take a folder that exists and that you can write to.") from None
    return listener


def _is_left_behind(path: bytes) -> bool:
    """Whether the path is a socket at which nobody listens any more: connect() is refused. Raises OSError."""
    if path.startswith(b"\0") or not os.path.lexists(path) or not stat.S_ISSOCK(os.lstat(path).st_mode):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        return probe.connect_ex(path) == errno.ECONNREFUSED


def _remove(path: bytes, made: os.stat_result) -> None:
    """Remove the file of a listener, unless another one has taken its place."""
    with suppress(OSError):
        if os.path.samestat(os.lstat(path), made):
            os.unlink(path)
