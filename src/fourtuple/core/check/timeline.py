"""Connections as seen on the wire: how many were open at once, between which endpoints, and which end closed first.

A program may end before the kernel's table has been read. The packets that open and close its connections are complete:
a connection counts as open from the answer to its first SYN until its client sends a FIN, or either end sends a RST.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FIN, SYN, RST = 0x01, 0x02, 0x04  # RFC 9293, 3.1
PACKET = np.dtype(
    [("source", ">u4"), ("destination", ">u4"), ("source_port", ">u2"), ("destination_port", ">u2"), ("flags", "u1")]
)
Packets = NDArray[np.void]  # of dtype PACKET, in order: IPv4, TCP, with SYN, FIN or RST

End = tuple[int, int]  # an IPv4 address as an integer, and a port
Connection = tuple[int, int, int]  # source address, source port, index of the server


class Timeline:
    """The history of the connections to some servers. Fold the packets into it as they arrive.

    open:         the connections that are open now
    most:         the connections that were open when there were the most
    opened:       connections opened so far, by server; refused ones are not included
    refused:      connections that were answered with a RST
    closed_first: connections that the client closed with a FIN before the server did
    """

    def __init__(self, servers: Sequence[End]) -> None:
        self._numbers = {server: number for number, server in enumerate(servers)}
        self._asked: set[Connection] = set()  # a SYN was sent and is not answered yet
        self._half_closed: set[Connection] = set()  # by the server
        self._grows = False
        self._most: tuple[Connection, ...] = ()
        self.open: dict[Connection, None] = {}
        self.opened = [0] * len(servers)
        self.refused = self.closed_first = 0

    def see(self, packets: Packets) -> None:
        """Fold in the next packets. A retransmitted packet counts once."""
        for source, destination, source_port, destination_port, flags in packets.tolist():
            near, far = (source, source_port), (destination, destination_port)
            if (number := self._numbers.get(far)) is not None:
                self._from_client((*near, number), flags)
            elif (number := self._numbers.get(near)) is not None:
                self._from_server((*far, number), flags)

    @property
    def most(self) -> tuple[Connection, ...]:
        self._peak()
        return self._most

    def _from_client(self, connection: Connection, flags: int) -> None:
        if flags & SYN:
            if connection not in self.open:
                self._asked.add(connection)
        elif connection in self.open:
            self.closed_first += not flags & RST and connection not in self._half_closed
            self._close(connection)

    def _from_server(self, connection: Connection, flags: int) -> None:
        if flags & SYN:
            if connection in self._asked:
                self._asked.remove(connection)
                self._half_closed.discard(connection)
                self.open[connection] = None
                self.opened[connection[2]] += 1
                self._grows = True
        elif flags & RST:
            if connection in self._asked:
                self._asked.remove(connection)
                self.refused += 1
            elif connection in self.open:
                self._close(connection)
        elif connection in self.open:
            self._half_closed.add(connection)

    def _close(self, connection: Connection) -> None:
        self._peak()
        del self.open[connection]

    def _peak(self) -> None:
        if self._grows and len(self.open) > len(self._most):
            self._most = tuple(self.open)
        self._grows = False
