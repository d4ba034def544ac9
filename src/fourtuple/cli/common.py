"""What commands share: numbers with units, options, and how a record or an error is printed."""

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fourtuple.core.errors import CannotError, FourtupleError, UsageError
from fourtuple.core.runs.content import MOST_BYTES, check_content, parse_content
from fourtuple.core.units import parse_count, parse_duration, parse_rate

if TYPE_CHECKING:
    from fourtuple.verbs.runs import Keeper


class Unit(click.ParamType[float]):
    """A number with a unit, read by core/units.py."""

    def __init__(self, name: str, parse: Callable[[str], float]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        return self._parse(value) if isinstance(value, str) else value


class Content(click.ParamType[bytes]):
    """What is to be sent or expected, read by core/runs/content.py; @FILE is the file's content."""

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


def positive(parse: Callable[[str], float]) -> Callable[[str], float]:
    def parsed(text: str) -> float:
        value = parse(text)
        if not value:
            raise UsageError(f"{text!r}", "it must be more than 0")
        return value

    return parsed


SOME, PERIOD = Unit("N", positive(parse_count)), Unit("TIME", positive(parse_duration))
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

PID = click.option("--pid", type=click.IntRange(1), help="The world of this process: its files, cgroup, namespace.")
NETNS = click.option("--netns", metavar="NAME|PID", help="The network namespace of that name (ip netns), or process.")
FROM = click.option(
    "--from", "sources", multiple=True, metavar="ADDRESS[:PORT]", help="Source addresses, as hold takes them."
)
JSON = click.option("--json", "as_json", is_flag=True, help="One object on standard output, nothing else.")

STORE = click.option("--store", type=click.Path(dir_okay=False), help="Keep the run in this file.")
NO_STORE = click.option("--no-store", is_flag=True, help="Do not keep the run.")


def command_line() -> str:
    """What was typed, so that it can be typed again; with what the environment said of the loop."""
    loop = os.environ.get("FOURTUPLE_LOOP")
    told = [f"FOURTUPLE_LOOP={loop}"] if loop else []
    line = shlex.join([*told, "fourtuple", *sys.argv[1:]])
    return line.encode(errors="backslashreplace").decode()  # a file's name may be any bytes


def keeper_of(store: str | None, *, no_store: bool) -> "Keeper | None":
    """Who keeps the run that begins. None: nobody, as was asked for, or as the usual file cannot be had; that is told.

    Raises CannotError where the file that was asked for cannot be had.
    """
    from fourtuple.verbs.runs import keep

    if store and no_store:
        raise UsageError("--store with --no-store", "the one keeps the run, the other does not")
    if no_store:
        return None
    try:
        return keep(Path(store) if store else None, command_line())
    except CannotError as error:
        if store:
            raise
        click.echo(f"this run is not stored: {error.wanted}: {error.stopped_by}", err=True)
        return None


def tell_kept(keeper: "Keeper | None", store: str | None, *, quiet: bool) -> int | None:
    """Say under which number the run is kept, and how to look at it → the number. What could not be kept is told."""
    if keeper is None:
        return None
    if keeper.why_not:
        so_far = "" if keeper.id is None else " to its end"
        click.echo(f"this run is not stored{so_far}: {keeper.why_not}", err=True)
    if keeper.id is not None and not quiet:
        where = f" --store {shlex.quote(store)}" if store else ""
        click.echo(f"stored as run {keeper.id} · fourtuple report {keeper.id}{where}")
    return keeper.id


def complain(error: FourtupleError) -> None:
    from fourtuple.faces.text.lines import error_lines

    for line in error_lines(error):
        click.echo(line, err=True)


def columns() -> int:
    """As wide as the terminal; 80 where there is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 80


def split(sources: tuple[str, ...]) -> list[str]:
    return [part for source in sources for part in source.split(",")]


def print_json(record: dict[str, Any] | list[dict[str, Any]]) -> None:
    import json

    click.echo(json.dumps(record, ensure_ascii=False, default=str))


def say(
    lines: Iterable[str], record: dict[str, Any], keeper: "Keeper | None", store: str | None, *, as_json: bool
) -> None:
    """What came of a run, as text or as its record, and under which number it is stored."""
    if not as_json:
        click.echo("\n".join(lines))
    number = tell_kept(keeper, store, quiet=as_json)
    if as_json:
        print_json(record | {"run": number})
