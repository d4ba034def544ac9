"""Shared parts of the commands: parameter types with units, options, and printing of records and errors."""

import os
import re
import sys
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from fourtuple.cli.values import OneOf, Parsed, Whole
from fourtuple.core.errors import FourtupleError, UsageError
from fourtuple.core.record import dataclass
from fourtuple.core.runs.label import Label
from fourtuple.core.talk.content import check_size, parse_content
from fourtuple.core.units import parse_count, parse_duration, parse_rate, parse_size, quoted
from fourtuple.core.visible import shell_words, visible_json
from fourtuple.faces.printer import tell

if TYPE_CHECKING:
    from fourtuple.core.runs.records import Sample
    from fourtuple.core.runs.run import Run
    from fourtuple.core.snapshot.host import Host
    from fourtuple.core.space.endpoints import Endpoint
    from fourtuple.verbs.runs import Keeper


R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


def content_of(text: str, *, allow_empty: bool = False) -> bytes:
    """A message as typed (core/talk/content.py); @FILE means the content of FILE. Raises UsageError, CannotError."""
    if text.startswith("@"):
        from fourtuple.verbs.content import read_content

        return read_content(text[1:], allow_empty=allow_empty)
    content = parse_content(text)
    if content or not allow_empty:
        check_size(len(content))
    return content


def _listen(text: str) -> str:
    from fourtuple.core.space.endpoints import Endpoint, listening

    return str(Endpoint.parse(listening(text)))


def _endpoint(text: str) -> str:
    from fourtuple.core.space.endpoints import Endpoint

    return str(Endpoint.parse(text))


def _sources(text: str) -> str:
    """Addresses that are checked, and stay a text. Raises UsageError."""
    from fourtuple.core.space.endpoints import EndpointSpec, parse_addresses

    for part in text.split(","):
        parse_addresses(EndpointSpec.parse(part).host)
    return text


def _filters(text: str) -> str:
    from fourtuple.core.sockets.filter import EndpointRange

    for part in text.split(","):
        EndpointRange.parse(part)
    return text


def _destination(text: str) -> str:
    """One HOST:PORT, whose host may be a name. Raises UsageError."""
    from fourtuple.core.space.endpoints import Endpoint, EndpointSpec

    spec = EndpointSpec.parse(text)
    if spec.ports is None or len(spec.ports) > 1:
        Endpoint.parse(text)  # raises
    return text


def _sources_or_file(text: str) -> str:
    """The same, or the name of a snapshot. Raises UsageError."""
    from fourtuple.verbs.hosts import is_snapshot_name

    try:
        return text if is_snapshot_name(text) else _sources(text)
    except UsageError as error:
        raise UsageError(error.wanted, f"{error.stopped_by}, and there is no file {text}", error.do) from None


CONTENT = Parsed("TEXT|@FILE|SIZE", content_of)
LISTEN, ENDPOINT = Parsed("ADDRESS:PORT", _listen), Parsed("ADDRESS:PORT", _endpoint)
FILTERS, DESTINATION = Parsed("[HOST][:PORT[-PORT]]", _filters), Parsed("HOST:PORT", _destination)
SOURCES, SOURCES_OR_FILE = Parsed("ADDRESS[:PORT]", _sources), Parsed("ADDRESS[:PORT]|FILE", _sources_or_file)
MOST_CHARACTERS = 1000  # of a line of an error: words are not broken, and an argument may have 128 KiB


def one_of(values: Callable[[], Iterable[str]]) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """What a shell completes: those of the values that begin with what is typed.

    values: imports what knows them
    """
    return lambda _context, _parameter, incomplete: [each for each in values() if each.startswith(incomplete)]


def positive(parse: Callable[[str], float]) -> Callable[[str], float]:
    """The same parser, which also refuses 0."""

    def parsed(text: str) -> float:
        value = parse(text)
        if not value:
            raise UsageError(repr(text), "it must be more than 0", "Write more, or leave it out.")
        return value

    return parsed


_LIKE_A_DESTINATION = re.compile(r":|^[/.@~]|\.[^\d]|\..*\.", re.DOTALL)


def is_like_a_destination(text: str) -> bool:
    """Whether a text that is no number is a URL, HOST:PORT, an address, a path or a name with dots."""
    return bool(_LIKE_A_DESTINATION.search(text))


def before_destinations(parse: Callable[[str], float], name: str, example: str) -> Callable[[str], float]:
    """The same parser, which says what comes first where a destination was typed in its place."""

    def parsed(text: str) -> float:
        try:
            return parse(text)
        except UsageError:
            if not is_like_a_destination(text):
                raise
        raise UsageError(quoted(text), f"it is a destination, and {name} comes before it", f"Write {example} {text}.")

    return parsed


