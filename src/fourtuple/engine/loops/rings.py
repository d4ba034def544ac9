"""Which ring holds which slot of a ring loop: rings are created when they are needed, and waited for together.

Each slot is a direct descriptor of one ring. Listeners are waited for by the same epoll as the rings.
"""

import errno
import select
import socket
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.limits.cost import FILES_RESERVED
from fourtuple.core.sockets.columns import distinct
from fourtuple.engine.loops.entries import Local
from fourtuple.engine.loops.room import Layout
from fourtuple.kernel import process
from fourtuple.kernel.uring import Cqes, Features, Ring, Sqes, new_ring

RETURNED_S = 2.0  # how long to wait for the memory of rings that were closed before


class Rings:
    """The rings of a loop.

    used: by ring, how many of its slots hold accepted connections or are reserved for them
    """

    def __init__(self, capacity: int | None, can: Features) -> None:
        """Plan the rings; none is created yet.

        capacity: number of slots; None: as many as the limit of open files permits, which bounds the slots of a ring
                  and the number of rings
        """
        layout = Layout.of(process.read_files(), FILES_RESERVED // 2)
        self._can = can
        self._each, self._entries = layout.slots, layout.entries
        self.capacity = layout.capacity if capacity is None else min(capacity, layout.most * layout.slots)
        self._refused = False  # the kernel had no memory for the last ring, even after RETURNED_S
        self.used: list[int] = []
        self._rings: list[Ring] = []
        self._epoll = select.epoll()
        self._ring_of: dict[int, int] = {}  # by event descriptor
        self._touched: set[int] = set()  # rings that may have completions not taken yet

    def __getitem__(self, ring: int) -> Ring:
        return self._rings[ring]

    def first(self, ring: int) -> int:
        """The number of a ring's first slot."""
        return ring * self._each

    def slots_of(self, ring: int) -> int:
        """How many slots a ring has; 0 if there is no such ring."""
        return max(0, min(self._each, self.capacity - ring * self._each))

    def with_room(self) -> int:
        """The first ring with slots that no accepted connection uses; it may not be created yet."""
        return next((ring for ring, used in enumerate(self.used) if used < self.slots_of(ring)), len(self.used))

    def need(self, ring: int) -> int:
        """Create the rings up to this one → 0, or the errno with which the kernel refused."""
        while len(self._rings) <= ring:
            slots = self.slots_of(len(self._rings))
            try:
                until_s = time.monotonic() + (0 if self._refused else RETURNED_S)
                made = new_ring(slots, self._entries, no_sqarray=self._can.no_sqarray, until_s=until_s)
                self._refused = False
            except OSError as error:
                self._refused = error.errno == errno.ENOMEM
                return error.errno or errno.EIO
            self._ring_of[made.event_fd] = len(self._rings)
            self._rings.append(made)
            self.used.append(0)
            self._epoll.register(made.event_fd, select.EPOLLIN | select.EPOLLET)  # edges: it is never read
        return 0

    def place(self, slot: int) -> tuple[int, int]:
        """The ring of a slot, and the slot's number within that ring."""
        return divmod(slot, self._each)

    def by_ring(self, slots: NDArray[Any]) -> Iterator[tuple[int, NDArray[np.bool_] | None, Local]]:
        """Group slots by ring: (ring, mask of its slots or None for all, their numbers within its table)."""
        if not len(slots):
            return
        rings, local = np.divmod(slots.astype(np.int64), self._each)
        if rings[0] == rings[-1] and (rings == rings[0]).all():
            yield int(rings[0]), None, local
            return
        for ring in distinct(rings).tolist():
            rows = rings == ring
            yield ring, rows, local[rows]

    def submit(self, ring: int, entries: Sqes) -> None:
        """Submit entries to a ring; entries: shape (entries,), or (chains, entries of a chain)."""
        self._rings[ring].submit(entries, entries.shape[1] if entries.ndim > 1 else 1)
        self._touched.add(ring)

    def wait_for(self, listeners: Sequence[socket.socket], *, armed: bool) -> None:
        """Start or stop waiting for connections on these listeners."""
        for listener in listeners:
            if armed:
                # Several processes may poll the same listener; this avoids waking all of them (epoll_ctl(2)).
                self._epoll.register(listener, select.EPOLLIN | select.EPOLLEXCLUSIVE)
            else:
                self._epoll.unregister(listener)

    def wait(self, timeout_s: float) -> list[int]:
        """Wait until a ring has completions or a listener has connections → the descriptors of those listeners."""
        ready = []
        for descriptor, _ in self._epoll.poll(timeout_s):
            ring = self._ring_of.get(descriptor)
            if ring is None:
                ready.append(descriptor)
            else:
                self._touched.add(ring)
        return ready

    def touch(self, ring: int) -> None:
        """Note that a ring may have completions."""
        self._touched.add(ring)

    def take(self) -> Iterator[tuple[int, Cqes]]:
        """The completions of all rings that may have some, also of rings touched during the call: (ring, dtype CQE)."""
        while self._touched:
            ring = self._touched.pop()
            done = self._rings[ring].take()
            if len(done):
                yield ring, done

    def close(self) -> None:
        """Close all rings, and what waits for them."""
        self._epoll.close()
        for ring in self._rings:
            ring.close()
        self._rings.clear()
