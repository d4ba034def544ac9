"""`doctor`: look at this host once, or twice with time between, and say what limits connections now."""

import time

from fourtuple.core.doctor.diagnose import diagnose
from fourtuple.core.doctor.records import Diagnosis
from fourtuple.core.snapshot.records import Snapshot


def doctor(for_s: float | None = None, snapshot: Snapshot | None = None) -> Diagnosis:
    """Look at every network namespace, process and cgroup that this user may see. Nothing is changed.

    for_s:    look again after so many seconds, and judge counters by what they moved meanwhile; None: look once
    snapshot: judge what this says instead of this host

    Raises OSError if there is no /proc.
    """
    if snapshot is not None:
        return diagnose(snapshot, None)
    from fourtuple.verbs.sweep import sweep

    before = None
    if for_s is not None:
        before = sweep()
        time.sleep(for_s)
    return diagnose(sweep(), before)
