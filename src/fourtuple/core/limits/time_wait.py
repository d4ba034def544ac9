"""TIME_WAIT: how long it keeps a 4-tuple, and when connect() can reuse one that is still in it.

Source: tcp_twsk_unique() in net/ipv4/tcp_ipv4.c (6.18).
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.sockets.table import MAPPED, Sockets, State
from fourtuple.core.units import format_count, format_duration

TIME_WAIT_MS = 60_000  # TCP_TIMEWAIT_LEN, include/net/tcp.h
TIME_WAIT_S = TIME_WAIT_MS / 1000
TOO_YOUNG = (
    "this kernel may reuse a 4-tuple that has been in TIME_WAIT for less than 1 s, or that a closed socket keeps in"
    " FIN_WAIT2, and it does not report when"
)
TIME_WAIT_TIMER = 3  # idiag_timer of a socket in TIME_WAIT, or closed and in FIN_WAIT2 (net/ipv4/inet_diag.c)


def waiting_text(count: int, kept_ms: int) -> str:
    """What becomes of so many 4-tuples in TIME_WAIT, as a sentence. kept_ms: how long each is kept"""
    are, they = ("is", "it becomes") if count == 1 else ("are", "they become")
    within = format_duration(kept_ms / 1000)
    return f"{format_count(count)} of the 4-tuples in use {are} in TIME_WAIT; {they} free within {within}"


class Reuse(IntEnum):
    """Whether connect() can reuse the 4-tuple of a socket."""

    NO = 0
    PERHAPS = 1  # this kernel does not let us know
    YES = 2


def permits_reuse(facts: PortFacts, *, loopback: bool) -> bool:
    """Whether connect() may reuse a 4-tuple in TIME_WAIT after facts.tw_reuse_delay_ms (tcp_twsk_unique()).

    loopback: the connection has an address of 127.0.0.0/8 or ::1, which is all that net.ipv4.tcp_tw_reuse = 2 permits
    """
    return facts.timestamps and (facts.tw_reuse == 1 or (facts.tw_reuse == 2 and loopback))


def kept_ms(facts: PortFacts, *, loopback: bool) -> int:
    """How long a connection in TIME_WAIT keeps its 4-tuple from connect(), in ms."""
    return facts.tw_reuse_delay_ms if permits_reuse(facts, loopback=loopback) else TIME_WAIT_MS


def reuse_of(rows: Sockets, facts: PortFacts) -> NDArray[np.uint8]:
    """(rows,): for each socket a Reuse.

    Before Linux 6.14 the kernel compares whole seconds: it may reuse a 4-tuple that is younger than the delay. Before
    Linux 6.12 it may do the same with a closed socket in FIN_WAIT2, whose age a listing does not tell.
    """
    reuse = np.full(len(rows), Reuse.NO, np.uint8)
    waits = rows["state"] == State.TIME_WAIT
    orphans = (rows["state"] == State.FIN_WAIT2) & (rows["timer"] == TIME_WAIT_TIMER) & facts.fin_wait2_reused
    if not (permits_reuse(facts, loopback=True) and (waits | orphans).any()):
        return reuse
    old = TIME_WAIT_MS - rows["expires_ms"].astype(np.int64) >= facts.tw_reuse_delay_ms
    reuse[waits if not facts.tw_reuse_in_ms else waits & old] = Reuse.PERHAPS
    reuse[orphans] = Reuse.PERHAPS
    reuse[waits & old] = Reuse.YES
    if not permits_reuse(facts, loopback=False):
        (places,) = np.nonzero(reuse)
        loopback = _is_loopback(rows["local"][places]) | _is_loopback(rows["remote"][places])
        reuse[places[~loopback]] = Reuse.NO
    return reuse


def _is_loopback(addresses: NDArray[np.void]) -> NDArray[np.bool_]:
    """Mask of the addresses in 127.0.0.0/8, and of ::1."""
    octets = np.ascontiguousarray(addresses).view(np.uint8).reshape(-1, 16)
    loopback: NDArray[np.bool_] = (octets[:, :13] == np.frombuffer(MAPPED + b"\x7f", np.uint8)).all(axis=1)
    loopback |= addresses == np.void(bytes(15) + b"\x01")
    return loopback
