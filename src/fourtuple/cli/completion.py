"""`completion`: print the script with which a shell completes commands, options and their values."""

import click

from fourtuple.cli.values import OneOf
from fourtuple.faces.printer import hand_over


@click.command()
@click.argument("shell", type=OneOf(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script with which SHELL completes commands, options, values, lessons and numbers of stored runs.

    \b
    eval "$(fourtuple completion bash)"  in ~/.bashrc
    eval "$(fourtuple completion zsh)"   in ~/.zshrc, after compinit
    fourtuple completion fish | source   in ~/.config/fish/config.fish
    """
    from click.shell_completion import ShellComplete, get_completion_class

    from fourtuple.cli import NAME

    complete = get_completion_class(shell)
    assert complete is not None  # noqa: S101  (for the type checker)
    made = complete(ctx.find_root().command, {}, NAME, f"_{NAME}_COMPLETE".upper())
    hand_over(ShellComplete.source(made).encode())  # that of bash also starts a bash, to ask for its version
