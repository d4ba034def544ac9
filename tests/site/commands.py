"""The page of all commands, from the tree of click: the same texts as --help."""

import re
from collections.abc import Iterator

import click

from fourtuple.cli import COMMANDS, cli
from tests.conftest import REPOSITORY

_ESCAPED = str.maketrans({letter: f"&#{ord(letter)};" for letter in "|[]<>*_`"})


def commands() -> str:
    lines = ["# Commands", "", "Every command with its options, as `--help` prints them.", ""]
    for name in COMMANDS:
        with click.Context(cli, info_name="fourtuple", **cli.context_settings) as parent:
            command = cli.get_command(parent, name)
            assert command is not None
            lines += _command(command, parent, f"fourtuple {name}", 2)
    return "\n".join(lines) + "\n"


def _command(command: click.Command, parent: click.Context, name: str, level: int) -> Iterator[str]:
    context = click.Context(command, parent, info_name=name.rpartition(" ")[2], **command.context_settings)
    yield f"{'#' * level} {name}"
    yield ""
    page = f"{name.rpartition(' ')[2]}.md"
    if (REPOSITORY / "docs" / page).exists() and level == 2:
        yield f"[More about it]({page})."
        yield ""
    yield "```sh"
    yield f"{context.command_path} {' '.join(command.collect_usage_pieces(context))}"
    yield "```"
    yield ""
    yield from _text(command.help or "")
    options = [record for each in command.get_params(context) if (record := each.get_help_record(context))]
    if options:
        yield "| option | meaning |"
        yield "| --- | --- |"
        yield from (f"| <code>{_cell(option)}</code> | {_cell(meaning)} |" for option, meaning in options)
        yield ""
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            if inner := command.get_command(context, each):
                yield from _command(inner, context, f"{name} {each}", level + 1)


def _text(help_text: str) -> Iterator[str]:
    """Paragraphs; those after \\b are set as they are written."""
    for paragraph in re.split(r"\n\s*\n", help_text.strip()):
        lines = [line.strip() for line in paragraph.split("\n")]
        if lines[0] == "\b":
            yield from ("```text", *lines[1:], "```", "")
        else:
            yield from (_cell(" ".join(lines)), "")


def _cell(text: str) -> str:
    return " ".join(text.split()).translate(_ESCAPED)
