"""TIME_WAIT: how long it keeps a 4-tuple, and when connect() can reuse one that is still in it.

Source: tcp_twsk_unique() in net/ipv4/tcp_ipv4.c (6.18).
"""

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.sockets.table import MAPPED, Sockets, State

TIME_WAIT_MS = 60_000  # TCP_TIMEWAIT_LEN, include/net/tcp.h
TIME_WAIT_S = TIME_WAIT_MS / 1000


def permits_reuse(facts: PortFacts, *, loopback: bool) -> bool:
    """Whether connect() may reuse a 4-tuple in TIME_WAIT after facts.tw_reuse_delay_ms (tcp_twsk_unique()).

    loopback: the connection has an address of 127.0.0.0/8 or ::1, which is all that net.ipv4.tcp_tw_reuse = 2 permits
    """
    return facts.timestamps and (facts.tw_reuse == 1 or (facts.tw_reuse == 2 and loopback))


def kept_ms(facts: PortFacts, *, loopback: bool) -> int:
    """How long a connection in TIME_WAIT keeps its 4-tuple from connect(), in ms."""
    return facts.tw_reuse_delay_ms if permits_reuse(facts, loopback=loopback) else TIME_WAIT_MS


def is_reusable(rows: Sockets, facts: PortFacts) -> NDArray[np.bool_]:
    """Mask of the rows in TIME_WAIT whose 4-tuple connect() can reuse."""
    waits: NDArray[np.bool_] = rows["state"] == State.TIME_WAIT
    if not (permits_reuse(facts, loopback=True) and waits.any()):
        return np.zeros(len(rows), bool)
    waits &= TIME_WAIT_MS - rows["expires_ms"].astype(np.int64) >= facts.tw_reuse_delay_ms
    if not permits_reuse(facts, loopback=False):
        waits[waits] = _is_loopback(rows["local"][waits]) | _is_loopback(rows["remote"][waits])
    return waits


def _is_loopback(addresses: NDArray[np.void]) -> NDArray[np.bool_]:
    """Mask of the addresses in 127.0.0.0/8, and of ::1."""
    octets = np.ascontiguousarray(addresses).view(np.uint8).reshape(-1, 16)
    loopback: NDArray[np.bool_] = (octets[:, :13] == np.frombuffer(MAPPED + b"\x7f", np.uint8)).all(axis=1)
    loopback |= addresses == np.void(bytes(15) + b"\x01")
    return loopback
