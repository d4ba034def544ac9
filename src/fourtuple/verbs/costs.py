"""What the kernel reports of the cost of connections: memory of slabs, CPU time, bytes on an interface, link speeds."""

import os
from collections.abc import Mapping

from fourtuple.core.limits.load import Link
from fourtuple.core.runs.memory import SLABS
from fourtuple.kernel import children
from fourtuple.kernel.proc.interfaces import read_links, read_sent_bytes
from fourtuple.kernel.proc.meminfo import read_slab_bytes
from fourtuple.kernel.proc.slab import read_slabs, read_socket_bytes


def slab_bytes() -> int | None:
    """Memory of all slabs of the host, also those of other programs; None: not available."""
    return read_slab_bytes()


def object_bytes() -> Mapping[str, float]:
    """Bytes of each object of a connection, by slab, with its share of pages; to users other than root of the socket.

    A socket without its share of pages is what every user may read.
    """
    if slabs := read_slabs(SLABS):
        return slabs.each_bytes
    socket_bytes = read_socket_bytes()
    return {} if socket_bytes is None else {"TCP": socket_bytes}


def sent_bytes(interface: str) -> int | None:
    """Bytes that an interface of this network namespace has sent so far; None: not readable."""
    return read_sent_bytes(interface)


def links_of_machine() -> tuple[Link, ...]:
    """The network cards of the machine, as far as /sys shows them, also those of other network namespaces."""
    return read_links(ours=False)


def cpu_s() -> float:
    """CPU time so far of this process and of those that it has started and that are running, in seconds."""
    return children.cpu_s(os.getpid())
