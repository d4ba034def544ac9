"""Unix sockets as the kernel lists them, and which of them belong to one run: its own, and their other ends.

A socket's cookie says whether it is the run's own (SO_COOKIE). The other end of its connection names it as its peer. An
end that waits in the accept queue has no inode, and is not listed: its peer names 0 as its own peer (sk_diag_dump() in
net/unix/diag.c, v6.18). A socket whose peer has closed names 0, too; it stays in the state ESTABLISHED, shut down
(unix_release_sock() in net/unix/af_unix.c).
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.sockets.columns import is_in
from fourtuple.core.sockets.ends import Tally
from fourtuple.core.sockets.own import Numbers64, Own, cookies_of

UNIX_DIAG = "unix_diag"  # the source of a table
UNIX_SOCKET = np.dtype(
    [
        ("cookie", "V8"),
        ("inode", "u4"),
        ("peer", "u4"),  # the inode of the other end; 0: it is not accepted yet, or has closed
        ("shutdown", "u4"),  # SHUTDOWN_MASK: which directions have ended
    ]
)
UnixSockets = NDArray[np.void]  # of dtype UNIX_SOCKET, stream sockets that are connected


def identify_unix(tables: Iterable[UnixSockets], cookies: Numbers64) -> tuple[Tally, Own]:
    """Find the sockets with these cookies, and those at the other ends of their connections.

    cookies: (n,) of the run's sockets, in any order; 0 is ignored

    → how many are connected at each end, and all of them, those included that have ended
    """
    own = np.sort(cookies[cookies != 0])
    table = np.concatenate([np.zeros(0, UNIX_SOCKET), *tables])
    numbers = cookies_of(table)
    is_own = is_in(numbers, own)
    is_up = table["shutdown"] == 0
    is_other = ~is_own & (table["peer"] != 0) & np.isin(table["peer"], table["inode"][is_own])
    client, accepted = (int(np.count_nonzero(which & is_up)) for which in (is_own, is_other))
    waiting = int(np.count_nonzero(is_own & is_up & (table["peer"] == 0)))
    return Tally(client, accepted + waiting, accepted), Own(own, np.sort(numbers[is_other]))


def connected(tables: Iterable[UnixSockets]) -> Iterable[UnixSockets]:
    """The same tables without the sockets whose connection has ended."""
    return (table[table["shutdown"] == 0] for table in tables)
