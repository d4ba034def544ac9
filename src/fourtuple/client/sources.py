"""Source addresses, and which of them has the most free ports towards a destination."""

import heapq
import math
import os
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

from fourtuple.core.errors import FourtupleError, UsageError
from fourtuple.core.space.endpoints import Address, EndpointSpec, parse_address, parse_addresses, unpack_address

if TYPE_CHECKING:
    from fourtuple.core.census.usage import Pairs

MOST_SOURCES = 4096
LOOK_EVERY_S = 1.0
LOOK_AGAIN_S = 0.1  # if all sources were full
TRIED_ANYWAY = 8  # full sources that are tried all the same
SHARE = 20  # at most 1 / SHARE of the time is used for reading the kernel's table
FULL = 2**32  # more ports than a source can have in use

Key = tuple[int, str, int]  # IP version, address, port: a destination


class Sources:
    """`Sources("10.0.0.4", "10.0.0.8-15", "fd00::4")`: the source addresses of connections.

    For each destination, the address with the fewest ports in use comes first. The kernel's table gives the ports in
    use; it is read on demand, at most once per second and for at most a twentieth of the time. Between two reads,
    connections opened through this object are counted. With a single address nothing is read.

    Use one object for a whole program, including its threads, event loops and forked children; a pickled copy is a
    separate object. IPv4 and IPv6 may be mixed: a destination uses the addresses of its own version.

    Raises UsageError for an invalid address and for more than 4,096 addresses; TypeError for other types.
    """

    def __init__(self, *addresses: str | Address) -> None:
        if not addresses:
            raise UsageError("Sources() needs an address", do='For example, Sources("10.0.0.4").')
        self._addresses: dict[int, list[str]] = {4: [], 6: []}
        self._names: dict[int, list[str]] = {4: [], 6: []}
        if wrong := [each for each in addresses if not isinstance(each, str | Address)]:
            raise TypeError(f"an address is text, not {wrong[0]!r}: pass several as separate arguments")
        self.names = tuple(map(str, addresses))
        for text in self.names:
            spec = EndpointSpec.parse(text)
            if spec.ports is not None:
                raise UsageError(f"the source {text}", "must have no port, because the kernel chooses it")
            version, values = parse_addresses(spec.host)
            if values.stop - values.start + sum(map(len, self._addresses.values())) > MOST_SOURCES:
                raise UsageError(f"too many sources: {text}", f"at most {MOST_SOURCES:,} addresses are possible")
            self._names[version].append(spec.host)
            size = 4 if version == 4 else 16
            self._addresses[version] += [str(unpack_address(value.to_bytes(size, "big"))) for value in values]
        for version, found in self._addresses.items():
            self._addresses[version] = list(dict.fromkeys(found))
        self._pairs: Pairs | None = None  # as of the last look
        self._heaps: dict[Key, list[tuple[int, int]]] = {}  # (ports in use, number of the source) for a destination
        self._looked_s, self._took_s = -math.inf, 0.0
        self._lock = threading.Lock()
        _everywhere.add(self)

    def __str__(self) -> str:
        return ", ".join(self.names)

    def of_version(self, version: int) -> tuple[str, ...]:
        """The addresses of IPv4 (4) or IPv6 (6), as given."""
        return tuple(self._names[version])

    def __reduce__(self) -> "tuple[type[Sources], tuple[str, ...]]":
        return type(self), self.names

    def towards(self, version: int, host: str, port: int, *, wait: bool = True) -> Iterator[str]:
        """The sources to try, the one with the most free ports first; taking the next one means that the last was full.

        A full source is left out until the next look. If all are full, the next look is soon and a few are tried.

        wait: if a look is due, look now; otherwise a thread does, and the last numbers are used until then
        """
        addresses = self._addresses[version]
        if len(addresses) < 2:
            yield from addresses
            return
        key = (version, host, port)
        self._look_if_due(LOOK_EVERY_S, wait=wait)
        if self._least(key) >= FULL:
            self._look_if_due(LOOK_AGAIN_S, wait=wait)
        tried: set[int] = set()
        while True:
            with self._lock:
                heap = self._heap(key)
                used, number = heap[0]
                if number in tried or (used >= FULL and len(tried) >= TRIED_ANYWAY):
                    return
                tried.add(number)
                heapq.heapreplace(heap, (used + 1, number))
            yield addresses[number]
            with self._lock:
                heap = self._heap(key)
                for place, (used, each) in enumerate(heap):
                    if each == number:
                        heap[place] = (used % FULL + FULL, number)
                heapq.heapify(heap)

    def look(self) -> None:
        """Read the ports in use from the kernel's table. If not readable, only connections opened here count."""
        import_module("fourtuple.verbs.census")  # slow, but only once
        self._looked_s = time.monotonic()  # seen by other threads too
        pairs = None
        with suppress(OSError, FourtupleError):
            pairs = _in_use(self.names)
        with self._lock:
            self._pairs, self._heaps = pairs, {}
        self._took_s = time.monotonic() - self._looked_s

    @property
    def looked(self) -> bool:
        """Whether there has been a look, or none is needed."""
        return self._looked_s > -math.inf or all(len(each) < 2 for each in self._addresses.values())

    def _look_if_due(self, every_s: float, *, wait: bool) -> None:
        now_s = time.monotonic()
        if now_s < self._looked_s + max(every_s, SHARE * self._took_s):
            return
        self._looked_s = now_s
        if wait:
            self.look()
            return
        with suppress(RuntimeError):  # a thread cannot be started (pids.max, RLIMIT_NPROC)
            threading.Thread(target=self.look, name="fourtuple-sources", daemon=True).start()

    def _least(self, key: Key) -> int:
        with self._lock:
            return self._heap(key)[0][0]

    def _heap(self, key: Key) -> list[tuple[int, int]]:
        """The heap for a destination. The caller holds the lock."""
        if (known := self._heaps.get(key)) is not None:
            return known
        version, host, port = key
        used = dict.fromkeys(range(len(self._addresses[version])), 0)
        if self._pairs is not None:
            with suppress(FourtupleError):  # the host is a name, for which nothing is known
                used |= _used(self._pairs, self._addresses[version], host, port)
        heap = self._heaps[key] = sorted((count, number) for number, count in used.items())  # a sorted list is a heap
        return heap

    def _unlock(self) -> None:
        self._lock = threading.Lock()


