"""Asking whether the session's folder is trusted: before the first prompt, and by /trust."""

import asyncio
from typing import TYPE_CHECKING

from kimi_agent.agent.late import left_out, take_up
from kimi_agent.core import event as ev
from kimi_agent.core.errors import KimiError
from kimi_agent.trust_question import LEAVE, WITHOUT, picked, question, told_left_out

if TYPE_CHECKING:
    from kimi_agent.commands import Shell


async def settle_trust(shell: "Shell") -> bool:
    """Ask about what is left out of the session's folder, and do what is answered. False: the person leaves.

    A session without a turn begins anew with what it was not told; another one goes on as it is, and the model is told.
    """
    accepted = await ask_trust(shell)
    if accepted:
        await _go_on(shell)
    return accepted is not None


async def ask_trust(shell: "Shell") -> bool | None:
    """Ask, and keep the answers; whether something was trusted, None when the person leaves."""
    agent, session = shell.agent, shell.session
    trust = agent.trust(session.cwd)
    accepted: set[str] = set()
    while paths := left_out(agent, session.cwd):
        files = () if trust.obstacle else await asyncio.to_thread(trust.items)
        files = [file for file in files if file.digest not in accepted]
        if not files:
            shell.show(told_left_out(paths, trust.obstacle or "they cannot be read"))
            break
        answer = picked(await session.ask(question(session.cwd, files)))
        if answer == LEAVE:
            shell.quit()
            return None
        if answer == WITHOUT:
            shell.show(told_left_out(paths, "`/trust` asks again"))
            break
        try:
            trust.accept(files)
        except (KimiError, OSError) as error:
            shell.show(f"That could not be kept: {error.full if isinstance(error, KimiError) else error}")
            break
        accepted |= {file.digest for file in files}
    return bool(accepted)


async def trust_command(shell: "Shell", args: str) -> None:
    """`/trust`."""
    trust = shell.agent.trust(shell.session.cwd)
    if not trust.asks:
        shell.show('Every folder is trusted: `[trust] folders` in `config.toml` is `"always"`, or `--trust` was given.')
    elif not left_out(shell.agent, shell.session.cwd):
        shell.show("Nothing of this folder is left out. `kimi trust list` shows what you have trusted.")
    else:
        await settle_trust(shell)


async def _go_on(shell: "Shell") -> None:
    old = shell.session
    if any(isinstance(event, ev.TurnStarted) for event in old.events()):
        await go_on_trusted(shell)
        return
    if old.servers is not None:
        await old.servers.reload()
    model = old.model.name or None
    shell.switch(shell.agent.open(ask=old.ask, cwd=old.cwd, mode=old.mode, model=model))
    await old.aclose()


async def go_on_trusted(shell: "Shell") -> None:
    """Let the session go on with what is trusted now."""
    session = shell.session
    if session.servers is not None:  # the folder may have some of its own, which are asked about one by one
        await session.servers.reload()
    take_up(shell.agent, session)
    shell.show("Trusted. The model is told with your next prompt.")
