"""Packets folded into connections: how many there were at once, and who closed first."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.check.timeline import FIN, PACKET, RST, SYN, Packets, Timeline

ACK = 0x10
CLIENT, SERVER, PORT = 0x0A000001, 0x0A000002, 8001
SERVERS = [(SERVER, PORT), (SERVER, PORT + 1)]


def packets(*rows: tuple[str, int, int, int]) -> Packets:
    """(`>` from the client or `<` from the server, client's port, number of the server, flags)"""
    table = np.zeros(len(rows), PACKET)
    for number, (way, port, server, flags) in enumerate(rows):
        ends = (CLIENT, SERVER, port, PORT + server)
        table[number] = (*ends, flags) if way == ">" else (ends[1], ends[0], ends[3], ends[2], flags)
    return table


def opening(port: int, server: int = 0) -> list[tuple[str, int, int, int]]:
    return [(">", port, server, SYN), ("<", port, server, SYN | ACK)]


def test_a_connection_counts_from_the_answer_to_its_clients_fin() -> None:
    """A SYN alone is none; a FIN of the server does not end it."""

    timeline = Timeline(SERVERS)
    timeline.see(packets(*opening(1), *opening(2, 1), (">", 3, 0, SYN), ("<", 1, 0, FIN | ACK)))
    assert list(timeline.open) == [(CLIENT, 1, 0), (CLIENT, 2, 1)]
    timeline.see(packets((">", 1, 0, FIN | ACK), (">", 2, 1, FIN | ACK), ("<", 2, 1, FIN | ACK)))
    assert not timeline.open
    assert (timeline.opened, timeline.closed_first) == ([1, 1], 1)
    assert set(timeline.most) == {(CLIENT, 1, 0), (CLIENT, 2, 1)}


def test_a_reset_ends_it_and_is_nobodys_first_close() -> None:
    timeline = Timeline(SERVERS)
    timeline.see(packets(*opening(1), *opening(2), (">", 1, 0, RST), ("<", 2, 0, RST | ACK)))

    assert (timeline.open, timeline.closed_first, timeline.refused) == ({}, 0, 0)


def test_a_refused_one_is_none() -> None:
    timeline = Timeline(SERVERS)
    timeline.see(packets((">", 1, 0, SYN), ("<", 1, 0, RST | ACK)))

    assert (sum(timeline.opened), timeline.refused, timeline.most) == (0, 1, ())


def test_what_is_sent_again_counts_once() -> None:
    """SYN, SYN-ACK and FIN twice; and loopback shows every packet twice."""

    twice = [row for row in [*opening(1), (">", 1, 0, FIN | ACK)] for _ in range(2)]
    timeline = Timeline(SERVERS)
    timeline.see(packets(*twice))
    assert (sum(timeline.opened), timeline.closed_first, len(timeline.most)) == (1, 1, 1)


def test_a_syn_on_an_open_connection_opens_no_other() -> None:
    """However often it is asked and answered."""

    timeline = Timeline(SERVERS)
    timeline.see(packets(*opening(1), *opening(1)))
    assert sum(timeline.opened) == 1


def test_who_closed_first_is_asked_each_time() -> None:
    """The server at first; then, from the same port, the client."""

    first = [*opening(1), ("<", 1, 0, FIN | ACK), (">", 1, 0, FIN | ACK)]
    timeline = Timeline(SERVERS)
    timeline.see(packets(*first, *opening(1), (">", 1, 0, FIN | ACK)))
    assert (sum(timeline.opened), timeline.closed_first) == (2, 1)


def test_a_port_is_used_again() -> None:
    timeline = Timeline(SERVERS)
    timeline.see(packets(*[row for _ in range(3) for row in [*opening(1), (">", 1, 0, FIN | ACK)]]))

    assert (sum(timeline.opened), len(timeline.most)) == (3, 1)


def test_others_packets_are_not_looked_at() -> None:
    timeline = Timeline([(SERVER, 9999)])
    timeline.see(packets(*opening(1)))

    assert not timeline.open


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 1), st.booleans()), max_size=60), st.integers(1, 7))
def test_it_agrees_with_a_set(steps: list[tuple[int, int, bool]], size: int) -> None:
    """However the packets are cut into tables: opened, open and most are those of a set that is kept by hand."""

    there: set[tuple[int, int]] = set()
    most, opened, rows = 0, 0, []
    for port, server, opens in steps:
        if opens and (port, server) not in there:
            there.add((port, server))
            opened += 1
            rows += opening(port, server)
        elif not opens and (port, server) in there:
            there.remove((port, server))
            rows.append((">", port, server, FIN | ACK))
        most = max(most, len(there))
    timeline = Timeline(SERVERS)
    for start in range(0, len(rows), size):
        timeline.see(packets(*rows[start : start + size]))
    assert sum(timeline.opened) == opened
    assert {(port, server) for _, port, server in timeline.open} == there
    assert len(timeline.most) == most
