"""`check`: run a program and report how it uses source ports."""

import sys
from collections.abc import Iterable
from functools import partial
from typing import Any

import click

from fourtuple.cli.common import COUNT, ENDPOINT, JSON, PERIOD, UNITS, content_of, one_of, print_json
from fourtuple.cli.values import CommandLine, Parsed
from fourtuple.core.errors import EXIT_REACHED, EXIT_SHORT, UsageError
from fourtuple.core.nearest import choose_from
from fourtuple.core.units import parse_count
from fourtuple.faces.printer import tell

SERVE = "hold, greet[:TEXT], echo, http, close"
MESSAGE = Parsed("TEXT|@FILE|SIZE", partial(content_of, allow_empty=True))


def _modes() -> Iterable[str]:
    from fourtuple.verbs.check.servers import Answer

    return Answer


def _expectable() -> list[str]:
    """The verdicts that can be expected: a program that failed is never as expected."""
    from fourtuple.core.check.judge import Kind

    return [kind for kind in Kind if kind is not Kind.FAILED]


@click.command(
    context_settings={"allow_interspersed_args": False},
    epilog=UNITS,
)
@click.option(
    "--ports", type=COUNT, default="64", show_default=True, help="Source ports available to COMMAND, an even number."
)
@click.option("--destinations", type=COUNT, default="3", show_default=True, help="Servers that COMMAND can connect to.")
@click.option("--sources", type=COUNT, default="1", show_default=True, help="Source addresses that COMMAND can use.")
@click.option(
    "--serve",
    metavar="MODE",
    shell_complete=one_of(_modes),
    help=f"What the servers do: {SERVE}.  [default: http; with --through: hold]",
)
@click.option(
    "--expect",
    metavar="VERDICT|N",
    shell_complete=one_of(_expectable),
    default="shared",
    show_default=True,
    help="Expected verdict, or minimum simultaneous connections.",
)
@click.option("--for", "run_s", type=PERIOD, default="10s", show_default=True, help="Time limit for COMMAND.")
@click.option(
    "--settle",
    "settle_s",
    type=PERIOD,
    default="2s",
    show_default=True,
    help="End COMMAND earlier if nothing changes for TIME.",
)
@click.option("--through", type=ENDPOINT, help="COMMAND is a proxy that listens here: open connections to it.")
@click.option(
    "--send", type=MESSAGE, help="What to send through the proxy, as in hold --send.  [default: a GET request]"
)
@click.option("--quiet", is_flag=True, help="Hide progress and COMMAND's output.")
@JSON
@click.argument("command", nargs=-1, required=True, type=CommandLine(), metavar="-- COMMAND...")
def check(
    expect: str,
    serve: str | None,
    send: bytes | None,
    quiet: bool,
    as_json: bool,
    command: tuple[str, ...],
    **options: Any,
) -> None:
    """Run COMMAND with few source ports, and report whether it shares them between destinations.

    COMMAND runs in a private network namespace. In its arguments, {dest1} is replaced by the ADDRESS:PORT of the first
    server, {url1} by its http://…/, {host1} and {port1} by the two parts, {source1} by the first source address. {dest}
    and {url} mean the first one, {dests} and {sources} all of them, separated by commas. The environment variables
    FOURTUPLE_DESTINATIONS and FOURTUPLE_SOURCES list them too.

    \b
    shared     a local port serves every destination
    unseen     it opened one connection only, or they ended too soon to tell
    time-wait  it closes first, so each short connection keeps a port for 60 s
    leaks      it does not close connections that the server closed, or leaves some behind
    poisons    it makes ports unusable for all other programs
    lockstep   it uses only lcm(S, D) of the S × D pairs of sources and destinations
    bound      it binds before it connects: one pool of ports for all destinations
    failed     it ended with an exit code other than 0, which is never as expected

    Exit code: 0 if the verdict is as expected, 1 if not.

    \b
    fourtuple check -- curl -s --interface {source} {url1} {url2}
    fourtuple check --through 127.0.0.1:9000 -- haproxy -f my.cfg
    """
    from fourtuple.core.check.judge import Kind
    from fourtuple.faces.terminal.live import progress
    from fourtuple.faces.text import check as face
    from fourtuple.verbs.check.check import check as verb

    expected = Kind(expect) if expect in _expectable() else _count(expect)
    mode, _, text = (serve or "").partition(":")
    if send is not None:
        options["send"] = send
    greeting = MESSAGE.convert(text, None, None)
    found = progress(
        verb(command, serve=mode or None, text=greeting, aloud=not quiet, **options),
        lambda glimpse: face.progress_line(glimpse.open, glimpse.opened),
        quiet=quiet or as_json,
    )
    if as_json:
        print_json(found.to_json())
    else:
        tell(*face.check_lines(found, expected), headlines=1)
    sys.exit(EXIT_REACHED if found.is_expected(expected) else EXIT_SHORT)


def _count(text: str) -> int:
    try:
        return parse_count(text)
    except UsageError:
        do = choose_from(text, _expectable())
        raise UsageError(f"--expect {text}", "it is neither a number nor a verdict", do) from None
