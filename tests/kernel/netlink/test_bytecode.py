"""Which sockets pass a filter: by an interpreter that works as the kernel's, and by the kernel itself."""

import ipaddress
import json
import struct
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourtuple.core.sockets.filter import EVERY_ADDRESS, Where
from fourtuple.core.sockets.table import mapped
from fourtuple.kernel.netlink import bytecode
from fourtuple.kernel.netlink.bytecode import AUTOMATIC_PORT, NAMED_PORT, Condition, connections, local_ports, program
from fourtuple.kernel.netlink.sockdiag import Asked
from tests.conftest import Ground, need_feature

NOP, JMP, S_GE, S_LE, D_GE, D_LE, AUTO, S_COND, D_COND = range(9)
INET, INET6 = 2, 10


class Entry(NamedTuple):
    """A socket, as a filter sees it. named: SOCK_BINDPORT_LOCK"""

    source: str
    sport: int
    destination: str
    dport: int
    named: bool = False

    @property
    def family(self) -> int:
        return INET6 if ":" in self.source else INET

    def address(self, code: int) -> bytes:
        return ipaddress.ip_address(self.source if code == S_COND else self.destination).packed


def match(address: bytes, wanted: bytes, bits: int) -> bool:
    shift = 8 * len(wanted) - bits
    return int.from_bytes(address, "big") >> shift == int.from_bytes(wanted, "big") >> shift


def fulfils(entry: Entry, code: int, operand: bytes) -> bool:
    """Does the condition of one operation hold?"""
    if code in (S_GE, S_LE, D_GE, D_LE):
        (limit,) = struct.unpack_from("=2xH", operand)
        port = entry.sport if code in (S_GE, S_LE) else entry.dport
        return bool(port >= limit if code in (S_GE, D_GE) else port <= limit)
    if code in (S_COND, D_COND):
        family, prefix, port = struct.unpack_from("=BBxxi", operand)
        if port not in (-1, entry.sport if code == S_COND else entry.dport):
            return False
        address, wanted = entry.address(code), operand[8 : 8 + (4 if family == INET else 16)]
        if family != entry.family:
            is_mapped = entry.family == INET6 and address.startswith(bytes(10) + b"\xff\xff")
            return family == INET and is_mapped and match(address[12:], wanted, prefix)
        return match(address, wanted, prefix)
    return code == NOP or (code == AUTO and not entry.named)


def accepts(filter: bytes, entry: Entry) -> bool:
    """inet_diag_bc_run: to end exactly behind the program is to be accepted."""
    offset = 0
    while offset < len(filter):
        code, yes, no = struct.unpack_from("=BBH", filter, offset)
        offset += yes if fulfils(entry, code, filter[offset + 4 :]) else no
    return offset == len(filter)


def audit(filter: bytes) -> None:
    """inet_diag_bc_audit, which refuses with EINVAL: each way leads forwards, to an operation or four bytes too far."""
    if not filter:
        return  # none is sent
    places, offset = set(), 0
    while offset < len(filter):
        places.add(offset)
        _, yes, _ = struct.unpack_from("=BBH", filter, offset)
        assert yes >= 4
        offset += yes
    assert offset == len(filter)
    for offset in places:
        left = len(filter) - offset
        code, yes, no = struct.unpack_from("=BBH", filter, offset)
        assert code in range(9)
        size = 8 if code in (S_GE, S_LE, D_GE, D_LE) else 4
        if code in (S_COND, D_COND):
            assert left >= 12
            family, prefix = struct.unpack_from("=BB", filter, offset + 4)
            assert family in (INET, INET6)
            assert prefix <= (32 if family == INET else 128)
            size = 12 + (4 if family == INET else 16)
        assert left >= size
        assert size <= yes <= left + 4
        assert not yes % 4
        if code != NOP:
            assert size <= no <= left + 4
            assert not no % 4
            assert no >= left or offset + no in places


