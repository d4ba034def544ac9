"""Who chose a connected socket's port, connect() or bind(): what the rows of the socket table show about it."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.backports import Self
from fourtuple.core.limits.facts import ALL_PORTS
from fourtuple.core.limits.releases import BOUND_ARE_LISTED
from fourtuple.core.record import dataclass
from fourtuple.core.sockets.columns import Mask, port_mask
from fourtuple.core.sockets.table import Chosen, Sockets, State
from fourtuple.core.units import format_things

# Why it may be unknown whether connect() can choose a port.
NOT_ATTRIBUTED = "the kernel does not report whether connect() or bind() chose the port of a connected socket"
NOT_RELEASED = (
    "this kernel may keep a port blocked after the socket that bind() gave it to has closed, as long as another socket"
    " uses the port, and it does not report such ports"
)


def not_listed(hidden: int) -> str:
    """Why it may be unknown, if at most so many sockets are missing from the listing."""
    sockets = format_things(hidden, "socket")
    several = "an unknown number of sockets" if hidden >= ALL_PORTS else f"at most {sockets}"
    return f"{several} may hold a port each: sock_diag lists sockets that are only bound since {BOUND_ARE_LISTED.linux}"


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
