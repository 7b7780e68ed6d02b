"""`kimi rules ...`: which permission rules hold, and what they say of a command."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kimi_agent.cli.options import Options
from kimi_agent.core.exit import ExitCode
from kimi_agent.core.sanitize import visible

if TYPE_CHECKING:
    from kimi_agent.core.rules import Ruling
    from kimi_agent.policy import FolderRules, Policies

MARKS = {"allow": "runs", "ask": "asks", "deny": "denied"}
RESULTS = {
    "allow": "It runs without a question.",
    "": "It is asked for.",
    "ask": "It is asked for, in every mode.",
    "deny": "It is denied, in every mode.",
}


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        help="Permission rules: what runs unasked, what is asked for, what is denied.", rich_markup_mode=None
    )
    group.command("check")(check)
    group.command("list")(list_rules)
    app.add_typer(group, name="rules", no_args_is_help=True)


def check(
    ctx: typer.Context,
    command: Annotated[str, typer.Argument(help="A command line, a path, an address or server/tool.")],
    tool: Annotated[str, typer.Option("--tool", metavar="NAME", help="The tool that would be called.")] = "Shell",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Explain what happens to a call. The exit code is 0 when it runs unasked, else 3."""
    rules, _, cwd = _rules(ctx)
    ruling = _judge(rules, tool, command, cwd)
    if as_json:
        from msgspec import to_builtins

        typer.echo(json.dumps(to_builtins(ruling) | {"verdict": ruling.verdict}, indent=2, ensure_ascii=False))
    else:
        for line in explained(ruling):
            typer.echo(line)
    raise typer.Exit(ExitCode.DONE if ruling.verdict == "allow" else ExitCode.DENIED)


def explained(ruling: "Ruling") -> list[str]:
    """One line for each command, then what follows."""
    width = max(map(len, MARKS.values()))
    lines = [f"{MARKS[s.verdict]:<{width}}  {visible(s.text)}  ({visible(s.why)})" for s in ruling.segments]
    lines.append(RESULTS[ruling.verdict])
    if ruling.verdict in ("ask", "deny") and ruling.reason:
        lines.append(f"Because {ruling.reason}")
    lines += [f'"Always" would add: {visible(pattern)}' for pattern in ruling.always]
    return lines


def list_rules(
    ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False
) -> None:
    """List the rules that hold in this folder, the strongest scope first."""
    rules, policies, _ = _rules(ctx)
    found = [rule for rule in rules.book.rules if rule.scope != "built-in"]
    if as_json:
        names = ("decision", "pattern", "scope", "where", "reason", "cwd", "exe")
        typer.echo(json.dumps([{n: getattr(rule, n) for n in names} for rule in found], indent=2, ensure_ascii=False))
        return
    for rule in found:
        bound = f"  only in {rule.cwd}" if rule.cwd else ""
        typer.echo(f"{rule.decision:<6} {visible(rule.pattern)}  ({rule.scope}: {rule.where}){visible(bound)}")
    if not found:
        typer.echo(f"There are no rules. They are written in {policies.file}, see docs/guides/rules.md.")
    for problem in rules.problems:
        typer.echo(f"kimi: {visible(problem)}", err=True)


def _rules(ctx: typer.Context) -> "tuple[FolderRules, Policies, Path]":
    from kimi_agent.folder_trust import trust_of
    from kimi_agent.policy import Policies
    from kimi_agent.trust_question import told_left_out

    options = ctx.find_object(Options) or Options()
    config, cwd = options.load(), options.cwd()
    trusted = trust_of(config.trust.folders, options.home)
    policies = Policies(config, options.home, trusted=trusted)
    rules = policies.open(cwd)
    if left := trusted(cwd).left_out:
        rules.problems = [*rules.problems, told_left_out(left)]
    return rules, policies, cwd


def _judge(rules: "FolderRules", tool: str, text: str, cwd: Path) -> "Ruling":
    from kimi_agent.agent.tool_names import NAMES
    from kimi_agent.core.effect import Effect
    from kimi_agent.core.errors import ConfigError
    from kimi_agent.core.message import ToolCall
    from kimi_agent.rules.rule import KINDS
    from kimi_agent.workspaces.local import LocalWorkspace

    name = NAMES.get(tool.casefold(), tool)
    kind = "mcp" if tool.startswith("mcp__") else KINDS.get(name.casefold())
    if kind is None:
        raise ConfigError(f"rules know no tool {tool!r}", f"Known: {', '.join(sorted(set(NAMES.values())))}.")
    target = str(LocalWorkspace(cwd).resolve(text)) if kind in ("read", "write") else text
    ruling = rules.judge(ToolCall("", name, "{}"), [Effect(kind, target)])  # type: ignore[arg-type]
    if ruling.verdict == "" and kind in ("read", "fetch") and not rules.book.places.is_private(target):
        from kimi_agent.core.rules import Ruling

        return Ruling("allow")
    return ruling
