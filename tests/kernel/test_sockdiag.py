"""Recorded dumps are read as what they were, and what is broken in one is said, never swallowed."""

import errno
import socket
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from fourtuple.core.census import Chosen, Sockets, State, four_tuples
from fourtuple.kernel import sockdiag
from fourtuple.kernel.sockdiag import (
    HEADER,
    NLM_F_DUMP_INTR,
    NLMSG_DONE,
    NLMSG_ERROR,
    NLMSG_OVERRUN,
    SOCK_DIAG_BY_FAMILY,
    DumpInterruptedError,
    fold_sockets,
    parse_datagram,
    parse_proc_net_tcp,
    read_sockets,
)

DATA = Path(__file__).with_name("data")
EVERY = frozenset(State)


def recorded(name: str) -> list[bytes]:
    """What tests/kernel/record.py wrote: datagrams, each after its length."""
    raw, datagrams = DATA.joinpath(name).read_bytes(), []
    while raw:
        size = int.from_bytes(raw[:4], "little")
        datagrams.append(raw[4 : 4 + size])
        raw = raw[4 + size :]
    return datagrams


def states(tables: Iterable[Sockets]) -> Counter[int]:
    return Counter(state for table in tables for state in table["state"].tolist())


def message(kind: int, body: bytes = b"", flags: int = 0) -> bytes:
    return HEADER.pack(HEADER.size + len(body), kind, flags, 1, 0) + body


def sock(port: int, attributes: bytes = b"", flags: int = 0) -> bytes:
    """A message with an established IPv4 socket 127.0.0.1:port → 127.0.0.1:80, as struct inet_diag_msg lays it out."""
    ends = struct.pack("!HH4s12x4s12x", port, 80, bytes([127, 0, 0, 1]), bytes([127, 0, 0, 1]))
    body = (
        struct.pack("=BBBB", socket.AF_INET, 1, 0, 0)
        + ends
        + struct.pack("=IQ", 0, 7)
        + struct.pack("=5I", *[0] * 4, 9)
    )
    return message(SOCK_DIAG_BY_FAMILY, body + attributes, flags)


DONE = message(NLMSG_DONE, struct.pack("=i", 0))


def test_the_kernel_is_asked_for_exactly_these_states() -> None:
    """struct inet_diag_req_v2: family, protocol, extensions, and one bit for each state; the rest is zero."""
    asked = sockdiag.request(socket.AF_INET6, {State.ESTABLISHED, State.LISTEN})

    assert HEADER.unpack_from(asked)[:3] == (len(asked), SOCK_DIAG_BY_FAMILY, 0x301)
    assert asked[16:] == struct.pack("=BBBBI48x", socket.AF_INET6, socket.IPPROTO_TCP, 0, 0, 1 << 1 | 1 << 10)


def test_a_recorded_dump_is_what_was_there() -> None:
    """23 connections with both ends, one TIME_WAIT, a listener, a bound socket; 3 were never accepted."""
    tables = list(read_sockets(EVERY, lambda _: recorded("dump-ipv4.bin")))
    table = np.concatenate(tables)

    assert states(tables) == {State.ESTABLISHED: 46, State.TIME_WAIT: 1, State.LISTEN: 1, State.CLOSE: 1}
    server = table[(table["local_port"] == 8000) & (table["state"] == State.ESTABLISHED)]
    assert (len(server), int(np.count_nonzero(server["inode"]))) == (23, 19)
    assert {str(t.destination) for t in four_tuples(table[table["remote_port"] == 8000])} == {"127.0.0.1:8000"}
    assert [str(t.source) for t in four_tuples(table[table["state"] == State.CLOSE])] == ["127.0.0.1:9000"]


def test_a_recorded_ipv6_dump() -> None:
    table = np.concatenate(list(read_sockets(EVERY, lambda _: recorded("dump-ipv6.bin"))))

    assert [str(t.source) for t in four_tuples(table)] == ["[::1]:8000"]


