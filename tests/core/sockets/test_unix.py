"""Which Unix sockets are a run's own, and what their other ends say: on a table made by hand."""

import numpy as np

from fourtuple.core.sockets.ends import Tally
from fourtuple.core.sockets.unix import UNIX_SOCKET, UnixSockets, connected, identify_unix

ENDED = 3  # SHUTDOWN_MASK


def a_table(*rows: tuple[int, int, int, int]) -> UnixSockets:
    """rows: cookie, inode, peer, shutdown"""
    return np.array([(cookie.to_bytes(8, "little"), *rest) for cookie, *rest in rows], UNIX_SOCKET)


TABLES = [
    a_table((1, 101, 201, 0), (11, 201, 101, 0), (2, 102, 0, 0)),  # accepted; and one that waits in the queue
    a_table((12, 203, 103, 0), (3, 103, 203, 0), (4, 104, 0, ENDED), (99, 999, 998, 0), (98, 998, 999, 0)),
    a_table((5, 105, 205, 0), (15, 205, 105, ENDED)),
]
COOKIES = np.array([5, 4, 0, 3, 2, 1], np.uint64)


def test_both_ends_of_a_run_are_counted_and_no_others() -> None:
    """In whichever table an end stands, and whichever comes first. One whose peer has closed is no longer connected."""
    tally, own = identify_unix(iter(TABLES), COOKIES)

    assert tally == Tally(client=4, server=3, accepted=2)
    assert own.client.tolist() == [1, 2, 3, 4, 5]
    assert own.server.tolist() == [11, 12, 15]
    assert own.count(TABLES) == Tally(client=5, server=3, accepted=3)
    assert own.count(connected(TABLES)).client == 4


def test_a_run_without_sockets_has_none() -> None:
    """A socket without a peer belongs to nobody's connection."""
    for tables in ([], TABLES):
        tally, own = identify_unix(iter(tables), np.zeros(3, np.uint64))

        assert tally == Tally(0, 0, 0)
        assert not len(own.client)
        assert not len(own.server)
