"""Which rate of replacement a host allows a hold, said before it begins."""

from fourtuple.core.errors import ShortfallError
from fourtuple.core.plan.churn import ChurnBudget, ClosedBy, Turnover, churn_budget, kept_s
from fourtuple.core.runs.orders import HoldOptions
from fourtuple.core.units import format_rate
from fourtuple.verbs.plan import stays_on_loopback
from fourtuple.verbs.survey import Look


def replacing(options: HoldOptions, seen: Look) -> ChurnBudget | None:
    """The rate at which connections can be replaced beside those that are held; None: ports do not limit it.

    Raises ShortfallError if it is certainly less than what was asked, unless the user wants to try.
    """
    if not options.churn_per_s or options.reset or seen.world.ports is None:
        return None
    turnover = Turnover(options.churn_per_s, 0.0, ClosedBy.FIN, steady=True, held=options.wanted)
    facts, strategy, loopback = seen.world.ports, seen.strategy, stays_on_loopback(seen)
    if not kept_s(turnover, facts, strategy, loopback=loopback):
        return None  # each is opened again on the port that it has just left
    budget = churn_budget(turnover, seen.ports, facts, (), strategy=strategy, loopback=loopback)
    most = budget.ceiling_per_s
    if most is not None and most < options.churn_per_s and not options.anyway:
        raise ShortfallError(
            f"{format_rate(options.churn_per_s)} replaced, room for {format_rate(most)}",
            f"a connection that is closed by FIN keeps its source port: {budget.because}",
            "--close rst leaves no TIME_WAIT; otherwise use more destinations or sources. --anyway replaces as many as"
            " possible.",
        )
    return budget
