"""`churn`: open connections at a rate, use them and close them."""

import sys
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from fourtuple.cli.common import (
    DURATION,
    FIRST_ADDRESS,
    FROM,
    LOOP,
    PERIOD,
    STRATEGIES,
    UNITS,
    Shown,
    before_destinations,
    metered,
    run_options,
    say,
    split,
)
from fourtuple.cli.session import EXPECT, FIRST, SEND, UNIX_PATH, Ordered, of_script, of_session, session
from fourtuple.cli.values import OneOf, Parsed, Whole
from fourtuple.core.errors import EXIT_REACHED, EXIT_SHORT, UsageError
from fourtuple.core.units import parse_rate
from fourtuple.faces.printer import tell

if TYPE_CHECKING:
    from fourtuple.core.runs.churn_orders import ChurnOptions
    from fourtuple.core.runs.churn_record import ChurnRecord
    from fourtuple.core.runs.records import Sample
    from fourtuple.core.runs.run import Run
    from fourtuple.verbs.runs import Keeper

R = TypeVar("R")
MAX = "max"


def _rate_or_max(text: str) -> float:
    if text == MAX:
        return float("inf")
    try:
        return parse_rate(text)
    except UsageError as error:
        do = f"{error.do} Or {MAX}, for the highest rate that is kept."
        raise UsageError(error.wanted, error.stopped_by, do) from None


RATE_FIRST = Parsed("RATE", before_destinations(_rate_or_max, "RATE", "500/s or max before"))


@click.command(cls=Ordered, epilog=UNITS)
@click.argument("rate_per_s", type=RATE_FIRST, metavar="RATE|max")
@click.argument("destinations", nargs=-1, required=True, metavar=f"HOST:PORT[-PORT]|URL{UNIX_PATH}...")
@click.option("--for", "run_s", type=PERIOD, help="How long connections are started.  [default: 10s; max: 3s a step]")
@click.option(
    "--lifetime",
    metavar="TIME",
    default="0s",
    show_default=True,
    help="How long each connection is open at least: 2s, exp:2s (exponential), uniform:1s-5s.",
)
@FIRST
@SEND
@EXPECT
@click.option(
    "--requests",
    type=Whole(1, 2**31),
    metavar="N",
    default=1,
    show_default=True,
    help="Messages per connection.",
)
@click.option(
    "--close",
    type=OneOf(["rst", "fin", "server"]),
    default="rst",
    show_default=True,
    help="Who closes: this end by reset, this end by FIN (its port stays in TIME_WAIT for 60 s), or the server.",
)
@click.option(
    "--arrivals",
    type=OneOf(["poisson", "even"]),
    default="poisson",
    show_default=True,
    help="When connections are due: at random moments, or at equal distances.",
)
@click.option("--seed", type=Whole(0, 2**63 - 1), metavar="N", help="Seed of all random numbers.")
@click.option(
    "--at-once",
    type=Whole(1),
    metavar="N",
    help="Most connections at the same time; others wait.  [default: by rate and lifetime]",
)
@FROM
@FIRST_ADDRESS
@click.option("--strategy", type=STRATEGIES, help="How the source port is chosen, as in hold.  [default: late]")
@click.option(
    "--timeout",
    "timeout_s",
    type=DURATION,
    default="10s",
    show_default=True,
    help="Time limit for each connect(), and for the answers on each connection.",
)
@click.option("--workers", type=Whole(1, 1000), metavar="N", help="Number of processes.  [default: by CPUs and RATE]")
@LOOP
@click.option("--log", is_flag=True, help="Print a line for every event on a connection.")
@click.option("--anyway", is_flag=True, help="Try it even if the plan says that it does not fit.")
@click.option(
    "--i-own-this-target", is_flag=True, help="Allow more than 1,000 connections to a public address of another host."
)
@session
@run_options
def churn(**typed: Any) -> None:
    """Open connections at a rate, exchange messages, close them, and report whether the rate was kept.

    Connections are due at moments that do not depend on the server. One that cannot be started at its moment is started
    late, and its times count from its moment. `max` finds the highest rate that is kept.

    Exit code: 0 if at least 99 % were started within 100 ms of their moment, and all were opened, answered as expected
    and closed; 1 if not.
    """
    from fourtuple.faces.text.churn import plan_words
    from fourtuple.faces.text.lines import wrapped
    from fourtuple.verbs.churn import prepare, start_churn

    shown, searches = Shown.taken(typed), typed["rate_per_s"] == float("inf")
    options = asked(typed)
    if searches:
        _present_search(options, shown)
    order = prepare(options)
    if not shown.quiet:
        tell(*wrapped("", plan_words(order)), to=sys.stderr)
    present(start_churn(order), shown)


def present(run: "Run[Sample, ChurnRecord]", shown: Shown) -> None:
    """Run it, show it, keep it, and end with its exit code."""
    run = metered(run, shown)
    keeper = shown.keeper()
    _end(_show(keeper.run(run) if keeper else run, shown), keeper, shown)


def _present_search(options: "ChurnOptions", shown: Shown) -> NoReturn:
    """Search for the highest rate, and keep the run at that rate."""
    from fourtuple.verbs.churn_max import churn_max

    keeper = shown.keeper()
    found = _show(metered(churn_max(options), shown), shown)
    _end((keeper.run(found.replayed()) if keeper else found.replayed()).finish(), keeper, shown)


def _show(run: "Run[Sample, R]", shown: Shown) -> R:
    from fourtuple.faces.terminal import live
    from fourtuple.faces.text import churn as face

    return live.show(
        run,
        face.churn_progress,
        ready=lambda _: "",
        quiet=shown.quiet or shown.as_json,
        events_to=sys.stderr if shown.as_json else sys.stdout,
        announce=not (shown.quiet or shown.as_json),
    )


def _end(record: "ChurnRecord", keeper: "Keeper | None", shown: Shown) -> NoReturn:
    from fourtuple.faces.text import churn as face

    say(face.churn_lines(record), record.to_json(), keeper, shown.store, as_json=shown.as_json)
    sys.exit(EXIT_REACHED if record.outcome.reached else EXIT_SHORT)


def asked(typed: dict[str, Any]) -> "ChurnOptions":
    """What was typed. Raises UsageError."""
    from fourtuple.core.limits.strategy import Strategy
    from fourtuple.core.runs.churn_orders import RUN_S, ChurnOptions, ClosedBy
    from fourtuple.core.runs.churn_search import FIRST_PER_S, STEP_S
    from fourtuple.core.runs.loop_name import LoopName
    from fourtuple.core.talk.lifetime import parse_lifetime

    typed = dict(typed)
    rate_per_s, destinations = typed.pop("rate_per_s"), typed.pop("destinations")
    searches = rate_per_s == float("inf")
    strategy, run_s = typed.pop("strategy"), typed.pop("run_s")
    try:
        lifetime = parse_lifetime(typed.pop("lifetime"))
    except UsageError as error:
        raise UsageError(f"--lifetime: {error.wanted}", error.stopped_by, error.do) from None
    return ChurnOptions.of(
        FIRST_PER_S if searches else rate_per_s,
        destinations,
        session=of_session(typed),
        words=of_script(typed),
        sources=tuple(split(typed.pop("sources"))),
        strategy=Strategy(strategy) if strategy else None,
        run_s=run_s or (STEP_S if searches else RUN_S),
        lifetime=lifetime,
        even=typed.pop("arrivals") == "even",
        closed_by=ClosedBy(typed.pop("close")),
        loop=LoopName(typed.pop("loop")),
        **typed,
    )