def test_proc_net_tcp_tells_the_same_as_the_dump() -> None:
    """All but the socket that is only bound, which /proc/net/tcp never lists, and backlogs. Timers tick in 10 ms."""
    dumped = np.concatenate(list(read_sockets(EVERY, lambda _: recorded("dump-ipv4.bin"))))
    listed = parse_proc_net_tcp(DATA.joinpath("net-tcp.txt").read_text())
    dumped = dumped[dumped["state"] != State.CLOSE]
    timers = [table["expires_ms"][table["state"] == State.TIME_WAIT] for table in (dumped, listed)]

    names = ["local", "local_port", "remote", "remote_port", "state", "rqueue", "uid", "inode"]
    assert sorted(dumped[names].tolist()) == sorted(listed[names].tolist())
    assert timers[0] == pytest.approx(timers[1], abs=20)
    assert timers[0] > 59_000


def test_a_socket_bound_without_a_port_is_told_from_the_others() -> None:
    """INET_DIAG_SOCKOPT, wherever it stands among the attributes: bit 0 of its second byte."""
    option = {bits: struct.pack("=HHBB2x", 6, 22, 0x52, bits) for bits in (0, 1, 2, 3)}
    other = struct.pack("=HHI", 8, 15, 7)
    messages = [option[1], other + option[0], other + option[1], option[2] + other, option[3] + other, other, b""]
    data = b"".join(sock(1000 + n, each) for n, each in enumerate(messages)) + DONE

    table = parse_datagram(data).sockets

    assert table["chosen"].tolist() == [Chosen.LATE, 0, Chosen.LATE, 0, Chosen.LATE, 0, 0]


def test_proc_net_tcp6() -> None:
    listed = parse_proc_net_tcp(DATA.joinpath("net-tcp6.txt").read_text())

    assert [str(t.source) for t in four_tuples(listed)] == ["[::1]:8000"]


@pytest.mark.parametrize("attributes", [[b""], [b"x" * 8], [b"", b"x" * 8, b"x" * 8, b"", b"x" * 36]])
def test_messages_of_changing_length_are_all_walked(attributes: list[bytes]) -> None:
    """Runs of equal stride at a time, whatever the lengths, and not one socket is missed or read twice."""
    data = b"".join(sock(1000 + n, extra) for n, extra in enumerate(attributes)) + DONE
    datagram = parse_datagram(data)

    assert datagram.sockets["local_port"].tolist() == [1000 + n for n in range(len(attributes))]
    assert datagram.done


def test_a_length_that_is_no_multiple_of_four_is_padded() -> None:
    data = b"".join(sock(1000 + n, b"xy") + b"\0\0" for n in range(3)) + DONE

    assert parse_datagram(data).sockets["local_port"].tolist() == [1000, 1001, 1002]


def test_what_comes_before_done_is_not_the_end() -> None:
    assert not parse_datagram(sock(1000)).done


@pytest.mark.parametrize(
    "data",
    [
        sock(1000)[:-1],
        sock(1000) + b"\0" * 7,
        HEADER.pack(8, SOCK_DIAG_BY_FAMILY, 0, 1, 0),
        HEADER.pack(0, SOCK_DIAG_BY_FAMILY, 0, 1, 0) + bytes(200),
        message(SOCK_DIAG_BY_FAMILY, bytes(71)),
    ],
    ids=["cut short", "half a header", "shorter than its header", "no length", "less than a socket"],
)
def test_bytes_that_are_not_netlink_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="bytes"):
        parse_datagram(data)


@pytest.mark.parametrize(
    "data",
    [
        message(NLMSG_ERROR, struct.pack("=i", -errno.EACCES) + bytes(16)),
        message(NLMSG_DONE, struct.pack("=i", -errno.EACCES)),
    ],
    ids=["error", "error inside done"],
)
def test_an_error_of_the_kernel_keeps_its_errno(data: bytes) -> None:
    with pytest.raises(OSError, match="sock_diag") as caught:
        parse_datagram(sock(1000) + data)

    assert caught.value.errno == errno.EACCES


