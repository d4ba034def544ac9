"""Recorded dumps are read as what they were, and everything broken in a dump raises an error."""

import contextlib
import errno
import json
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourtuple.core.sockets.filter import Where
from fourtuple.core.sockets.table import Chosen, Sockets, State, four_tuples
from fourtuple.kernel.netlink import columns, reading, sockdiag
from fourtuple.kernel.netlink.sockdiag import (
    INET_DIAG_SKMEMINFO,
    SOCK_DIAG_BY_FAMILY,
    Asked,
    fold_sockets,
    parse_datagram,
    parse_listeners,
    read_listeners,
)
from fourtuple.kernel.netlink.wire import (
    HEADER,
    NLM_F_DUMP_INTR,
    NLMSG_DONE,
    NLMSG_ERROR,
    NLMSG_OVERRUN,
    BrokenMessageError,
    DumpInterruptedError,
)
from fourtuple.kernel.proc.net_tcp import parse_proc_net_tcp
from fourtuple.verbs.lab import port_facts
from tests.conftest import Ground, need
from tests.kernel.netlink.test_reading import threads_have_ended

DATA = Path(__file__).with_name("data")
EVERY = frozenset(State)


def recorded(name: str) -> list[bytes]:
    """What tests/kernel/netlink/record.py wrote: datagrams, each after its length."""
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
    tables = fold_sockets(list, EVERY, ask=lambda _: recorded("dump-ipv4.bin"))[0]
    table = np.concatenate(tables)

    assert states(tables) == {State.ESTABLISHED: 46, State.TIME_WAIT: 1, State.LISTEN: 1, State.CLOSE: 1}
    server = table[(table["local_port"] == 8000) & (table["state"] == State.ESTABLISHED)]
    assert (len(server), int(np.count_nonzero(server["inode"]))) == (23, 19)
    assert {str(t.destination) for t in four_tuples(table[table["remote_port"] == 8000])} == {"127.0.0.1:8000"}
    assert [str(t.source) for t in four_tuples(table[table["state"] == State.CLOSE])] == ["127.0.0.1:9000"]


def test_a_recorded_ipv6_dump() -> None:
    table = np.concatenate(fold_sockets(list, EVERY, ask=lambda _: recorded("dump-ipv6.bin"))[0])

    assert [str(t.source) for t in four_tuples(table)] == ["[::1]:8000"]


def test_proc_net_tcp_tells_the_same_as_the_dump() -> None:
    """All but the socket that is only bound, which /proc/net/tcp never lists, and backlogs. Timers tick in 10 ms."""
    dumped = np.concatenate(fold_sockets(list, EVERY, ask=lambda _: recorded("dump-ipv4.bin"))[0])
    listed = parse_proc_net_tcp(DATA.joinpath("net-tcp.txt").read_text())
    dumped = dumped[dumped["state"] != State.CLOSE]
    timers = [table["expires_ms"][table["state"] == State.TIME_WAIT] for table in (dumped, listed)]

    names = ["local", "local_port", "remote", "remote_port", "state", "recv_q", "uid", "inode"]
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


def test_retransmissions_are_not_taken_for_what_chose_the_port() -> None:
    """idiag_retrans stands where `chosen` does: a SYN sent twice is no socket that named its port."""
    retransmitted = bytearray(sock(1000))
    retransmitted[HEADER.size + 3] = 1

    assert parse_datagram(bytes(retransmitted) + DONE).sockets["chosen"].tolist() == [Chosen.UNKNOWN]


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
    with pytest.raises(BrokenMessageError, match="bytes"):
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
        fold_sockets(list, EVERY, ask=lambda _: [sock(1000)])[0]


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
    """Sockets of the first, interrupted dump are not counted twice."""

    assert fold_sockets(count, EVERY, ask=Kernel(BROKEN, GOOD, BROKEN, GOOD, NOTHING)) == (2, "sock_diag")


