"""The command line: arguments → verb → face → exit code.

Only this package and the faces print. A command is imported when it is used, and imports what it needs when it runs:
docs/architecture.md, "What a command imports".
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

import click

from fourtuple import __version__
from fourtuple.cli.ending import ended

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

NAME = "fourtuple"
# Options as other tools call them → as they are called here.
ALIASES = {"source": "from", "sources": "from", "src": "from", "duration": "for"}


def own_name(option: str) -> str:
    """The name of an option without its dashes, as it is called here."""
    return ALIASES.get(option, option)


HELP: dict[str, Any] = {"help_option_names": ["-h", "--help"], "token_normalize_func": own_name}
# The name of each command, which is that of its module and of the function in it → its line in `fourtuple --help`.
COMMANDS = {
    "prove": "Show on real sockets that 65,535 is not the limit.",
    "hold": "Open N connections and hold them.",
    "churn": "Open and close connections at a rate.",
    "serve": "Accept connections on any number of ports.",
    "fleet": "Do the same from many machines, on a Dask cluster.",
    "limits": "Show how many more connections fit, and which limit decides.",
    "doctor": "Say what limits connections on this host now.",
    "plan": "Check whether N connections fit, and what to change if not.",
    "undo": "Restore the settings that plan --apply changed.",
    "why": "Explain a number, an errno or what a log says.",
    "census": "Show who uses source ports, and how many remain per destination.",
    "snapshot": "Write what this host says now to a file, for --from.",
    "export": "Serve port-usage metrics for Prometheus.",
    "runs": "List, show, export and remove stored runs.",
    "compare": "Show two stored runs side by side, with ratios.",
    "report": "Write a stored run as one HTML file.",
    "check": "Run a program and report how it uses source ports.",
    "lab": "Run a command in a private network namespace.",
    "help": "Show the help of a command.",
    "completion": "Print the script with which a shell completes commands.",
}


class LateCommands(Mapping[str, click.Command]):
    """The commands by their names; each is imported when it is asked for."""

    def __getitem__(self, name: str) -> click.Command:
        line = COMMANDS[name]
        command: click.Command = getattr(import_module(f"fourtuple.cli.{name}"), name)
        command.short_help = line
        command.context_settings = {**command.context_settings, **HELP}  # also where it is used without its group
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class Commands(click.Group):
    """The group of commands; whatever ends one becomes lines on standard error and an exit code (cli/ending.py)."""

    def main(self, args: Sequence[str] | None = None, *others: Any, **extra: Any) -> NoReturn:
        arguments = sys.argv[1:] if args is None else [*args]
        named = {"prog_name": NAME} | extra | {"standalone_mode": False}
        run = partial(super().main, arguments, *others, **named)
        sys.exit(ended(run, partial(self._asks_for_json, arguments)))

    def _asks_for_json(self, arguments: Sequence[str]) -> bool:
        from fourtuple.cli.refused import asks_for_json

        return asks_for_json(self, arguments)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list["CompletionItem"]:
        """As click does, which would import every command for its line."""
        from click.shell_completion import CompletionItem

        names = [CompletionItem(name, help=line) for name, line in COMMANDS.items() if name.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As click does, which would import every command for its line."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


@click.group(cls=Commands, commands=LateCommands(), context_settings=HELP | {"max_content_width": 100})
@click.version_option(__version__, "-V", "--version", prog_name=NAME, message="%(prog)s %(version)s")
def cli() -> None:
    """Open, hold, count and explain TCP connections on Linux.

    A connection is a 4-tuple: source address and port, destination address and port. A source port can serve any
    number of destinations at once, so an address with 65,535 ports can have far more connections than that.

    \b
    fourtuple prove               see this on real sockets
    fourtuple limits 10.0.0.9:80  how many more connections to a server are possible
    fourtuple why 28232           explain the number at which connections stop
    """
