"""`doctor`: look at this host once, or twice with time between, and say what limits connections now."""

import time

from fourtuple.core.doctor.diagnose import diagnose
from fourtuple.core.doctor.records import Diagnosis
from fourtuple.core.errors import CannotError
from fourtuple.core.snapshot.records import Snapshot
from fourtuple.core.sockets.numbering import HashCollisionError


def doctor(for_s: float | None = None, snapshot: Snapshot | None = None) -> Diagnosis:
    """Look at every network namespace, process and cgroup that this user may see. Nothing is changed.

    for_s:    look again after this many seconds, and judge counters by how much they increased; None: look once
    snapshot: judge what this says instead of this host

    Raises CannotError; OSError if there is no /proc.
    """
    before = None
    if snapshot is None:
        from fourtuple.verbs.sweep import sweep

        if for_s is not None:
            before = sweep()
            time.sleep(for_s)
        snapshot = sweep()
    try:
        return diagnose(snapshot, before)
    except HashCollisionError:  # once in ten million; another process draws other multipliers
        raise CannotError("the kernel's socket table", "two pairs have the same hash", "Try again.") from None
