"""Parameter types: what a text of the command line means. What is wrong with it is said of the parameter by name."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click

from fourtuple.core.errors import UsageError
from fourtuple.core.nearest import choose_from

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

MOST = 2**31  # larger bounds are those of a file format, which no one reaches


def name_of(param: click.Parameter | None) -> str:
    """How the command line calls a parameter: `--for`, or `N`."""
    if param is None:
        return "value"
    return param.opts[0] if isinstance(param, click.Option) else param.human_readable_name


@contextmanager
def named(param: click.Parameter | None) -> Iterator[None]:
    """Every UsageError of the block begins with the name of the parameter: `--for '10'`, `--send: the message`."""
    try:
        yield
    except UsageError as error:
        name, wanted = name_of(param), error.wanted
        if not wanted.startswith(name):
            wanted = f"{name} {wanted}" if wanted[:1] in "'\"-0123456789" else f"{name}: {wanted}"
        raise UsageError(wanted, error.stopped_by, error.do) from None


def only_one(flags: Mapping[str, bool]) -> str:
    """The one that was given of options that exclude each other; empty: none was. Raises UsageError for several."""
    given = [name for name, is_given in flags.items() if is_given]
    if len(given) > 1:
        raise UsageError(" with ".join(given), "only one of them is possible", "Use one of them.")
    return next(iter(given), "")


class Parsed(click.ParamType[Any]):
    """A text that a function reads; the function raises UsageError."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        with named(param):
            return self._parse(value)


class CommandLine(click.types.UnprocessedParamType):
    """The words of a command. A shell completes the first one from the programs on the PATH, and file names."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list["CompletionItem"]:
        from click.shell_completion import CompletionItem

        found: set[str] = set()
        if incomplete and "/" not in incomplete and not ctx.params.get(param.name or ""):
            for folder in os.get_exec_path():
                with suppress(OSError):
                    found |= {name for name in os.listdir(folder) if name.startswith(incomplete)}
        return [CompletionItem(name) for name in sorted(found)] or [CompletionItem(incomplete, type="file")]


class OneOf(click.Choice[str]):
    """One of several names."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            do = choose_from(str(value), self.choices)
            raise UsageError(f"{name_of(param)} {value!r}", "there is no such value", do) from None


class Whole(click.IntRange):
    """A whole number within limits."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            least = "" if self.min is None else f" from {self.min:,}"
            most = "" if self.max is None or self.max > MOST else f" to {self.max:,}"
            what = f"a whole number{least}{most}"
            raise UsageError(f"{name_of(param)} {value!r}", f"it is not {what}", f"Write {what}.") from None