IPV4 = ["10.0.0.4", "10.0.0.9", "10.0.0.8", "127.0.0.1"]
IPV6 = ["fd00::4", "fd00::9", "::1", "::a00:9", "::ffff:10.0.0.4", "::ffff:10.0.0.9"]
PORTS = st.sampled_from([0, 1, 79, 80, 81, 82, 39_999, 40_000, 40_005, 40_009, 40_010, 65_535])
ENTRIES = st.sampled_from([IPV4, IPV6]).flatmap(
    lambda them: st.builds(Entry, st.sampled_from(them), PORTS, st.sampled_from(them), PORTS, st.booleans())
)
HOSTS = ["10.0.0.9", "10.0.0.2-9", "10.0.0.0/29", "127.0.0.1", "fd00::9", "fd00::2-9", "fd00::/16", "::a00:9"]
HOSTS += ["0.0.0.0/0", "10.0.0.1-254", "::/0"]
SPECS = st.one_of(
    st.sampled_from(HOSTS),
    st.tuples(st.sampled_from(HOSTS), st.sampled_from([":80", ":80-81", ":1-65535", ":40000-65535"])).map(
        lambda spec: f"[{spec[0]}]{spec[1]}"
    ),
    st.sampled_from([":80", ":81-82", ":1-80"]),
)
FILTERS = st.builds(Where.parse, st.lists(SPECS, max_size=3), st.lists(st.sampled_from(HOSTS), max_size=2))
CONDITIONS = st.one_of(
    st.sampled_from([AUTOMATIC_PORT, NAMED_PORT]),
    st.tuples(st.sampled_from([local_ports, bytecode.remote_ports]), PORTS, PORTS).flatmap(
        lambda each: st.sampled_from(each[0](range(min(each[1:]), max(each[1:]) + 1)) or [AUTOMATIC_PORT])
    ),
).flatmap(lambda condition: st.booleans().map(lambda negated: condition._replace(negated=negated)))


def packed(address: str) -> bytes:
    return mapped(ipaddress.ip_address(address))


def is_asked(where: Where, entry: Entry) -> bool:
    """Is this one end of a wanted connection, whichever end it is?"""
    ends = [(entry.source, entry.sport), (entry.destination, entry.dport)]
    (near, near_port), (far, far_port) = ends
    source, destination = (
        np.frombuffer(packed(one) + packed(other), "V16") for one, other in ((near, far), (far, near))
    )
    return bool(where.has(source, destination, np.array([far_port, near_port], np.uint16)).any())


def holds(condition: Condition, entry: Entry) -> bool:
    return fulfils(entry, condition.code, condition.operand) != condition.negated


@settings(max_examples=150)
@given(st.lists(st.lists(CONDITIONS, max_size=4), max_size=5), st.lists(ENTRIES, min_size=1, max_size=8))
def test_a_program_accepts_what_fulfils_one_of_its_clauses(
    clauses: list[list[Condition]], entries: list[Entry]
) -> None:
    filter = program(clauses)

    audit(filter)
    for entry in entries:
        is_wanted = not clauses or any(all(holds(condition, entry) for condition in clause) for clause in clauses)
        assert accepts(filter, entry) == is_wanted


@settings(max_examples=150)
@given(FILTERS, st.lists(ENTRIES, min_size=1, max_size=10))
def test_every_connection_that_is_asked_about_is_let_through(where: Where, entries: list[Entry]) -> None:
    """By either end; and of the others only those where every address of a version stands for both versions'."""
    filter = program(connections(where))
    is_exact = all(part.addresses != EVERY_ADDRESS[part.version] for part in (*where.to, *where.sources))

    audit(filter)
    for entry in entries:
        assert accepts(filter, entry) >= is_asked(where, entry)
        if filter and is_exact:
            assert accepts(filter, entry) == is_asked(where, entry)


