"""A set of integers held as ranges: any number of ports or addresses, without storing each one.

NumPy is imported by what makes arrays: a range is also part of facts that need none.
"""

import itertools
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Ranges:
    """A set of integers held as disjoint ascending ranges, with an index: `ranges[i]`, `ranges.index(value)`."""

    def __init__(self, parts: Iterable[range]) -> None:
        """Build from ranges of step 1; overlapping and adjacent ones are merged. Raises ValueError for other steps."""
        merged: list[range] = []
        for part in sorted((p for p in parts if p.start < p.stop), key=lambda p: p.start):
            if part.step != 1:
                raise ValueError(f"a range must have step 1, not {part.step}")
            if merged and part.start <= merged[-1].stop:
                merged[-1] = range(merged[-1].start, max(merged[-1].stop, part.stop))
            else:
                merged.append(part)
        self.parts = tuple(merged)
        self._before = list(itertools.accumulate((p.stop - p.start for p in merged), initial=0))

    @property
    def size(self) -> int:
        return self._before[-1]

    def __getitem__(self, index: int) -> int:
        if not 0 <= index < self.size:
            raise IndexError(index)
        part = bisect_right(self._before, index) - 1
        return self.parts[part].start + index - self._before[part]

    def index(self, value: int) -> int:
        """The index of `value` in ascending order. Raises ValueError if it is not in the set."""
        part = bisect_right(self.parts, value, key=lambda p: p.start) - 1
        if part < 0 or value >= self.parts[part].stop:
            raise ValueError(f"{value} is not in the set")
        return self._before[part] + value - self.parts[part].start

    def __contains__(self, value: int) -> bool:
        part = bisect_right(self.parts, value, key=lambda p: p.start) - 1
        return part >= 0 and value < self.parts[part].stop

    def __iter__(self) -> Iterator[int]:
        return itertools.chain.from_iterable(self.parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)

    def __repr__(self) -> str:
        return f"Ranges({list(self.parts)})"

    def __str__(self) -> str:
        return ",".join(f"{p.start}-{p.stop - 1}" if p.stop - p.start > 1 else f"{p.start}" for p in self.parts)

    @cached_property
    def table(self) -> "NDArray[np.uint16]":
        """(size,): all values, ascending; for ports only."""
        import numpy as np

        return np.fromiter(self, np.uint16, self.size)

    @cached_property
    def mask(self) -> "NDArray[np.bool_]":
        """(65536,): true for each port in the set; for ports only."""
        import numpy as np

        mask = np.zeros(65536, bool)
        for part in self.parts:
            mask[part.start : part.stop] = True
        return mask

    def without(self, values: Iterable[int]) -> "Ranges":
        """The set without `values`."""
        holes = sorted({value for value in values if value in self})
        parts: list[range] = []
        for part in self.parts:
            start = part.start
            for hole in holes[bisect_right(holes, part.start - 1) : bisect_right(holes, part.stop - 1)]:
                parts.append(range(start, hole))
                start = hole + 1
            parts.append(range(start, part.stop))
        return Ranges(parts)

    def split(self, indices: "NDArray[np.int64]") -> "tuple[NDArray[np.intp], NDArray[np.int64]]":
        """For each index the number of its part, and its offset in that part."""
        import numpy as np

        if len(self.parts) == 1:
            return np.zeros(len(indices), np.intp), indices
        before = np.array(self._before[:-1], np.int64)
        part = np.searchsorted(before, indices, side="right") - 1
        return part, indices - before[part]
