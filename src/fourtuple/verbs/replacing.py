"""Which rate of replacement the ports of a host allow a hold, said before it begins."""

from math import ceil

from fourtuple.core.errors import ShortfallError
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.plan.fit import Churn, churn
from fourtuple.core.runs.orders import HoldOptions
from fourtuple.core.units import format_count, format_duration, format_rate, format_things
from fourtuple.verbs.survey import Look


def replacing(options: HoldOptions, seen: Look) -> Churn | None:
    """The rate at which connections can be replaced beside those that are held; None: ports do not limit it.

    They do where this end closes by FIN. bind() to a port takes it from TIME_WAIT at once, if there are timestamps.

    Raises ShortfallError if the ports last for less than the run, unless the user wants to try.
    """
    ports, facts = seen.ports, seen.world.ports
    if not options.churn_per_s or options.reset or ports is None or facts is None:
        return None
    if seen.strategy is Strategy.EXPLICIT and facts.timestamps:
        return None
    found = churn(options.churn_per_s, ports, facts, options.wanted, loopback=seen.space.stays_on_loopback)
    needed = options.wanted + ceil(options.churn_per_s * min(options.run_s, found.kept_s))
    if needed > found.most and not options.anyway:
        held = f"{format_count(options.wanted)} of {format_count(found.most)} are for those that are held"
        raise ShortfallError(
            f"{format_rate(options.churn_per_s)} replaced, closed by FIN on this end: {format_things(needed, 'port')}",
            f"{allowed(found)}; {held}",
            "Use --close rst, a lower rate, more sources (--from) or destinations; --anyway tries it.",
        )
    return found


def allowed(found: Churn) -> str:
    """The rate that the ports allow for ever, and why."""
    kept = format_duration(found.kept_s)
    return f"ports allow {format_rate(found.most_per_s)}, as each stays in TIME_WAIT for {kept}"
