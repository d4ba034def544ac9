"""What click refuses about a command line, in our own form; and whether such a command line asks for JSON."""

import re
from collections.abc import Sequence, Set

import click

from fourtuple.cli import ALIASES, own_name
from fourtuple.cli.other_tools import in_words, meant_by
from fourtuple.cli.values import name_of
from fourtuple.core.errors import UsageError
from fourtuple.core.nearest import choose_from, nearest


def refusal(error: click.ClickException) -> UsageError:
    """The error as one of ours: which part of the command line, what is wrong with it, what to write."""
    context: click.Context | None = getattr(error, "ctx", None)
    path = path_of(context)
    usage = " ".join([path, *(context.command.collect_usage_pieces(context) if context else [])])
    if name := getattr(error, "command_name", ""):  # NoSuchCommand, which is newer than the oldest click we take
        known = context.command.commands if context and isinstance(context.command, click.Group) else ()
        return UsageError(f"{path} {name!r}", "there is no such command", choose_from(name, sorted(known)))
    match error:
        case click.NoSuchOption(option_name=name):
            return _no_option(path, name, context)
        case click.MissingParameter(param=param) if param is not None:
            what = param.make_metavar(context) if context and isinstance(param, click.Argument) else name_of(param)
            return UsageError(path, f"{what} is missing", f"Write {usage}")
        case click.BadOptionUsage(option_name=name) if "not take" in error.message:
            return UsageError(name, "it takes no value", f"Write {name} alone.")
        case click.BadOptionUsage(option_name=name):
            return UsageError(name, "its value is missing", f"Write it after {name}; --help shows its form.")
        case click.BadParameter(param=param) if param is not None and isinstance(param.type, click.Path):
            return UsageError(name_of(param), _sentence(error), "Name a file.")
        case click.BadParameter(param=param):
            return UsageError(name_of(param), _sentence(error), "--help shows its form.")
    return UsageError(path, _sentence(error), f"Write {usage}")


def path_of(context: click.Context | None) -> str:
    """The names of the command and of its groups, however this program was started."""
    names: list[str] = []
    while context is not None and context.parent is not None:
        names.insert(0, context.info_name or "")
        context = context.parent
    return " ".join(["fourtuple", *names])


def _no_option(path: str, name: str, context: click.Context | None) -> UsageError:
    if re.match(r"-\.?\d", name):
        return UsageError(f"{path} {name}", "it is negative, or no option", f"Write {name.lstrip('-')}.")
    known = {
        opt.lstrip("-") for param in (context.command.get_params(context) if context else []) for opt in param.opts
    }
    others = [f"--{other}" for other, own in ALIASES.items() if f"--{own}" == name]
    do = _meant(name.lstrip("-"), known, context)
    what = f"there is no such option{f', nor {chr(32).join(others)}' if others else ''}"
    return UsageError(f"{path} {name}", what, f"{do}`{path} --help` lists all.")


def _meant(name: str, known: Set[str], context: click.Context | None) -> str:
    """What to write instead of an option, and a space: as other tools call it, or else the nearest name of ours."""
    meant = meant_by(name)
    if options := [f"--{own}" for own in meant if own in known]:
        return f"Did you mean {' or '.join(options)}? "
    arguments = [param for param in (context.command.params if context else []) if isinstance(param, click.Argument)]
    named = tuple(own for own in meant if own.isupper())
    if context and any((param.metavar or "").startswith(named) for param in arguments):
        return f"Write `{' '.join([path_of(context), *context.command.collect_usage_pieces(context)[1:]])}`. "
    if known & {"sni", "header"} and in_words(name):
        return f"{in_words(name)} "
    near = own_name(nearest(name, known | {other for other, own in ALIASES.items() if own in known}))
    return f"Did you mean --{near}? " if near else ""


def _sentence(error: click.ClickException) -> str:
    """What click says, as a part of a sentence."""
    said = error.message.strip().rstrip(".")
    return f"{said[:1].lower()}{said[1:]}"


def asks_for_json(command: click.Command, arguments: Sequence[str], parent: click.Context | None = None) -> bool:
    """Whether a command line, perhaps a wrong one, has the --json of its command."""
    lenient = {"resilient_parsing": True, "ignore_unknown_options": True}
    context = click.Context(command, parent, **{**command.context_settings, **lenient})
    typed, rest, _ = command.make_parser(context).parse_args([*arguments])
    if typed.get("as_json"):
        return True
    if not isinstance(command, click.Group) or not rest:
        return False
    chosen = command.get_command(context, rest[0])
    return chosen is not None and asks_for_json(chosen, rest[1:], context)
