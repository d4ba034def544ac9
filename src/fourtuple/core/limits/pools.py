"""Pools of ports, of which each connection takes one: how many each has, less what its owners take, without a loop."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.sockets.columns import Mask, Numbers, port_mask


@dataclass(frozen=True)
class Counted:
    """How many of something each owner has."""

    by_owner: Mapping[int, int]

    @cached_property
    def total(self) -> int:
        return sum(self.by_owner.values())


@dataclass(frozen=True)
class OwnedPorts:
    """(owner, port), perhaps several times the same."""

    owners: Numbers
    ports: NDArray[np.uint16]

    def counted(self, among: Mask) -> Counted:
        """How many different ones of these ports each owner has."""
        keys = self._distinct[among[self._distinct & 0xFFFF]]
        owners, counts = np.unique(keys >> 16, return_counts=True)
        return Counted(dict(zip(owners.tolist(), counts.tolist(), strict=True)))

    def contain(self, owners: Numbers, ports: NDArray[np.uint16]) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = np.isin(owners << 16 | ports, self._distinct)
        return found

    @cached_property
    def _distinct(self) -> Numbers:
        keys: Numbers = np.sort(self.owners << 16 | self.ports)
        distinct: Numbers = keys[np.diff(keys, prepend=-1) != 0]
        return distinct


@dataclass(frozen=True)
class PerPool:
    """For each pool a number: `base`, less what is taken from it.

    taken: how many pools in a row share an owner, and what that owner takes from each
    """

    base: int
    taken: tuple[tuple[int, Counted], ...]

    def of(self, pool: int) -> int:
        return self.base - sum(counted.by_owner.get(pool // each, 0) for each, counted in self.taken)

    def total(self, pools: int) -> int:
        return self.base * pools - sum(each * counted.total for each, counted in self.taken)


@dataclass(frozen=True, slots=True)
class Pools:
    """Pools of ports, of which each connection takes one; `destinations` pairs in a row share a pool."""

    pools: int
    destinations: int
    ceiling: int
    in_use: Counted
    most: PerPool
    least: PerPool
    because: tuple[str, ...]


def pooled(
    pools: int, destinations: int, ports: Mask, sure: Mask, rows: OwnedPorts, odd: PortFacts | None, unsure: str
) -> Pools:
    """ports: of each pool, less what `rows` take; sure: those that are certainly there; odd: every second one first"""
    in_use, base, because = rows.counted(ports), int(sure.sum()), [unsure] if (ports & ~sure).any() else []
    taken = [(1, rows.counted(sure))]
    if odd and len(odd.port_range) % 2 and len(odd.port_range) > 3:  # one of both ends is left out
        ends = sure & port_mask(np.array([odd.port_range.start, odd.port_range.stop - 1]))
        if ends.any():
            base -= 1
            without = {owner: -1 for owner, count in rows.counted(ends).by_owner.items() if count == ends.sum()}
            taken.append((1, Counted(without)))
            because.append("of an odd number of ports the lowest or the highest is left out")
    most = PerPool(int(ports.sum()), ((1, in_use),))
    return Pools(pools, destinations, int(ports.sum()), in_use, most, PerPool(base, tuple(taken)), tuple(because))


def searched(facts: PortFacts, *, in_turn: bool) -> Mask:
    """The ports that the kernel looks at: every second one first, and then it never comes to the last of three."""
    ports = facts.automatic_ports.mask.copy()
    if not in_turn and len(facts.port_range) == 3:
        ports[facts.port_range.stop - 1] = False
    return ports