@settings(max_examples=120)
@given(
    st.one_of(st.none(), st.sampled_from([range(40_000, 40_010), range(1, 40_000), range(80, 65_536), range(65_536)])),
    st.booleans(),
    FILTERS,
    st.booleans(),
    st.lists(ENTRIES, min_size=1, max_size=10),
)
def test_each_socket_that_is_wanted_is_in_one_dump(
    automatic: range | None, others: bool, where: Where, unconnected: bool, entries: list[Entry]
) -> None:
    """A socket that named its port is in the first dump, whatever is wanted; one without a remote end, in any."""
    dumps = Asked(automatic, others, where, unconnected=unconnected).dumps()

    for filter in dumps:
        audit(filter)
    for entry in entries:
        found = [accepts(filter, entry) for filter in dumps]
        assert sum(found) <= 1
        if automatic is None:
            assert found[0] >= is_asked(where, entry)
        elif entry.named or (entry.dport == 0 and not unconnected):
            assert found == [True, False]
        elif entry.dport == 0 and entry.sport in automatic:
            assert found == [False, True]
        elif is_asked(where, entry):
            is_automatic = entry.sport in automatic
            assert found == [others and not is_automatic, is_automatic]


@pytest.mark.parametrize("where", [Where(), Where.parse(["10.0.0.9:80"], [])], ids=["all", "some"])
@pytest.mark.parametrize("named", [True, False])
def test_at_its_edges_the_automatic_range_has_no_gap(where: Where, named: bool) -> None:
    first, second = Asked(range(40_000, 40_010), where=where).dumps()

    for port in (0, 1, 39_999, 40_000, 40_001, 40_009, 40_010, 65_535):
        entry = Entry("10.0.0.4", port, "10.0.0.9", 80, named)
        is_automatic = 40_000 <= port < 40_010 and not named
        assert (accepts(first, entry), accepts(second, entry)) == (not is_automatic, is_automatic)


def test_everything_is_let_through_where_nothing_is_asked() -> None:
    assert program([]) == program([[]]) == program([[AUTOMATIC_PORT], []]) == program(connections(Where())) == b""


def test_a_filter_that_would_be_too_long_is_left_out() -> None:
    """Two clauses for each destination, so MOST_CLAUSES of them are reached with half as many."""
    most = bytecode.MOST_CLAUSES // 2
    some = Where.parse([f"10.0.{n}.9:80" for n in range(most)], [])
    more = Where.parse([f"10.0.{n}.9:80" for n in range(most + 1)], [])

    assert len(connections(some)) == bytecode.MOST_CLAUSES
    audit(program(connections(some)))
    assert connections(more) == [[]]
    for filter in Asked(range(40_000, 40_010), where=some).dumps():
        audit(filter)
        assert len(filter) < 2**16  # how far a jump goes


def test_operations_are_laid_out_as_the_kernel_has_them() -> None:
    """One clause: the port is at least 80, and it was named; the last way out is four bytes too far."""
    filter = program([[*local_ports(range(80, 65_536)), NAMED_PORT]])

    assert struct.unpack("=BBHBBHBBHBBH", filter) == (S_GE, 8, 20, 0, 0, 80, AUTO, 4, 8, JMP, 4, 8)


SCENE = """
import json, socket
from fourtuple.core.sockets.table import State, four_tuples
from fourtuple.core.sockets.filter import Where
from fourtuple.kernel.netlink.sockdiag import Asked, fold_sockets

kept = []

def connect(family, address, port, shown, count):
    server = socket.socket(family)
    server.bind((address, port))
    server.listen(100)
    kept.append(server)
    for _ in range(count):
        client = socket.socket(family)
        client.connect((shown, port))
        kept.extend([client, server.accept()[0]])

connect(socket.AF_INET, "127.0.0.9", 8000, "127.0.0.9", 30)
connect(socket.AF_INET, "127.0.0.9", 8001, "127.0.0.9", 11)
connect(socket.AF_INET, "127.0.0.8", 8000, "127.0.0.8", 50)
connect(socket.AF_INET6, "::1", 8000, "::1", 7)
connect(socket.AF_INET6, "::ffff:127.0.0.7", 8000, "::ffff:127.0.0.7", 5)
found = {}
for to in TO:
    tables, _ = fold_sockets(list, {State.ESTABLISHED}, Asked(where=Where.parse(to, [])))
    ends = [str(min(t.source, t.destination, key=lambda end: end.port))
            for table in tables for t in four_tuples(table)]
    found[" ".join(to)] = sorted([end, ends.count(end)] for end in set(ends))
print(json.dumps(found))
"""
NINE, NINE_1, EIGHT, SIX, MAPPED = "127.0.0.9:8000", "127.0.0.9:8001", "127.0.0.8:8000", "[::1]:8000", "127.0.0.7:8000"


