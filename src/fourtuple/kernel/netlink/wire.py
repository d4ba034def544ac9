"""How netlink works on the wire: requests, the framing of answers and attributes, errors, and the socket itself.

Every length in an answer is checked before it is used: one that is shorter than its own header, or that reaches beyond
the received bytes, raises BrokenMessageError.
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

from fourtuple.core.errors import CannotError

NLM_F_REQUEST, NLM_F_DUMP = 0x001, 0x300
NLM_F_DUMP_INTR = 0x10
NLMSG_NOOP, NLMSG_ERROR, NLMSG_DONE, NLMSG_OVERRUN = 1, 2, 3, 4
MAX_ERRNO = 4095  # include/linux/err.h
NLA_TYPE_MASK = 0x3FFF  # the two bits above it are flags for the encoding of the value

HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
ATTRIBUTE = struct.Struct("=HH")  # struct nlattr: length, type
_CODE = struct.Struct("=i")  # the error code at the start of an error message, and of some DONE messages

DATAGRAM_BYTES = 64 * 1024  # the kernel never fills more than 32 KiB at once
RECEIVE_BYTES = 1024 * 1024  # yielded at once: some 10,000 sockets of a sock_diag dump
BUFFERS = 3  # one being filled, one waiting, one being parsed
NO_END = "the dump ended without a DONE message"

Bytes = bytes | memoryview


class BrokenMessageError(CannotError):
    """The bytes are not netlink: a length is shorter than its header, or longer than the received bytes."""

    def __init__(self, why: str) -> None:
        super().__init__("cannot read what the kernel lists", why)


class DumpInterruptedError(CannotError):
    """The dump is incomplete, because the table changed or the buffer overflowed; it has to be taken again."""

    def __init__(self, why: str) -> None:
        super().__init__("cannot read what the kernel lists", why, "Try again.")


class NetlinkMessage(NamedTuple):
    """One message of an answer; `content` is what follows its header."""

    kind: int
    flags: int
    sequence: int
    content: Bytes


def request(kind: int, body: bytes, flags: int = NLM_F_DUMP) -> bytes:
    """The request, by default for a dump. Its sequence number is random; all headers of the answer carry it."""
    sequence = int.from_bytes(os.urandom(4), "little")
    return HEADER.pack(HEADER.size + len(body), kind, NLM_F_REQUEST | flags, sequence, 0) + body


def attribute(kind: int, value: bytes) -> bytes:
    """An attribute as it is encoded in a request, padded to 32-bit words."""
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def offsets(data: Bytes) -> Iterator[int]:
    """The byte offset at which each message begins. Raises BrokenMessageError."""
    offset = 0
    while offset < len(data):
        if len(data) - offset < HEADER.size:
            raise BrokenMessageError(
                f"{len(data) - offset} bytes at offset {offset} are too short for a netlink header"
            )
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
    """The attributes in `data`, as (type, value). Raises BrokenMessageError."""
    offset = 0
    while offset < len(data):
        if len(data) - offset < ATTRIBUTE.size:
            raise BrokenMessageError(
                f"{len(data) - offset} bytes at offset {offset} are too short for a netlink attribute"
            )
        length, kind = ATTRIBUTE.unpack_from(data, offset)
        if length < ATTRIBUTE.size or length > len(data) - offset:
            raise BrokenMessageError(f"a netlink attribute of {length} bytes at offset {offset} of {len(data)}")
        yield kind & NLA_TYPE_MASK, data[offset + ATTRIBUTE.size : offset + length]
        offset += length + 3 & ~3


def ends_dump(kind: int, content: Bytes, source: str) -> bool:
    """Is this control message the last one of the dump?

    source: a name for the error text, such as `sock_diag`

    Raises OSError with the kernel's errno, from an error message or from within DONE; DumpInterruptedError if the
    kernel lost messages; BrokenMessageError if an error message has no valid error code.
    """
    if kind == NLMSG_OVERRUN:
        raise DumpInterruptedError("the kernel lost messages of the dump (NLMSG_OVERRUN)")
    if kind == NLMSG_ERROR and len(content) < _CODE.size:
        raise BrokenMessageError(f"an error message of {len(content)} bytes")
    if kind in (NLMSG_ERROR, NLMSG_DONE) and len(content) >= _CODE.size:
        (code,) = _CODE.unpack_from(content)
        if code > 0 or code < -MAX_ERRNO:
            raise BrokenMessageError(f"{code} is not an error code (in a message of {len(content)} bytes)")
        if code:
            raise OSError(-code, f"{source}: {os.strerror(-code)}")
    return kind in (NLMSG_ERROR, NLMSG_DONE)


def check_whole(flags: int) -> None:
    """Raise DumpInterruptedError if the flags of a message report that the table changed during the dump."""
    if flags & NLM_F_DUMP_INTR:
        raise DumpInterruptedError("the table changed during the dump (NLM_F_DUMP_INTR)")


@contextlib.contextmanager
def overflow_interrupts() -> Iterator[None]:
    """During the block, raise DumpInterruptedError in place of ENOBUFS (the receive buffer overflowed)."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOBUFS:
            raise DumpInterruptedError("the receive buffer overflowed (ENOBUFS)") from error
        raise


def exchange(protocol: int, message: bytes) -> Iterator[memoryview]:
    """Send a request for a dump in the calling thread's network namespace, and yield the datagrams of the answer.

    protocol: NETLINK_*

    Each item holds as many datagrams as fit, one after the other. Its memory is overwritten after BUFFERS - 1 further
    items. Receiving a datagram makes the kernel fill the next one, so the call never blocks and needs no timeout: the
    dump is over when nothing is left to receive (netlink_recvmsg in net/netlink/af_netlink.c, v6.18).

    Raises OSError.
    """
    # Anonymous mappings: pages that are not used take no memory.
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


def answered(protocol: int, message: bytes) -> Iterator[bytes]:
    """Send a request that is no dump, and yield the datagram of its answer. Raises OSError.

    The kernel has answered when send() returns, as it has in `exchange`.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol) as netlink:
        netlink.send(message)
        yield netlink.recv(DATAGRAM_BYTES, socket.MSG_DONTWAIT)


def dump(answer: Iterable[Bytes], source: str) -> Iterator[NetlinkMessage]:
    """The messages of an answer one by one, without the control messages; for short dumps.

    answer: datagrams, as `exchange` yields them
    source: a name for the error text, such as `rtnetlink`

    Raises OSError, DumpInterruptedError (also if the dump has no end), BrokenMessageError.
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
