"""`check`: run a program and report how it uses source ports."""

import sys
from typing import Any

import click

from fourtuple.cli.common import COUNT, JSON, PERIOD, UNITS, print_json
from fourtuple.core.errors import EXIT_REACHED, EXIT_SHORT, UsageError
from fourtuple.core.units import parse_count

SERVE = "hold, greet[:TEXT], echo, http, close"


@click.command(
    short_help="Run a program, and say how it uses source ports.",
    context_settings={"allow_interspersed_args": False},
    epilog=UNITS,
)
@click.option("--ports", type=COUNT, default="64", show_default=True, help="Source ports towards each destination.")
@click.option("--destinations", type=COUNT, default="3", show_default=True, help="Servers for it to connect to.")
@click.option("--sources", type=COUNT, default="1", show_default=True, help="Addresses that it may come from.")
@click.option("--serve", metavar="MODE", help=f"What they do: {SERVE}.  [default: http; --through: hold]")
@click.option("--expect", metavar="VERDICT|N", default="shared", show_default=True, help="A verdict, or N at once.")
@click.option("--for", "run_s", type=PERIOD, default="10s", show_default=True, help="End it after that long.")
@click.option("--settle", "settle_s", type=PERIOD, default="2s", show_default=True, help="… or when it has settled.")
@click.option("--through", metavar="ADDRESS:PORT", help="It is a proxy that listens there: open connections to it.")
@click.option("--send", help="What those send; \\r, \\n as written.  [default: a GET request]")
@click.option("--quiet", is_flag=True, help="No progress, and not what COMMAND says.")
@JSON
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
def check(
    expect: str,
    serve: str | None,
    send: str | None,
    quiet: bool,
    as_json: bool,
    command: tuple[str, ...],
    **options: Any,
) -> None:
    """Run COMMAND where source ports are few, and say whether it shares them between destinations.

    It runs in a private network namespace. {dest1} in it becomes the ADDRESS:PORT of the first server, {url1} its
    http://…/, {host1} and {port1} its parts, {source1} an address to come from; {dest}, {url} are the first,
    {dests}, {sources} all. FOURTUPLE_DESTINATIONS and FOURTUPLE_SOURCES hold them too.

    \b
    shared     a local port serves every destination
    unseen     its connections were over too soon to tell
    time-wait  it closes first, so each short connection keeps a port for 60 s
    leaks      it does not close what the server has closed, or leaves connections behind
    poisons    it takes ports from every other program
    lockstep   it uses only lcm(S, D) of the S × D pairs of sources and destinations
    bound      it binds before it connects: one pool of ports for all destinations

    Ends with 0 where that is as expected, with 1 where not.

    \b
    fourtuple check -- curl -s --interface {source} {url1}
    fourtuple check --through 127.0.0.1:9000 -- haproxy -f my.cfg
    """
    from fourtuple.core.check.judge import Kind
    from fourtuple.faces.terminal.live import progress
    from fourtuple.faces.text import check as face
    from fourtuple.verbs.check.check import check as verb

    expected = Kind(expect) if expect in [*Kind] else _count(expect)
    mode, _, text = (serve or "").partition(":")
    if send is not None:
        options["send"] = _spoken(send)
    found = progress(
        verb(command, serve=mode or None, text=_spoken(text), aloud=not quiet, **options),
        lambda glimpse: face.progress_line(glimpse.open, glimpse.opened),
        quiet=quiet or as_json,
    )
    if as_json:
        print_json(found.to_json())
    else:
        click.echo("\n".join(face.check_lines(found, expected)))
    sys.exit(EXIT_REACHED if found.is_expected(expected) else EXIT_SHORT)


def _spoken(text: str) -> bytes:
    """With \\r, \\n, \\x00 and the like as what they stand for."""
    try:
        return text.encode("latin-1", "backslashreplace").decode("unicode_escape").encode()
    except UnicodeError as error:
        raise UsageError(f"the text {text!r}", f"it is not written as Python's strings are: {error}") from None


def _count(text: str) -> int:
    from fourtuple.core.check.judge import Kind

    try:
        return parse_count(text)
    except UsageError:
        known = ", ".join(Kind)
        raise UsageError(f"--expect {text}", "it is no number, and no verdict", f"There are {known}.") from None
