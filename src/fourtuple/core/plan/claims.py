"""Which ports a wider range endangers: those that somebody needs, and the reservation that keeps them for him.

Once a port is inside net.ipv4.ip_local_port_range, any connect() of the namespace may take it, and a program that wants
to listen there then finds EADDRINUSE. Ports in net.ipv4.ip_local_reserved_ports are never chosen; a program that names
one in bind() still gets it (Documentation/networking/ip-sysctl.rst, v6.18). Both settings belong to one network
namespace. The connections of one namespace cannot take ports of another.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from fourtuple.core.backports import Self
from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.record import dataclass
from fourtuple.core.space.ranges import Ranges

MOST_TEXT = 4000  # characters: of a longer list the kernel reads one page only (proc_do_large_bitmap, kernel/sysctl.c)
MOST_EACH = 12  # characters of a range in it, with its comma


@dataclass(frozen=True, slots=True)
class Claim:
    """Ports that somebody needs, first to last, and who says so: `TCP listener`, or a program and its file."""

    first: int
    last: int
    by: str


@dataclass(frozen=True, slots=True)
class Reservation:
    """The ports to reserve if the range becomes wider.

    first, last: the wider range
    before:      net.ipv4.ip_local_reserved_ports now
    after:       the same with the ports that are claimed inside the wider range
    added:       how many ports it reserves that are not reserved yet
    usable:      ports that connect() can choose in the wider range with this reservation, if no socket has them
    claims:      the claims inside the wider range
    unread:      what could not be read, so that ports of it may be missing
    """

    first: int
    last: int
    before: str
    after: str
    added: int
    usable: int
    claims: tuple[Claim, ...]
    unread: tuple[str, ...]

    @classmethod
    def of(cls, facts: PortFacts, wide: range, claims: Iterable[Claim], unread: Sequence[str] = ()) -> Self:
        """The reservation for this wider range; what is reserved already stays reserved."""
        inside = [
            replace(claim, first=max(claim.first, wide.start), last=min(claim.last, wide.stop - 1)) for claim in claims
        ]
        inside = sorted({c for c in inside if c.first <= c.last}, key=lambda c: (c.first, c.last, c.by))
        wanted = _brief([*facts.reserved_ports.parts, *(range(claim.first, claim.last + 1) for claim in inside)])
        return cls(
            first=wide.start,
            last=wide.stop - 1,
            before=str(facts.reserved_ports),
            after=str(wanted),
            added=wanted.size - facts.reserved_ports.size,
            usable=int((Ranges([wide]).mask & ~wanted.mask).sum()),
            claims=tuple(inside),
            unread=tuple(unread),
        )

    def reserved(self, facts: PortFacts) -> Ranges:
        """All ports that are reserved with this reservation."""
        return _brief([*facts.reserved_ports.parts, *(range(claim.first, claim.last + 1) for claim in self.claims)])

    def widened(self, facts: PortFacts) -> PortFacts:
        """The settings as they are once the range is wider and the ports are reserved."""
        return replace(facts, port_range=range(self.first, self.last + 1), reserved_ports=self.reserved(facts))

    def by_claimant(self) -> dict[str, str]:
        """The ports that each claimant names, as text: {"TCP listener": "7000,8080-8081"}."""
        parts: dict[str, list[range]] = {}
        for claim in self.claims:
            parts.setdefault(claim.by, []).append(range(claim.first, claim.last + 1))
        return {by: str(Ranges(each)) for by, each in parts.items()}


def quietest(wide: range, reserved: Ranges) -> range:
    """The longest part of a range without a reserved port, for programs that choose their ports themselves."""
    free = np.concatenate([Ranges([wide]).mask & ~reserved.mask, [False]])
    edges = np.flatnonzero(free != np.concatenate([[False], free[:-1]]))  # where a part starts, and where it stops
    if not len(edges):
        return range(wide.start, wide.start)
    starts, stops = edges[::2], edges[1::2]
    longest = int((stops - starts).argmax())
    return range(int(starts[longest]), int(stops[longest]))


def _brief(parts: Iterable[range]) -> Ranges:
    """The ports as one set whose text the kernel reads whole: the smallest gaps are reserved too, if it were longer."""
    found = Ranges(parts)
    while (excess := len(str(found)) - MOST_TEXT) > 0:
        gaps = [range(before.stop, after.start) for before, after in itertools.pairwise(found.parts)]
        smallest = sorted(gaps, key=len)[: -(-excess // MOST_EACH)]
        found = Ranges([*found.parts, *smallest])
    return found