SOME, PERIOD = Parsed("N", positive(parse_count)), Parsed("TIME", positive(parse_duration))
N_FIRST = Parsed("N", before_destinations(parse_count, "N", "100"))
SOME_FIRST = Parsed("N", before_destinations(positive(parse_count), "N", "100"))
COUNT, RATE, DURATION = Parsed("N", parse_count), Parsed("RATE", parse_rate), Parsed("TIME", parse_duration)
UNITS = "N: 100, 20k, 1.5M. TIME: 500ms, 3s, 2m, 1h. RATE: 200/s, 20k/s."
STRATEGIES = OneOf(["late", "plain", "noport", "explicit"])
ALL_STRATEGIES = OneOf([*STRATEGIES.choices, "bind0"])

LOOP = click.option(
    "--loop",
    type=OneOf(["auto", "ring", "epoll"]),
    default="auto",
    show_default=True,
    envvar="FOURTUPLE_LOOP",
    help="I/O engine; auto uses io_uring if permitted, else epoll.",
)

PID = click.option(
    "--pid", type=Whole(1), metavar="PID", help="Apply the limits of process PID (files, cgroup, namespace)."
)
NETNS = click.option("--netns", metavar="NAME|PID", help="Network namespace, by `ip netns` name or by PID.")
FROM = click.option("--from", "sources", type=SOURCES, multiple=True, help="Source addresses, as in hold --from.")
FROM_WHERE = click.option(
    "--from",
    "sources",
    type=SOURCES_OR_FILE,
    multiple=True,
    help="Source addresses, as in hold --from; or a snapshot or pasted output to ask instead of this host (- reads"
    " standard input).",
)
AT = click.option("--at", metavar="TIME", help="Moment of a recording: 10:32, 2026-01-02T10:32:05, -5m.")
FIRST_ADDRESS = click.option(
    "--first-address", is_flag=True, help="Use only the first address of a name, not all of them."
)
_LOAD = (
    click.option(
        "--every", "every_s", type=PERIOD, help="How often each connection sends a message, for CPU and bandwidth."
    ),
    click.option("--message-size", "message_bytes", type=Parsed("SIZE", parse_size), help="Size of such a message."),
    click.option(
        "--message-cpu", "message_cpu_s", type=PERIOD, help="CPU time that this end spends on such a message."
    ),
)


def load_options(command: F) -> F:
    """Add the options that say what each connection sends; the function gets them as one, `load`."""

    @wraps(command)
    def taken(**typed: Any) -> Any:
        from fourtuple.core.limits.load import Load

        every_s, size_bytes, cpu_s = (typed.pop(name) for name in ("every_s", "message_bytes", "message_cpu_s"))
        return command(load=Load.asked(every_s, size_bytes, cpu_s and cpu_s * 1e6), **typed)

    found: Any = taken
    for option in reversed(_LOAD):
        found = option(found)
    return cast(F, found)


JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on standard output and nothing else."
)

REQUIRE = click.option(
    "--require",
    multiple=True,
    metavar="CONDITIONS",
    help="What decides the exit code instead: 'lost<=1%, p99<50ms, rate>=10k/s, accepted=all' (repeatable). Any value"
    " of the record can be named.",
)
STORE = click.option("--store", type=click.Path(dir_okay=False, readable=False), help="Store the run in this file.")
METRICS = click.option("--metrics", type=LISTEN, help="Serve the run's Prometheus metrics there while it lasts.")
NAME = click.option(
    "--name", metavar="TEXT", help="Name of the run; `runs`, `report` and `compare` take it as its number."
)
NOTE = click.option("--note", metavar="TEXT", help="Note on the run, shown with it.")
NO_STORE = click.option("--no-store", is_flag=True, help="Do not store the run.")
QUIET = click.option("--quiet", is_flag=True, help="Hide progress.")
RECORD = click.option(
    "--json", "as_json", is_flag=True, help="Print the record as one line of JSON on standard output and nothing else."
)


@dataclass(frozen=True, slots=True)
class Shown:
    """Where a run is shown and kept: the options of `run_options`, as typed."""

    metrics: str | None
    store: str | None
    no_store: bool
    quiet: bool
    as_json: bool
    label: Label = Label()

    @classmethod
    def taken(cls, typed: dict[str, Any]) -> "Shown":
        """These options, taken out of all that was typed. Raises UsageError for a name or a note that cannot be one."""
        label = Label.of(typed.pop("name"), typed.pop("note"))
        return cls(
            **{name: typed.pop(name) for name in ("metrics", "store", "no_store", "quiet", "as_json")}, label=label
        )

    def keeper(self) -> "Keeper | None":
        """What stores the run, as keeper_of says."""
        return keeper_of(self.store, no_store=self.no_store, label=self.label)


