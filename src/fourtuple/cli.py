"""Arguments → verb → face → exit code. The only place that prints; commands import what they need when they run."""

import shutil
import sys
from collections.abc import Callable, Generator
from typing import Any, TypeVar

import click

from fourtuple import __version__
from fourtuple.core.content import MOST_BYTES, check_content, parse_content
from fourtuple.core.errors import EXIT_INTERRUPTED, EXIT_REACHED, EXIT_SHORT, FourtupleError, UsageError
from fourtuple.core.units import parse_count, parse_duration, parse_rate

T = TypeVar("T")
Run = Generator[Any, None, T]


class Unit(click.ParamType[float]):
    """A number with a unit, read by core/units.py."""

    def __init__(self, name: str, parse: Callable[[str], float]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        return self._parse(value) if isinstance(value, str) else value


class Content(click.ParamType[bytes]):
    """What is to be sent or expected, read by core/content.py; @FILE is the file's content."""

    name = "TEXT|@FILE|SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        if isinstance(value, bytes):
            return value
        if value.startswith("@"):
            try:
                with open(value[1:], "rb") as file:
                    content = file.read(MOST_BYTES + 1)
            except OSError as error:
                raise UsageError(f"the file {value[1:]}", str(error.strerror)) from None
        else:
            content = parse_content(value)
        check_content(content)
        return content


CONTENT = Content()


def _positive(parse: Callable[[str], float]) -> Callable[[str], float]:
    def parsed(text: str) -> float:
        value = parse(text)
        if not value:
            raise UsageError(f"{text!r}", "it must be more than 0")
        return value

    return parsed


SOME, PERIOD = Unit("N", _positive(parse_count)), Unit("TIME", _positive(parse_duration))
COUNT, RATE, DURATION = Unit("N", parse_count), Unit("RATE", parse_rate), Unit("TIME", parse_duration)
UNITS = "Numbers: 100, 20k, 1.5M. Times: 500ms, 3s, 2m, 1h. Rates: 200/s, 20k/s. More in docs/."
STRATEGIES = click.Choice(["late", "plain", "noport", "explicit"])
ALL_STRATEGIES = click.Choice([*STRATEGIES.choices, "bind0"])

LOOP = click.option(
    "--loop",
    type=click.Choice(["auto", "ring", "epoll"]),
    default="auto",
    show_default=True,
    envvar="FOURTUPLE_LOOP",
    help="What makes the connections; auto takes io_uring where it is allowed.",
)


class Commands(click.Group):
    """Errors of ours become their lines and their exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except FourtupleError as error:
            _complain(error)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            ctx.exit(EXIT_INTERRUPTED)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="fourtuple", message="%(prog)s %(version)s")
def cli() -> None:
    """TCP connections past every limit that is not real.

    A connection is a 4-tuple: source address and port, destination address and port. 65,535 limits nothing.
    """


@cli.command(short_help="Show on real sockets that 65,535 is not the limit.")
@click.argument("names", nargs=-1, metavar="[LESSON]...")
@click.option("--list", "only_list", is_flag=True, help="Name the lessons and their claims, run nothing.")
@click.option("--show-code", is_flag=True, help="Print the source of the named lessons, run nothing.")
@click.option("--connections", type=COUNT, help="How many past-65536 opens.  [default: 100,000]")
@click.option("--json", "as_json", is_flag=True, help="One object on standard output, nothing else.")
def prove(names: tuple[str, ...], only_list: bool, show_code: bool, connections: int | None, as_json: bool) -> None:
    """Show on real sockets that 65,535 is not the limit, and what is.

    Everything happens in a private network namespace where one is allowed, on loopback where not, and ends by itself.
    """
    from fourtuple import lessons
    from fourtuple.faces import prove as face

    chosen = lessons.choose(names)
    if show_code:
        click.echo("\n\n".join(face.code(lesson, alone=len(chosen) == 1) for lesson in chosen), nl=False)
        return
    if only_list:
        click.echo("\n".join(face.list_lines(chosen)))
        return
    if connections is not None and "past-65536" not in {lesson.name for lesson in chosen}:
        raise UsageError("--connections", "only past-65536 opens that many, and it is not among the lessons")
    proof = lessons.prove(chosen, connections)
    result = _pull(proof) if as_json else face.show(proof, len(chosen))
    if as_json:
        _print_json(result.to_json())
    sys.exit(result.exit_code)


@cli.command(short_help="Open N connections and hold them.", epilog=UNITS)
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
    from fourtuple import verbs
    from fourtuple.core.plan import Strategy
    from fourtuple.faces import live, text

    if plan_file is not None:
        if wanted is not None or destinations or sources or strategy:
            raise UsageError("--plan", "the file says how many, where to and from where", "Leave those out.")
        written = verbs.read_plan(plan_file)
        wanted, destinations, sources = written.wanted, tuple(written.destinations), tuple(written.sources)
        strategy, options["rate_per_s"] = written.strategy, options["rate_per_s"] or written.rate_per_s
    if wanted is None or not destinations:
        raise UsageError("connections", "N and a destination are needed, or --plan", "Write hold 100 127.0.0.1:8000.")
    record = live.show(
        verbs.hold(
            wanted,
            destinations,
            sources=_split(sources),
            strategy=Strategy(strategy) if strategy else None,
            reset=close == "rst",
            watch=verbs.Watch(watch),
            loop=verbs.LoopName(loop),
            **options,
        ),
        text.hold_progress,
        quiet=quiet or as_json,
        events_to=sys.stderr if as_json else sys.stdout,
        announce=as_json or not quiet,
        ready=lambda sample: text.hold_ready(sample, verbs.READY["hold"]),
    )
    if as_json:
        _print_json(record.to_json())
    else:
        click.echo("\n".join(text.hold_lines(record)))
    sys.exit(EXIT_REACHED if record.reached else EXIT_SHORT)


@cli.command(short_help="Accept connections on any number of ports.", epilog=UNITS)
@click.argument("where", nargs=-1, required=True, metavar="HOST:PORT[-PORT]...")
@click.option("--greet", default="", metavar="TEXT", help="Send this to each client at once.")
@click.option("--echo", is_flag=True, help="Send back what comes in.")
@click.option("--close-after", "close_after_s", type=DURATION, help="Close each connection after that long.")
@click.option("--backlog", type=click.IntRange(0, 65535), default=65535, show_default=True, help="As in listen(2).")
@click.option("--workers", type=click.IntRange(1, 1000), help="Processes.  [default: 1; epoll: doubled whenever full]")
@click.option(
    "--watch",
    type=click.Choice(["poll", "census"]),
    default="poll",
    show_default=True,
    help="How it is noticed that clients are gone: each is polled, or the kernel's table is counted now and then.",
)
@LOOP
@click.option("--for", "serve_s", type=DURATION, help="End after that long.  [default: at Ctrl-C]")
@click.option("--log", is_flag=True, help="A line for each accept and close, with both ends.")
@click.option("--quiet", is_flag=True, help="No progress.")
@click.option("--json", "as_json", is_flag=True, help="The record as one line on standard output, nothing else.")
def serve(where: tuple[str, ...], watch: str, loop: str, quiet: bool, as_json: bool, **options: Any) -> None:
    """Accept connections on any number of addresses and ports. accept() takes no new port."""
    from fourtuple import verbs
    from fourtuple.faces import live, text

    record = live.show(
        verbs.serve(where, watch=verbs.Watch(watch), loop=verbs.LoopName(loop), **options),
        text.serve_progress,
        quiet=quiet or as_json,
        events_to=sys.stderr if as_json else sys.stdout,
        announce=True,
        ready=lambda _: f"{verbs.READY['serve']} on {', '.join(where)}",
    )
    if as_json:
        _print_json(record.to_json())
    else:
        click.echo("\n".join(text.serve_lines(record)))
    sys.exit(EXIT_SHORT if record.workers_killed else EXIT_REACHED)


PID = click.option("--pid", type=click.IntRange(1), help="The world of this process: its files, cgroup, namespace.")
NETNS = click.option("--netns", metavar="NAME|PID", help="The network namespace of that name (ip netns), or process.")
FROM = click.option(
    "--from", "sources", multiple=True, metavar="ADDRESS[:PORT]", help="Source addresses, as hold takes them."
)
JSON = click.option("--json", "as_json", is_flag=True, help="One object on standard output, nothing else.")


@cli.command(short_help="How many more connections, and which limit decides.", epilog=UNITS)
@click.argument("destinations", nargs=-1, metavar="[HOST:PORT[-PORT]]...")
@FROM
@click.option("--strategy", type=ALL_STRATEGIES, help="Who chooses the source port.  [default: late]")
@PID
@NETNS
@click.option("--role", type=click.Choice(["client", "server"]), help="[default: client; server for a listening --pid]")
@click.option("--probe", is_flag=True, help="Ask the kernel, by short connections on 127.0.0.1, what it does not tell.")
@click.option("--all", "everything", is_flag=True, help="Every limit and every route.")
@JSON
def limits(
    destinations: tuple[str, ...],
    sources: tuple[str, ...],
    strategy: str | None,
    pid: int | None,
    netns: str | None,
    role: str | None,
    probe: bool,
    everything: bool,
    as_json: bool,
) -> None:
    """How many more connections can be opened from here, or accepted; which limit decides, and which come next.

    \b
    late      the kernel chooses the source port at connect(), quickly to the last one
    plain     the kernel chooses it, nothing is set
    noport    bind(address, 0) with IP_BIND_ADDRESS_NO_PORT
    bind0     bind(address, 0), as programs do by mistake: one pool for all destinations
    explicit  the program chooses it, with SO_REUSEADDR
    """
    from fourtuple import verbs
    from fourtuple.core.plan import Strategy
    from fourtuple.core.verdicts import Role
    from fourtuple.faces import limits as face

    found = verbs.limits(
        destinations,
        sources=_split(sources),
        strategy=Strategy(strategy) if strategy else None,
        pid=pid,
        role=Role(role) if role else None,
        probe=probe,
        outside=verbs.go_into(pid, netns),
    )
    if as_json:
        _print_json(found.to_json())
    else:
        click.echo("\n".join(face.limits_lines(found, everything=everything)))


@cli.command(short_help="Who uses which 4-tuples, and how many are left.", epilog=UNITS)
@click.option(
    "--to", multiple=True, metavar="[HOST][:PORT[-PORT]]", help="Only connections to these; repeat or commas."
)
@click.option(
    "--from", "sources", multiple=True, metavar="ADDRESS", help="Only from these: an address, range, network."
)
@click.option(
    "--state", "states", multiple=True, metavar="NAME", help="Only sockets in these: established, time-wait …"
)
@click.option(
    "--by",
    type=click.Choice(["pair", "destination", "port", "state", "process"]),
    default="pair",
    show_default=True,
    help="What a row is.",
)
@click.option("--top", "most", type=SOME, help="So many rows, the worst first.  [default: 10; all for --json, --csv]")
@NETNS
@click.option("--all-netns", is_flag=True, help="Each network namespace that you may see.")
@click.option(
    "--watch",
    "every_s",
    type=PERIOD,
    is_flag=False,
    flag_value="2s",
    help="Again and again, with what is new.  [2s, if no time is given]",
)
@click.option("--rings", is_flag=True, help="Ask io_uring instances for their sockets; each halts while it lists them.")
@click.option("--csv", "as_csv", is_flag=True, help="The rows as CSV.")
@click.option("--save", type=click.Path(dir_okay=False), help="Write the JSON with every row to this file, too.")
@JSON
def census(
    to: tuple[str, ...],
    sources: tuple[str, ...],
    states: tuple[str, ...],
    by: str,
    most: int | None,
    netns: str | None,
    all_netns: bool,
    every_s: float | None,
    rings: bool,
    as_csv: bool,
    save: str | None,
    as_json: bool,
) -> None:
    """Who uses which 4-tuples: connections by source and destination, the pair that is closest to its end first.

    A local port that somebody listens on is a server's; all others are clients'. What connect() can still choose for a
    pair is its range, less what is reserved, less what somebody holds by bind() or listen(), less what it uses itself.
    """
    from fourtuple import verbs
    from fourtuple.core.counts import By, Census
    from fourtuple.faces import census as face
    from fourtuple.faces import watch as watching

    if all_netns and (netns or every_s is not None):
        raise UsageError("--all-netns", "it looks once, and everywhere", "Leave --netns and --watch out.")
    if as_json and as_csv:
        raise UsageError("--json and --csv", "standard output can be one of them")
    if save is not None and (all_netns or every_s is not None):
        raise UsageError("--save", "it is for one look at one namespace", "Leave --all-netns and --watch out.")
    as_text = not (as_json or as_csv)
    shown = face.SHOWN if most is None and as_text else most
    options: dict[str, Any] = {
        "to": _split(to),
        "sources": _split(sources),
        "states": verbs.states_named(_split(states)),
        "by": By(by),
        "most": face.WATCHED if every_s is not None and as_text else None if save else shown,
        "rings": rings,
    }

    def show(found: Census, *, first: bool = True) -> None:
        found = found.first(shown)
        if as_json:
            _print_json(found.to_json())
        elif as_csv:
            click.echo(face.csv_text(found, head=first), nl=False)
        elif every_s is None:
            click.echo("\n".join(face.census_lines(found, columns=_columns())))
        else:
            click.echo("\n".join([*face.watch_lines(found), ""]))

    if all_netns:
        sys.exit(_census_everywhere(verbs.census_everywhere(**options), show, titles=as_text))
    owners = every_s is None or not as_text  # a look in passing does not show them
    looks = verbs.censuses(**options, owners=owners, outside=verbs.go_into(None, netns))
    if every_s is not None and as_text and sys.stdin.isatty() and sys.stdout.isatty():
        watching.screen(looks, every_s)
    elif every_s is not None:
        for number, found in enumerate(verbs.paced(looks, every_s)):
            show(found, first=number == 0)
    else:
        found = next(looks)
        if save is not None:
            verbs.save(found, save)
        show(found)


def _census_everywhere(looks: Run[int], show: Callable[..., None], *, titles: bool) -> int:
    """A block for each namespace → the exit code."""
    code, number = EXIT_REACHED, 0
    while True:
        try:
            place, found = next(looks)
        except StopIteration as end:
            if end.value:
                click.echo(f"{end.value} more namespaces are not visible: that takes root", err=True)
            return code
        if titles:
            click.echo(f"{chr(10) * (number > 0)}{place.netns} {place.name}")
        if isinstance(found, FourtupleError):
            _complain(found)
            code = EXIT_SHORT
        else:
            show(found, first=number == 0)
        number += 1


@cli.command(short_help="Tell Prometheus who uses which 4-tuples.", epilog=UNITS)
@click.option("--listen", metavar="ADDRESS:PORT", default="127.0.0.1:9435", show_default=True, help="Where to serve.")
@click.option("--every", "every_s", type=PERIOD, default="15s", show_default=True, help="Count so often.")
@click.option("--top", "most", type=SOME, default="50", show_default=True, help="Pairs of their own; the rest: other.")
@NETNS
def export(listen: str, every_s: float, most: int, netns: str | None) -> None:
    """Serve metrics for Prometheus: the pairs of source and destination that are closest to their end, and the rest.

    It listens in the network namespace that it is started in, and counts in that of --netns. A scrape reads what was
    counted last, so it costs nothing.
    """
    from fourtuple import verbs
    from fourtuple.core.endpoints import Endpoint
    from fourtuple.core.errors import CannotError
    from fourtuple.faces import metrics

    end, exporter = Endpoint.parse(listen), metrics.Exporter()
    try:
        server = metrics.Server(str(end.address), end.port, exporter)
    except OSError as error:
        raise CannotError(f"listening on {end}", str(error.strerror), "Choose another with --listen.") from None
    verbs.go_into(None, netns)
    for number, snapshot in enumerate(verbs.paced(verbs.snapshots(most), every_s)):
        if snapshot is None:
            exporter.fail()
        else:
            exporter.publish(snapshot)
        if number == 0:
            server.start()
            click.echo(f"metrics on http://{end}/metrics", err=True)


@cli.command(short_help="Do N connections fit, and what makes them fit?", epilog=UNITS)
@click.argument("wanted", type=COUNT, metavar="N")
@click.argument("destinations", nargs=-1, required=True, metavar="HOST:PORT[-PORT]...")
@FROM
@click.option("--strategy", type=ALL_STRATEGIES, help="Who chooses the source port.  [default: late]")
@click.option("--rate", "rate_per_s", type=RATE, help="Open so many a second.")
@click.option("--churn", "churn_per_s", type=RATE, help="Open and close so many a second besides, closing first.")
@click.option("--machines", type=click.IntRange(1, 1_000_000), help="Split them over so many, on paper.")
@click.option(
    "--nat", type=click.Choice(["aws", "azure", "gcp", "linux"]), help="A router that translates, in between."
)
@click.option("--nat-addresses", type=click.IntRange(1), default=1, show_default=True, help="Its public addresses.")
@click.option("--write", "file", type=click.Path(dir_okay=False), help="Write it to a file, for hold --plan.")
@click.option("--apply", "do_apply", is_flag=True, help="Write the settings it takes; fourtuple undo brings them back.")
@JSON
def plan(
    wanted: int,
    destinations: tuple[str, ...],
    sources: tuple[str, ...],
    strategy: str | None,
    file: str | None,
    do_apply: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Do N more connections fit, and what is the smallest change that makes them? Opens nothing.

    Ends with 0 where they surely fit, with 1 where not.
    """
    from fourtuple import verbs
    from fourtuple.core.plan import Strategy
    from fourtuple.faces import plan as face

    asked = {"sources": _split(sources), "strategy": Strategy(strategy) if strategy else None, **options}
    fit = verbs.plan(wanted, destinations, **asked)
    said: list[str] = []
    applied: dict[str, Any] = {}
    if do_apply:
        outcome = verbs.apply(fit.changes)
        said = [*face.applied_lines(outcome.done, outcome.refused), ""]
        applied = {"applied": [change.name for change in outcome.done]}
        fit = verbs.plan(wanted, destinations, **asked)
    if file:
        verbs.write_plan(file, fit.wanted_each, destinations, asked["sources"], strategy, options["rate_per_s"])
        share = ", the share of one machine" if fit.machine else ""
        said.append(f"written to {file}{share}: fourtuple hold --plan {file}")
    if as_json:
        _print_json(fit.to_json() | applied)
    else:
        click.echo("\n".join([*said, *face.plan_lines(fit)]))
    sys.exit(EXIT_REACHED if fit.fits else EXIT_SHORT)


@cli.command(short_help="Bring back the settings that plan --apply has changed.")
@click.option("--forget", is_flag=True, help="Drop what is stored of other network namespaces, which may be gone.")
def undo(forget: bool) -> None:
    """Bring back the settings that plan --apply has changed, on this host and in this network namespace."""
    from fourtuple import verbs
    from fourtuple.faces import plan as face

    outcome = verbs.undo(forget=forget)
    click.echo("\n".join(face.undone_lines(outcome.done, outcome.refused, outcome.elsewhere)))
    sys.exit(EXIT_SHORT if outcome.refused else EXIT_REACHED)


@cli.command(short_help="Explain a number, an errno, or a line of a log.")
@click.argument("what", nargs=-1, required=True, metavar="WHAT...")
@click.option("--dest", "destination", metavar="ADDRESS:PORT", help="What it is about.")
@PID
@NETNS
@click.option("--all", "everything", is_flag=True, help="The unlikely causes in full, too.")
@JSON
def why(
    what: tuple[str, ...],
    destination: str | None,
    pid: int | None,
    netns: str | None,
    everything: bool,
    as_json: bool,
) -> None:
    """Explain where connections stop: WHAT is a number (28232), an errno (99, EADDRINUSE), or a line of a log or a
    traceback; - reads it from standard input. Causes come best first, with what this host says for and against them.

    Ends with 1 where nothing is known of it.

    \b
    fourtuple why 28232
    fourtuple why "dial tcp 10.0.0.9:80: connect: cannot assign requested address"
    journalctl -u proxy | tail -1 | fourtuple why -
    """
    from fourtuple import verbs
    from fourtuple.faces import why as face

    text = sys.stdin.buffer.read().decode(errors="replace") if what == ("-",) else " ".join(what)
    answer = verbs.why(text, destination=destination, pid=pid, outside=verbs.go_into(pid, netns))
    if as_json:
        _print_json(answer.to_json())
    else:
        click.echo("\n".join(face.why_lines(answer, everything=everything)))
    sys.exit(EXIT_REACHED if answer.explanations else EXIT_SHORT)


@cli.command(
    short_help="Run a command in a private network namespace.", context_settings={"ignore_unknown_options": True}
)
@click.option("--ports", metavar="LOW-HIGH", default="1024-65535", show_default=True, help="Automatic source ports.")
@click.option(
    "--hash-table",
    "hash_entries",
    type=COUNT,
    help="Entries of its own TCP hash table.  [default: as many as memory has room for sockets]",
)
@click.option("--hosts", type=click.IntRange(1, 2), default=1, show_default=True, help="2: joined by a cable.")
@click.option("--quiet", is_flag=True, help="Do not say what the lab is like.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
def lab(ports: str, hash_entries: int | None, hosts: int, quiet: bool, command: tuple[str, ...]) -> None:
    """Run COMMAND in a private network namespace made for it, gone when it ends; its exit code is ours.

    \b
    fourtuple lab -- sh                  a shell to play in: nothing in it reaches the host
    fourtuple lab --ports 40000-40099 -- ./my-tests
    fourtuple lab --hosts 2 -- sh        this shell is host1, 10.77.0.1
      $ host2 fourtuple serve 10.77.0.2:8000 &
    """
    from fourtuple import verbs
    from fourtuple.faces import text

    low, _, high = ports.partition("-")
    if not (low.isdecimal() and high.isdecimal()):
        raise UsageError(f"the ports {ports!r}", "LOW-HIGH is expected", "Write 32768-60999.")
    with verbs.lab(ports=range(int(low), int(high) + 1), hash_entries=hash_entries, hosts=hosts) as (setup, place):
        if not quiet:
            click.echo(text.lab_line(setup.ports, setup.hash_entries, setup.hosts), err=True)
        code = verbs.run_in(place, command)
    sys.exit(code)


def _complain(error: FourtupleError) -> None:
    from fourtuple.faces.lines import error_lines

    for line in error_lines(error):
        click.echo(line, err=True)


def _columns() -> int:
    """As wide as the terminal; 80 where there is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 80


def _split(sources: tuple[str, ...]) -> list[str]:
    return [part for source in sources for part in source.split(",")]


def _pull(run: Run[T]) -> T:
    from fourtuple.verbs import finish

    return finish(run)


def _print_json(record: dict[str, Any]) -> None:
    import json

    click.echo(json.dumps(record, ensure_ascii=False, default=str))
