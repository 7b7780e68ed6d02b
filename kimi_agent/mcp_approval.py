"""Asking whether a server of the project may be started: its whole definition is shown, and "not now" is the usual answer."""

from typing import TYPE_CHECKING

from kimi_agent.core.ask import Choice, Chosen, Item, Option
from kimi_agent.core.errors import KimiError
from kimi_agent.core.servers import Servers, ServerState
from kimi_agent.mcp_report import code, escaped, fenced

if TYPE_CHECKING:
    from kimi_agent.agent.session import Session
    from kimi_agent.commands import Shell

_NAMED = 10
NOT_NOW, APPROVE, NONE_OF_THEM = "Not now", "Approve it", "None of them"


def unapproved(session: "Session") -> list[ServerState]:
    """The servers of a project that wait for a person."""
    servers = session.servers
    return [s for s in servers.states() if s.status == "needs-approval"] if servers is not None else []


def definition_of(state: ServerState) -> str:
    """What would be run or reached, whole, as Markdown."""
    return (
        f"**The MCP server {escaped(state.name)} of this project** ({code(state.source)}). "
        f"{escaped(state.detail[:1].upper() + state.detail[1:])}. Nothing of it has been started.\n\n"
        f"{fenced(state.definition)}"
    )


def question(state: ServerState, others: int = 0) -> Choice:
    """`others` are asked about after this one."""
    options = [
        Option(NOT_NOW, f"/mcp approve {state.name} asks again"),
        Option(APPROVE, "this definition; a change is asked about again"),
        *([Option(NONE_OF_THEM, f"nor the {others} after it")] if others else []),
    ]
    item = Item(f"Let the MCP server {state.name} be started?", tuple(options), other=False)
    return Choice((item,), definition_of(state))


def told_unapproved(servers: Servers) -> list[str]:
    """Lines about what is left out where nobody can be asked."""
    lines = [
        f"{path} is not read: no MCP server of this project was ever approved. `kimi mcp list` shows what is in it, "
        "`kimi mcp approve NAME` approves one, --trust-mcp NAME for this run"
        for path in servers.unread
    ]
    names = [state.name for state in servers.states() if state.status == "needs-approval"]
    if names:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        one = len(names) == 1
        lines.append(
            f"{len(names)} MCP server{'' if one else 's'} of this project {'is' if one else 'are'} left out, nobody has approved "
            f"{'it' if one else 'them'}: {', '.join(names[:_NAMED])}{more}; kimi mcp approve {names[0] if one else 'NAME'}"
        )
    return lines


async def settle_servers(shell: "Shell") -> None:
    """Ask about the servers that nobody has approved, one by one; those that are approved are connected to meanwhile."""
    servers, waiting = shell.session.servers, unapproved(shell.session)
    for number, state in enumerate(waiting):
        answer = await shell.session.ask(question(state, len(waiting) - number - 1))
        label = answer.values[0][0] if isinstance(answer, Chosen) and answer.values and answer.values[0] else NOT_NOW
        if label == NONE_OF_THEM:
            return
        if label == APPROVE and servers is not None:
            await _approve(shell, servers, state)


async def _approve(shell: "Shell", servers: Servers, state: ServerState) -> None:
    try:
        await servers.approve(state.name, state.digest)
    except KimiError as error:
        shell.show(f"That could not be kept: {escaped(error.full)}")
