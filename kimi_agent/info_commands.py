"""The slash commands that only tell: /usage, /status, /hooks, /version."""

import re
from typing import TYPE_CHECKING

from kimi_agent import __version__
from kimi_agent.usage_report import report

if TYPE_CHECKING:
    from kimi_agent.agent.session import Session
    from kimi_agent.commands import Shell


async def usage_command(shell: "Shell", args: str) -> None:
    shell.show(report(shell.session.events()))


async def status_command(shell: "Shell", args: str) -> None:
    session = shell.session
    shell.show(
        f"- session `{session.id}`{': ' + session.title if session.title else ''}\n- folder `{session.cwd}`\n"
        f"- model **{session.model.name or 'none'}** ({session.model.provider or '-'}), thinking "
        f"{session.thinking or 'as the model does'}\n- mode {session.mode}\n- saved for /undo: {await _saved(session)}"
    )


async def _saved(session: "Session") -> str:
    """What of the files can be taken back, and what that takes on the disk."""
    if session.files.snapshots is None:
        return "nothing (`[snapshots]` in config.toml)"
    use = await session.files.snapshots.use()
    left_out = f"; not {', '.join(use.left_out[:5])}" if use.left_out else ""
    more = f" and {len(use.left_out) - 5} more" if len(use.left_out) > 5 else ""
    return f"{use.covers}{left_out}{more}; {use.size / 1e6:.1f} MB on the disk for this folder"


async def hooks_command(shell: "Shell", args: str) -> None:
    hooks = shell.session.hooks.hooks if shell.session.hooks is not None else ()
    if not hooks:
        shell.show("There are no hooks. `[[hooks]]` in config.toml or a plugin adds some.")
        return
    lines = ["| event | matcher | command | timeout | strict | where from |", "|---|---|---|---|---|---|"]
    for hook in sorted(hooks, key=lambda hook: hook.event):
        matcher, command = _code(hook.matcher) or "(all)", _code(hook.shown)
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