_everywhere: "weakref.WeakSet[Sources]" = weakref.WeakSet()


def _after_fork() -> None:
    """Renew the locks in a child process, where the thread that held one does not exist."""
    for sources in list(_everywhere):
        sources._unlock()


os.register_at_fork(after_in_child=_after_fork)


def _in_use(names: tuple[str, ...]) -> "Pairs":
    """The pairs in the kernel's table that have these sources. Raises OSError, CannotError."""
    import numpy as np

    from fourtuple.core.sockets.filter import Where
    from fourtuple.verbs.census import CONNECTED, usage_of
    from fourtuple.verbs.lab import port_facts

    usage, _ = usage_of(Where.parse((), names), CONNECTED, port_facts(), np.zeros(65536, bool))
    pairs: Pairs = usage.pairs[~usage.pairs["is_server"]]
    return pairs


def _used(pairs: "Pairs", addresses: list[str], host: str, port: int) -> dict[int, int]:
    """The number of each address → its number of ports in use towards the destination. Raises UsageError."""
    import numpy as np

    from fourtuple.core.sockets.table import mapped

    destination = np.void(mapped(parse_address(host.partition("%")[0])))
    rows = pairs[(pairs["port"] == port) & (pairs["destination"] == destination)]
    numbers = {mapped(parse_address(address)): number for number, address in enumerate(addresses)}
    found = zip(rows["source"], rows["taken"].tolist(), strict=True)
    return {numbers[source.tobytes()]: taken for source, taken in found if source.tobytes() in numbers}
