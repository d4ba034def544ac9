"""What became of the connections to each destination: how many were opened, failed and were lost, by errno.

A worker counts in an array of fixed size, so that samples of workers and of machines are added like histograms: a line
for each of KINDS, with a place for each of PLACES destinations. If there are more, neighbouring ones share a place.
"""

import errno
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.errnos import Extent, symptom_of
from fourtuple.core.record import dataclass
from fourtuple.core.runs.slices import Plan
from fourtuple.core.runs.spread import bin_bounds
from fourtuple.core.runs.start import Planned
from fourtuple.core.space.endpoints import UNIX, Endpoint

PLACES = 1024  # destinations counted individually
MOST = 32  # destinations that a record lists
OTHER = "other"  # every errno without a line of its own
ERRNOS = 134  # Linux numbers its errors from 1 to 133 (EHWPOISON)

_NO_ROUTE = ("EHOSTUNREACH", "ENETUNREACH", "EADDRNOTAVAIL")
FAILED = ("ECONNREFUSED", "ETIMEDOUT", "ECONNRESET", *_NO_ROUTE, "EPERM", "EACCES", "EAGAIN", "ENOENT")
LOST = ("FIN", "ECONNRESET", "ETIMEDOUT", "EPROTO", "EPIPE")
KINDS = (
    ("opened", ""),
    *(("failed", name) for name in (*FAILED, OTHER)),
    *(("lost", name) for name in (*LOST, OTHER)),
)
SIZE = len(KINDS) * PLACES
NOWHERE = -1


def _lines(kind: str) -> NDArray[np.int64]:
    """The line of each errno; 0 stands for FIN: the peer closed."""
    lines = {name: line for line, (each, name) in enumerate(KINDS) if each == kind}
    names = {0: "FIN", **errno.errorcode}
    return np.array([lines.get(names.get(number, ""), lines[OTHER]) for number in range(ERRNOS)])


OPENED_LINE, FAILED_LINES, LOST_LINES = 0, _lines("failed"), _lines("lost")
# What stops every connection of the process is the failure of no destination.
FAILED_LINES[[number for number in range(ERRNOS) if symptom_of(number).ends is Extent.PROCESS]] = NOWHERE


@dataclass(frozen=True, slots=True)
class DestinationResult:
    """What became of the connections to one destination, or to several together.

    destination:  ADDRESS:PORT or unix:NAME, of neighbouring ones that were counted together the first; empty: of all
                  that are not listed
    name:         the name that has this address and others; empty: the address was given
    destinations: how many these are
    opened:       connects that succeeded, those included that reopened a connection
    failed:       connects that failed, likewise, by errno; without those that failed for a reason of the whole process,
                  such as EMFILE, and those for which another destination was tried
    lost:         connections lost, by errno; FIN: the peer closed
    """

    destination: str
    name: str
    destinations: int
    opened: int
    failed: Mapping[str, int]
    lost: Mapping[str, int]

    @property
    def trouble(self) -> int:
        """How many connects failed and connections were lost."""
        return sum(self.failed.values()) + sum(self.lost.values())


def endpoints_of(plan: Plan) -> tuple[str, ...]:
    """ADDRESS:PORT or unix:NAME of the destination at each place, of the first one if several share it."""
    firsts, space = bin_bounds(plan.destinations, PLACES)[:-1], plan.space
    if space is None:
        return tuple(f"{UNIX}{plan.sockets[number]}" for number in firsts)
    ends = (space.destinations[number] for number in firsts)
    return tuple(str(Endpoint(space.address(address), port)) for address, port in ends)


def place_of(destination: NDArray[np.int64], destinations: int) -> NDArray[np.int64]:
    """The places of destinations with these numbers, if there are `destinations`."""
    return destination if destinations <= PLACES else destination * PLACES // destinations


def by_destination(counts: NDArray[np.int64], planned: Planned | None) -> tuple[DestinationResult, ...]:
    """The results of at most MOST destinations, the most failures and losses first; finally those of the others.

    counts:  (SIZE,)
    planned: names the destinations; if it does not, there are no results
    """
    if planned is None or not planned.endpoints:
        return ()
    table, sizes = _table(counts, planned)
    worst_first = np.argsort(-table[1:].sum(axis=0), kind="stable")
    found = [_result(planned, place, sizes[place], table[:, place]) for place in worst_first[:MOST].tolist()]
    if len(others := worst_first[MOST:]):
        found.append(_result(planned, None, sizes[others].sum(), table[:, others].sum(axis=1)))
    return tuple(found)


def by_neighbours(counts: NDArray[np.int64], planned: Planned | None, most: int) -> tuple[DestinationResult, ...]:
    """The results of all destinations in their order; of more than `most`, those of neighbouring ones together."""
    if planned is None or not planned.endpoints:
        return ()
    table, sizes = _table(counts, planned)
    firsts = bin_bounds(len(sizes), most)[:-1]
    table, sizes = np.add.reduceat(table, firsts, axis=1), np.add.reduceat(sizes, firsts)
    return tuple(_result(planned, first, sizes[n], table[:, n]) for n, first in enumerate(firsts))


def _table(counts: NDArray[np.int64], planned: Planned) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(the counts by kind and place, how many destinations there are at each place)"""
    sizes = np.diff(bin_bounds(planned.endpoint_count, PLACES))
    return counts.reshape(len(KINDS), PLACES)[:, : len(sizes)], sizes


def _result(planned: Planned, place: int | None, destinations: int, column: NDArray[np.int64]) -> DestinationResult:
    """place: None: several that are not named"""
    end = "" if place is None else planned.endpoints[place]
    address = end.rpartition(":")[0].strip("[]")
    return DestinationResult(
        destination=end,
        name=next((each.host for each in planned.resolved if address in each.used), ""),
        destinations=int(destinations),
        opened=int(column[OPENED_LINE]),
        failed=_by_errno("failed", column),
        lost=_by_errno("lost", column),
    )


def _by_errno(kind: str, column: NDArray[np.int64]) -> dict[str, int]:
    counted = {name: int(count) for (each, name), count in zip(KINDS, column, strict=True) if each == kind and count}
    return dict(sorted(counted.items(), key=lambda item: -item[1]))
