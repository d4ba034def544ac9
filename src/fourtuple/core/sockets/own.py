"""Which sockets of the kernel's table belong to one run: those with the cookies of its sockets, and their other ends.

The kernel gives a socket a cookie that no other socket of the host ever has (net/core/sock_diag.c, v6.18), so nothing
else in the same tuple space is counted: neither another run, nor what existed before.
"""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.record import dataclass
from fourtuple.core.sockets.columns import is_in, mixed, words_of
from fourtuple.core.sockets.ends import Tally, of_servers
from fourtuple.core.sockets.table import Sockets
from fourtuple.core.space.tuples import Destinations

Numbers64 = NDArray[np.uint64]
_NONE: Numbers64 = np.zeros(0, np.uint64)


@dataclass(frozen=True)
class Own:
    """The sockets of a run at both ends, as they were when they were identified.

    client, server: (n,) sorted cookies; server: of the other ends that are in the same network namespace
    """

    client: Numbers64
    server: Numbers64

    def count(self, tables: Iterable[Sockets]) -> Tally:
        """Count the rows of these sockets."""
        client = server = accepted = 0
        for table in tables:
            cookies = cookies_of(table)
            client += int(np.count_nonzero(is_in(cookies, self.client)))
            servers = table[is_in(cookies, self.server)]
            server, accepted = server + len(servers), accepted + int(np.count_nonzero(servers["inode"]))
        return Tally(client, server, accepted)


def identify(
    tables: Iterable[Sockets],
    cookies: Numbers64,
    destinations: Destinations,
    each: Callable[[Sockets], None] = lambda clients: None,
) -> tuple[Tally, Own]:
    """Find the sockets with these cookies, and those at the other ends of their connections, by their 4-tuples.

    cookies:      (n,) of the run's sockets, in any order; 0 is ignored
    destinations: the local ends of the other sockets
    each:         called with the rows of the run's own sockets in each table
    """
    own = np.sort(cookies[cookies != 0])
    keys, servers = [_NONE], [np.zeros(0, _SERVER)]
    for table in tables:
        here = cookies_of(table)
        is_own = is_in(here, own)
        each(table[is_own])
        keys.append(_keys(table[is_own], "local", "remote"))
        is_other = ~is_own & of_servers(table, destinations)
        others = np.empty(int(np.count_nonzero(is_other)), _SERVER)
        others["cookie"], others["inode"] = here[is_other], table["inode"][is_other]
        others["key"] = _keys(table[is_other], "remote", "local")
        servers.append(others)
    client = np.sort(np.concatenate(keys))
    others = np.concatenate(servers)
    mirrored = others[is_in(others["key"], client)]
    tally = Tally(len(client), len(mirrored), int(np.count_nonzero(mirrored["inode"])))
    return tally, Own(own, np.sort(mirrored["cookie"]))


_SERVER = np.dtype([("key", "u8"), ("cookie", "u8"), ("inode", "u4")])


def cookies_of(table: Sockets) -> Numbers64:
    """(n,): the cookie of each row; the kernel lists its two halves, the less significant one first."""
    halves = np.ascontiguousarray(table["cookie"]).view("u4").reshape(-1, 2).astype(np.uint64)
    cookies: Numbers64 = halves[:, 0] | halves[:, 1] << np.uint64(32)
    return cookies


def _keys(table: Sockets, source: str, destination: str) -> Numbers64:
    """(n,): a 64-bit hash of each 4-tuple. Among a million connections, two are mistaken once in 30 million counts."""
    ports = table[f"{source}_port"].astype(np.uint64) << np.uint64(16) | table[f"{destination}_port"]
    return mixed((*words_of(table[source]).T, *words_of(table[destination]).T, ports))
