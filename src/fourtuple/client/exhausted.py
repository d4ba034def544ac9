"""EADDRNOTAVAIL from connect(): whether ports have run out, and why. Sockets are counted when it happens."""

import errno
import time
from typing import TYPE_CHECKING

from fourtuple.client.sources import SHARE
from fourtuple.core.backports import add_note
from fourtuple.core.errors import FourtupleError, ShortfallError
from fourtuple.core.record import dataclass

if TYPE_CHECKING:
    from fourtuple.core.why.shortage import Shortage

COUNT_EVERY_S = 0.1  # per destination
MOST_COUNTS = 256
WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104  (not a listener: the source as the route determines)


class PortsExhausted(OSError):  # noqa: N818  (named like the errors of the socket module)
    """connect() failed with EADDRNOTAVAIL (99) because no source port is left towards the destination.

    source:      the source address, or several, that were tried
    destination: ADDRESS:PORT
    usable:      ports that connect() can choose from, times the number of sources
    in_use:      how many of these have a connection to the destination
    time_wait:   how many of those are in TIME_WAIT and cannot be reused yet
    why:         the likely reason and what to do, in one sentence
    """

    def __init__(self, shortage: "Shortage") -> None:
        super().__init__(errno.EADDRNOTAVAIL, f"no source port is left: {shortage.why}")
        self.shortage = shortage
        self.source, self.destination = shortage.source, shortage.destination
        self.usable, self.in_use, self.time_wait = shortage.usable, shortage.in_use, shortage.time_wait
        self.why = shortage.why

    def __reduce__(self) -> "tuple[type[PortsExhausted], tuple[Shortage]]":
        return type(self), (self.shortage,)


def explained(error: OSError, host: str, port: int, sources: tuple[str, ...]) -> OSError:
    """The error to raise instead of `error`, an EADDRNOTAVAIL from connect().

    sources: the sources that were tried; empty, or the wildcard: as the route determines

    It is PortsExhausted, or `error` with a note if ports are not the reason. The sockets of this namespace are counted
    at most ten times per second for each destination, and for at most a twentieth of the time.
    """
    found = _counted(host, port, sources)
    if isinstance(found, str):
        add_note(error, found)
    elif found.is_real:
        return PortsExhausted(found)
    else:
        add_note(error, found.why)
    return error


@dataclass(frozen=True, slots=True)
class _PairCount:
    found: "Shortage | str"  # text: why it could not be counted
    until_s: float


_lately: dict[tuple[str, int, tuple[str, ...]], _PairCount] = {}


def _counted(host: str, port: int, sources: tuple[str, ...]) -> "Shortage | str":
    """A recent count, or a new one."""
    key, start_s = (host, port, sources), time.monotonic()
    known = _lately.get(key)
    if known is None or start_s >= known.until_s:
        found = _count(host, port, sources)
        now_s = time.monotonic()
        if len(_lately) >= MOST_COUNTS:
            _lately.clear()
        known = _lately[key] = _PairCount(found, now_s + max(COUNT_EVERY_S, SHARE * (now_s - start_s)))
    return known.found


def _count(host: str, port: int, sources: tuple[str, ...]) -> "Shortage | str":
    from fourtuple.core.limits.strategy import Strategy
    from fourtuple.core.space.endpoints import EndpointSpec
    from fourtuple.core.why.causes import CAUSES
    from fourtuple.core.why.shortage import Shortage
    from fourtuple.verbs.lab import port_facts
    from fourtuple.verbs.request import space_of, use_of

    if not WILDCARDS.isdisjoint(sources):
        sources = ()
    destination = str(EndpointSpec(host.partition("%")[0], range(port, port + 1)))
    try:
        ports = port_facts()
        space, _, _ = space_of(ports, [destination], sources, Strategy.LATE)
        use, _ = use_of(space, ports)
    except ShortfallError as error:
        return f"{CAUSES['no-such-source'].says}: {error}"
    except (OSError, FourtupleError) as error:
        return f"source ports: not counted: {error}"
    found = sources or [str(space.address(space.sources[0]))]
    return Shortage.of(use, ports, ", ".join(found), destination)
