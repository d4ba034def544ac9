"""Source addresses, and which of them has the most room left towards a destination."""

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
LOOK_AGAIN_S = 0.1  # where all were full
TRIED_ANYWAY = 8  # of those that were full
SHARE = 20  # of the time that is spent looking at the kernel's table: one part in so many
FULL = 2**32  # more than a source can have in use

Key = tuple[int, str, int]  # IP version, address, port: a destination


class Sources:
    """`Sources("10.0.0.4", "10.0.0.8-15", "fd00::4")`: the addresses from which connections may be opened.

    Towards each destination the one with the fewest ports in use comes first. What is in use the kernel's table says,
    which is looked at when it is needed, at most once a second and for a twentieth of the time; between two looks what
    is opened through this object is counted. With one address nothing is looked at.

    One object serves a whole program, threads, event loops and forked children included; pickled, it is another one.
    IPv4 and IPv6 may be mixed: a destination gets those of its own.

    Raises UsageError for what is no address, and for more than 4,096 of them; TypeError for what is no text.
    """

    def __init__(self, *addresses: str | Address) -> None:
        if not addresses:
            raise UsageError("sources", "there is no address", 'Write Sources("10.0.0.4").')
        self._addresses: dict[int, list[str]] = {4: [], 6: []}
        self._names: dict[int, list[str]] = {4: [], 6: []}
        if wrong := [each for each in addresses if not isinstance(each, str | Address)]:
            raise TypeError(f"an address is text, not {wrong[0]!r}: pass several one by one")
        self.names = tuple(map(str, addresses))
        for text in self.names:
            spec = EndpointSpec.parse(text)
            if spec.ports is not None:
                raise UsageError(f"the source {text}", "a source here has no port: the kernel chooses it")
            version, values = parse_addresses(spec.host)
            if values.stop - values.start + sum(map(len, self._addresses.values())) > MOST_SOURCES:
                raise UsageError(f"sources: {text}", f"at most {MOST_SOURCES:,} addresses are possible")
            self._names[version].append(spec.host)
            size = 4 if version == 4 else 16
            self._addresses[version] += [str(unpack_address(value.to_bytes(size, "big"))) for value in values]
        for version, found in self._addresses.items():
            self._addresses[version] = list(dict.fromkeys(found))
        self._pairs: Pairs | None = None  # what the last look has seen
        self._heaps: dict[Key, list[tuple[int, int]]] = {}  # (ports in use, number of the source) for a destination
        self._looked_s, self._took_s = -math.inf, 0.0
        self._lock = threading.Lock()
        _everywhere.add(self)

    def __str__(self) -> str:
        return ", ".join(self.names)

    def of_version(self, version: int) -> tuple[str, ...]:
        """Those of IPv4 (4) or IPv6 (6), as they were given."""
        return tuple(self._names[version])

    def __reduce__(self) -> "tuple[type[Sources], tuple[str, ...]]":
        return type(self), self.names

    def towards(self, version: int, host: str, port: int, *, wait: bool = True) -> Iterator[str]:
        """The sources to try, the one with the most room first. Whoever takes another says that the last was full.

        One that was full is left out until the next look; where all were, there is one soon, and a few are tried.

        wait: where it is time to look, look now; else a thread does, and what is known is used meanwhile
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
        """See in the kernel's table what is in use. Where it cannot be read, what is opened here is counted alone."""
        import_module("fourtuple.verbs.census")  # takes longer than a look, and only once
        self._looked_s = time.monotonic()  # for other threads, too
        pairs = None
        with suppress(OSError, FourtupleError):
            pairs = _in_use(self.names)
        with self._lock:
            self._pairs, self._heaps = pairs, {}
        self._took_s = time.monotonic() - self._looked_s

    @property
    def looked(self) -> bool:
        """Has there been a look, or does it take none?"""
        return self._looked_s > -math.inf or all(len(each) < 2 for each in self._addresses.values())

    def _look_if_due(self, every_s: float, *, wait: bool) -> None:
        now_s = time.monotonic()
        if now_s < self._looked_s + max(every_s, SHARE * self._took_s):
            return
        self._looked_s = now_s
        if wait:
            self.look()
            return
        with suppress(RuntimeError):  # no thread can be started (pids.max, RLIMIT_NPROC)
            threading.Thread(target=self.look, name="fourtuple-sources", daemon=True).start()

    def _least(self, key: Key) -> int:
        with self._lock:
            return self._heap(key)[0][0]

    def _heap(self, key: Key) -> list[tuple[int, int]]:
        """With the lock held."""
        if (known := self._heaps.get(key)) is not None:
            return known
        version, host, port = key
        used = dict.fromkeys(range(len(self._addresses[version])), 0)
        if self._pairs is not None:
            with suppress(FourtupleError):  # the host is a name: nothing is known of it
                used |= _used(self._pairs, self._addresses[version], host, port)
        heap = self._heaps[key] = sorted((count, number) for number, count in used.items())  # a sorted list is one
        return heap

    def _unlock(self) -> None:
        self._lock = threading.Lock()


_everywhere: "weakref.WeakSet[Sources]" = weakref.WeakSet()


def _after_fork() -> None:
    """In a child: a thread that held a lock is not here."""
    for sources in list(_everywhere):
        sources._unlock()


os.register_at_fork(after_in_child=_after_fork)


def _in_use(names: tuple[str, ...]) -> "Pairs":
    """The pairs of the kernel's table that these sources are in. Raises OSError, CannotError."""
    import numpy as np

    from fourtuple.core.sockets.filter import Where
    from fourtuple.verbs.census import CONNECTED, usage_of
    from fourtuple.verbs.lab import port_facts

    usage, _ = usage_of(Where.parse((), names), CONNECTED, port_facts(), np.zeros(65536, bool))
    pairs: Pairs = usage.pairs[~usage.pairs["is_server"]]
    return pairs


def _used(pairs: "Pairs", addresses: list[str], host: str, port: int) -> dict[int, int]:
    """How many ports each of these addresses, by its number, has in use towards the destination. Raises UsageError."""
    import numpy as np

    from fourtuple.core.sockets.table import mapped

    destination = np.void(mapped(parse_address(host.partition("%")[0])))
    rows = pairs[(pairs["port"] == port) & (pairs["destination"] == destination)]
    numbers = {mapped(parse_address(address)): number for number, address in enumerate(addresses)}
    found = zip(rows["source"], rows["taken"].tolist(), strict=True)
    return {numbers[source.tobytes()]: taken for source, taken in found if source.tobytes() in numbers}
