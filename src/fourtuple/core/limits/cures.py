"""What can be done about a limit: one frozen record for each remedy, with its price and what it takes."""

from collections.abc import Iterable

from fourtuple.core.backports import StrEnum
from fourtuple.core.record import dataclass


class Needs(StrEnum):
    """What a remedy takes, beside the command or the change itself."""

    NOTHING = ""
    SETTING = "a setting of the program"
    RESTART = "a restart"
    CODE = "a code change"
    ROOT = "root"
    RESOURCE = "root with CAP_SYS_RESOURCE"  # which root in a container may lack
    OTHERS = "another machine's administrator"


@dataclass(frozen=True, slots=True)
class Cure:
    """One remedy.

    do:    what to do, with the command where there is one
    costs: its price, and what it endangers; empty: neither
    needs: what it takes
    """

    do: str
    costs: str = ""
    needs: Needs = Needs.NOTHING

    def __str__(self) -> str:
        """The remedy in one line: `sysctl -w … (root; takes memory)`."""
        notes = "; ".join(filter(None, (self.needs, self.costs)))
        return f"{self.do} ({notes})" if notes else self.do


def at_hand_first(cures: Iterable[Cure], *, root: bool) -> tuple[Cure, ...]:
    """The remedies in the given order, those first that this user can apply now. root: this user is root"""
    at_hand = {Needs.NOTHING, Needs.SETTING, Needs.RESTART} | ({Needs.ROOT, Needs.RESOURCE} if root else set())
    return tuple(sorted(cures, key=lambda cure: cure.needs not in at_hand))
