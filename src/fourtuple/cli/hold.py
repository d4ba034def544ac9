"""`hold`: open N connections and hold them."""

import sys
from typing import TYPE_CHECKING, Any

import click

from fourtuple.cli.common import (
    DURATION,
    FIRST_ADDRESS,
    LOOP,
    RATE,
    SOURCES,
    STRATEGIES,
    UNITS,
    Shown,
    is_like_a_destination,
    metered,
    run_options,
    say,
    split,
)
from fourtuple.cli.refused import path_of
from fourtuple.cli.session import EXPECT, FIRST, SEND, UNIX_PATH, Ordered, of_script, of_session, session
from fourtuple.cli.values import OneOf, Parsed, Whole
from fourtuple.core.errors import EXIT_REACHED, EXIT_SHORT, UsageError
from fourtuple.core.units import parse_count

if TYPE_CHECKING:
    from fourtuple.core.runs.orders import HoldOptions
    from fourtuple.core.runs.records import HoldRecord, Sample
    from fourtuple.core.runs.run import Run
    from fourtuple.core.runs.start import Planned
    from fourtuple.core.talk.stages import Stages


def _number_or_destination(text: str) -> int | str:
    """N, or the first destination where N is left out. Raises UsageError."""
    try:
        return parse_count(text)
    except UsageError:
        if is_like_a_destination(text):
            return text
        raise


def _stages(text: str) -> "Stages":
    from fourtuple.core.talk.stages import parse_stages

    return parse_stages(text)


@click.command(cls=Ordered, epilog=UNITS)
@click.argument("wanted", type=Parsed("N", _number_or_destination), required=False, metavar="N")
@click.argument("destinations", nargs=-1, metavar=f"HOST:PORT[-PORT]|URL{UNIX_PATH}...")
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(dir_okay=False, readable=False),
    help="Take N, destinations and sources from a `plan --write` file.",
)
@click.option("--anyway", is_flag=True, help="Open as many as possible, even if fewer than N.")
@click.option(
    "--from",
    "sources",
    type=SOURCES,
    multiple=True,
    help="Source addresses: 10.0.0.4, 10.0.0.2-9, 10.0.0.0/29; add ports to choose these yourself (repeatable or"
    " comma-separated).",
)
@FIRST_ADDRESS
@click.option("--strategy", type=STRATEGIES, help="How the source port is chosen, see above.  [default: late]")
@click.option("--rate", "rate_per_s", type=RATE, help="Connections to open per second.  [default: as fast as possible]")
@click.option("--for", "hold_s", type=DURATION, help="How long to hold the connections.  [default: 10s]")
@click.option(
    "--stages",
    type=Parsed("N@TIME,...", _stages),
    help="Ramps of the number of open connections, instead of N, --rate and --for: '10k@10s, 100k@60s, 0@20s'.",
)
@click.option(
    "--churn",
    "churn_per_s",
    type=RATE,
    default=0.0,
    help="Connections to replace per second while they are held: closed, and opened again, the oldest first.",
)
@click.option(
    "--timeout", "timeout_s", type=DURATION, default="30s", show_default=True, help="Time limit for each connect()."
)
@click.option(
    "--workers",
    type=Whole(1, 1000),
    metavar="N",
    help="Number of processes.  [default: by CPUs, files and N]",
)
@click.option(
    "--close",
    type=OneOf(["rst", "fin"]),
    default="rst",
    show_default=True,
    help="How to close: rst leaves nothing behind, fin leaves TIME_WAIT for 60 s.",
)
@click.option(
    "--watch",
    type=OneOf(["poll", "census", "off"]),
    default="poll",
    show_default=True,
    help="How to detect lost connections: poll each one, or count the kernel's table periodically.",
)
@click.option("--reconnect", is_flag=True, help="Reopen lost connections, at --rate.")
@FIRST
@SEND
@click.option(
    "--every",
    "every_s",
    type=DURATION,
    help="Interval between messages; 0s: send again after each answer.  [default: 30s]",
)
@EXPECT
@click.option("--log", is_flag=True, help="Print a line for every event on a connection.")
@LOOP
@click.option(
    "--fill-memory",
    is_flag=True,
    help="Use 98 % of the free memory instead of 90 %: for a host that does nothing else.",
)
@click.option(
    "--i-own-this-target", is_flag=True, help="Allow more than 1,000 connections to a public address of another host."
)
@session
@run_options
def hold(**typed: Any) -> None:
    """Open N connections, hold them, close them, and report the result.

    Stages change the number of open connections: evenly to each number, within its time. N is the largest of them then.
    The newest connections are closed first.

    Exit code: 0 if all N were open at the same time and until the end, accepted, and answered as expected; 1 if not.

    \b
    Strategies, by which the source port is chosen:
    late      by the kernel at connect(); fast even when the range is nearly full
    plain     by the kernel, with no socket option set; slow past half of the range
    noport    as late, but with IP_BIND_ADDRESS_NO_PORT alone
    explicit  by you (--from ADDRESS:PORT); other programs cannot use these ports
    """
    from fourtuple.verbs.hold import prepare, start_hold

    shown = Shown.taken(typed)
    order = prepare(asked(typed))
    present(order.start.planned, start_hold(order), shown)


