"""Screens of --help, of the group and of every command, 80 columns wide, as laid out by the installed click."""

import click

from fourtuple.cli import cli


def _help(path: str) -> str:
    names = path.split()
    context = click.Context(cli, info_name="fourtuple", terminal_width=80, max_content_width=80)
    command: click.Command = cli
    for name in names:
        assert isinstance(command, click.Group)
        command = command.commands[name]
        context = click.Context(command, parent=context, info_name=name, terminal_width=80, max_content_width=80)
    return command.get_help(context)


def _paths(command: click.Command, path: str = "") -> list[str]:
    inner = command.commands if isinstance(command, click.Group) else {}
    return [path, *(each for name in inner for each in _paths(inner[name], f"{path} {name}".strip()))]


SCREENS = {path.replace(" ", "-") or "fourtuple": lambda path=path: _help(path) for path in _paths(cli)}
