"""What was tried in one kernel, and what came of it: one frozen record for each trial."""

from dataclasses import dataclass

from fourtuple.core.backports import StrEnum


class Came(StrEnum):
    RIGHT = "right"
    WRONG = "wrong"
    SKIPPED = "skipped"  # this kernel has not what the trial needs


@dataclass(frozen=True, slots=True)
class Finding:
    """One trial.

    part:      `lessons`, `worlds`, `rules`, `loops`, `check`, `census` or `tests`
    name:      the name of the trial within its part, such as a lesson's
    predicted: what the product said before, as text
    observed:  what happened
    came:      whether the prediction held
    because:   why it was skipped, or was wrong; empty: it held
    """

    part: str
    name: str
    predicted: str
    observed: str
    came: Came
    because: str = ""
