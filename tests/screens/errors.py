"""Errors: invalid requests, requests that exceed a limit, and things that this host does not permit."""

import shlex
from collections.abc import Callable, Sequence

import click
from click.testing import CliRunner

from fourtuple.cli import cli, common
from fourtuple.core.errors import FourtupleError, ShortfallError, UsageError, no_extra

# Requests that are refused before anything is read from the host.
REFUSED = """
hold 0 127.0.0.1:80
hold -- -5 127.0.0.1:8000
hold many 127.0.0.1:8000
hold 1.5 127.0.0.1:8000
hold 10
hold
hold 10 --plan x
hold --plan /no/such/file
hold 10 127.0.0.1:80 --strategy bind0
hold 10 127.0.0.1
hold 10 8000
hold 10 127.0.0.1:70000
hold 10 127.0.0.1:0
hold 10 127.0.0.1:9-8
hold 10 127.0.0.1:x
hold 10 [::1:80
hold 10 127.0.0.1:80 --from nonsense
hold 10 127.0.0.1:80 --from 127.0.0.9-2
hold 10 127.0.0.1:80 --from 127.0.0.1:1-9,127.0.0.2
hold 10 127.0.0.1:80 --strategy plain --from 127.0.0.1
hold 10 127.0.0.1:80 --strategy late --from 127.0.0.1:99
hold 10 127.0.0.1:80 --rate 0
hold 10 127.0.0.1:80 --for 10
hold 10 127.0.0.1:80 --timeout 0s
hold 10 127.0.0.1:80 --watch off --reconnect
hold 10 127.0.0.1:80 --watch census --send x
hold 10 127.0.0.1:80 --expect x --watch off
hold 10 127.0.0.1:80 --send @/no/such/file
hold 10 127.0.0.1:80 --send 1GiB
hold 10 127.0.0.1:80 --send ''
hold 10 127.0.0.1:80 --every 5s
hold 10 [::1]:80 127.0.0.1:80
hold 10 unix:/run/x.sock --from 127.0.0.1
hold 10 unix:/run/x.sock --strategy plain
hold 10 unix:/run/x.sock --log
hold 10 unix:/run/x.sock --proxy http://127.0.0.1:3128
hold 10 unix:/run/x.sock --send '{port}'
hold 10 unix:/run/x.sock 127.0.0.1:80
hold 10 127.0.0.1:80 --unix-socket /run/x.sock
hold 10 http://127.0.0.1:80-81/ --unix-socket /run/x.sock
serve
serve 127.0.0.1
serve 127.0.0.1:8000 --echo --watch census
limits 127.0.0.1
limits --from 127.0.0.2
limits --role both
limits --role server
plan 0 127.0.0.1:80
plan 10
plan 10 127.0.0.1:80 --nat other
plan 10 127.0.0.1:80 --nat-addresses 2
plan 10 127.0.0.1:80 --nat aws --nat-addresses 9
why ''
census --json --csv
census --all-netns --watch
census --save x --watch
census --state nonsense
census --to nonsense
census --top 0
export --every 0s
runs --outcome nonsense
runs show 1 --store /no/such/file
runs export 1
runs export 1 --parquet
compare 1
check --expect nonsense -- true
check --serve nonsense -- true
check --send '\\x' -- true
lab --ports nonsense -- true
prove nonsense
prove theory --connections 100k
prove past-65536 --connections 10
nonsense
"""


def _refused(commands: Sequence[str]) -> Callable[[], str]:
    def said() -> str:
        parts = []
        for command in commands:
            done = CliRunner().invoke(cli, shlex.split(command), prog_name="fourtuple", terminal_width=80)
            parts.append(f"$ fourtuple {command}\n{done.output.rstrip()}\nexit code {done.exit_code}")
        return "\n\n".join(parts)

    return said


def _complained(error: FourtupleError) -> str:
    @click.command()
    def complaining() -> None:
        common.complain(error)

    return CliRunner().invoke(complaining, []).stderr


def _met() -> str:
    """The output of the command at the limits of open files, wherever they are reached."""
    import errno
    import os

    said = []
    for number in (errno.EMFILE, errno.ENFILE):

        def fail(number: int = number) -> None:
            raise OSError(number, os.strerror(number))

        group = type(cli)("fourtuple", commands={"fail": click.Command("fail", callback=fail)})
        done = CliRunner().invoke(group, ["fail"])
        said.append(f"{done.output.rstrip()}\nexit code {done.exit_code}")
    return "\n\n".join(said)


COMMANDS = [line for line in REFUSED.splitlines() if line]
NAMES = sorted({command.split()[0] for command in COMMANDS} - {"nonsense"})
SCREENS = {
    **{
        f"refused-{name}": _refused([command for command in COMMANDS if command.split()[0] == name])
        for name in (*NAMES, "nonsense")
    },
    "usage": lambda: _complained(
        UsageError(
            "the source address 10.99.99.99",
            "this host does not have it (bind: EADDRNOTAVAIL 99)",
            "Use one that `ip address` shows, any of 127.0.0.0/8 towards loopback, or add it.",
        )
    ),
    "shortfall": lambda: _complained(ShortfallError("a connection to 10.1.2.3", "no way there (ENETUNREACH)")),
    "cannot": lambda: _complained(no_extra("cannot make a report", "altair is not installed", "report")),
    "open-files": _met,
}
