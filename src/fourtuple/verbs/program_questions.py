"""What a running program answers when it is asked for its limits: Redis, memcached, PostgreSQL, HAProxy.

Only what listens on this host is asked, over a Unix socket or 127.0.0.0/8 and ::1, and only for settings. Each question
is one connection, and takes no longer than PATIENCE_S.
"""

import os
import pwd
import re
import socket
import struct
import time
from collections.abc import Callable, Iterator

from fourtuple.core.errors import FourtupleError
from fourtuple.core.sockets.table import unmapped
from fourtuple.core.why.catalogue.configuration import ProgramSetting
from fourtuple.kernel.netlink.sockdiag import read_listeners
from fourtuple.kernel.proc.pid import same_network
from fourtuple.kernel.proc.root import path_within, read_inodes, read_unix_listeners

PATIENCE_S = 1.0
MOST_BYTES = 1 << 16  # of an answer
PROTOCOL = 196_608  # 3.0 (PostgreSQL 15 documentation, 55.7 Message Formats, StartupMessage)
LOOPBACK = {4: "127.0.0.1", 6: "::1"}
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
TRUST = 0  # AuthenticationOk

Place = tuple[str, socket.AddressFamily, str | tuple[str, int]]
"""A listener in words, its family, and the address to connect to."""


def ask_program(pid: int, program: str) -> tuple[ProgramSetting, ...]:
    """The settings that a program reports itself. One without a value says in `where` why there is none.

    Never raises for a program that does not answer.
    """
    question = QUESTIONS.get(program)
    if question is None:
        return ()
    key, ask = question
    refused = [ProgramSetting(key, "", "it was not asked: this user sees none of its listeners on this host")]
    for words, family, address in _places(pid):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as connection:
                connection.settimeout(PATIENCE_S)
                connection.connect(address)
                answers = tuple(ProgramSetting(key, value, f"asked at {words}") for key, value in ask(connection))
        except (OSError, ValueError, struct.error) as error:
            refused.append(ProgramSetting(key, "", f"{words}: {error.args[-1] if error.args else error}"))
            continue
        if answers:
            return answers
    return (refused[-1],)


def _places(pid: int) -> Iterator[Place]:
    """Where a process listens, as far as it may be asked there: Unix sockets, then loopback."""
    inodes = read_inodes(pid)
    for bound in read_unix_listeners(pid, inodes):
        path = re.sub(r"\.\d+\.tmp$", "", bound)  # HAProxy binds another name, and renames it
        try:
            reached = path_within(pid, path)
        except OSError:  # symbolic links in a circle
            continue
        yield path, socket.AF_UNIX, reached
    if not same_network(pid):
        return
    try:
        listeners = read_listeners()
    except (FourtupleError, OSError):
        return
    for inode, local, port in zip(
        *(listeners[name].tolist() for name in ("inode", "local", "local_port")), strict=True
    ):
        host = unmapped(local.ljust(16, b"\0"))
        if inode not in inodes or not (host.is_unspecified or host.is_loopback):
            continue
        name = LOOPBACK[host.version] if host.is_unspecified else str(host)
        yield f"{name}:{port}", FAMILY[host.version], (name, port)


def _exchange(connection: socket.socket, question: bytes, done: Callable[[bytes], object]) -> str:
    """The answer, up to where `done` says that it is complete, or to its end. Raises OSError."""
    connection.sendall(question)
    answer = b""
    deadline = time.monotonic() + PATIENCE_S
    while not done(answer) and len(answer) < MOST_BYTES and time.monotonic() < deadline:
        part = connection.recv(MOST_BYTES)
        if not part:
            break
        answer += part
    return answer.decode(errors="replace")


