"""`completion`: print the script with which a shell completes commands, options and their values."""

import click

from fourtuple.cli.values import OneOf
from fourtuple.faces.printer import hand_over

# What click's function for bash and zsh begins with, so that they complete what follows the `=` of --option=VALUE: bash
# has made words of the option and of `=`; zsh is told to keep what is before, which it does if compadd has no -U.
BEGIN = {
    "bash": """    local -a words=()
    local i cword=$COMP_CWORD
    for i in "${!COMP_WORDS[@]}"; do
        if [[ ${COMP_WORDS[i]} == '=' && $i -lt $COMP_CWORD ]]; then
            ((cword--))
        else
            words+=("${COMP_WORDS[i]}")
        fi
    done
    local -a COMP_WORDS=("${words[@]}")
    local COMP_CWORD=$cword
""",
    "zsh": """    [[ $PREFIX == --*=* ]] && compset -P 1 '*='
""",
}
# click's function for fish cuts descriptions at their first comma, and does not repeat --option= in front of the value.
FISH = r"""function %(complete_func)s
    set -l word (commandline --current-token --cut-at-cursor)
    set -l option (string match --regex -- '^--[^=]+=' "$word"; or echo)
    set -l value (string replace -- "$option" "" "$word")
    set -lx COMP_WORDS (commandline --cut-at-cursor)
    set -lx COMP_CWORD "$word"
    for line in (env %(complete_var)s=fish_complete %(prog_name)s)
        set -l found (string split --max 1 "," -- $line)
        switch $found[1]
            case dir
                printf '%%s\n' $option(__fish_complete_directories "$value" "")
            case file
                printf '%%s\n' $option(__fish_complete_path "$value" "")
            case plain
                printf '%%s\n' $option$found[2]
        end
    end
end

complete --command %(prog_name)s --no-files --arguments "(%(complete_func)s)"
"""


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
    from click.shell_completion import FishComplete, ShellComplete, get_completion_class

    from fourtuple.cli import NAME

    class Fish(FishComplete):
        source_template = FISH

    complete = Fish if shell == "fish" else get_completion_class(shell)
    assert complete is not None  # noqa: S101  (for the type checker)
    made = complete(ctx.find_root().command, {}, NAME, f"_{NAME}_COMPLETE".upper())
    script = ShellComplete.source(made)  # that of bash also starts a bash, to ask for its version
    hand_over(script.replace("() {\n", "() {\n" + BEGIN.get(shell, ""), 1).replace(" -U", "").encode())
