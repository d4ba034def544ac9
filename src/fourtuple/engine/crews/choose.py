"""Which crew does the work of a run: this process itself if one worker is enough, otherwise forked workers."""

from fourtuple.engine.crews.contract import Crew
from fourtuple.engine.crews.here import Here
from fourtuple.engine.crews.workers import Workers


def crew_of(workers: int | None, *, log: bool) -> Crew:
    """The crew for a run.

    workers: the number of workers; None: workers are added during the run
    log:     the workers report events
    """
    return Here() if workers == 1 else Workers(log=log)