def ask_redis(connection: socket.socket) -> Iterator[tuple[str, str]]:
    """CONFIG GET maxclients, and INFO where that is not allowed."""
    answer = _exchange(
        connection,
        b"CONFIG GET maxclients\r\nINFO clients\r\n",
        lambda seen: b"maxclients:" in seen or seen[:1] == b"-",
    )
    found = re.search(r"maxclients\r\n\$\d+\r\n(\d+)", answer) or re.search(r"maxclients:(\d+)", answer)
    if found:
        yield "redis.maxclients", found[1]
    elif answer.startswith("-"):
        wants = "it wants a password" if answer.startswith("-NOAUTH") else answer[1:].splitlines()[0]
        raise ValueError(wants)


def ask_memcached(connection: socket.socket) -> Iterator[tuple[str, str]]:
    """Its `stats settings`."""
    answer = _exchange(connection, b"stats settings\r\n", lambda seen: seen.endswith(b"END\r\n"))
    for value in re.findall(r"STAT maxconns (\d+)", answer):
        yield "memcached.conn_limit", value


def ask_haproxy(connection: socket.socket) -> Iterator[tuple[str, str]]:
    """`show info` of its stats socket."""
    if connection.family != socket.AF_UNIX:  # a frontend: it would forward the question
        return
    answer = _exchange(connection, b"show info\n", lambda seen: seen.endswith(b"\n\n"))
    for name, key in (("Maxconn", "haproxy.maxconn"), ("Maxsock", "haproxy.maxsock")):
        for value in re.findall(rf"^{name}: (\d+)$", answer, re.MULTILINE):
            yield key, value


def ask_postgres(connection: socket.socket) -> Iterator[tuple[str, str]]:
    """SHOW max_connections, as the user who runs this, if the server trusts it (pg_hba.conf: trust, or peer).

    Raises ValueError for a server that wants a password, or refuses; OSError.
    """
    user = pwd.getpwuid(os.geteuid()).pw_name.encode()
    startup = struct.pack("!i", PROTOCOL) + b"user\0" + user + b"\0database\0postgres\0\0"
    connection.sendall(struct.pack("!i", len(startup) + 4) + startup)
    for kind, body in _messages(connection):
        if kind == b"E":
            raise ValueError(_field(body, b"M"))
        if kind == b"R" and struct.unpack("!i", body[:4])[0] != TRUST:
            raise ValueError("it wants a password, or another proof of who asks")
        if kind == b"Z":
            break
    query = b"SHOW max_connections\0"
    connection.sendall(b"Q" + struct.pack("!i", len(query) + 4) + query)
    for kind, body in _messages(connection):
        if kind == b"E":
            raise ValueError(_field(body, b"M"))
        if kind == b"D":
            (length,) = struct.unpack("!i", body[2:6])  # after the number of columns, which is 1
            yield "postgres.max_connections", body[6 : 6 + length].decode()
        if kind == b"Z":
            connection.sendall(b"X" + struct.pack("!i", 4))
            return


def _messages(connection: socket.socket) -> Iterator[tuple[bytes, bytes]]:
    """The messages of a PostgreSQL server: kind and body. Raises ValueError if one is too long or cut off; OSError."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        kind, length = struct.unpack("!ci", _exactly(connection, 5))
        if not 4 <= length <= MOST_BYTES:
            raise ValueError("it does not speak PostgreSQL's protocol")
        yield kind, _exactly(connection, length - 4)
    raise ValueError("it did not answer in time")


def _exactly(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        part = connection.recv(length - len(data))
        if not part:
            raise ValueError("it closed the connection")
        data += part
    return data


def _field(body: bytes, name: bytes) -> str:
    """A field of an ErrorResponse, such as M, the message."""
    return next((part[1:].decode(errors="replace") for part in body.split(b"\0") if part[:1] == name), "it refused")


QUESTIONS: dict[str, tuple[str, Callable[[socket.socket], Iterator[tuple[str, str]]]]] = {
    "redis": ("redis.maxclients", ask_redis),
    "memcached": ("memcached.conn_limit", ask_memcached),
    "haproxy": ("haproxy.maxconn", ask_haproxy),
    "postgres": ("postgres.max_connections", ask_postgres),
}
