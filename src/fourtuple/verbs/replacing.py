"""Which rate of replacement a host allows a hold, said before it begins."""

from fourtuple.core.errors import ShortfallError
from fourtuple.core.plan.churn import ChurnBudget, ClosedBy, Turnover, churn_budget
from fourtuple.core.runs.orders import HoldOptions
from fourtuple.core.units import format_rate
from fourtuple.verbs.plan import stays_on_loopback
from fourtuple.verbs.survey import Look


def replacing(options: HoldOptions, seen: Look) -> ChurnBudget | None:
    """The rate at which connections can be replaced beside those that are held; None: none are to be.

    Raises ShortfallError if it is certainly less than what was asked, unless the user wants to try.
    """
    if not options.churn_per_s:
        return None
    closed_by = ClosedBy.RST if options.reset else ClosedBy.FIN
    budget = churn_budget(
        Turnover(options.churn_per_s, 0.0, closed_by, steady=True, held=options.wanted),
        seen.ports,
        seen.world.ports,
        (),
        strategy=seen.strategy,
        loopback=stays_on_loopback(seen),
    )
    most = budget.ceiling_per_s
    if most is not None and most < options.churn_per_s and not options.anyway:
        raise ShortfallError(
            f"{format_rate(options.churn_per_s)} replaced, room for {format_rate(most)}",
            f"a connection that is closed by FIN keeps its source port: {budget.because}",
            "--close rst leaves no TIME_WAIT; otherwise use more destinations or sources. --anyway replaces as many as"
            " possible.",
        )
    return budget
