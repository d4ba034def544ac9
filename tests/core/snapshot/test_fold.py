"""Sockets as groups: what follows from the groups is what followed from the sockets."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.census.usage import COUNTS, Usage
from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.limits.ports import PortUse
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.snapshot import fold as folding
from fourtuple.core.snapshot.fold import (
    ListenerRow,
    Pids,
    SocketGroup,
    expand,
    expand_listeners,
    fold,
    fold_listeners,
    parse_port_ranges,
)
from fourtuple.core.sockets.filter import EVERYWHERE
from fourtuple.core.sockets.table import LISTENER, SOCKET, Chosen, Sockets, State, recast
from fourtuple.core.space.ranges import Ranges
from fourtuple.core.space.tuples import TupleSpace
from tests.core.snapshot.tables import listeners, packed, sockets

Table = tuple[Sockets, Pids]
facts = st.builds(
    PortFacts,
    st.just(range(39_999, 40_008)),
    st.sampled_from([Ranges([]), Ranges([range(40_002, 40_003)])]),
    tw_reuse=st.sampled_from([0, 1, 2]),
    tw_reuse_delay_ms=st.sampled_from([1000, 2500]),
    tw_reuse_in_ms=st.booleans(),
    fin_wait2_reused=st.booleans(),
    bind_is_released=st.booleans(),
)


def through(table: Table, listens: Table, facts: PortFacts) -> tuple[Table, Table]:
    """The tables after they were folded and expanded."""
    groups, unseen = fold(*table, listens[0], facts.tw_reuse_delay_ms)
    rows, left = fold_listeners(*listens)
    assert not unseen + left
    return expand(groups), expand_listeners(rows)


def pairs_of(usage: Usage) -> list[tuple[Any, ...]]:
    names = ("source", "destination", "port", "is_server", *COUNTS, "taken")
    columns = [usage.pairs[name].tolist() for name in names]
    return sorted(zip(*columns, usage.unsure.tolist(), strict=True))


@given(sockets(), listeners(), facts)
def test_usage_of_the_groups_is_that_of_the_sockets(table: Table, listens: Table, facts: PortFacts) -> None:
    """Pairs with their counts and ports taken, states, blocked and unattributed ports: all are the same."""
    (other, _), (queues, _) = through(table, listens, facts)
    before = Usage.of([table[0]], listens[0], facts, EVERYWHERE)
    after = Usage.of([other], queues, facts, EVERYWHERE)

    assert pairs_of(after) == pairs_of(before)
    assert after.states.tolist() == before.states.tolist()
    assert after.idle == before.idle
    for name in ("named", "bound", "connections", "unattributed"):
        assert getattr(after, name).tolist() == getattr(before, name).tolist(), name


@given(sockets(), listeners(), facts, st.sampled_from(Strategy), st.sampled_from([443, 40_001]))
def test_room_of_the_groups_is_that_of_the_sockets(
    table: Table, listens: Table, facts: PortFacts, strategy: Strategy, port: int
) -> None:
    """Every strategy has the same room, for the same reasons."""
    (other, _), (queues, _) = through(table, listens, facts)
    space = TupleSpace.of(["10.0.0.1"], facts.automatic_ports, [f"10.0.0.2:{port}", f"127.0.0.1:{port}"])
    rooms = [
        PortUse.of([recast(ports, SOCKET), rows], space).room(facts, strategy)
        for rows, ports in ((table[0], listens[0]), (other, queues))
    ]

    assert rooms[1] == rooms[0]


def test_a_connection_that_is_being_accepted_uses_its_4_tuple_when_its_listener_is_gone() -> None:
    """No listener takes its port, so that its remote port decides whether connect() can have the same 4-tuple."""
    table: Sockets = np.zeros(1, SOCKET)
    table["state"], table["family"] = State.SYN_RECV, 2
    table["local"], table["local_port"] = packed("10.0.0.1"), 40_000
    table["remote"], table["remote_port"] = packed("10.0.0.2"), 443
    groups, _ = fold(table, np.zeros(1, np.int32), np.zeros(0, LISTENER), 1000)
    known = PortFacts(range(39_999, 40_008), Ranges([]))
    space = TupleSpace.of(["10.0.0.1"], known.port_range, ["10.0.0.2:443"])

    assert PortUse.of([np.zeros(0, SOCKET), expand(groups)[0]], space).room(known, Strategy.LATE).in_use == 1


@given(sockets(), listeners(), facts)
def test_processes_and_queues_stay(table: Table, listens: Table, facts: PortFacts) -> None:
    """Each process has as many sockets as before, each listener its queue, and ages stay within their second."""
    (other, pids), (queues, queue_pids) = through(table, listens, facts)

    assert sorted(pids.tolist()) == sorted(np.where(table[0]["inode"] == 0, 0, table[1]).tolist())
    assert (queues["recv_q"].tolist(), queue_pids.tolist()) == (listens[0]["recv_q"].tolist(), listens[1].tolist())
    waits = [rows["expires_ms"][rows["state"] == State.TIME_WAIT] for rows in (table[0], other)]
    seconds = [sorted(((60_000 - each) // 1000).tolist()) for each in waits]
    assert seconds[0] == seconds[1]
    assert int(other["recv_q"].sum()) == int(table[0]["recv_q"].sum())


def many(count: int, *, per_group: int = 1) -> Sockets:
    """Connections from 10.0.0.1, so many to each destination."""
    table: Sockets = np.zeros(count, SOCKET)
    table["state"], table["local"], table["inode"] = State.ESTABLISHED, packed("10.0.0.1"), 9
    table["local_port"] = 30_000 + np.arange(count) % 20_000
    addresses = np.zeros((count, 4), ">u4")
    addresses[:, 2], addresses[:, 3] = 0xFFFF, 0x0A000000 + np.arange(count) // per_group
    table["remote"], table["remote_port"] = np.ascontiguousarray(addresses).view("V16")[:, 0], 443
    return table


def test_local_ports_are_ranges() -> None:
    (group,), _ = fold(many(5, per_group=5), np.full(5, 7, np.int32), np.zeros(0, LISTENER), 1000)

    assert group == SocketGroup(
        state="ESTABLISHED",
        local="10.0.0.1",
        local_ports="30000-30004",
        count=5,
        remote="10.0.0.0",
        remote_port=443,
        pid=7,
    )


def test_accepted_connections_are_counted_by_remote_address() -> None:
    """Their remote ports are not kept."""
    table = many(5, per_group=5)
    table["local_port"], table["remote_port"] = 80, 50_000 + np.arange(5)
    listens, _ = expand_listeners([ListenerRow("0.0.0.0", 80)])
    (group,), _ = fold(table, np.zeros(0, np.int32), listens, 1000)

    assert (group.local_ports, group.remote, group.remote_port, group.count) == ("80", "10.0.0.0", None, 5)
    assert len(np.unique(expand([group])[0]["remote_port"])) == 5


def test_too_many_groups_are_summed_and_the_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The large groups stay; of the small ones the remote ends are lost, never a socket."""
    monkeypatch.setattr(folding, "MOST_GROUPS", 10)
    table = np.concatenate([many(100), many(30, per_group=30)])
    table["remote_port"][100:] = 8443
    groups, unseen = fold(table, np.zeros(0, np.int32), np.zeros(0, LISTENER), 1000)
    rows, _ = expand(groups)

    assert len(groups) <= 10
    assert groups[1] == SocketGroup("ESTABLISHED", "10.0.0.1", "30000-30029", 30, remote="10.0.0.0", remote_port=8443)
    assert len(rows) == 130
    assert sorted(rows["local_port"].tolist()) == sorted(table["local_port"].tolist())
    assert unseen == ["the remote ends of 96 sockets are not kept: each has too few sockets"]


