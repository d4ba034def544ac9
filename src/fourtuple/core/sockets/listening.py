"""Which sockets were accepted by a listener: those whose local end is one that listens."""

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.backports import Self
from fourtuple.core.record import dataclass
from fourtuple.core.sockets.columns import is_ipv4, is_wildcard
from fourtuple.core.sockets.numbering import Column, Numbering
from fourtuple.core.sockets.table import Sockets, State

# What listens on a port: on ::, for IPv6; on 0.0.0.0 or ::, for IPv4; on specific addresses
_FOR_IPV6, _FOR_IPV4, _SOMEWHERE = 1, 2, 4
_OPENING = np.zeros(256, bool)
_OPENING[[State.SYN_RECV, State.NEW_SYN_RECV]] = True


@dataclass(frozen=True, slots=True)
class Listening:
    """The ends that listen.

    kinds: (65536,), what listens on each port: _FOR_IPV6, _FOR_IPV4, _SOMEWHERE; :: counts for both versions, unless
           IPV6_V6ONLY is set
    ends:  the listeners on specific addresses, as port and address
    """

    kinds: NDArray[np.uint8]
    ends: Numbering

    @classmethod
    def of(cls, listeners: Sockets) -> Self:
        """listeners: of dtype LISTENER. Raises HashCollisionError."""
        kinds, ends = np.zeros(65536, np.uint8), Numbering(3)
        wild, ports = is_wildcard(listeners["local"]), listeners["local_port"]
        kinds[ports[wild]] = _FOR_IPV4
        kinds[ports[wild & ~is_ipv4(listeners["local"])]] |= _FOR_IPV6
        kinds[ports[~wild]] |= _SOMEWHERE
        ends.add(_ends(listeners[~wild]))
        return cls(kinds, ends)

    def have(self, table: Sockets) -> NDArray[np.bool_]:
        """(table,): which connected sockets belong to a listener.

        A socket in SYN_RECV or NEW_SYN_RECV always does, even if its listener has closed.
        """
        return _OPENING.take(table["state"]) | self.are_at(table)

    def are_at(self, table: Sockets) -> NDArray[np.bool_]:
        """(table,): which sockets have the local end of a listener that is there."""
        kinds = self.kinds.take(table["local_port"].astype(np.intp))
        served = kinds != 0
        if served.all():
            return self._serve(table, kinds)
        found = np.zeros(len(table), bool)
        if served.any():
            found[served] = self._serve(table[served], kinds[served])
        return found

    def _serve(self, table: Sockets, kinds: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """The same for sockets on the ports of listeners. kinds: (table,), of each socket's port"""
        found = np.zeros(len(table), bool)
        if (kinds & (_FOR_IPV6 | _FOR_IPV4)).any():
            found = kinds & np.where(is_ipv4(table["local"]), _FOR_IPV4, _FOR_IPV6).astype(np.uint8) != 0
        if (kinds & _SOMEWHERE).any():
            found |= self.ends.find(_ends(table)) != 0
        return found


def _ends(table: Sockets) -> tuple[Column, ...]:
    """The local end of each row as words: the port, and the address in two."""
    words = table["local"][:, None].view(np.uint64)
    return table["local_port"].astype(np.uint64), words[:, 0], words[:, 1]
