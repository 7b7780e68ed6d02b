"""The slash commands that only tell: /usage, /status, /hooks, /version."""

import re
from typing import TYPE_CHECKING

from kimi_agent import __version__
from kimi_agent.core import event as ev

if TYPE_CHECKING:
    from kimi_agent.commands import Shell


async def usage_command(shell: "Shell", args: str) -> None:
    events = shell.session.events()
    usages = list(ev.usages(events))
    last_turn = max((n for n, event in enumerate(events) if isinstance(event, ev.TurnStarted)), default=0)
    turn = list(ev.usages(events[last_turn:]))
    total_in, cached = sum(u.input for u in usages), sum(u.cached for u in usages)
    output = sum(u.output for u in usages)
    costs = [u.cost for u in usages if u.cost is not None]
    share = f" ({cached / total_in:.0%} of the input)" if total_in else ""
    lines = [
        "| | session | last turn |",
        "|---|---|---|",
        f"| requests | {len(usages)} | {len(turn)} |",
        f"| input tokens | {total_in:,} | {sum(u.input for u in turn):,} |",
        f"| of it cached | {cached:,}{share} | {sum(u.cached for u in turn):,} |",
        f"| output tokens | {output:,} | {sum(u.output for u in turn):,} |",
    ]
    if own := [event for event in events if isinstance(event, ev.Usage)]:
        last = own[-1]
        size = f" of {last.context_size:,}" if last.context_size else ""
        lines.append(f"| context now | {last.context:,}{size} | |")
    of_turn = sum(u.cost for u in turn if u.cost is not None)
    lines.append(f"| cost | {sum(costs):.4f} | {of_turn:.4f} |" if costs else "| cost | no prices configured | |")
    shell.show("\n".join(lines))


async def status_command(shell: "Shell", args: str) -> None:
    session = shell.session
    shell.show(
        f"- session `{session.id}`{': ' + session.title if session.title else ''}\n- folder `{session.cwd}`\n"
        f"- model **{session.model.name or 'none'}** ({session.model.provider or '-'}), thinking "
        f"{session.thinking or 'as the model does'}\n- mode {session.mode}"
    )


async def hooks_command(shell: "Shell", args: str) -> None:
    hooks = shell.session.hooks.hooks if shell.session.hooks is not None else ()
    if not hooks:
        shell.show("There are no hooks. `[[hooks]]` in config.toml or a plugin adds some.")
        return
    lines = ["| event | matcher | command | timeout | strict | where from |", "|---|---|---|---|---|---|"]
    for hook in sorted(hooks, key=lambda hook: hook.event):
        matcher, command = _code(hook.matcher) or "(all)", _code(hook.command)
        strict = "yes" if hook.strict else "no"
        lines.append(f"| {hook.event} | {matcher} | {command} | {hook.timeout:g} s | {strict} | {hook.source or '-'} |")
    shell.show("\n".join(lines))


def _code(text: str) -> str:
    """As code in a cell of a table, on one line: nothing in it is markup, and no bar ends the cell."""
    text = " ".join(text.split()).replace("|", "\\|")
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}" if len(fence) > 1 else f"`{text}`" if text else ""


async def version_command(shell: "Shell", args: str) -> None:
    shell.show(f"kimi {__version__}")
