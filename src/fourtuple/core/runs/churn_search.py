"""Which rate is tried next in the search for the highest one that is kept."""

FIRST_PER_S = 1000.0
STEP_S = 3.0  # how long a rate is tried if --for is not given
LEAST_PER_S, MOST_PER_S = 1.0, 10_000_000.0
CLOSE_ENOUGH = 1.05  # the search ends when the lowest rate that was not kept is at most so many times the highest kept


class RateSearch:
    """Rates double until one is not kept, or are halved until one is; then the gap between them is bisected.

    One that was not kept, perhaps for a reason that has passed, is tried once more.

    rate_per_s: the next rate to try; None: the search is over
    kept_per_s: the highest rate that was kept; None: none was
    """

    def __init__(self, first_per_s: float = FIRST_PER_S) -> None:
        self.rate_per_s: float | None = first_per_s
        self.kept_per_s: float | None = None
        self._not_kept_per_s: float | None = None
        self._again = False  # the rate is being tried once more

    def tried(self, *, kept: bool, perhaps: bool = False) -> None:
        """The rate was tried: was it kept? perhaps: if not, that may be otherwise the next time"""
        rate = self.rate_per_s
        if rate is None:
            raise ValueError("the search is over")
        self._again = perhaps and not (kept or self._again)
        if self._again:
            return
        if kept:
            self.kept_per_s = rate
        else:
            self._not_kept_per_s = rate
        self.rate_per_s = self._next()

    def _next(self) -> float | None:
        low, high = self.kept_per_s, self._not_kept_per_s
        if high is None:
            return None if low is None or low >= MOST_PER_S else min(2 * low, MOST_PER_S)
        if low is None:
            return None if high <= LEAST_PER_S else max(high / 2, LEAST_PER_S)
        return None if high <= low * CLOSE_ENOUGH else _rounded((low + high) / 2)


def _rounded(rate_per_s: float) -> float:
    """Three significant digits: finer ones say nothing."""
    return float(f"{rate_per_s:.3g}")
