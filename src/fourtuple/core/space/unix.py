"""Unix sockets to connect to: names in place of 4-tuples, so that no port and no address limits their connections.

The connections to a Unix socket have nothing that tells them apart. Files, memory and the accept queue of the listener
limit them.
"""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.record import dataclass
from fourtuple.core.space.endpoints import sun_path

AF_UNIX = 1  # include/linux/socket.h
SOCKADDR_BYTES = 110  # struct sockaddr_un: the family in 2, and sun_path


@dataclass(frozen=True, slots=True)
class UnixBlock:
    """Unix sockets to connect to, one per row.

    rows:  (n, SOCKADDR_BYTES) uint8, each a struct sockaddr_un
    sizes: (n,) bytes of each that count
    """

    rows: NDArray[np.uint8]
    sizes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def names(self) -> list[bytes]:
        """The name of each, as Python's `socket` takes it."""
        return [row[2:size].tobytes().rstrip(b"\0") for row, size in zip(self.rows, self.sizes, strict=True)]

    def where(self, mask: NDArray[np.bool_]) -> "UnixBlock":
        """The rows for which `mask` is true."""
        return UnixBlock(self.rows[mask], self.sizes[mask])


@dataclass(frozen=True)
class UnixSpace:
    """The connections to these Unix sockets, which take turns; it stands where a run over TCP has its TupleSpace.

    names: paths, or `@NAME` for an abstract one
    """

    names: tuple[str, ...]

    size = 2**40  # connections that are possible, in place of a number of 4-tuples: other limits come long before

    @property
    def pairs(self) -> int:
        """How many different ways there are to connect: each socket is one."""
        return len(self.names)

    def pair_block(self, pairs: NDArray[np.int64]) -> UnixBlock:
        """Connections to the sockets with these numbers."""
        rows, sizes = self._addresses
        return UnixBlock(rows[pairs], sizes[pairs])

    @cached_property
    def _addresses(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The address of each socket, and its size: a path counts with the zero byte behind it."""
        rows, sizes = np.zeros((len(self.names), SOCKADDR_BYTES), np.uint8), np.zeros(len(self.names), np.int64)
        rows[:, :2] = np.frombuffer(np.uint16(AF_UNIX).tobytes(), np.uint8)
        for number, name in enumerate(self.names):
            path = sun_path(name)
            rows[number, 2 : 2 + len(path)] = np.frombuffer(path, np.uint8)
            sizes[number] = 2 + len(path) + (not name.startswith("@"))
        return rows, sizes