def present(planned: "Planned | None", run: "Run[Sample, HoldRecord]", shown: Shown) -> None:
    """Run it, show it, keep it, and end with its exit code."""
    from fourtuple.faces.printer import tell
    from fourtuple.faces.terminal import live
    from fourtuple.faces.text import hold
    from fourtuple.faces.text.stages import plan_lines
    from fourtuple.verbs.background import READY

    tell(*plan_lines(None if shown.quiet else planned), to=sys.stderr)
    run = metered(run, shown)
    keeper = shown.keeper()
    record = live.show(
        keeper.run(run) if keeper else run,
        hold.hold_progress,
        quiet=shown.quiet or shown.as_json,
        events_to=sys.stderr if shown.as_json else sys.stdout,
        announce=not shown.quiet,
        ready=lambda sample: hold.hold_ready(sample, READY["hold"]),
    )
    say(hold.hold_lines(record), record.to_json(), keeper, shown.store, as_json=shown.as_json)
    sys.exit(EXIT_REACHED if record.outcome.reached else EXIT_SHORT)


def asked(typed: dict[str, Any]) -> "HoldOptions":
    """What was typed, and what the file of a plan says. Raises UsageError where both say the same thing."""
    from fourtuple.core.limits.strategy import Strategy
    from fourtuple.core.runs.loop_name import LoopName
    from fourtuple.core.runs.orders import HoldOptions, Watch
    from fourtuple.verbs.plan import read_plan

    others = dict(typed)
    number, destinations = _number(others.pop("wanted"), others.pop("destinations"))
    sources, strategy, plan_file = (others.pop(name) for name in ("sources", "strategy", "plan_file"))
    if plan_file is not None:
        if number is not None or destinations or sources or strategy or others["first_address"]:
            raise UsageError("--plan", "the file has N, the destinations and the sources", "Leave these out.")
        written = read_plan(plan_file)
        number, destinations, sources = written.wanted, tuple(written.destinations), tuple(written.sources)
        others["first_address"] = written.first_address
        strategy, others["rate_per_s"] = written.strategy, others["rate_per_s"] or written.rate_per_s
    if number is None and others["stages"]:
        number = others["stages"].most
    if number is None or not destinations:
        raise _lacking(number, destinations)
    return HoldOptions.of(
        number,
        destinations,
        session=of_session(others),
        words=of_script(others),
        sources=tuple(split(sources)),
        strategy=Strategy(strategy) if strategy else None,
        reset=others.pop("close") == "rst",
        watch=Watch(others.pop("watch")),
        loop=LoopName(others.pop("loop")),
        **others,
    )


def _lacking(number: int | None, destinations: tuple[str, ...]) -> UsageError:
    """What to write where N or a destination is missing, or stands where the other belongs."""
    from fourtuple.core.talk.session import hidden

    command = path_of(click.get_current_context())
    if not destinations:
        return UsageError("N and a destination are needed, or --plan", do=f"{command} {number or 100} 127.0.0.1:8000")
    shown = [hidden(text) for text in destinations]
    numbers = [text for text in shown if text.replace(",", "").isalnum() and text[0].isdecimal()]
    first, *others = [*(numbers[:1] or ["100"]), *(text for text in shown if text not in numbers)]
    what = "N comes before the destinations" if numbers else "N is missing"
    return UsageError(f"{command} {' '.join(shown)}", what, f"{command} {first} {' '.join(others)}")


def _number(wanted: int | str | None, destinations: tuple[str, ...]) -> tuple[int | None, tuple[str, ...]]:
    """(N, destinations) as typed. N may be left out: then the first destination stands in its place."""
    return (None, (wanted, *destinations)) if isinstance(wanted, str) else (wanted, destinations)
