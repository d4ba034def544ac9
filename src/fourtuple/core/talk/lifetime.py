"""How long connections stay open: a time, or a distribution of times, as typed and as arrays."""

import math
from typing import TYPE_CHECKING

from fourtuple.core.backports import StrEnum
from fourtuple.core.errors import UsageError
from fourtuple.core.record import dataclass
from fourtuple.core.units import MOST_S, format_duration, parse_duration, quoted

if TYPE_CHECKING:
    import numpy as np
    from numpy.random import Generator
    from numpy.typing import NDArray

_EXAMPLES = "Write 2s, exp:2s or uniform:1s-5s."


class Spreading(StrEnum):
    """How lifetimes are distributed; the prefix by which it is typed, apart from `fixed`."""

    FIXED = "fixed"
    EXP = "exp"
    UNIFORM = "uniform"


@dataclass(frozen=True, slots=True)
class Lifetime:
    """The distribution of lifetimes. `str()` gives what `parse_lifetime` reads.

    low_s, high_s: the shortest and the longest; both the same if fixed. Of exp both are the mean
    """

    spreading: Spreading
    low_s: float
    high_s: float

    @property
    def mean_s(self) -> float:
        return (self.low_s + self.high_s) / 2

    def quantile_s(self, share: float) -> float:
        """The time that a share of the lifetimes, from 0 to 1, does not exceed; infinite for all of exp."""
        if not 0 <= share <= 1:
            raise ValueError(f"{share} is not a share")
        if self.spreading is Spreading.EXP:
            return -self.mean_s * math.log1p(-share) if share < 1 else math.inf if self.mean_s else 0.0
        return self.low_s + share * (self.high_s - self.low_s)

    def draw_ns(self, random: "Generator", count: int) -> "NDArray[np.int64]":
        """So many lifetimes in ns, at most MOST_S each → (count,) int64. A fixed one does not use the generator."""
        import numpy as np

        if self.spreading is Spreading.FIXED:
            return np.full(count, round(self.low_s * 1e9))
        times_s = (
            random.exponential(self.mean_s, count)
            if self.spreading is Spreading.EXP
            else random.uniform(self.low_s, self.high_s, count)
        )
        return np.rint(np.minimum(times_s, MOST_S) * 1e9).astype(np.int64)

    def __str__(self) -> str:
        low, high = (format_duration(time_s).replace(" ", "").replace("µ", "u") for time_s in (self.low_s, self.high_s))
        if self.spreading is Spreading.UNIFORM:
            return f"uniform:{low}-{high}"
        return low if self.spreading is Spreading.FIXED else f"exp:{low}"


def parse_lifetime(text: str) -> Lifetime:
    """`2s`, `exp:2s` (exponential with that mean) or `uniform:1s-5s`; `0s`: closed at once. Raises UsageError."""
    name, colon, rest = text.strip().partition(":")
    if not colon:
        return _of(Spreading.FIXED, text, name, name)
    if name == Spreading.EXP:
        return _of(Spreading.EXP, text, rest, rest)
    if name == Spreading.UNIFORM:
        low, dash, high = rest.partition("-")
        if not dash:
            raise UsageError(f"the lifetime {quoted(text)}", "a shortest and a longest time are needed", _EXAMPLES)
        return _of(Spreading.UNIFORM, text, low, high)
    raise UsageError(f"the lifetime {quoted(text)}", f"{quoted(name)} is not a distribution", _EXAMPLES)


def _of(spreading: Spreading, text: str, low: str, high: str) -> Lifetime:
    try:
        lifetime = Lifetime(spreading, parse_duration(low), parse_duration(high))
    except UsageError as error:
        raise UsageError(f"the lifetime {quoted(text)}", str(error), _EXAMPLES) from None
    if lifetime.low_s > lifetime.high_s:
        raise UsageError(f"the lifetime {quoted(text)}", "the shortest time is above the longest", _EXAMPLES)
    return lifetime
