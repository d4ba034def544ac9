"""The outcome of a run: whether it was reached, in which words, and for which reasons. Made by core/runs/judge.py."""

from fourtuple.core.backports import StrEnum
from fourtuple.core.record import dataclass


class Reason(StrEnum):
    """Why a run was not reached."""

    INTERRUPTED = "interrupted"  # before everything was opened
    STOPPED = "stopped"  # before the kernel refused, because memory was nearly used up
    FAILED = "failed"  # connections were not opened, or not accepted by this program
    LOST = "lost"  # connections were ended by the peer, an error or a worker's death
    NOT_AT_SERVER = "not_at_server"  # the server's end does not exist, although the client's is established
    NOT_ACCEPTED = "not_accepted"  # connections wait in the server's accept queue
    UNEXPECTED = "unexpected"  # answers were not the expected ones
    SESSION = "session"  # what a protocol says about the sessions that ended, and about unexpected answers
    UNANSWERED = "unanswered"  # expected answers did not come
    RATE = "rate"  # connections of a churn were started late, or not at all
    UNSENT = "unsent"  # messages could not be sent when they were due
    WORKERS_KILLED = "workers_killed"  # on a machine that is still there
    MACHINE = "machine_gone"  # a machine of a fleet was gone, or took no part
    STAGE = "stage"  # a stage did not have as many connections at its end as it was to have
    CHURN = "churn"  # fewer connections were replaced than were due
    FULL = "full"  # clients wait for a server that holds as many connections as it can
    PLAN = "plan"  # the plan predicted another number
    WITNESSES = "witnesses"  # the engine's count contradicts the kernel's


@dataclass(frozen=True, slots=True)
class Required:
    """One requirement, and whether it was met.

    name:   of a value of the record
    wanted: operator and value, as in --require
    got:    the value; None: it is not known, and the requirement is not met
    """

    name: str
    wanted: str
    got: float | str | None
    met: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a run. The exit code, the first line and the stored outcome come from here.

    says:     the first line of the result
    because:  names of reasons, or of requirements of --require that were not met; empty if the run was reached
    required: what had to be met
    """

    reached: bool
    says: str
    because: tuple[str, ...] = ()
    required: tuple[Required, ...] = ()


UNJUDGED = Outcome(False, "")  # of a record that is being made, or that was stored before outcomes were
