"""The slash command /mcp: the MCP servers of the session, what they offer, and what is to be done about them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from kimi_agent.agent.session_servers import take_servers
from kimi_agent.core.ask import Option
from kimi_agent.core.errors import ConfigError
from kimi_agent.core.listing import Listing, Row, RowKey
from kimi_agent.core.servers import Servers, ServerState
from kimi_agent.mcp_approval import APPROVE, NOT_NOW, definition_of
from kimi_agent.mcp_report import NONE, changes, details, escaped, fenced, offered, reason, table, told_problems

if TYPE_CHECKING:
    from kimi_agent.agent.session import Session
    from kimi_agent.commands import Shell

USAGE = "`/mcp`, `/mcp NAME`, `/mcp reload`, `/mcp reconnect|enable|disable|approve|accept|auth NAME`"


async def mcp_command(shell: "Shell", args: str) -> None:
    """Raises ConfigError for a server that there is not, and for what cannot be done with one."""
    servers, wanted = shell.session.servers, args.strip()
    action, _, name = wanted.partition(" ")
    if wanted == "reload":
        await _reload(shell)
    elif servers is None or (not wanted and not servers.states()):
        shell.show("\n".join([NONE, *told_problems(servers.problems if servers is not None else ())]))
    elif not wanted and shell.draws:
        if (picked := await shell.browse(_listing(shell, servers))) is not None:
            _show(shell, servers, picked)
    elif not wanted:
        shell.show(table(servers.states(), servers.problems))
    elif name and action in _ACTIONS:
        await _ACTIONS[action](shell, servers, state_of(servers, name.strip()).name)
    else:
        _show(shell, servers, wanted)


async def complete_mcp(session: "Session", args: str) -> Sequence[Option]:
    """What the last word of the arguments may be."""
    *before, begun = args.split(" ")
    states = session.servers.states() if session.servers is not None else ()
    names = [Option(state.name, f"{state.status} {offered(state)}".strip()) for state in states]
    if not before:
        actions = [Option(name, about) for name, about in _ABOUT.items()]
        return [option for option in (*actions, *names) if option.label.startswith(begun)]
    if before[0] not in _ACTIONS or len(before) > 1:
        return []
    fitting = _FITTING.get(before[0])
    wanted = {state.name for state in states if fitting is None or fitting(state)}
    return [option for option in names if option.label in wanted and option.label.startswith(begun)]


def state_of(servers: Servers, name: str) -> ServerState:
    """Raises ConfigError for an unknown name."""
    states = servers.states()
    for state in states:
        if state.name == name:
            return state
    raise ConfigError(
        f"there is no MCP server {name!r}", f"Known: {', '.join(state.name for state in states)}. Usage: {USAGE}"
    )


def _show(shell: "Shell", servers: Servers, name: str) -> None:
    shell.show(details(state_of(servers, name), servers.raw(name)))


def _listing(shell: "Shell", servers: Servers) -> Listing:
    def rows() -> list[Row]:
        return [_row(state) for state in servers.states()]

    async def preview(name: str) -> str:
        return details(state_of(servers, name), servers.raw(name))

    async def reconnect(name: str) -> str:
        await _changing(shell, servers, servers.reconnect(name))
        return f"{name} is {state_of(servers, name).status}."

    async def switch(name: str) -> str:
        off = state_of(servers, name).status == "disabled"
        await _changing(shell, servers, servers.set_enabled(name, enabled=off))
        return f"{name} is {'on' if off else 'off'} in this run."

    keys = (RowKey("r", "reconnect", reconnect), RowKey("e", "on or off", switch))
    return Listing(
        "MCP servers", rows, "show in the conversation", keys, preview, live=True,
        head=lambda: "\n".join(servers.problems),
    )  # fmt: skip


def _row(state: ServerState) -> Row:
    about = (state.transport, offered(state), state.protocol, state.box, state.detail)
    return Row(state.name, state.name, " · ".join(filter(None, about)), mark=state.status)


# --- what is done with them -------------------------------------------------------------------------------------------


async def _reload(shell: "Shell") -> None:
    session = shell.session
    servers = session.servers
    if servers is None:
        servers = shell.agent.servers(session.cwd)
        if servers is None:
            shell.show(NONE)
            return
        take_servers(session, servers)
        servers.start()
        changed: Sequence[str] = [f"added {state.name}" for state in servers.states()]
        _tell_model(session, changed)
    else:
        before = set(servers.names())
        changed = await servers.reload()
        _tell_model(session, changed, before)
    told = [f"- {escaped(word)}" for word in changed] or ["Nothing has changed in the files of MCP servers."]
    waiting = [f"- {escaped(state.name)}: {reason(state)}" for state in servers.states() if reason(state)]
    shell.show("\n".join([*told, *waiting, *told_problems(servers.problems)]))


async def _reconnect(shell: "Shell", servers: Servers, name: str) -> None:
    await _changing(shell, servers, servers.reconnect(name))
    _tell(shell, servers, name)


async def _enable(shell: "Shell", servers: Servers, name: str) -> None:
    await _changing(shell, servers, servers.set_enabled(name, enabled=True))
    _tell(shell, servers, name)


async def _disable(shell: "Shell", servers: Servers, name: str) -> None:
    await _changing(shell, servers, servers.set_enabled(name, enabled=False))
    shell.show(f"{escaped(name)} is off in this run. `kimi mcp disable {name}` turns it off for good.")


async def _approve(shell: "Shell", servers: Servers, name: str) -> None:
    state = state_of(servers, name)
    if state.status != "needs-approval":
        shell.show(f"{escaped(name)} needs no approval: it is {state.status}.")
        return
    options = [Option(NOT_NOW), Option(APPROVE, "this definition; a change is asked about again")]
    if await shell.choose(f"Let the MCP server {name} be started?", options, definition_of(state)) != 1:
        shell.show(f"{escaped(name)} is not approved.")
        return

    async def go() -> None:
        await servers.approve(name, state.digest)
        await servers.settled()

    await _changing(shell, servers, go())
    _tell(shell, servers, name)


async def _accept(shell: "Shell", servers: Servers, name: str) -> None:
    held = state_of(servers, name).held
    if not held:
        shell.show(f"No tool of {escaped(name)} has changed.")
        return
    text = f"**Tools of {escaped(name)} are not what you have seen before.**\n\n{changes(held)}"
    options = [Option(NOT_NOW), Option("Accept them", "they are offered to the model as they are now")]
    if await shell.choose(f"Take the changed tools of {name}?", options, text) != 1:
        shell.show("They are still held back.")
        return
    if state_of(servers, name).held != held:
        raise ConfigError(f"the tools of {name} have changed once more meanwhile", "Look at them again.")
    await _changing(shell, servers, servers.accept(name))
    shell.show(f"{escaped(name)}: {offered(state_of(servers, name))}.")


async def _auth(shell: "Shell", servers: Servers, name: str) -> None:
    def show(line: str) -> None:
        shell.show(fenced(line) if line.startswith(("http://", "https://")) else escaped(line))

    shell.show(
        f"Is your browser on another machine? `kimi mcp auth {name}` in a terminal takes the address that it ends at."
    )
    await servers.sign_in(name, show)
    await _changing(shell, servers, servers.reconnect(name))
    _tell(shell, servers, name)


def _tell(shell: "Shell", servers: Servers, name: str) -> None:
    state = state_of(servers, name)
    why = f": {reason(state)}" if reason(state) else f": {offered(state)}" if offered(state) else ""
    shell.show(f"{escaped(name)} is {state.status}{why}.")


_ACTIONS: dict[str, Callable[["Shell", Servers, str], Awaitable[None]]] = {
    "reconnect": _reconnect,
    "enable": _enable,
    "disable": _disable,
    "approve": _approve,
    "accept": _accept,
    "auth": _auth,
}
_ABOUT = {
    "reload": "read the files again",
    "reconnect": "connect to a server anew",
    "enable": "turn a server on, in this run",
    "disable": "turn a server off, in this run",
    "approve": "look at a server of this project, and let it be started",
    "accept": "look at tools that have changed, and take them",
    "auth": "sign in to a server",
}
_FITTING: dict[str, Callable[[ServerState], bool]] = {
    "enable": lambda state: state.status == "disabled",
    "disable": lambda state: state.status != "disabled",
    "approve": lambda state: state.status == "needs-approval",
    "accept": lambda state: bool(state.held),
    "auth": lambda state: state.transport != "stdio",
}


# --- what the model hears of it ---------------------------------------------------------------------------------------


async def _changing(shell: "Shell", servers: Servers, work: Awaitable[None]) -> None:
    """Do what changes the tools that there are; the model hears of it."""
    before = set(servers.names())
    await work
    _tell_model(shell.session, (), before)


def _tell_model(session: "Session", changed: Sequence[str], before: set[str] | None = None) -> None:
    """Declare the tools anew. Where they are the same, the requests stay the same, too, and nothing is said."""
    assert session.servers is not None
    session.runner.declare_anew()
    now = set(session.servers.names())
    parts = [*changed]
    if before is not None and now - before:
        parts.append(f"there are more tools: {_few(now - before)}")
    if before is not None and before - now:
        parts.append(f"tools that are gone: {_few(before - now)}")
    if parts:
        session.note(f"[MCP servers were changed by the user: {'; '.join(parts)}]")


def _few(names: set[str]) -> str:
    shown = sorted(names)[:20]
    return ", ".join(shown) + (f" and {len(names) - len(shown)} more" * (len(names) > len(shown)))