def test_the_kernel_lets_through_what_is_asked_and_nothing_else(ground: Ground) -> None:
    """Both ends of 30, 11, 50, 7 and 5 connections; the last by sockets of IPv6 that talk IPv4."""
    ends = {NINE: 60, NINE_1: 22, EIGHT: 100, SIX: 14, MAPPED: 10}
    asked = {
        "": ends.keys(),
        "127.0.0.9:8000": {NINE},
        "127.0.0.9": {NINE, NINE_1},
        "127.0.0.8-9:8000": {NINE, EIGHT},
        "127.0.0.8/31:8001": {NINE_1},
        ":8001": {NINE_1},
        "[::1]:8000": {SIX},
        "::/112": {SIX},
        "127.0.0.7": {MAPPED},
        "127.0.0.7 [::1]:1-8000": {SIX, MAPPED},
        "127.0.0.6": set(),
    }
    ground.set_port_range(40_000, 45_000)

    found = json.loads(ground.python(f"TO = {[to.split() for to in asked]}\n{SCENE}"))

    assert found == {to: sorted([end, ends[end]] for end in those) for to, those in asked.items()}


@pytest.mark.parametrize("automatic", [range(40_000, 40_100), range(1, 65_536)], ids=str)
def test_the_kernel_takes_the_filters_of_a_dump_in_parts(ground: Ground, automatic: range) -> None:
    """Of three sockets one has named its port, one is connected from an automatic one, one is the server's end."""
    code = f"""
import socket
from fourtuple.core.sockets.table import Chosen, State
from fourtuple.core.sockets.filter import Where
from fourtuple.kernel.netlink.sockdiag import Asked, fold_sockets
server = socket.create_server(("127.0.0.1", 30000))
one = socket.socket()
one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
one.bind(("127.0.0.1", 40050))
one.connect(("127.0.0.1", 30000))
two = socket.create_connection(("127.0.0.1", 30000))
ends = [server.accept() for _ in range(2)]
for where in (Where(), Where.parse(["127.0.0.1:30000"], []), Where.parse(["127.0.0.2"], [])):
    rows = fold_sockets(
        lambda tables: [row for table in tables for row in table[["local_port", "remote_port", "chosen"]].tolist()],
        {{State.ESTABLISHED}},
        Asked(range({automatic.start}, {automatic.stop}), where=where),
    )[0]
    near = two.getsockname()[1]
    expected = [(40050, 30000, Chosen.BOUND), (near, 30000, 0), (30000, near, 0), (30000, 40050, 0)]
    assert sorted(rows) == sorted(expected if where != Where.parse(["127.0.0.2"], []) else expected[:1]), rows
"""
    ground.set_port_range(40_000, 40_099)

    assert ground.python(code) == ""


def test_what_is_only_bound_comes_whatever_is_asked(ground: Ground) -> None:
    """Its port is blocked for all destinations, so it matters to each: named ports, and those of bind(address, 0)."""
    need_feature("sock_diag lists bound sockets")
    code = """
import socket
from fourtuple.verbs.census import census
kept = [socket.socket() for _ in range(8)]
for number, sock in enumerate(kept):
    sock.bind(("127.0.0.1", 40001 if number == 0 else 0))
server = socket.create_server(("127.0.0.1", 8000))
kept.append(socket.create_connection(("127.0.0.1", 8000)))
for to in ((), ("127.0.0.1:8000",), ("127.0.0.2",)):
    found = census(to)
    print(found.blocked, found.usable, len(found.rows))
"""
    ground.set_port_range(40_000, 40_100)

    assert ground.python(code) == "8 93 2\n8 93 2\n8 93 0\n"