def run_options(command: F) -> F:
    """Add the options of every command that is a run: what decides its exit code, and where it is told and kept."""
    for option in (RECORD, QUIET, NO_STORE, STORE, NOTE, NAME, METRICS, REQUIRE):
        command = option(command)
    return command


def command_line() -> str:
    """The command as typed, so that it can be repeated, with FOURTUPLE_LOOP if that was set."""
    loop = os.environ.get("FOURTUPLE_LOOP")
    variables = [f"FOURTUPLE_LOOP={loop}"] if loop else []
    return shell_words([*variables, "fourtuple", *sys.argv[1:]])


def metered(run: "Run[Sample, R]", shown: Shown) -> "Run[Sample, R]":
    """The run, with metrics if that was typed."""
    if shown.metrics is None:
        return run
    from fourtuple.core.space.endpoints import Endpoint
    from fourtuple.faces.export.run import metered

    def announce(line: str) -> None:
        if not shown.quiet:
            tell(line, to=sys.stderr)

    found = metered(run, shown.metrics, announce)
    warn_of_readers(Endpoint.parse(shown.metrics), "the metrics of this run")
    return found


def warn_of_readers(end: "Endpoint", what: str) -> None:
    """Warn if others than this host can reach where something is served. what: that they can read"""
    if not end.address.is_loopback:
        tell(f"warning: who reaches {end} can read {what}", to=sys.stderr)


def keeper_of(store: str | None, *, no_store: bool, label: Label) -> "Keeper | None":
    """The keeper that stores the run, or None: with --no-store, or if the default file is not available.

    The latter prints a warning. Raises UsageError or CannotError if the file given by --store is not available.
    """
    from fourtuple.verbs.runs import keep

    if store and no_store:
        raise UsageError("--store with --no-store", "they contradict each other", "Use one of them.")
    if no_store and label != Label():
        raise UsageError("--name or --note with --no-store", "the run is not stored", "Leave one of them out.")
    if no_store:
        return None
    try:
        return keep(Path(store) if store else None, command_line(), label)
    except FourtupleError as error:
        if store:
            raise
        tell(f"this run is not stored: {error.wanted} ({error.stopped_by})", to=sys.stderr)
        return None


def tell_kept(keeper: "Keeper | None", store: str | None, *, quiet: bool) -> int | None:
    """Print the number of the stored run and how to view it → the number. Print a warning if storing failed."""
    if keeper is None:
        return None
    if keeper.why_not:
        so_far = "" if keeper.id is None else " completely"
        tell(f"this run is not stored{so_far}: {keeper.why_not}", to=sys.stderr)
    if keeper.id is not None and not quiet:
        where = f" --store {shell_words([store])}" if store else ""
        tell(f"stored as run {keeper.id} · fourtuple report {keeper.id}{where}")
    return keeper.id


def complain(error: FourtupleError) -> None:
    """Print the error on standard error."""
    from fourtuple.faces.text.lines import error_lines

    for line in error_lines(error):
        tell(line if len(line) <= MOST_CHARACTERS else f"{line[:MOST_CHARACTERS]}…", to=sys.stderr)


def split(sources: tuple[str, ...]) -> list[str]:
    """The parts of options that can be repeated or comma-separated."""
    return [part for source in sources for part in source.split(",")]


def told_apart(values: tuple[str, ...]) -> tuple[list[str], str | None]:
    """(the source addresses of --from, the file that is asked instead of this host). Raises UsageError."""
    from fourtuple.verbs.hosts import is_snapshot_name

    files = [value for value in values if is_snapshot_name(value)]
    if len(files) > 1:
        raise UsageError(f"--from {files[1]}", "only one snapshot can be asked at a time")
    return split(tuple(value for value in values if value not in files)), files[0] if files else None


def origin_of(host: "Host") -> dict[str, Any]:
    """What an answer in JSON has in addition if a snapshot gave it: whose it is, and of when."""
    return {"from": host.origin.to_json()} if host.origin else {}


def print_json(record: dict[str, Any] | list[dict[str, Any]]) -> None:
    import json

    text = json.dumps(record, ensure_ascii=False, default=str)
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:  # \\u escapes are JSON; what a stream makes of such a character is not
        text = json.dumps(record, default=str)
    tell(visible_json(text))


def say(
    lines: Iterable[str], record: dict[str, Any], keeper: "Keeper | None", store: str | None, *, as_json: bool
) -> None:
    """Print the result of a run, as text or as JSON, and the number under which it is stored."""
    if not as_json:
        result = list(lines)
        answer = next((number for number, line in enumerate(result) if line.startswith(" ")), 1)
        tell(*result, headlines=answer)
    number = tell_kept(keeper, store, quiet=as_json)
    if as_json:
        print_json(record | {"run": number})
