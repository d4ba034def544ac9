"""The addresses of this host: local and peer address are distinguished, and broken messages are refused."""

import errno
import ipaddress
import socket
import struct
from collections.abc import Iterator

import pytest

from fourtuple.kernel.netlink import wire
from fourtuple.kernel.netlink.reading import TRIES
from fourtuple.kernel.netlink.rtnetlink import (
    IFA_ADDRESS,
    IFA_LOCAL,
    RTM_NEWADDR,
    RTM_NEWROUTE,
    RTN_LOCAL,
    is_routed_here,
    parse_address,
    read_addresses,
)
from fourtuple.kernel.netlink.wire import BrokenMessageError, DumpInterruptedError
from tests.conftest import Ground
from tests.kernel.netlink.test_wire import DONE, message

LABEL = 3


def entry(*attributes: tuple[int, bytes], family: int = socket.AF_INET) -> bytes:
    head = struct.pack("=BBBBI", family, 24, 0, 0, 1)
    return head + b"".join(wire.attribute(*each) for each in attributes)


def packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def test_of_both_ends_of_a_link_ours_counts() -> None:
    """IFA_LOCAL, where there is one; IPv6 has IFA_ADDRESS alone (rtnetlink(7))."""
    both = entry((IFA_ADDRESS, packed("10.0.0.9")), (IFA_LOCAL, packed("10.0.0.4")), (LABEL, b"tun0\0"))
    six = entry((IFA_ADDRESS, packed("fd00::4")), family=socket.AF_INET6)

    assert [str(parse_address(each)) for each in (both, six, entry((LABEL, b"lo\0")))] == [
        "10.0.0.4",
        "fd00::4",
        "None",
    ]


@pytest.mark.parametrize("content", [b"", bytes(7), entry((IFA_LOCAL, bytes(3))), entry() + bytes(4)])
def test_a_broken_address_is_refused(content: bytes) -> None:
    with pytest.raises(BrokenMessageError, match=r"bytes|address"):
        parse_address(content)


def test_a_message_without_a_length_is_an_error_and_not_a_loop() -> None:
    with pytest.raises(BrokenMessageError):
        read_addresses(lambda _: [message(RTM_NEWADDR, length=0) + DONE])


@pytest.mark.parametrize("number", [errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EPERM, errno.EACCES])
def test_where_netlink_is_refused_there_are_none(number: int) -> None:
    def refuse(_: bytes) -> Iterator[bytes]:
        raise OSError(number, "refused")
        yield b""

    assert read_addresses(refuse) == []


def test_addresses_that_change_meanwhile_are_read_again() -> None:
    changed = message(RTM_NEWADDR, entry((IFA_LOCAL, packed("10.0.0.4"))), wire.NLM_F_DUMP_INTR) + DONE
    whole = message(RTM_NEWADDR, entry((IFA_LOCAL, packed("10.0.0.5")))) + DONE
    answers = [changed, whole]

    assert list(map(str, read_addresses(lambda _: [answers.pop(0)]))) == ["10.0.0.5"]
    answers = [changed] * TRIES
    with pytest.raises(DumpInterruptedError):
        read_addresses(lambda _: [answers.pop(0)])


def route(kind: int) -> bytes:
    """An answer with a route of this type, RTN_*."""
    return message(RTM_NEWROUTE, struct.pack("=BBBBBBBBI", socket.AF_INET, 32, 0, 0, 254, 0, 0, kind, 0), 0)


def failure(number: int) -> bytes:
    return message(wire.NLMSG_ERROR, struct.pack("=i", -number) + bytes(16), 0)


@pytest.mark.parametrize(
    ("answer", "here"),
    [
        (route(RTN_LOCAL), True),
        (route(1), False),  # unicast
        (route(3), False),  # broadcast
        (failure(errno.ENETUNREACH), False),
        (failure(errno.EHOSTUNREACH), False),
        (failure(errno.EACCES), False),  # prohibit
        (failure(errno.EINVAL), False),  # blackhole
        (failure(errno.EOPNOTSUPP), None),  # gVisor
        (b"", None),
    ],
)
def test_the_type_of_a_route_says_whether_it_leads_here(answer: bytes, here: bool | None) -> None:
    """Where there is none the address is elsewhere, too; None where the kernel does not answer the question."""
    assert is_routed_here(ipaddress.ip_address("10.0.0.1"), lambda _: [answer]) is here


@pytest.mark.parametrize("number", [errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EPERM, errno.EACCES])
def test_where_netlink_is_refused_no_route_is_known(number: int) -> None:
    def refuse(_: bytes) -> Iterator[bytes]:
        raise OSError(number, "refused")
        yield b""

    assert is_routed_here(ipaddress.ip_address("::1"), refuse) is None


def test_a_shortage_of_files_is_no_answer_about_a_route() -> None:
    def fail(_: bytes) -> Iterator[bytes]:
        raise OSError(errno.EMFILE, "too many")
        yield b""

    with pytest.raises(OSError, match="too many"):
        is_routed_here(ipaddress.ip_address("10.0.0.1"), fail)


@pytest.mark.parametrize("content", [b"", bytes(11)])
def test_a_broken_route_is_refused(content: bytes) -> None:
    with pytest.raises(BrokenMessageError, match="bytes"):
        is_routed_here(ipaddress.ip_address("10.0.0.1"), lambda _: [message(RTM_NEWROUTE, content, 0)])


def test_the_addresses_of_a_namespace(ground: Ground) -> None:
    """Those of loopback, which is up in it."""
    code = "from fourtuple.kernel.addresses import of_this_host; print(*sorted(map(str, of_this_host())))"

    assert ground.python(code).split()[0] == "127.0.0.1"
