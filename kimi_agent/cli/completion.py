"""`kimi completion SHELL`: prints the script that makes the shell complete `kimi`, and answers what it asks for."""

import os
from collections.abc import Sequence
from typing import Annotated, Literal

import typer


def register(app: typer.Typer) -> None:
    app.command("completion")(completion)


def completion(shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument()]) -> None:
    """Print the completion script: `eval "$(kimi completion bash)"`."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    typer.echo(get_completion_script(prog_name="kimi", complete_var="_KIMI_COMPLETE", shell=shell))


def enable() -> None:
    """Let Typer answer the scripts' questions. It does so only when it adds its own options, which `completion` replaces."""
    if "_KIMI_COMPLETE" in os.environ:
        from typer.completion import completion_init  # type: ignore[attr-defined]

        completion_init()


def model_names(incomplete: str) -> Sequence[str]:
    from kimi_agent.cli.options import Options
    from kimi_agent.core.errors import KimiError

    try:
        names = list(Options().load().models)
    except KimiError:
        return []
    return [name for name in names if name.startswith(incomplete)]


def session_ids(incomplete: str) -> Sequence[str]:
    from kimi_agent.agent.store import SessionStore
    from kimi_agent.cli.options import Options

    infos = SessionStore(Options().home).list(Options().cwd())
    return [info.id for info in infos if info.id.startswith(incomplete)]
