"""Connections by (source address, destination): what runs out is counted per such pair, and this is who uses it up."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from fourtuple.core.census import SOCKET, Sockets, State, unmapped
from fourtuple.core.endpoints import Endpoint

_KEY = np.dtype([("source", "V16"), ("destination", "V16"), ("port", "u2")])


@dataclass(frozen=True, slots=True)
class Pair:
    """The client's ends of the connections from one address to one destination.

    inodes: of some of them, to find who has them
    """

    source: str
    destination: str
    established: int
    time_wait: int
    close_wait: int
    other: int
    inodes: tuple[int, ...]

    @property
    def used(self) -> int:
        return self.established + self.time_wait + self.close_wait + self.other


SAMPLE = 32  # inodes of a pair


def busiest_pairs(tables: Iterable[Sockets], most: int) -> tuple[Pair, ...]:
    """The pairs with the most connections, the busiest first; a local port with a listener is a server's, not counted.

    tables: the sockets of a namespace in every state
    """
    listening = np.zeros(65536, bool)
    parts = [np.zeros(0, SOCKET)]
    for table in tables:
        listening[table["local_port"][table["state"] == State.LISTEN]] = True
        connected = ~np.isin(table["state"], (State.LISTEN, State.CLOSE, State.NEW_SYN_RECV, State.SYN_RECV))
        parts.append(table[connected])
    rows = np.concatenate(parts)
    rows = rows[~listening[rows["local_port"]]]
    keys = np.empty(len(rows), _KEY)
    keys["source"], keys["destination"], keys["port"] = rows["local"], rows["remote"], rows["remote_port"]
    _, first, group, counts = np.unique(keys.view("V34"), return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:most]
    return tuple(_pair(rows[first[number]], rows[group == number]) for number in order.tolist())


def _pair(first: np.void, rows: Sockets) -> Pair:
    states = np.bincount(rows["state"], minlength=16)
    known = (State.ESTABLISHED, State.TIME_WAIT, State.CLOSE_WAIT)
    return Pair(
        source=str(unmapped(first["local"].tobytes())),
        destination=str(Endpoint(unmapped(first["remote"].tobytes()), int(first["remote_port"]))),
        established=int(states[State.ESTABLISHED]),
        time_wait=int(states[State.TIME_WAIT]),
        close_wait=int(states[State.CLOSE_WAIT]),
        other=int(len(rows) - sum(states[state] for state in known)),
        inodes=tuple(rows["inode"][rows["inode"] != 0][:SAMPLE].tolist()),
    )
