"""Netlink itself: requests, the framing of answers and attributes, errors, and the socket that carries them.

Lengths come from the other side, so each is checked before it is used: one that is shorter than its own header, or that
reaches beyond what was received, is a BrokenMessageError.
Sources: netlink(7), rtnetlink(7), include/uapi/linux/netlink.h (v6.18).
"""

import contextlib
import errno
import itertools
import mmap
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

NLM_F_REQUEST, NLM_F_DUMP = 0x001, 0x300
NLM_F_DUMP_INTR = 0x10
NLMSG_NOOP, NLMSG_ERROR, NLMSG_DONE, NLMSG_OVERRUN = 1, 2, 3, 4
MAX_ERRNO = 4095  # include/linux/err.h
NLA_TYPE_MASK = 0x3FFF  # the two bits above say how the value is written

HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
ATTRIBUTE = struct.Struct("=HH")  # struct nlattr: length, type
_CODE = struct.Struct("=i")  # begins what an error message, and perhaps DONE, has to say

DATAGRAM_BYTES = 64 * 1024  # the kernel never fills more than 32 KiB at once
RECEIVE_BYTES = 1024 * 1024  # handed on at once: some 10,000 sockets of a sock_diag dump
BUFFERS = 3  # one that is filled, one that is waiting, one that is parsed
NO_END = "the dump ended without a DONE message"

Bytes = bytes | memoryview


class BrokenMessageError(ValueError):
    """The bytes are not netlink: a length that is too short for its header, or too long for what was received."""


class DumpInterruptedError(Exception):
    """The table changed, or the buffer overflowed, in a way that makes the dump incomplete: start again."""


class NetlinkMessage(NamedTuple):
    """One message of an answer; `content` is what follows its header."""

    kind: int
    flags: int
    sequence: int
    content: Bytes


def request(kind: int, body: bytes) -> bytes:
    """The request for a dump. Its sequence number, which all headers of the answer carry, is chosen at random."""
    sequence = int.from_bytes(os.urandom(4), "little")
    return HEADER.pack(HEADER.size + len(body), kind, NLM_F_REQUEST | NLM_F_DUMP, sequence, 0) + body


def attribute(kind: int, value: bytes) -> bytes:
    """An attribute as it stands in a request, padded to 32-bit words."""
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def offsets(data: Bytes) -> Iterator[int]:
    """Where each message begins, in bytes. Raises BrokenMessageError."""
    offset = 0
    while offset < len(data):
        if len(data) - offset < HEADER.size:
            raise BrokenMessageError(f"{len(data) - offset} bytes at offset {offset} are no netlink header")
        (length,) = struct.unpack_from("=I", data, offset)
        if length < HEADER.size or length > len(data) - offset:
            raise BrokenMessageError(f"a netlink message of {length} bytes at offset {offset} of {len(data)}")
        yield offset
        offset += length + 3 & ~3


def messages(data: Bytes) -> Iterator[NetlinkMessage]:
    """The messages of a datagram, or of several in a row. Raises BrokenMessageError."""
    for offset in offsets(data):
        length, kind, flags, sequence, _ = HEADER.unpack_from(data, offset)
        yield NetlinkMessage(kind, flags, sequence, data[offset + HEADER.size : offset + length])


def attributes(data: Bytes) -> Iterator[tuple[int, Bytes]]:
    """(type, value) of each attribute. Raises BrokenMessageError."""
    offset = 0
    while offset < len(data):
        if len(data) - offset < ATTRIBUTE.size:
            raise BrokenMessageError(f"{len(data) - offset} bytes at offset {offset} are no netlink attribute")
        length, kind = ATTRIBUTE.unpack_from(data, offset)
        if length < ATTRIBUTE.size or length > len(data) - offset:
            raise BrokenMessageError(f"a netlink attribute of {length} bytes at offset {offset} of {len(data)}")
        yield kind & NLA_TYPE_MASK, data[offset + ATTRIBUTE.size : offset + length]
        offset += length + 3 & ~3


def ends_dump(kind: int, content: Bytes, source: str) -> bool:
    """Is this control message the last one of the dump?

    source: named in the error, `sock_diag` say

    Raises OSError with the kernel's errno, from an error message or from within DONE; DumpInterruptedError where the
    kernel lost messages; BrokenMessageError where an error message has no code that can be one.
    """
    if kind == NLMSG_OVERRUN:
        raise DumpInterruptedError("the kernel lost messages of the dump (NLMSG_OVERRUN)")
    if kind == NLMSG_ERROR and len(content) < _CODE.size:
        raise BrokenMessageError(f"an error message of {len(content)} bytes")
    if kind in (NLMSG_ERROR, NLMSG_DONE) and len(content) >= _CODE.size:
        (code,) = _CODE.unpack_from(content)
        if code > 0 or code < -MAX_ERRNO:
            raise BrokenMessageError(f"{code} in place of an error code, in {len(content)} bytes")
        if code:
            raise OSError(-code, f"{source}: {os.strerror(-code)}")
    return kind in (NLMSG_ERROR, NLMSG_DONE)


def check_whole(flags: int) -> None:
    """Raises DumpInterruptedError where the flags of a message say that the table changed meanwhile."""
    if flags & NLM_F_DUMP_INTR:
        raise DumpInterruptedError("the table changed during the dump (NLM_F_DUMP_INTR)")


@contextlib.contextmanager
def overflow_interrupts() -> Iterator[None]:
    """A receive buffer that overflowed (ENOBUFS) is a DumpInterruptedError."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOBUFS:
            raise DumpInterruptedError("the receive buffer overflowed (ENOBUFS)") from error
        raise


def exchange(protocol: int, message: bytes) -> Iterator[memoryview]:
    """Send a dump's request to the kernel of the calling thread's network namespace; yield its datagrams.

    protocol: NETLINK_*

    Datagrams come several in a row, as many as fit. Their memory is written over after BUFFERS - 1 more. To receive
    one makes the kernel fill the next, so nothing is ever waited for and there is no timeout to set: where there is
    nothing to receive, the dump is over (netlink_recvmsg in net/netlink/af_netlink.c, v6.18).

    Raises OSError.
    """
    # Anonymous mappings: memory that is not used is not touched.
    buffers = itertools.cycle([memoryview(mmap.mmap(-1, RECEIVE_BYTES)) for _ in range(BUFFERS)])
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol) as netlink:
        netlink.bind((0, 0))
        netlink.send(message)
        for buffer in buffers:
            size = 0
            with contextlib.suppress(BlockingIOError):
                while size <= RECEIVE_BYTES - DATAGRAM_BYTES:
                    size += netlink.recv_into(buffer[size:], 0, socket.MSG_DONTWAIT)
            if not size:
                return
            yield buffer[:size]


def dump(answer: Iterable[Bytes], source: str) -> Iterator[NetlinkMessage]:
    """The messages of an answer, one by one, without the control messages; for what is short.

    answer: datagrams, as `exchange` gives them

    Raises OSError, DumpInterruptedError, also where there is no end; BrokenMessageError.
    """
    with overflow_interrupts():
        for data in answer:
            for message in messages(data):
                check_whole(message.flags)
                if message.kind > NLMSG_OVERRUN:
                    yield message
                elif ends_dump(message.kind, message.content, source):
                    return
    raise DumpInterruptedError(NO_END)
