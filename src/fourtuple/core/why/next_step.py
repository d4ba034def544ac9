"""What to do next about a reason for which a run's sessions ended, or its answers were wrong."""

import shlex
from collections.abc import Sequence

from fourtuple.core.limits.cures import Cure, Needs
from fourtuple.core.record import dataclass
from fourtuple.core.why.causes import SESSIONS
from fourtuple.core.why.reader import PHRASES, read_findings


@dataclass(frozen=True, slots=True)
class NextStep:
    """do: one remedy of the likeliest cause; more: the command that explains the reason, with all remedies"""

    do: str
    more: str


def next_step(reason: str) -> NextStep | None:
    """The next step about a reason such as `tls: certificate has expired`; None: it says nothing that is known."""
    for finding in read_findings([reason], PHRASES):
        for cause in finding.causes:
            if cause in SESSIONS:
                return NextStep(_first(SESSIONS[cause].cures).do, f"fourtuple why {shlex.quote(reason)}")
    return None


def _first(cures: Sequence[Cure]) -> Cure:
    """The first one that is done by an option of this program, or the first one."""
    return next((cure for cure in cures if cure.needs is Needs.SETTING and "--" in cure.do), cures[0])