def test_a_full_buffer_is_an_interruption_too() -> None:
    full = OSError(errno.ENOBUFS, "No buffer space available")

    assert fold_sockets(count, EVERY, ask=Kernel(full, GOOD, NOTHING)) == (2, "sock_diag")


def test_a_dump_that_never_comes_through_is_an_error() -> None:
    with pytest.raises(DumpInterruptedError):
        fold_sockets(count, EVERY, ask=Kernel(*[BROKEN] * reading.TRIES))


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


def test_the_live_kernel_lists_a_listener_of_ours() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ports, by = fold_sockets(lambda tables: {p for t in tables for p in t["local_port"].tolist()}, {State.LISTEN})

        assert port in ports
        assert by == "sock_diag"


# Where messages begin, and what their attributes say.


def renumbered(data: bytes, sequence: int) -> bytes:
    """Datagrams with the sequence number of another request in each of their headers."""
    made, offset = bytearray(data), 0
    while offset < len(data):
        struct.pack_into("=I", made, offset + 8, sequence)
        offset += struct.unpack_from("=I", data, offset)[0] + 3 & ~3
    return bytes(made)


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


ATTRIBUTES = st.lists(
    st.sampled_from(
        [
            attribute(22, bytes([0x52, 0])),
            attribute(22, bytes([0x52, 1])),
            attribute(8, bytes([7])),
            attribute(15, struct.pack("=I", 7)),
            attribute(6, b"cubic\0"),
            attribute(7, struct.pack("=9I", *range(9))),
            attribute(2, bytes(232)),
        ]
    ),
    max_size=4,
).map(b"".join)
WITH_NO_PORT = attribute(22, bytes([0x52, 1]))


def is_late(attributes: bytes) -> bool:
    """The oracle: one attribute after the other; the first of its kind counts."""
    while attributes:
        size, kind = struct.unpack_from("=HH", attributes)
        if kind == 22:
            return bool(attributes[5] & 1)
        attributes = attributes[size + 3 & ~3 :]
    return False


@settings(max_examples=60)
@given(
    st.lists(ATTRIBUTES, max_size=12),
    st.integers(0, 2**32 - 1),
    st.sampled_from([None, 7, 9, struct.unpack("=4xI", sock(1000)[16:24])[0], 0]),
    st.booleans(),
)
def test_messages_of_any_length_are_found_by_any_sequence_number(
    attributes: list[bytes], drawn: int, inside: int | None, is_done: bool
) -> None:
    """Also by one that stands inside messages too; then they are walked, one after the other."""
    messages = [sock(1000 + number, each) for number, each in enumerate(attributes)]
    plain = b"".join(messages) + (DONE if is_done else b"")
    data = renumbered(plain, drawn if inside is None else inside)

    found = parse_datagram(memoryview(data))

    assert found.done is is_done
    assert found.sockets["local_port"].tolist() == [1000 + number for number in range(len(messages))]
    assert found.sockets["remote_port"].tolist() == [80] * len(messages)
    assert [str(t.source.address) for t in four_tuples(found.sockets)] == ["127.0.0.1"] * len(messages)
    assert found.sockets["inode"].tolist() == [9] * len(messages)
    assert found.sockets["chosen"].tolist() == [Chosen.LATE * is_late(each) for each in attributes]
    assert [int(where) * 4 for where in columns.headers(data)[1]] == [
        sum(map(len, messages[:number])) for number in range(len(messages) + is_done)
    ]


def test_a_recorded_dump_is_the_same_by_any_sequence_number() -> None:
    whole = b"".join(recorded("dump-ipv4.bin"))
    table = parse_datagram(whole).sockets
    numbers = {int(word) for word in np.frombuffer(whole, np.uint32)[:400]}

    assert len(table) == 49
    for number in [random.getrandbits(32), *sorted(numbers)[:60]]:
        assert np.array_equal(parse_datagram(renumbered(whole, number)).sockets, table)


