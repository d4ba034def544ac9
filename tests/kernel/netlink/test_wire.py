"""Netlink framing: encoded messages can be read, broken ones are refused, and no bytes make the reader hang."""

import contextlib
import errno
import socket
import struct
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fourtuple.kernel.netlink import columns, sockdiag, wire
from fourtuple.kernel.netlink.rtnetlink import parse_address, read_addresses
from fourtuple.kernel.netlink.wire import BrokenMessageError, DumpInterruptedError

SOURCE = "netlink"
CONTENT = st.binary(max_size=40)


def message(kind: int, content: bytes = b"", flags: int = 0, length: int | None = None) -> bytes:
    """length: what its header says; None: the true one"""
    size = wire.HEADER.size + len(content) if length is None else length
    return wire.HEADER.pack(size, kind, flags, 7, 0) + content + bytes(-len(content) % 4)


def code(number: int) -> bytes:
    return struct.pack("=i", number)


DONE = message(wire.NLMSG_DONE, code(0))


@given(st.lists(st.tuples(st.integers(0, 2**16 - 1), CONTENT), max_size=6))
def test_messages_come_back_as_they_were_written(written: list[tuple[int, bytes]]) -> None:
    """Whatever their lengths: the padding between them belongs to none."""
    data = b"".join(message(kind, content) for kind, content in written)

    assert [(each.kind, bytes(each.content)) for each in wire.messages(data)] == written
    assert [bytes(each.content) for each in wire.messages(memoryview(data))] == [content for _, content in written]


@given(st.lists(st.tuples(st.integers(0, wire.NLA_TYPE_MASK), CONTENT), max_size=6))
def test_attributes_come_back_as_they_were_written(written: list[tuple[int, bytes]]) -> None:
    data = b"".join(wire.attribute(*each) for each in written)

    assert [(kind, bytes(value)) for kind, value in wire.attributes(data)] == written


def test_a_request_has_its_length_and_a_number_of_its_own() -> None:
    first, second = (wire.request(20, b"body") for _ in range(2))

    assert wire.HEADER.unpack_from(first)[:3] == (len(first), 20, wire.NLM_F_REQUEST | wire.NLM_F_DUMP)
    assert first[16:] == b"body"
    assert first[8:12] != second[8:12]


@pytest.mark.parametrize(
    ("read", "broken"),
    [
        (wire.messages, [message(20, bytes(8), length=length) for length in (0, 1, 15, 25, 2**32 - 1)]),
        (wire.messages, [DONE + bytes(15), DONE + message(20, length=0)]),
        (wire.attributes, [struct.pack("=HH", length, 1) + bytes(4) for length in (0, 3, 9, 2**16 - 1)]),
        (wire.attributes, [wire.attribute(1, b"word") + bytes(2)]),
    ],
)
def test_a_length_that_is_too_short_or_too_long_is_an_error(
    read: Callable[[bytes], object], broken: list[bytes]
) -> None:
    """Shorter than its own header, 0 among them, or beyond the end of what was received."""
    for data in broken:
        with pytest.raises(BrokenMessageError, match="bytes"):
            list(read(data))  # type: ignore[call-overload]


@pytest.mark.parametrize("length", [0, 4, 12])
def test_a_control_message_shorter_than_its_header_is_refused_by_column_too(length: int) -> None:
    """Also where the next message begins where such a length says: 12 bytes behind, over the rest of the header."""
    data = struct.pack("=IHHI", length, wire.NLMSG_DONE, 0, 7) * 2

    with pytest.raises(BrokenMessageError):
        columns.of_kinds(data, (20,), 16, SOURCE)


def messages_of(data: bytes) -> object:
    return list(wire.dump([data], SOURCE))


def attributes_of(data: bytes) -> object:
    return list(wire.attributes(data))


def addresses_of(data: bytes) -> object:
    return read_addresses(lambda _: [data])


READERS: list[Callable[[bytes], object]] = [
    messages_of,
    attributes_of,
    addresses_of,
    parse_address,
    sockdiag.parse_datagram,
    sockdiag.parse_listeners,
]


@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(
            st.builds(
                message,
                st.sampled_from([0, 1, 2, 3, 4, 18, 20, 22]),
                CONTENT,
                st.sampled_from([0, wire.NLM_F_DUMP_INTR]),
                st.one_of(st.none(), st.integers(0, 60)),
            ),
            max_size=5,
        ).map(b"".join),
    )
)
@example(message(wire.NLMSG_ERROR, code(-(2**31))))
@example(message(wire.NLMSG_ERROR))
@example(message(20, length=0))
def test_no_bytes_make_a_reader_hang_or_fail_in_another_way(data: bytes) -> None:
    """Each reader reads them or raises the error that fits: broken bytes, an interrupted dump, or a kernel error."""
    for read in READERS:
        with contextlib.suppress(BrokenMessageError, DumpInterruptedError, OSError):
            read(data)


@pytest.mark.parametrize("kind", [wire.NLMSG_ERROR, wire.NLMSG_DONE])
def test_the_errno_of_the_kernel_is_kept_and_the_source_is_named(kind: int) -> None:
    with pytest.raises(OSError, match="netlink") as caught:
        list(wire.dump([message(20), message(kind, code(-errno.EBUSY))], SOURCE))

    assert caught.value.errno == errno.EBUSY


@pytest.mark.parametrize("number", [1, -(2**31), -4096])
def test_what_is_no_errno_is_not_taken_for_one(number: int) -> None:
    with pytest.raises(BrokenMessageError, match="error code"):
        list(wire.dump([message(wire.NLMSG_ERROR, code(number))], SOURCE))


@pytest.mark.parametrize(
    "answer",
    [
        [],
        [message(20)],
        [message(20, flags=wire.NLM_F_DUMP_INTR), DONE],
        [message(wire.NLMSG_DONE, code(0), wire.NLM_F_DUMP_INTR)],
        [message(wire.NLMSG_OVERRUN), DONE],
    ],
    ids=["nothing", "no end", "changed", "changed at the end", "overrun"],
)
def test_a_dump_that_is_not_whole_says_so(answer: list[bytes]) -> None:
    with pytest.raises(DumpInterruptedError):
        list(wire.dump(answer, SOURCE))


def test_a_dump_ends_at_done_whatever_comes_behind() -> None:
    found = list(wire.dump([message(20, b"one") + message(20, b"two"), DONE + message(20, b"late")], SOURCE))

    assert [bytes(each.content) for each in found] == [b"one", b"two"]


def test_a_receive_buffer_that_overflows_interrupts_the_dump() -> None:
    with pytest.raises(DumpInterruptedError, match="ENOBUFS"), wire.overflow_interrupts():
        raise OSError(errno.ENOBUFS, "No buffer space available")
    with pytest.raises(OSError, match="other"), wire.overflow_interrupts():
        raise OSError(errno.EIO, "other")


def test_the_kernel_answers_an_exchange_to_its_end() -> None:
    """RTM_GETADDR: every namespace has a loopback interface, though it may be down."""
    answer = [bytes(data) for data in wire.exchange(socket.NETLINK_ROUTE, wire.request(22, bytes(8)))]

    assert [each.kind for data in answer for each in wire.messages(data)][-1] == wire.NLMSG_DONE