@pytest.mark.parametrize(
    "data",
    [
        sock(1000, flags=NLM_F_DUMP_INTR) + DONE,
        sock(1000) + sock(1001, flags=NLM_F_DUMP_INTR),
        message(NLMSG_DONE, struct.pack("=i", 0), NLM_F_DUMP_INTR),
        message(NLMSG_OVERRUN),
    ],
    ids=["on the first", "on a later one", "on done", "overrun"],
)
def test_a_dump_that_was_interrupted_says_so(data: bytes) -> None:
    with pytest.raises(DumpInterruptedError):
        parse_datagram(data)


def test_a_dump_without_an_end_is_incomplete() -> None:
    with pytest.raises(DumpInterruptedError, match="DONE"):
        list(read_sockets(EVERY, lambda _: [sock(1000)]))


class Kernel:
    """Answers each request with the next of these: datagrams, or an error after them."""

    def __init__(self, *answers: "list[bytes] | OSError") -> None:
        self.answers = list(answers)

    def __call__(self, _: bytes) -> Iterator[bytes]:
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        yield from answer


NOTHING = [DONE]
BROKEN = [sock(1) + sock(2, flags=NLM_F_DUMP_INTR) + DONE]
GOOD = [sock(1), sock(2) + DONE]


def count(tables: Iterable[Sockets]) -> int:
    return sum(len(table) for table in tables)


def test_an_interrupted_dump_is_thrown_away_and_taken_again() -> None:
    """What the first try had found is not counted twice."""

    assert fold_sockets(count, EVERY, ask=Kernel(BROKEN, GOOD, BROKEN, GOOD, NOTHING)) == (2, "sock_diag")


def test_a_full_buffer_is_an_interruption_too() -> None:
    full = OSError(errno.ENOBUFS, "No buffer space available")

    assert fold_sockets(count, EVERY, ask=Kernel(full, GOOD, NOTHING)) == (2, "sock_diag")


def test_a_dump_that_never_comes_through_is_an_error() -> None:
    with pytest.raises(DumpInterruptedError):
        fold_sockets(count, EVERY, ask=Kernel(*[BROKEN] * sockdiag.TRIES))


@pytest.mark.parametrize("number", [errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, errno.ENOENT, errno.EPERM])
def test_without_sock_diag_proc_is_read(number: int, tmp_path: Path) -> None:
    net = tmp_path / "thread-self" / "net"
    net.mkdir(parents=True)
    net.joinpath("tcp").write_text(DATA.joinpath("net-tcp.txt").read_text())

    found = fold_sockets(count, {State.ESTABLISHED}, ask=Kernel(OSError(number, "refused")), proc=tmp_path)

    assert found == (46, "/proc/net/tcp")


def test_any_other_error_is_not_papered_over() -> None:
    with pytest.raises(OSError, match="broken"):
        fold_sockets(count, EVERY, ask=Kernel(OSError(errno.EIO, "broken")))


@pytest.mark.parametrize("text", ["", "nonsense\n", "  sl  local_address rem_address\n   0: 0100007F:1F40 0000"])
def test_a_broken_proc_net_tcp_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="/proc/net/tcp"):
        parse_proc_net_tcp(text)


def test_a_cut_line_is_named() -> None:
    lines = DATA.joinpath("net-tcp.txt").read_text().splitlines()
    with pytest.raises(ValueError, match="line 3 of"):
        parse_proc_net_tcp("\n".join([*lines[:2], lines[2][:60]]))


def test_the_live_kernel_lists_a_listener_of_ours() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ports, by = fold_sockets(lambda tables: {p for t in tables for p in t["local_port"].tolist()}, {State.LISTEN})

        assert port in ports
        assert by == "sock_diag"
