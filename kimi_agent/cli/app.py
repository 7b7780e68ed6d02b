"""The root command: every flag of kimi-cli 1.49 and kimi-code that has a meaning here, under all its names."""

import gc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup
from typer.main import get_command

from kimi_agent import __version__
from kimi_agent.cli import (
    completion,
    configuration,
    doctor,
    info,
    login,
    mcp,
    plugins,
    rules,
    sessions,
    subcommands,
    trust,
    web,
)
from kimi_agent.cli.arguments import normalise
from kimi_agent.cli.options import Options
from kimi_agent.core.errors import ConfigError


class Root(TyperGroup):
    """Accepts `kimi "text"` and options without their value; see arguments.py."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        takes_value = {
            name: not (getattr(parameter, "is_flag", False) or getattr(parameter, "count", False))
            for parameter in self.params
            for name in (*parameter.opts, *parameter.secondary_opts)
        }
        return super().parse_args(ctx, normalise(args, takes_value, list(self.commands), subcommands.is_subcommand))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return super().get_command(ctx, cmd_name) or subcommands.subcommand(cmd_name)


app = typer.Typer(
    cls=Root,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    subcommand_metavar="[PROMPT | COMMAND ...]",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (sessions, plugins, mcp, rules, trust, login, web, doctor, info, configuration, completion):
    group.register(app)


def command() -> Callable[..., Any]:
    """The parser. Calling it always ends in an exception: SystemExit, or one of ours."""
    completion.enable()
    return get_command(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kimi {__version__}")
        raise typer.Exit


ABSENT = ("wire", "acp")
"""Flags that are no options of a session: `--wire` of kimi-cli is not in this version, `--acp` is `kimi acp`."""


def _refuse(param: typer.CallbackParam, value: object) -> None:
    if value:
        raise ConfigError(f"{param.opts[0]} is not in this version")


def _acp(ctx: typer.Context) -> int:
    from kimi_agent.cli.programs import program
    from kimi_agent.cli.session_flags import flat, given_words

    main = program("acp")
    if main is None:
        raise ConfigError("kimi acp is not installed")
    return main(flat({name: words for name, words in given_words(ctx.command, ctx).items() if name != "acp"}))


def _model_names(incomplete: str) -> Sequence[str]:
    from kimi_agent.cli.completion import model_names

    return model_names(incomplete)


def _session_ids(incomplete: str) -> Sequence[str]:
    from kimi_agent.cli.completion import session_ids

    return session_ids(incomplete)


Flag = typer.Option


@app.callback()
def root(
    ctx: typer.Context,
    prompt: Annotated[
        str | None, Flag("-p", "--prompt", "-c", "--command", metavar="TEXT", help="Do this task and exit.")
    ] = None,
    start: Annotated[str | None, Flag("--start", hidden=True)] = None,
    session: Annotated[
        str | None,
        Flag(
            "-r",
            "--resume",
            "-S",
            "--session",
            metavar="[ID]",
            help="Go on with a session; without ID, pick one.",
            autocompletion=_session_ids,
        ),
    ] = None,
    last: Annotated[bool, Flag("-C", "--continue", help="Go on with the newest session of this folder.")] = False,
    model: Annotated[
        str, Flag("-m", "--model", metavar="NAME", help="Model to use.", autocompletion=_model_names)
    ] = "",
    thinking: Annotated[bool | None, Flag("--thinking/--no-thinking", help="Let the model reason, or not.")] = None,
    work_dir: Annotated[Path | None, Flag("-w", "--work-dir", metavar="DIR", help="Folder to work in.")] = None,
    add_dir: Annotated[list[Path] | None, Flag("--add-dir", metavar="DIR", help="Another folder, repeatable.")] = None,
    skills_dir: Annotated[
        list[Path] | None, Flag("--skills-dir", metavar="DIR", help="Look for skills only there, repeatable.")
    ] = None,
    yolo: Annotated[
        bool, Flag("-y", "--yolo", "--yes", "--auto-approve", help="Allow unasked what the box holds.")
    ] = False,
    afk: Annotated[bool, Flag("--afk", "--auto", help="The same, and let the model decide its questions.")] = False,
    plan: Annotated[bool, Flag("--plan", help="Plan mode: look, but change nothing.")] = False,
    require_sandbox: Annotated[
        bool, Flag("--require-sandbox", help="Do not start where no box holds; the default of -p when CI is set.")
    ] = False,
    no_sandbox: Annotated[
        bool, Flag("--no-sandbox", help="Run commands without a box; every one is asked for then.")
    ] = False,
    accept_no_sandbox: Annotated[
        bool, Flag("--i-accept-no-sandbox", help="Let --yolo and --afk allow commands that no box holds.")
    ] = False,
    agent: Annotated[
        str, Flag("--agent", metavar="NAME", help="Be another agent: default, okabe, or one of yours.")
    ] = "",
    agent_file: Annotated[
        Path | None, Flag("--agent-file", metavar="FILE", help="Be the agent that this file defines.")
    ] = None,
    print_mode: Annotated[bool, Flag("--print", help="No screen: read the prompt from -p or standard input.")] = False,
    quiet: Annotated[bool, Flag("--quiet", help="--print --output-format text --final-message-only.")] = False,
    line: Annotated[bool, Flag("--line", help="Line mode: native scrollback, works on any terminal.")] = False,
    screen_reader: Annotated[
        bool, Flag("--screen-reader", help="Line mode in plain words: nothing is drawn, nothing moves.")
    ] = False,
    ui: Annotated[str, Flag("--ui", metavar="NAME", help="The front end: tui, line, or one of a plugin.")] = "",
    trust: Annotated[
        bool,
        Flag("--trust", help="Read what this folder tells the model, in this run, although nobody has trusted it."),
    ] = False,
    workspace: Annotated[
        str, Flag("--workspace", metavar="NAME", help="Where tools work: local, or one of a plugin.")
    ] = "local",
    output_format: Annotated[
        Literal["text", "json", "stream-json"] | None, Flag("--output-format", help="What stdout carries.")
    ] = None,
    input_format: Annotated[
        Literal["text", "stream-json"] | None, Flag("--input-format", help="What stdin carries.")
    ] = None,
    final_message_only: Annotated[bool, Flag("--final-message-only", help="No progress, only the answer.")] = False,
    json_schema: Annotated[
        Path | None, Flag("--json-schema", metavar="FILE", help="The answer is JSON that matches this schema.")
    ] = None,
    max_steps_per_turn: Annotated[
        int | None, Flag("--max-steps-per-turn", min=1, metavar="N", help="Stop a turn there.")
    ] = None,
    max_retries_per_step: Annotated[
        int | None, Flag("--max-retries-per-step", min=0, metavar="N", help="Of a failed request.")
    ] = None,
    config: Annotated[str | None, Flag("--config", metavar="TEXT", help="TOML or JSON instead of the file.")] = None,
    config_file: Annotated[Path | None, Flag("--config-file", metavar="FILE", help="Another config.toml.")] = None,
    provider: Annotated[
        str, Flag("--provider", metavar="NAME", help="A provider, a kind, scripted:FILE or chaos:SEED[:KIND].")
    ] = "",
    base_url: Annotated[str, Flag("--base-url", metavar="URL", help="Address of an OpenAI-compatible API.")] = "",
    local: Annotated[
        str, Flag("--local", metavar="MODEL", help="Run this model here: a folder, or a name in KIMI_HOME/models.")
    ] = "",
    profile: Annotated[
        Literal["full", "compact"] | None, Flag("--profile", help="What the model is told: compact is for small ones.")
    ] = None,
    mcp_config: Annotated[
        list[str] | None, Flag("--mcp-config", metavar="JSON", help="More MCP servers, repeatable.")
    ] = None,
    mcp_config_file: Annotated[
        list[Path] | None,
        Flag("--mcp-config-file", metavar="FILE", help="MCP servers instead of your mcp.json, repeatable."),
    ] = None,
    trust_mcp: Annotated[
        list[str] | None,
        Flag("--trust-mcp", metavar="NAME", help="Start this MCP server of the project, in this run, repeatable."),
    ] = None,
    allow: Annotated[
        list[str] | None, Flag("--allow", metavar="RULE", help="Such as 'Shell(npm test *)', repeatable.")
    ] = None,
    deny: Annotated[list[str] | None, Flag("--deny", metavar="RULE", help="Such as 'Shell(curl)', repeatable.")] = None,
    verbose: Annotated[bool, Flag("--verbose", help="Show progress although stderr is no terminal.")] = False,
    debug: Annotated[bool, Flag("--debug", help="Tracebacks, and a log in KIMI_HOME/logs/kimi.log.")] = False,
    max_ralph_iterations: Annotated[
        int | None,
        Flag(
            "--max-ralph-iterations", min=-1, metavar="N", help="Repeat each prompt up to N times more; -1: until STOP."
        ),
    ] = None,
    wire: Annotated[bool, Flag("--wire", hidden=True, callback=_refuse)] = False,
    acp: Annotated[bool, Flag("--acp", hidden=True)] = False,
    version: Annotated[
        bool, Flag("-V", "--version", is_eager=True, callback=_print_version, help="Print it and exit.")
    ] = False,
) -> None:
    """A coding agent for the terminal. With PROMPT, start a session with it; with -p, answer and exit."""
    if ctx.invoked_subcommand is not None:
        gc.enable()
        ctx.obj = Options(
            config=config, config_file=config_file, work_dir=work_dir, debug=debug, mcp_config=mcp_config,
            mcp_config_file=mcp_config_file, trust_mcp=trust_mcp,
        )  # fmt: skip
        return
    if acp:
        raise typer.Exit(_acp(ctx))
    given = {name: value for name, value in locals().items() if name not in ("ctx", "version", *ABSENT)}
    from kimi_agent.cli.start import start as start_session

    raise typer.Exit(start_session(Options(**given)))