def test_what_is_left_out_at_last_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also groups without a remote end can be too many: by user, say."""
    monkeypatch.setattr(folding, "MOST_GROUPS", 10)
    table = many(100)
    table["uid"] = np.arange(100)
    groups, unseen = fold(table, np.zeros(0, np.int32), np.zeros(0, LISTENER), 1000)

    assert sum(group.count for group in groups) == 10
    assert unseen[-1] == "90 sockets are left out: they are in too many groups"


@pytest.mark.parametrize(
    "other",
    [
        {"state": "LISTEN"},
        {"state": "X"},
        {"local": "here"},
        {"local_ports": "1-x"},
        {"local_ports": "2-1"},
        {"local_ports": "1-70000"},
        {"local_ports": ""},
        {"local_ports": "0-65535"},
        {"count": 0},
        {"count": 10**9},
        {"remote_port": 70_000},
        {"uid": -1},
        {"pid": -2},
        {"state": "TIME_WAIT", "ages_ms": ((1, 5),)},
    ],
)
def test_groups_that_no_table_can_have_are_refused(other: dict[str, Any]) -> None:
    values: dict[str, Any] = {"state": "ESTABLISHED", "local": "10.0.0.1", "local_ports": "1-2", "count": 2} | other

    with pytest.raises(ValueError, match=r"."):
        expand([SocketGroup(**values)])


def test_an_unknown_way_of_choosing_is_unknown() -> None:
    """A newer version may know more of them."""
    table, _ = expand([SocketGroup("ESTABLISHED", "10.0.0.1", "1", 1, chosen="LATER")])

    assert table["chosen"].tolist() == [Chosen.UNKNOWN]


@given(st.sets(st.integers(0, 65535), min_size=1, max_size=50))
def test_port_ranges_are_read_as_ranges_print(ports: set[int]) -> None:
    text = str(Ranges(range(port, port + 1) for port in ports))

    assert parse_port_ranges(text).tolist() == sorted(ports)
