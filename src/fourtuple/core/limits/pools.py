"""Pools of ports of which each connection takes one: the ports left in each, computed by column."""

from collections.abc import Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.limits.time_wait import TOO_YOUNG
from fourtuple.core.record import dataclass
from fourtuple.core.sockets.columns import Mask, Numbers, is_in, port_mask


@dataclass(frozen=True)
class Counted:
    """A count per owner; an owner without an entry has 0."""

    by_owner: Mapping[int, int]

    @cached_property
    def total(self) -> int:
        return sum(self.by_owner.values())


@dataclass(frozen=True)
class OwnedPorts:
    """Pairs of an owner and a port, as two columns; a pair may occur several times."""

    owners: Numbers
    ports: NDArray[np.uint16]

    def counted(self, among: Mask) -> Counted:
        """How many different ports of the mask each owner has."""
        keys = self._distinct[among[self._distinct & 0xFFFF]]
        owners, counts = np.unique(keys >> 16, return_counts=True)
        return Counted(dict(zip(owners.tolist(), counts.tolist(), strict=True)))

    def contain(self, owners: Numbers, ports: NDArray[np.uint16]) -> NDArray[np.bool_]:
        return is_in(owners << 16 | ports, self._distinct)

    @cached_property
    def _distinct(self) -> Numbers:
        keys: Numbers = np.sort(self.owners << 16 | self.ports)
        distinct: Numbers = keys[np.diff(keys, prepend=-1) != 0]
        return distinct


@dataclass(frozen=True)
class Hidden:
    """Ports that hidden sockets may have, nobody knows which ones.

    most:  at most so many
    among: how many ports may be among them
    taken: how many of these each owner has taken anyway
    """

    most: int
    among: int
    taken: Counted

    def of(self, owner: int | None) -> int:
        """How many ports may be missing in addition to those of this owner; None: one that has taken none."""
        taken = 0 if owner is None else self.taken.by_owner.get(owner, 0)
        return min(self.most, self.among - taken)


NOTHING_HIDDEN = Hidden(0, 0, Counted({}))


@dataclass(frozen=True)
class PerPool:
    """A number for each pool: `base` minus what is taken from the pool, and minus `hidden`; not below 0.

    taken:  pairs of how many consecutive pools share an owner, and how many ports that owner takes from each
    hidden: ports that every pool may lack in addition; only if as many pools share an owner in all of `taken`
    """

    base: int
    taken: tuple[tuple[int, Counted], ...]
    hidden: Hidden = NOTHING_HIDDEN

    def of(self, pool: int) -> int:
        left = self.base - sum(counted.by_owner.get(pool // each, 0) for each, counted in self.taken)
        if not self.hidden.most:
            return max(0, left)
        return max(0, left - self.hidden.of(pool // self._each))

    def total(self, pools: int) -> int:
        if not self.hidden.most:
            return self.base * pools - sum(each * counted.total for each, counted in self.taken)
        each = self._each
        owners = {owner for _, counted in self.taken for owner in counted.by_owner}
        rest = max(0, self.base - self.hidden.of(None)) * (pools - each * len(owners))
        return rest + each * sum(self.of(owner * each) for owner in owners)

    @property
    def _each(self) -> int:
        """How many consecutive pools share an owner."""
        (each,) = {each for each, _ in self.taken}
        return each


@dataclass(frozen=True, slots=True)
class Pools:
    """Pools of ports, of which each connection takes one; `destinations` consecutive pairs share a pool."""

    pools: int
    destinations: int
    ceiling: int
    in_use: Counted
    most: PerPool
    least: PerPool
    because: tuple[str, ...]


def pooled(
    pools: int,
    destinations: int,
    ports: Mask,
    sure: Mask,
    rows: OwnedPorts,
    fewest: OwnedPorts,
    *,
    hidden: Hidden,
    odd: PortFacts | None,
    unsure: str,
) -> Pools:
    """The pools, if `rows` take ports from them.

    ports:  the ports of each pool
    sure:   those of them that are certainly available
    fewest: those of `rows` that certainly take their port
    hidden: the ports of `sure` that each pool may lack
    odd:    the facts, if connect() tries every second port first and may skip one; None: it does not
    unsure: why `ports` and `sure` differ
    """
    in_use, base, because = rows.counted(ports), int(sure.sum()), [unsure] if (ports & ~sure).any() else []
    least_in_use = in_use if fewest is rows or len(fewest.ports) == len(rows.ports) else fewest.counted(ports)
    if least_in_use.total != in_use.total:
        because.append(TOO_YOUNG)
    taken = [(1, rows.counted(sure))]
    if odd and len(odd.port_range) % 2 and len(odd.port_range) > 3:  # the lowest or the highest is skipped
        ends = sure & port_mask(np.array([odd.port_range.start, odd.port_range.stop - 1]))
        if ends.any():
            base -= 1
            without = {owner: -1 for owner, count in rows.counted(ends).by_owner.items() if count == ends.sum()}
            taken.append((1, Counted(without)))
            because.append("the range has an odd number of ports: connect() skips the lowest or the highest")
    most = PerPool(int(ports.sum()), ((1, least_in_use),))
    least = PerPool(base, tuple(taken), hidden)
    return Pools(pools, destinations, int(ports.sum()), in_use, most, least, tuple(because))


def searched(facts: PortFacts, *, in_turn: bool) -> Mask:
    """The ports that the kernel tries. If it tries every second one first, it never reaches the last port of three."""
    ports = facts.automatic_ports.mask.copy()
    if not in_turn and len(facts.port_range) == 3:
        ports[facts.port_range.stop - 1] = False
    return ports
