"""The far end of a fleet's connections: how many of them the kernel of a server's machine lists, by their other end."""

from collections.abc import Iterable, Sequence

import numpy as np

from fourtuple.core.sockets.ends import of_servers
from fourtuple.core.sockets.table import Sockets, State, unmapped
from fourtuple.core.space.ranges import Ranges
from fourtuple.core.space.tuples import TupleSpace
from fourtuple.kernel.netlink.sockdiag import fold_sockets

ANY = {4: "0.0.0.0", 6: "::"}  # noqa: S104  (a placeholder for the sources, which are not asked for)


def counted(destinations: Sequence[str]) -> dict[str, tuple[int, int]]:
    """The established connections at these addresses and ports of this host: (all, accepted ones) by the other address.

    destinations: ADDRESS:PORT[-PORT], of one IP version

    The kernel gives a socket its inode when accept() returns it (inet_csk_accept, v6.18).
    """
    version = 6 if destinations[0].startswith("[") else 4
    wanted = TupleSpace.of([ANY[version]], Ranges([range(1, 2)]), destinations).destinations

    def fold(tables: Iterable[Sockets]) -> dict[str, tuple[int, int]]:
        found: dict[bytes, tuple[int, int]] = {}
        for table in tables:
            ours = table[of_servers(table, wanted)]
            sources, number = np.unique(ours["remote"], return_inverse=True)
            every = np.bincount(number, minlength=len(sources))
            accepted = np.bincount(number[ours["inode"] != 0], minlength=len(sources))
            for source, one, two in zip(sources, every.tolist(), accepted.tolist(), strict=True):
                before = found.get(source.tobytes(), (0, 0))
                found[source.tobytes()] = (before[0] + one, before[1] + two)
        return {str(unmapped(source)): both for source, both in found.items()}

    return fold_sockets(fold, {State.ESTABLISHED})[0]