@settings(max_examples=60)
@given(st.lists(ATTRIBUTES, min_size=1, max_size=4), st.integers(0, 900), st.integers(1, 900), st.randoms())
def test_broken_bytes_are_refused_or_read_never_anything_else(
    attributes: list[bytes], start: int, size: int, dice: random.Random
) -> None:
    """Whichever bytes are overwritten. The kernel pads messages, so truncation removes whole words."""
    data = bytearray(b"".join(sock(1000 + number, each) for number, each in enumerate(attributes)) + DONE)
    data[start : start + size] = dice.randbytes(len(data[start : start + size]))

    for kept in (data, data[: len(data) // 8 * 4]):
        for parse in (parse_datagram, parse_listeners):
            with contextlib.suppress(BrokenMessageError, DumpInterruptedError, OSError):
                parse(bytes(kept))


@pytest.mark.parametrize("extra", [bytes(4), bytes(8), bytes(12), struct.pack("=4I", 400, 0, 1, 0)])
def test_what_stands_behind_the_last_message_is_not_passed_over(extra: bytes) -> None:
    """A last message that is truncated at a word boundary is not ignored either."""
    for data in (sock(1000) + extra, sock(1000) + sock(1001)[: -len(extra)]):
        with pytest.raises(BrokenMessageError, match="bytes"):
            parse_datagram(data)


def test_an_address_is_ipv4_or_ipv6_by_its_family_in_whatever_order() -> None:
    """As the kernel lays both out: of IPv4 the first word is the address, of IPv6 all four are."""
    changed = bytearray(sock(1001))
    changed[16] = socket.AF_INET6
    changed[24:56] = b"".join(socket.inet_pton(socket.AF_INET6, each) for each in ("fd00::4", "::ffff:10.0.0.9"))
    six = bytes(changed)

    for messages in ([sock(1000), six], [six, sock(1000)], [six], [sock(1000)]):
        table = parse_datagram(b"".join(messages) + DONE).sockets
        known = {1000: "127.0.0.1:1000 → 127.0.0.1:80", 1001: "[fd00::4]:1001 → 10.0.0.9:80"}
        assert [str(ends) for ends in four_tuples(table)] == [known[port] for port in table["local_port"].tolist()]


def test_what_a_listener_lost_is_told_where_the_kernel_tells_it() -> None:
    """INET_DIAG_SKMEMINFO, wherever it stands; before Linux 4.6 it has no ninth word."""
    told = attribute(INET_DIAG_SKMEMINFO, struct.pack("=9I", *range(100, 108), 77))
    longer = attribute(INET_DIAG_SKMEMINFO, struct.pack("=10I", *range(100, 108), 78, 5))
    older = attribute(INET_DIAG_SKMEMINFO, struct.pack("=8I", *range(100, 108)))
    other = attribute(8, bytes([7]))
    messages = [told, other + told, longer, older, older + other * 3, other, b""]

    found = parse_listeners(b"".join(sock(1000 + n, each) for n, each in enumerate(messages)) + DONE)

    assert found.done
    assert found.sockets["drops"].tolist() == [77, 77, 78, 0, 0, 0, 0]
    assert found.sockets["local_port"].tolist() == [1000 + n for n in range(len(messages))]


def test_listeners_are_read_without_sock_diag_too(tmp_path: Path) -> None:
    net = tmp_path / "thread-self" / "net"
    net.mkdir(parents=True)
    net.joinpath("tcp").write_text(DATA.joinpath("net-tcp.txt").read_text())

    found = read_listeners(Kernel(OSError(errno.ENOENT, "refused")), tmp_path)

    assert [(str(t.source), row["drops"]) for t, row in zip(four_tuples(found), found, strict=True)] == [
        ("127.0.0.1:8000", 0)
    ]


def test_listeners_of_an_interrupted_dump_are_read_again() -> None:
    assert len(read_listeners(Kernel(BROKEN, GOOD))) == 2
    assert len(read_listeners(Kernel(NOTHING))) == 0


# Several dumps at once.


class InParts:
    """Answers the dump of those that named their port, and that of the automatic ones, whichever is asked first."""

    def __init__(self, named: "list[bytes] | OSError", automatic: "list[bytes] | OSError") -> None:
        self.named, self.automatic = named, automatic
        self.asked: list[bytes] = []

    def __call__(self, request: bytes) -> Iterable[bytes]:
        self.asked.append(request)
        return Kernel(self.named if len(self.asked) % 2 else self.automatic)(request)


def refuse(*_: object) -> None:
    raise RuntimeError("can't start new thread")


def test_without_threads_a_dump_in_parts_is_whole_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """pids.max, or RLIMIT_NPROC."""
    monkeypatch.setattr(threading.Thread, "start", refuse)

    assert fold_sockets(count, EVERY, Asked(range(1, 10)), ask=InParts(GOOD, NOTHING)) == (2, "sock_diag")


def chosen(tables: Iterable[Sockets]) -> list[tuple[int, int]]:
    return sorted(row for table in tables for row in table[["local_port", "chosen"]].tolist())


def test_sockets_of_the_first_dump_with_an_automatic_port_have_named_it() -> None:
    """Its other sockets may have named their port or not; those of the second dump have not."""
    named = [sock(39_999) + sock(40_000), sock(40_009, WITH_NO_PORT) + sock(40_010, WITH_NO_PORT) + DONE]
    automatic = [sock(40_005) + sock(40_006, WITH_NO_PORT) + DONE]

    found, by = fold_sockets(chosen, EVERY, Asked(range(40_000, 40_010)), ask=InParts(named, automatic))

    assert by == "sock_diag"
    assert found == [
        (39_999, Chosen.UNKNOWN),
        (40_000, Chosen.BOUND),
        (40_005, Chosen.UNKNOWN),
        (40_006, Chosen.LATE),
        (40_009, Chosen.BOUND),
        (40_010, Chosen.LATE),
    ]


def test_where_only_automatic_ports_are_wanted_the_first_dump_has_none_but_named_ones() -> None:
    asked = Asked(range(40_000, 40_010), others=False)

    found, _ = fold_sockets(chosen, EVERY, asked, ask=InParts([sock(80) + sock(40_000) + DONE], [sock(40_001), DONE]))

    assert found == [(80, Chosen.BOUND), (40_000, Chosen.BOUND), (40_001, Chosen.UNKNOWN)]


def test_whether_a_socket_without_a_remote_end_named_its_port_is_reported_on_request_only() -> None:
    """Otherwise all of them are in the first dump, where it cannot be told."""
    idle = bytearray(sock(40_001))
    idle[HEADER.size + 6 : HEADER.size + 8] = bytes(2)

    for unconnected, expected in ((False, Chosen.UNKNOWN), (True, Chosen.BOUND)):
        asked = Asked(range(40_000, 40_010), unconnected=unconnected)
        answer = InParts([bytes(idle) + sock(40_002) + DONE], NOTHING)
        assert fold_sockets(chosen, EVERY, asked, ask=answer)[0] == [(40_001, expected), (40_002, Chosen.BOUND)]


def test_the_table_of_bound_sockets_is_walked_once() -> None:
    """The second dump requests no socket without a remote end, unless it is to be found out what they named."""
    for unconnected, expected in ((False, EVERY - {State.LISTEN, State.BOUND_INACTIVE}), (True, EVERY)):
        first, second = (
            struct.unpack_from("=I", request, 16 + 52)[0]
            for request, _ in Asked(range(40_000, 40_010), unconnected=unconnected).requests(EVERY)
        )
        assert first == sum(1 << state for state in EVERY)
        assert second == sum(1 << state for state in expected)


def test_without_automatic_ports_nothing_is_bound() -> None:
    found, _ = fold_sockets(chosen, EVERY, ask=Kernel([sock(80) + sock(40_000, WITH_NO_PORT) + DONE]))

    assert found == [(80, Chosen.UNKNOWN), (40_000, Chosen.LATE)]


@pytest.mark.parametrize(
    "broken", [BROKEN, [sock(1)], [], OSError(errno.ENOBUFS, "full")], ids=["changed", "cut", "empty", "full"]
)
def test_both_dumps_must_come_through(broken: "list[bytes] | OSError") -> None:
    """Otherwise both are taken again, and no thread is left behind."""
    for parts in ((broken, GOOD), (GOOD, broken)):
        with pytest.raises(DumpInterruptedError):
            fold_sockets(count, EVERY, Asked(range(40_000, 40_010)), ask=InParts(*parts))

    assert threads_have_ended()


def test_the_requests_of_both_dumps_carry_their_filters() -> None:
    ask = InParts(NOTHING, NOTHING)
    asked = Asked(range(40_000, 40_010), where=Where.parse(["10.0.0.9:80"], []))
    fold_sockets(count, {State.ESTABLISHED}, asked, ask=ask)

    assert len(ask.asked) == 2
    for request, filter in zip(ask.asked, asked.dumps(), strict=True):
        kind, flags = struct.unpack_from("=4xHH", request)
        assert (kind, flags) == (sockdiag.TCPDIAG_GETSOCK, 0x301)
        assert request.endswith(struct.pack("=HH", 4 + len(filter), sockdiag.INET_DIAG_REQ_BYTECODE) + filter)
        assert struct.unpack_from("=I", request, 16 + 52)[0] == 1 << State.ESTABLISHED
        assert struct.unpack_from("=I", request)[0] == len(request)
    first, second = (struct.unpack_from("=8xI", request)[0] for request in ask.asked)
    assert first != second


# The kernel itself.


def test_a_listener_with_a_full_queue_has_lost_connections(ground: Ground) -> None:
    """listen(0) has room for one; nobody accepts; a SYN that comes then is dropped, and sent again after a second."""
    code = """
import json, socket
from fourtuple.core.sockets.table import four_tuples
from fourtuple.kernel.netlink.sockdiag import read_listeners
from tests.waiting import wait_until
full = socket.create_server(("127.0.0.1", 8000), backlog=0)
idle = socket.create_server(("::1", 8001), family=socket.AF_INET6, backlog=7)
kept = []
for _ in range(5):
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex(("127.0.0.1", 8000))
    kept.append(client)
wait_until(lambda: read_listeners()["drops"].any())
table = read_listeners()
print(json.dumps({str(t.source): [int(row[name]) for name in ("recv_q", "send_q", "drops")]
                  for t, row in zip(four_tuples(table), table)}))
"""

    found = json.loads(ground.python(code))

    assert found.keys() == {"127.0.0.1:8000", "[::1]:8001"}
    assert found["[::1]:8001"] == [0, 7, 0]
    waiting, backlog, drops = found["127.0.0.1:8000"]
    assert (waiting, backlog) == (1, 0)
    assert drops > 0


def test_a_dump_of_many_sockets_is_whole(ground: Ground) -> None:
    """Both ends of 1,501 connections, in several datagrams, at once and filtered; half the ports were named."""
    code = """
import resource, socket
from collections import Counter
from fourtuple.core.sockets.table import Chosen, State
from fourtuple.kernel.netlink.sockdiag import Asked, fold_sockets
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
server = socket.create_server(("127.0.0.1", 30000), backlog=100)
kept = []
for number in range(1501):
    client = socket.socket()
    if number % 2:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.bind(("127.0.0.2", 32768 + number))
    client.connect(("127.0.0.1", 30000))
    kept += [client, server.accept()[0]]
def fold(tables):
    return sum((Counter(zip(t["chosen"].tolist(), (t["local_port"] == 30000).tolist())) for t in tables), Counter())
found, by = fold_sockets(fold, {State.ESTABLISHED}, Asked(range(32768, 61000)))
assert found == {(Chosen.UNKNOWN, True): 1501, (Chosen.UNKNOWN, False): 751, (Chosen.BOUND, False): 750}, found
assert fold_sockets(fold, {State.ESTABLISHED})[0].total() == 3002
"""
    ground.set_port_range(32_768, 60_999)

    assert ground.python(code) == ""


def test_sockets_that_are_only_bound_are_listed_once(ground: Ground) -> None:
    """Inside the range and beside it, with a port that they named or not, as listeners are."""
    need(port_facts().bound_are_listed, "bound sockets that are listed (Linux 6.8)")
    code = """
import socket
from collections import Counter
from fourtuple.core.sockets.table import Chosen, State
from fourtuple.kernel.netlink.sockdiag import Asked, fold_sockets
kept = []
for port, listens in ((40001, False), (50001, False), (40002, True), (50002, True)):
    kept.append(socket.socket())
    kept[-1].bind(("127.0.0.1", port))
    if listens:
        kept[-1].listen()
for listens in (False, True):
    kept.append(socket.socket())
    kept[-1].bind(("127.0.0.1", 0))
    if listens:
        kept[-1].listen()
def fold(tables):
    return Counter((p, c) for t in tables for p, c in zip(t["local_port"].tolist(), t["chosen"].tolist()))
ports = {each.getsockname()[1] for each in kept}
automatic = {kept[4].getsockname()[1], kept[5].getsockname()[1]}
for unconnected in (False, True):
    found, _ = fold_sockets(fold, State, Asked(range(40000, 40100), unconnected=unconnected))
    named = Chosen.BOUND if unconnected else Chosen.UNKNOWN
    expected = {(40001, named), (40002, named), (50001, 0), (50002, 0), *((port, 0) for port in automatic)}
    assert found == dict.fromkeys(expected, 1), (found, unconnected)
"""
    ground.set_port_range(40_000, 40_099)

    assert ground.python(code) == ""


# Another protocol.


def test_another_protocol_is_asked_for_one_family_at_a_time() -> None:
    """The older request, which covers both families at once, supports only TCP."""
    requests = [message for message, _ in Asked(protocol=socket.IPPROTO_UDP).requests({State.CLOSE})]

    assert [tuple(message[16:18]) for message in requests] == [
        (family, socket.IPPROTO_UDP) for family in (socket.AF_INET, socket.AF_INET6)
    ]
    with pytest.raises(ValueError, match="one family"):
        sockdiag.request(socket.AF_UNSPEC, {State.CLOSE}, protocol=socket.IPPROTO_UDP)


def test_without_sock_diag_there_is_nothing_of_another_protocol() -> None:
    """/proc/net/tcp has TCP sockets, which would be the wrong answer."""
    with pytest.raises(OSError, match="refused"):
        fold_sockets(
            count, EVERY, Asked(protocol=socket.IPPROTO_UDP), ask=Kernel(*[OSError(errno.ENOENT, "refused")] * 2)
        )


def test_the_live_kernel_lists_a_udp_socket_of_ours() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        ours.bind(("127.0.0.1", 0))
        port = ours.getsockname()[1]
        try:
            ports, _ = fold_sockets(
                lambda tables: {p for t in tables for p in t["local_port"].tolist()},
                EVERY,
                Asked(protocol=socket.IPPROTO_UDP),
            )
        except OSError as error:
            need(error.errno != errno.ENOENT, "sock_diag of UDP")
            raise

    assert port in ports


@pytest.mark.parametrize("place", [16, 17], ids=["family", "state"])
@pytest.mark.parametrize("value", [0, 3, 200])
def test_a_socket_that_was_not_asked_for_is_refused(place: int, value: int) -> None:
    """Its state would be beyond every table of states; its family decides where its addresses are."""
    data = bytearray(recorded("dump-ipv4.bin")[0])
    data[place] = value if place == 16 else value + 13 * (value == 3)

    with pytest.raises(BrokenMessageError):
        parse_datagram(bytes(data))
