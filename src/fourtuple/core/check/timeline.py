"""What a wire saw of connections, in order: how many there were at once, between whom, and who closed first.

A program may be over before anybody has looked at the kernel's table. The packets that open and close its connections
are all there: from the answer to its first SYN until its client has sent a FIN, or either end a RST, a connection is
its client's.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FIN, SYN, RST = 0x01, 0x02, 0x04  # RFC 9293, 3.1
PACKET = np.dtype(
    [("source", ">u4"), ("destination", ">u4"), ("source_port", ">u2"), ("destination_port", ">u2"), ("flags", "u1")]
)
Packets = NDArray[np.void]  # of dtype PACKET, in order: IPv4, TCP, with SYN, FIN or RST

End = tuple[int, int]  # an IPv4 address, as an integer, and a port
Connection = tuple[int, int, int]  # source address and port, and which of the servers


class Timeline:
    """Of the connections to some servers: fold the packets into it as they come.

    open:         those that there are
    most:         when there were most, those
    opened:       how many there were so far, for each server; without those that met a RST instead of an answer
    refused:      how many did
    closed_first: those that their client has closed before the server did, not by a RST
    """

    def __init__(self, servers: Sequence[End]) -> None:
        self._numbers = {server: number for number, server in enumerate(servers)}
        self._asked: set[Connection] = set()  # a SYN was sent, and not answered yet
        self._half_closed: set[Connection] = set()  # by the server
        self._grows = False
        self._most: tuple[Connection, ...] = ()
        self.open: dict[Connection, None] = {}
        self.opened = [0] * len(servers)
        self.refused = self.closed_first = 0

    def see(self, packets: Packets) -> None:
        """The next ones. One that comes twice, sent again, counts once."""
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
