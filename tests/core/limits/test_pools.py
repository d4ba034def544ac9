"""What hidden sockets can take from pools of ports: only what is not taken anyway."""

import numpy as np
import pytest

from fourtuple.core.limits.pools import Counted, Hidden, OwnedPorts, PerPool


@pytest.mark.parametrize(("most", "lefts"), [(0, [6, 4, 3]), (1, [5, 3, 3]), (2, [4, 3, 3]), (9, [3, 3, 3])])
def test_a_hidden_socket_cannot_take_a_port_that_is_taken_anyway(most: int, lefts: list[int]) -> None:
    """Of ports 1 to 6 hidden sockets may have 1 to 3; the owners of the pools have none, two, and three of them."""
    sure, places = np.zeros((2, 65536), bool)
    sure[1:7] = places[1:4] = True
    rows = OwnedPorts(np.array([1, 1, 2, 2, 2]), np.array([1, 2, 1, 2, 3], np.uint16))
    pools = PerPool(6, ((1, rows.counted(sure)),), Hidden(min(most, 3), 3, rows.counted(places)))

    assert [pools.of(pool) for pool in range(3)] == lefts
    assert pools.total(3) == sum(lefts)


def test_pools_of_one_owner_lack_the_same() -> None:
    """Two pools have an owner that has both places, so nothing is left to hide in; the two others may lack one port."""
    pools = PerPool(5, ((2, Counted({1: 2})),), Hidden(1, 2, Counted({1: 2})))

    assert [pools.of(pool) for pool in range(4)] == [4, 4, 3, 3]
    assert pools.total(4) == 14
