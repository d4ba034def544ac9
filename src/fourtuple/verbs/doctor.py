"""`doctor`: look at this host once, or twice with time between, and say what limits connections now."""

import time

from fourtuple.core.census.usage import HashCollisionError
from fourtuple.core.doctor.diagnose import diagnose
from fourtuple.core.doctor.records import Diagnosis
from fourtuple.core.errors import CannotError
from fourtuple.verbs.sweep import sweep


def doctor(for_s: float | None = None) -> Diagnosis:
    """Look at every network namespace, process and cgroup that this user may see. Nothing is changed.

    for_s: look again after so many seconds, and judge counters by what they moved meanwhile; None: look once

    Raises CannotError; OSError if there is no /proc.
    """
    before = None
    if for_s is not None:
        before = sweep()
        time.sleep(for_s)
    try:
        return diagnose(sweep(), before)
    except HashCollisionError:  # once in ten million; another process draws other multipliers
        raise CannotError("the kernel's socket table", "two pairs have the same hash", "Try again.") from None
