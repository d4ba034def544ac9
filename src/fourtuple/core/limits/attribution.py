"""What a socket's row shows about its port: did connect() choose it, and can another connect() reuse it?"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.sockets.columns import Mask, port_mask
from fourtuple.core.sockets.table import MAPPED, Chosen, Sockets, State

TIME_WAIT_MS = 60_000  # TCP_TIMEWAIT_LEN, include/net/tcp.h
TIME_WAIT_S = TIME_WAIT_MS / 1000


@dataclass(frozen=True, slots=True)
class Connected:
    """Sockets that are not known to have bound their port, by what shows whether connect() chose it."""

    ends: NDArray[Any]  # of dtype _END: local address and port
    known: NDArray[np.bool_]  # connect() chose the port
    alive: NDArray[np.bool_]  # the socket is not in TIME_WAIT

    @classmethod
    def of(cls, rows: Sockets) -> Self:
        ends = np.empty(len(rows), _END)
        ends["address"], ends["port"] = rows["local"], rows["local_port"]
        return cls(ends, rows["chosen"] == Chosen.LATE, rows["state"] != State.TIME_WAIT)

    @staticmethod
    def unattributed_ports(parts: "Iterable[Connected]") -> Mask:
        """Mask of the ports for which the kernel does not report whether connect() chose them.

        Two sockets with the same address and port got it by connect(), because bind(address, 0) gives each port only
        once. Accepted sockets whose listener is closed are an exception, but are treated as if connect() had chosen.
        """
        parts = list(parts)
        ends = np.concatenate([np.zeros(0, _END), *(part.ends for part in parts)])
        known = np.concatenate([np.zeros(0, bool), *(part.known for part in parts)])
        alive = np.concatenate([np.zeros(0, bool), *(part.alive for part in parts)])
        if known.all():
            return np.zeros(65536, bool)
        _, group, size = np.unique(ends.view("V18"), return_inverse=True, return_counts=True)
        is_alive = np.bincount(group, alive, len(size)) > 0
        shared = (size > 1) & is_alive
        return port_mask(ends["port"][~known & ~shared[group]])


_END = np.dtype([("address", "V16"), ("port", "u2")])


def is_reusable(rows: Sockets, facts: PortFacts) -> NDArray[np.bool_]:
    """Mask of the rows in TIME_WAIT whose 4-tuple connect() can reuse (tcp_twsk_unique, net/ipv4/tcp_ipv4.c)."""
    waits: NDArray[np.bool_] = rows["state"] == State.TIME_WAIT
    if not (facts.tw_reuse and facts.timestamps and waits.any()):
        return np.zeros(len(rows), bool)
    waits &= TIME_WAIT_MS - rows["expires_ms"].astype(np.int64) >= facts.tw_reuse_delay_ms
    if facts.tw_reuse == 2:
        waits[waits] = _is_loopback(rows["local"][waits]) | _is_loopback(rows["remote"][waits])
    return waits


def _is_loopback(addresses: NDArray[np.void]) -> NDArray[np.bool_]:
    """Mask of the addresses in 127.0.0.0/8, and of ::1."""
    octets = np.ascontiguousarray(addresses).view(np.uint8).reshape(-1, 16)
    loopback: NDArray[np.bool_] = (octets[:, :13] == np.frombuffer(MAPPED + b"\x7f", np.uint8)).all(axis=1)
    loopback |= addresses == np.void(bytes(15) + b"\x01")
    return loopback
