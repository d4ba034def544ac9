"""Screens of --help, of the group and of every command, 80 columns wide, as laid out by the installed click."""

import click

from fourtuple.cli import cli


def _help(path: str) -> str:
    command: click.Command = cli
    context = _context(command, "fourtuple", None)
    for name in path.split():
        assert isinstance(command, click.Group)
        command = command.commands[name]
        context = _context(command, name, context)
    return command.get_help(context)


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    """As click makes it for a call: with the settings of the command, so that no earlier call changes the screen."""
    settings = {**command.context_settings, "terminal_width": 80, "max_content_width": 80}
    return click.Context(command, parent=parent, info_name=name, **settings)


def _paths(command: click.Command, path: str = "") -> list[str]:
    inner = command.commands if isinstance(command, click.Group) else {}
    return [path, *(each for name in inner for each in _paths(inner[name], f"{path} {name}".strip()))]


SCREENS = {path.replace(" ", "-") or "fourtuple": lambda path=path: _help(path) for path in _paths(cli)}
