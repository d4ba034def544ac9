"""A run's own sockets among those of others: by their cookies, and the other ends by their 4-tuples."""

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.sockets.own import Own, cookies_of, identify
from fourtuple.core.sockets.table import SOCKET, Sockets, State, mapped
from fourtuple.core.space.endpoints import FourTuple
from fourtuple.core.space.tuples import TupleSpace

SPACE = TupleSpace.of(["127.0.0.1"], range(40_000, 40_050), ["127.0.0.1:80-81"])


def row(four_tuple: FourTuple, cookie: int, inode: int = 7) -> Sockets:
    """A socket whose local end is the source of `four_tuple`."""
    made = np.zeros(1, SOCKET)
    for end, local in ((four_tuple.source, "local"), (four_tuple.destination, "remote")):
        made[local] = np.void(mapped(end.address))
        made[f"{local}_port"] = end.port
    made["state"], made["inode"] = State.ESTABLISHED, inode
    made["cookie"] = np.void(cookie.to_bytes(8, "little"))
    return made


def connection(number: int, cookie: int, accepted: bool = True) -> list[Sockets]:
    """Both ends; the server's cookie is a thousand more."""
    ours = SPACE[number]
    return [row(ours, cookie), row(FourTuple(ours.destination, ours.source), cookie + 1000, 7 if accepted else 0)]


@given(
    st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), max_size=60),
    st.integers(1, 9),
    st.randoms(use_true_random=False),
)
def test_only_the_runs_own_sockets_count_whatever_else_is_there(
    connections: list[tuple[bool, bool, bool]], tables: int, order: random.Random
) -> None:
    """(own, accepted, its server end exists) of each; in any order, over any number of tables."""
    rows, own = [np.zeros(0, SOCKET)], []
    for number, (is_own, accepted, mirrored) in enumerate(connections):
        rows += connection(number, 5000 + number, accepted)[: 1 + mirrored]
        own += [5000 + number] if is_own else []
    order.shuffle(rows)
    table = np.concatenate(rows)
    seen: list[Sockets] = []
    cookies = np.array([0, *own, 999_999], np.uint64)  # an empty slot, and a socket that is gone
    tally, found = identify(np.array_split(table, tables), cookies, SPACE.destinations, seen.append)

    mine = [each for each in connections if each[0]]
    assert (tally.client, sum(map(len, seen))) == (len(mine), len(mine))
    assert tally.server == sum(mirrored for _, _, mirrored in mine)
    assert tally.accepted == sum(accepted and mirrored for _, accepted, mirrored in mine)
    assert found.count([table]) == tally


def test_a_later_socket_with_the_same_four_tuple_is_another_one() -> None:
    """Its cookie is new: what a run held is known as gone even where another run took its ports."""
    before = np.concatenate(connection(3, 41))
    _, own = identify([before], np.array([41], np.uint64), SPACE.destinations)
    after = np.concatenate(connection(3, 42_000))

    assert own.count([before]).server == 1
    assert own.count([after]) == Own(own.client, own.server).count([])


def test_a_cookie_has_64_bits() -> None:
    assert cookies_of(np.concatenate(connection(0, 2**63 + 5))[:1]).tolist() == [2**63 + 5]
