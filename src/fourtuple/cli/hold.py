"""`hold`: open N connections and hold them."""

import sys
from typing import Any

import click

from fourtuple.cli.common import (
    CONTENT,
    COUNT,
    DURATION,
    LOOP,
    NO_STORE,
    RATE,
    STORE,
    STRATEGIES,
    UNITS,
    keeper_of,
    say,
    split,
)
from fourtuple.core.errors import EXIT_REACHED, EXIT_SHORT, UsageError


@click.command(short_help="Open N connections and hold them.", epilog=UNITS)
@click.argument("wanted", type=COUNT, required=False, metavar="N")
@click.argument("destinations", nargs=-1, metavar="HOST:PORT[-PORT]...")
@click.option(
    "--plan", "plan_file", type=click.Path(dir_okay=False), help="What plan --write has written, for N and all."
)
@click.option("--anyway", is_flag=True, help="Open what there is, also where N cannot be had.")
@click.option(
    "--from",
    "sources",
    multiple=True,
    metavar="ADDRESS[:PORT]",
    help="Source addresses: 10.0.0.4, 10.0.0.2-9, 10.0.0.0/29, with ports to choose them yourself; repeat or separate"
    " by commas.",
)
@click.option("--strategy", type=STRATEGIES, help="Who chooses the source port.  [default: late]")
@click.option("--rate", "rate_per_s", type=RATE, help="Open so many a second.  [default: as fast as they open]")
@click.option("--for", "hold_s", type=DURATION, default="10s", show_default=True, help="Hold them so long.")
@click.option("--timeout", "timeout_s", type=DURATION, default="30s", show_default=True, help="Give up a connect().")
@click.option("--workers", type=click.IntRange(1, 1000), help="Processes.  [default: 1; epoll: as many as it takes]")
@click.option(
    "--close",
    type=click.Choice(["rst", "fin"]),
    default="rst",
    show_default=True,
    help="How to end: rst leaves nothing behind, fin leaves TIME_WAIT for 60 s.",
)
@click.option(
    "--watch",
    type=click.Choice(["poll", "census", "off"]),
    default="poll",
    show_default=True,
    help="How lost ones are noticed: each is polled, or the kernel's table is counted now and then.",
)
@click.option("--reconnect", is_flag=True, help="Open lost ones again, at the rate.")
@click.option("--send", type=CONTENT, default=b"", help="Send this on each: text, @FILE, or a size such as 32B.")
@click.option("--every", "every_s", type=DURATION, help="So often; 0s: again when answered.  [default: 30s]")
@click.option("--expect", type=CONTENT, default=b"", help="What is to come back: to each, or as a greeting.")
@click.option("--log", is_flag=True, help="A line for everything that happens to a connection.")
@LOOP
@click.option("--fill-memory", is_flag=True, help="Take 98 % of the free memory, not 90: for a host that does no more.")
@click.option("--i-own-this-target", is_flag=True, help="Allow more than 1,000 to a public address of another host.")
@STORE
@NO_STORE
@click.option("--quiet", is_flag=True, help="No progress.")
@click.option("--json", "as_json", is_flag=True, help="The record as one line on standard output, nothing else.")
def hold(
    wanted: int | None,
    destinations: tuple[str, ...],
    plan_file: str | None,
    sources: tuple[str, ...],
    strategy: str | None,
    close: str,
    watch: str,
    loop: str,
    store: str | None,
    no_store: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Open N connections, hold them, close them, and say what became of them.

    Ends with 0 where all N were held at the same time and answered as expected, with 1 where not.

    \b
    late      the kernel chooses the source port at connect(), quickly to the last one
    plain     the kernel chooses it, nothing is set: slow past half of the range
    noport    as late, by IP_BIND_ADDRESS_NO_PORT alone
    explicit  you choose it: these ports are then lost to all other programs
    """
    from fourtuple.core.limits.strategy import Strategy
    from fourtuple.core.runs.orders import LoopName, Watch
    from fourtuple.faces.terminal import live
    from fourtuple.faces.text import hold
    from fourtuple.verbs.background import READY
    from fourtuple.verbs.hold import hold as verb
    from fourtuple.verbs.plan import read_plan

    if plan_file is not None:
        if wanted is not None or destinations or sources or strategy:
            raise UsageError("--plan", "the file says how many, where to and from where", "Leave those out.")
        written = read_plan(plan_file)
        wanted, destinations, sources = written.wanted, tuple(written.destinations), tuple(written.sources)
        strategy, options["rate_per_s"] = written.strategy, options["rate_per_s"] or written.rate_per_s
    if wanted is None or not destinations:
        raise UsageError("connections", "N and a destination are needed, or --plan", "Write hold 100 127.0.0.1:8000.")
    run = verb(
        wanted,
        destinations,
        sources=split(sources),
        strategy=Strategy(strategy) if strategy else None,
        reset=close == "rst",
        watch=Watch(watch),
        loop=LoopName(loop),
        **options,
    )
    keeper = keeper_of(store, no_store=no_store)
    record = live.show(
        keeper.run(run) if keeper else run,
        hold.hold_progress,
        quiet=quiet or as_json,
        events_to=sys.stderr if as_json else sys.stdout,
        announce=as_json or not quiet,
        ready=lambda sample: hold.hold_ready(sample, READY["hold"]),
    )
    say(hold.hold_lines(record), record.to_json(), keeper, store, as_json=as_json)
    sys.exit(EXIT_REACHED if record.reached else EXIT_SHORT)
