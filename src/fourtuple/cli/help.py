"""`help`: show the help of a command."""

import click
from click.shell_completion import CompletionItem


def _next_words(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The commands that can follow those that are typed."""
    context = ctx.find_root()
    for name in ctx.params.get(param.name or "") or ():
        below = context.command.commands.get(name) if isinstance(context.command, click.Group) else None
        if below is None:
            return []
        context = click.Context(below, parent=context, info_name=name)
    return context.command.shell_complete(context, incomplete)


@click.command()
@click.argument("command", nargs=-1, metavar="[COMMAND]...", shell_complete=_next_words)
@click.pass_context
def help(ctx: click.Context, command: tuple[str, ...]) -> None:
    """Show the help of COMMAND, such as hold or runs show; without one, the list of all commands."""
    root = ctx.find_root()
    with root.command.make_context(root.info_name, [*command, "--help"]) as asked:
        root.command.invoke(asked)
