"""Who uses up a destination's ports: the busiest pairs, against a plain count."""

import ipaddress
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.census import SOCKET, Sockets, State, mapped
from fourtuple.core.pairs import SAMPLE, Pair, busiest_pairs

NOT_CLIENTS = (State.LISTEN, State.CLOSE, State.NEW_SYN_RECV, State.SYN_RECV)


class Row(NamedTuple):
    local: str
    port: int
    remote: str
    remote_port: int
    state: State = State.ESTABLISHED
    inode: int = 0


def table(rows: Sequence[Row]) -> Sockets:
    made = np.zeros(len(rows), SOCKET)
    for cell, row in zip(made, rows, strict=True):
        cell["local"] = np.void(mapped(ipaddress.ip_address(row.local)))
        cell["remote"] = np.void(mapped(ipaddress.ip_address(row.remote)))
        cell["local_port"], cell["remote_port"] = row.port, row.remote_port
        cell["state"], cell["inode"] = row.state, row.inode
    return made


def name(row: Row) -> tuple[str, str]:
    return row.local, f"[{row.remote}]:{row.remote_port}" if ":" in row.remote else f"{row.remote}:{row.remote_port}"


def counted(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """The oracle: rows by pair, one at a time."""
    listening = {row.port for row in rows if row.state == State.LISTEN}
    found = defaultdict(list)
    for row in rows:
        if row.state not in NOT_CLIENTS and row.port not in listening:
            found[name(row)].append(row)
    return found


ROWS = st.lists(
    st.builds(
        Row,
        st.sampled_from(["10.0.0.4", "10.0.0.5", "fd00::4"]),
        st.integers(40_000, 40_009),
        st.sampled_from(["10.0.0.8", "10.0.0.9", "fd00::9"]),
        st.sampled_from([80, 81, 40_003]),
        st.sampled_from([State.ESTABLISHED] * 6 + [*State][:-1]),
        st.integers(0, 5),
    ),
    max_size=60,
)


@given(ROWS, ROWS, st.integers(1, 12))
def test_they_are_what_a_plain_count_finds(some: list[Row], others: list[Row], most: int) -> None:
    """Over tables of both kinds, a listener in one of which makes its port a server's in the other, too."""
    found = busiest_pairs([table(some), table(others)], most)
    expected = counted([*some, *others])
    sizes = sorted((len(rows) for rows in expected.values()), reverse=True)

    assert [pair.used for pair in found] == sizes[:most]
    assert len({(pair.source, pair.destination) for pair in found}) == len(found)
    for pair in found:
        rows = expected[pair.source, pair.destination]
        states = Counter(row.state for row in rows)
        known = states[State.ESTABLISHED], states[State.TIME_WAIT], states[State.CLOSE_WAIT]
        assert (pair.established, pair.time_wait, pair.close_wait) == known
        assert pair.other == len(rows) - sum(known)
        inodes = Counter(row.inode for row in rows if row.inode)
        assert len(pair.inodes) == min(SAMPLE, inodes.total())
        assert Counter(pair.inodes) <= inodes


def test_nobody_is_connected() -> None:
    assert busiest_pairs([], 10) == ()
    assert busiest_pairs([table([]), table([])], 10) == ()


def test_a_servers_ends_are_not_a_clients() -> None:
    """Three were accepted at 10.0.0.9:80, each from a port of its own; of both ends one is counted."""
    rows = [Row("10.0.0.9", 80, "0.0.0.0", 0, State.LISTEN)]
    for port in (40_000, 40_001, 40_002):
        rows += [Row("10.0.0.4", port, "10.0.0.9", 80), Row("10.0.0.9", 80, "10.0.0.4", port)]

    assert busiest_pairs([table(rows)], 10) == (Pair("10.0.0.4", "10.0.0.9:80", 3, 0, 0, 0, ()),)


def test_the_busiest_comes_first_and_the_rest_is_left_out() -> None:
    rows = [Row("10.0.0.4", 40_000 + n, "10.0.0.9", 81 if n < 3 else 80) for n in range(10)]

    assert [(pair.destination, pair.used) for pair in busiest_pairs([table(rows)], 2)] == [
        ("10.0.0.9:80", 7),
        ("10.0.0.9:81", 3),
    ]
    assert [pair.destination for pair in busiest_pairs([table(rows)], 1)] == ["10.0.0.9:80"]


def test_ipv4_by_a_socket_of_ipv6_is_the_same_pair() -> None:
    """::ffff:10.0.0.4 is 10.0.0.4, and shown so; fd00::4 is somebody else."""
    rows = [
        Row("10.0.0.4", 40_000, "10.0.0.9", 80),
        Row("::ffff:10.0.0.4", 40_001, "::ffff:10.0.0.9", 80),
        Row("fd00::4", 40_002, "fd00::9", 80),
    ]

    assert [(pair.source, pair.destination, pair.used) for pair in busiest_pairs([table(rows)], 10)] == [
        ("10.0.0.4", "10.0.0.9:80", 2),
        ("fd00::4", "[fd00::9]:80", 1),
    ]


def test_of_very_many_sockets_a_sample_is_named() -> None:
    rows = [Row("10.0.0.4", 30_000 + n, "10.0.0.9", 80, inode=n % 3 and 1000 + n) for n in range(300)]
    (pair,) = busiest_pairs([table(rows)], 10)

    assert pair.used == 300
    assert len(pair.inodes) == SAMPLE
    assert set(pair.inodes) <= {row.inode for row in rows} - {0}
