"""Tables of sockets for tests: any, as Hypothesis draws them, of few addresses and ports so that they meet."""

import ipaddress
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from fourtuple.core.snapshot.fold import Pids
from fourtuple.core.sockets.table import LISTENER, SOCKET, Chosen, Sockets, State, mapped

ADDRESSES = ("10.0.0.1", "10.0.0.2", "127.0.0.1", "fd00::1")
PORTS = (80, 443, *range(40_000, 40_006))
STATES = [state for state in State if state not in (State.LISTEN, State.BOUND_INACTIVE)]


def packed(address: str) -> bytes:
    return mapped(ipaddress.ip_address(address))


@st.composite
def sockets(draw: st.DrawFn) -> tuple[Sockets, Pids]:
    """(a table without listening sockets in which no 4-tuple comes twice, the process of each)."""
    end = st.tuples(st.sampled_from(ADDRESSES), st.sampled_from(PORTS))
    ends = draw(st.lists(st.tuples(end, end), max_size=40, unique=True))
    table: Sockets = np.zeros(len(ends), SOCKET)
    pids: NDArray[np.int32] = np.zeros(len(ends), np.int32)
    for number, ((local, port), (remote, remote_port)) in enumerate(ends):
        state = draw(st.sampled_from(STATES))
        row: Any = table[number]
        row["state"], row["local"], row["local_port"] = state, packed(local), port
        if state is not State.CLOSE:
            row["remote"], row["remote_port"] = packed(remote), remote_port
        row["chosen"] = draw(st.sampled_from([Chosen.UNKNOWN, Chosen.UNKNOWN, Chosen.LATE, Chosen.BOUND]))
        row["uid"] = draw(st.sampled_from([0, 1000]))
        row["family"] = 2 if "." in local and "." in remote else 10
        if state is State.CLOSE:
            row["chosen"] = Chosen.BOUND
        if state in (State.TIME_WAIT, State.FIN_WAIT2):
            row["timer"] = 3
            row["expires_ms"] = draw(st.integers(0, 60_000))
        else:
            pids[number] = draw(st.sampled_from([0, -1, 7, 8]))
            row["inode"] = 0 if not pids[number] else 5000 + pids[number]
            row["recv_q"] = draw(st.integers(0, 3))
    return table, pids


@st.composite
def listeners(draw: st.DrawFn) -> tuple[Sockets, Pids]:
    """(a table of listening sockets, the process of each)."""
    local = st.sampled_from([*ADDRESSES, "0.0.0.0", "::"])
    ends = draw(st.lists(st.tuples(local, st.sampled_from([80, 443, 40_003])), max_size=4, unique=True))
    table: Sockets = np.zeros(len(ends), LISTENER)
    pids = np.array([draw(st.sampled_from([-1, 7])) for _ in ends], np.int32)
    for number, (address, port) in enumerate(ends):
        row: Any = table[number]
        row["state"], row["local"], row["local_port"] = State.LISTEN, packed(address), port
        row["recv_q"], row["send_q"], row["inode"] = draw(st.integers(0, 5)), 4, 100 + number
    return table, pids
