"""`daglab completion`: the script that completes daglab's commands and options in a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from daglab import errors, output

SHELLS = ("bash", "zsh", "fish")


def script(root: click.Command, shell: str) -> str:
    """The script for a shell; it calls daglab with the variable _DAGLAB_COMPLETE set at each Tab."""
    maker = get_completion_class(shell)
    if maker is None:
        raise errors.WrongUsage(f"There is no completion for {shell}.", f"There is one for {', '.join(SHELLS)}.")
    return maker(root, {}, "daglab", "_DAGLAB_COMPLETE").source()


@click.command(name="completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the script that completes daglab in your shell.

    It completes commands, options and their choices; it asks no server.

    \b
    Examples:
      daglab completion bash > ~/.local/share/bash-completion/completions/daglab
      daglab completion zsh > "${fpath[1]}/_daglab"
      daglab completion fish > ~/.config/fish/completions/daglab.fish
    """
    output.text(script(context.find_root().command, shell))
