"""How connections lie on ports and pairs, against counting one by one."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.runs.spread import BINS, Spread, bins_of
from fourtuple.core.sockets.table import SOCKET, Sockets, mapped
from fourtuple.core.space.endpoints import Endpoint
from fourtuple.core.space.tuples import TupleSpace

SPACE = TupleSpace.of(["10.0.0.4-6"], range(40000, 40020), ["10.0.0.9:80-81", "10.0.0.11-12:443"])


def clients(space: TupleSpace, numbers: list[int]) -> Sockets:
    """The client's rows of these 4-tuples of the space."""
    table = np.zeros(len(numbers), SOCKET)
    for row, number in zip(table, numbers, strict=True):
        four_tuple = space[number]
        row["local"], row["local_port"] = mapped(four_tuple.source.address), four_tuple.source.port
        row["remote"], row["remote_port"] = mapped(four_tuple.destination.address), four_tuple.destination.port
    return table


@given(st.lists(st.integers(0, SPACE.size - 1), unique=True), st.integers(1, 5), st.booleans())
def test_ports_and_pairs_are_counted_as_one_by_one(numbers: list[int], tables: int, any_source: bool) -> None:
    """Whatever the sockets, and however many tables they come in."""
    spread = Spread(SPACE, any_source=any_source)
    for part in range(tables):
        spread.add(clients(SPACE, numbers[part::tables]))
    sharing = spread.sharing()
    tuples = [SPACE[number] for number in numbers]
    by_port = Counter(each.source.port for each in tuples)
    by_pair = Counter((None if any_source else str(each.source.address), str(each.destination)) for each in tuples)

    assert sharing.ports == len(by_port)
    assert sharing.carrying == Counter(by_port.values())
    assert by_port[sharing.busiest] == max(by_port.values(), default=0)
    assert {(pair.source, pair.destination): pair.used for pair in sharing.pairs if pair.used} == by_pair
    assert len(sharing.pairs) == (4 if any_source else 12)
    assert {pair.pairs for pair in sharing.pairs} == {1}
    assert sharing.usable == 20


@given(st.integers(1, 5000))
def test_bins_of_many_pairs_hold_each_pair_once(count: int) -> None:
    """Neighbours share a bin; all bins together are all pairs, and none is empty."""
    space = TupleSpace.of(["10.0.0.4"], range(40000, 40001), [f"10.0.0.9:1-{count}"])
    spread = Spread(space, any_source=False)
    spread.add(clients(space, list(range(0, space.size, 7))))
    sharing = spread.sharing()

    assert len(sharing.pairs) == bins_of(count) <= BINS
    assert sum(pair.pairs for pair in sharing.pairs) == count
    assert sum(pair.used for pair in sharing.pairs) == len(range(0, space.size, 7))
    assert max(pair.pairs for pair in sharing.pairs) - min(pair.pairs for pair in sharing.pairs) <= 1
    firsts = [Endpoint.parse(pair.destination).port for pair in sharing.pairs]
    assert firsts == [1 + sum(pair.pairs for pair in sharing.pairs[:number]) for number in range(len(firsts))]
    assert all(pair.used == len([p for p in range(0, count, 7) if first <= p + 1 < first + pair.pairs])
               for first, pair in zip(firsts, sharing.pairs, strict=True))  # fmt: skip
