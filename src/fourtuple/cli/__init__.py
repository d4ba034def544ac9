"""The command line: arguments → verb → face → exit code.

Only this package and the faces print. Each command imports what it needs when it runs.
"""

import sys
from functools import partial
from typing import Any, NoReturn

import click

from fourtuple import __version__
from fourtuple.cli.census import census
from fourtuple.cli.check import check
from fourtuple.cli.compare import compare
from fourtuple.cli.doctor import doctor
from fourtuple.cli.ending import ended
from fourtuple.cli.export import export
from fourtuple.cli.hold import hold
from fourtuple.cli.lab import lab
from fourtuple.cli.limits import limits
from fourtuple.cli.plan import plan
from fourtuple.cli.prove import prove
from fourtuple.cli.report import report
from fourtuple.cli.runs import runs
from fourtuple.cli.serve import serve
from fourtuple.cli.snapshot import snapshot
from fourtuple.cli.undo import undo
from fourtuple.cli.why import why

HELP: dict[str, Any] = {"help_option_names": ["-h", "--help"]}


class Commands(click.Group):
    """The group of commands; whatever ends one becomes lines on standard error and an exit code (cli/ending.py)."""

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        sys.exit(ended(partial(super().main, *args, **extra | {"standalone_mode": False})))


@click.group(cls=Commands, context_settings=HELP | {"max_content_width": 100})
@click.version_option(__version__, prog_name="fourtuple", message="%(prog)s %(version)s")
def cli() -> None:
    """Open, hold, count and explain TCP connections on Linux.

    A connection is a 4-tuple: source address and port, destination address and port. A source port can serve any
    number of destinations at once, so an address with 65,535 ports can have far more connections than that.

    \b
    fourtuple prove               see this on real sockets
    fourtuple limits 10.0.0.9:80  how many more connections to a server are possible
    fourtuple why 28232           explain the number at which connections stop
    """


for command in (
    prove,
    hold,
    serve,
    limits,
    doctor,
    plan,
    undo,
    why,
    census,
    snapshot,
    export,
    runs,
    compare,
    report,
    check,
    lab,
):
    command.context_settings = {**command.context_settings, **HELP}  # also where a command is used without its group
    cli.add_command(command)
