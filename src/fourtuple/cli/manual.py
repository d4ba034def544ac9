"""Writes the man pages: `python -m fourtuple.cli.manual FOLDER` (make man).

A page for each command, from click's tree of commands: what --help shows, and in addition exit codes, environment and
other pages. man-pages(7) has the order of the sections, groff_man(7) the macros, groff_char(7) the escapes. No page has
a date, so the same version gives the same bytes.
"""

import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from fourtuple import __version__
from fourtuple.cli import NAME, cli
from fourtuple.core.errors import (
    EXIT_CANNOT,
    EXIT_INTERRUPTED,
    EXIT_REACHED,
    EXIT_SHORT,
    EXIT_USAGE,
    CannotError,
    ShortfallError,
    UsageError,
)

VERBATIM = "\b\n"  # click's mark of a paragraph whose lines stay as they are
CODES = "Exit code: "  # the beginning of the paragraph that has them
_TERM = re.compile(r"(\S+)  +(\S.*)")  # a line of a list of words with their meaning
# The dots: an output in ASCII has others for × and →, but none for the ellipsis.
_ESCAPES = {"\\": r"\(rs", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti", '"': r"\(dq", "…": "..."}
STATUS = {
    EXIT_REACHED: "The command did what was asked.",
    EXIT_SHORT: f"It fell short. {ShortfallError.__doc__}",
    EXIT_USAGE: str(UsageError.__doc__),
    EXIT_CANNOT: str(CannotError.__doc__),
    EXIT_INTERRUPTED: "Ctrl-C ended it before there was anything to report.",
}
FILES = {
    "$XDG_STATE_HOME/fourtuple/runs.db": "The stored runs; without the variable, in ~/.local/state.",
    "PREFIX/share/doc/fourtuple": "The documentation in full: a file for each command. PREFIX is the folder under which"
    " pip has put this page, such as ~/.local, or that of a virtual environment.",
}
OTHERS = ("ss(8)", "ip-netns(8)", "tcp(7)", "ip(7)", "proc(5)")


def pages() -> dict[str, str]:
    """The name of each file, such as fourtuple-runs-show.1 → its text."""
    return {f"{_name(each)}.1": "\n".join([*_page(each), ""]) for each in _all(_context(cli, NAME, None))}


def escaped(text: str) -> str:
    """The text as roff that prints it: nothing in it is a request, an escape or a character that roff replaces."""
    line = "".join(_ESCAPES.get(each, each if each.isascii() else f"\\[u{ord(each):04X}]") for each in text)
    return rf"\&{line}" if line.startswith(".") else line


def _all(context: click.Context) -> Iterator[click.Context]:
    """The command, and those below it."""
    yield context
    for below in _below(context):
        yield from _all(below)


def _below(context: click.Context) -> list[click.Context]:
    commands = context.command.commands if isinstance(context.command, click.Group) else {}
    return [_context(commands[name], name, context) for name in sorted(commands)]


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    return click.Context(command, parent=parent, info_name=name, **command.context_settings)


def _name(context: click.Context) -> str:
    """The name of its page: fourtuple-runs-show."""
    return context.command_path.replace(" ", "-")


def _page(context: click.Context) -> Iterator[str]:
    command, name = context.command, _name(context)
    texts = inspect.cleandoc(command.help or "").split("\n\n")
    examples = [each.removeprefix(VERBATIM) for each in texts if each.startswith(f"{VERBATIM}{NAME} ")]
    codes = [each.removeprefix(CODES) for each in texts if each.startswith(CODES)]
    yield f'.TH {escaped(name.upper())} 1 "" "{NAME} {__version__}"'
    yield from (".SH NAME", escaped(f"{name} - {_summary(command)}"))
    yield from (".SH SYNOPSIS", f"{_bold(context.command_path)} {_usage(context)}")
    yield ".SH DESCRIPTION"
    for text in texts:
        if not text.startswith((f"{VERBATIM}{NAME} ", CODES)):
            yield from _paragraph(text)
    if isinstance(command, click.Group):
        yield from _list("COMMANDS", ((_reference(f"{_name(each)}(1)"), _line(each)) for each in _below(context)))
    options = [each for each in command.get_params(context) if isinstance(each, click.Option)]
    yield from _list("OPTIONS", (_option(each, context) for each in options))
    if command.epilog:
        yield from (".SH UNITS", escaped(command.epilog))
    yield ".SH EXIT STATUS"
    for text in codes:
        yield from _paragraph(f"{text[0].upper()}{text[1:]}")
    yield from _terms((_bold(str(code)), text) for code, text in STATUS.items() if not codes or code > EXIT_SHORT)
    variables = [(str(each.envvar), each) for each in options if each.envvar]
    yield from _list("ENVIRONMENT", ((_bold(name), f"As {each.opts[0]}.") for name, each in variables))
    if context.parent is None:
        yield from _list("FILES", ((f"\\fI{escaped(file)}\\fR", text) for file, text in FILES.items()))
    for text in examples:
        yield from (".SH EXAMPLES", ".EX", *map(escaped, text.splitlines()), ".EE")
    others = (f"{_name(context.parent)}(1)",) if context.parent else OTHERS
    yield from (".SH SEE ALSO", ", ".join(map(_reference, others)))


def _summary(command: click.Command) -> str:
    """Its line for NAME, which man(1) and apropos(1) show: without a capital and a full stop."""
    line = command.short_help or inspect.cleandoc(command.help or "").partition("\n")[0]
    return f"{line[0].lower()}{line[1:]}".removesuffix(".")


def _line(context: click.Context) -> str:
    return str(context.command.short_help)


def _usage(context: click.Context) -> str:
    return escaped(" ".join(context.command.collect_usage_pieces(context)))


def _option(option: click.Option, context: click.Context) -> tuple[str, str]:
    """Its names with its value, in roff, and what --help says of it."""
    names, text = option.get_help_record(context) or ("", "")
    words = (_bold(each) if each.startswith("-") else escaped(each) for each in names.split())
    return " ".join(words), text


def _paragraph(text: str) -> Iterator[str]:
    """A paragraph; with click's mark a list of words with their meaning, after its title."""
    lines = text.removeprefix(VERBATIM).splitlines()
    if not text.startswith(VERBATIM):
        yield from (".PP", escaped(" ".join(lines)))
        return
    for line in lines:
        if found := _TERM.fullmatch(line):
            yield from _terms([(_bold(found[1]), found[2])])
        else:
            yield from (".PP", escaped(line))


def _list(title: str, terms: Iterable[tuple[str, str]]) -> Iterator[str]:
    """A section with a list; nothing if it is empty."""
    lines = list(_terms(terms))
    if lines:
        yield from (f".SH {title}", *lines)


def _terms(terms: Iterable[tuple[str, str]]) -> Iterator[str]:
    """A list of terms, in roff, and what they mean."""
    for term, text in terms:
        yield from (".TP", term, escaped(" ".join(text.split())))


def _bold(text: str) -> str:
    return f"\\fB{escaped(text)}\\fR"


def _reference(page: str) -> str:
    """Another page: `ss(8)`."""
    name, _, section = page.partition("(")
    return f"{_bold(name)}({section}"


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for old in folder.glob(f"{NAME}*.1"):
        old.unlink()
    for file, text in pages().items():
        (folder / file).write_text(text)
