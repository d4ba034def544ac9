"""Who does the work of a run: this process itself where one worker is enough, forked workers elsewhere."""

from fourtuple.engine.crews.contract import Crew
from fourtuple.engine.crews.here import Here
from fourtuple.engine.crews.workers import Workers


def crew_of(workers: int | None, *, log: bool) -> Crew:
    """workers: how many; None: as many as will be added while it runs. log: they have events to report"""
    return Here() if workers == 1 else Workers(log=log)
