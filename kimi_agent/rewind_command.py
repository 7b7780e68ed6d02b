"""The slash command /rewind: back to before an earlier message, in this session or in a fork of it."""

import asyncio
from typing import TYPE_CHECKING, get_args

from kimi_agent.agent.excerpt import beginning
from kimi_agent.agent.rewind import Stop, stops
from kimi_agent.core.ask import Option
from kimi_agent.core.listing import Listing, Row
from kimi_agent.file_question import name_of
from kimi_agent.task_command import may_end_tasks
from kimi_agent.undo_command import STAY, What, go_back, plan_for, ways

if TYPE_CHECKING:
    from kimi_agent.commands import Shell

SHOWN = 200
"""Characters of a message in the list."""
FORK = Option("Fork there", "a copy goes on; files stay")


async def rewind_command(shell: "Shell", args: str) -> None:
    """Let the person choose a message and a way; its text comes back to be edited. Raises SessionError as `undo` does."""
    await shell.session.files.settle()
    found = stops(shell.session.events())
    said = {str(len(found) - number): stop for number, stop in enumerate(found)}
    rows = [_row(turns, stop) for turns, stop in reversed(said.items()) if stop.said.strip()]
    if not rows:
        shell.show("There is no earlier message to go back to.")
        return

    async def preview(row: str) -> str:
        stop = said[row]
        text = await asyncio.to_thread(beginning, stop.events)
        names = [f"- `{name_of(shell.session, path)}`" for path in stop.paths]
        names += [f"- and {stop.files - len(names)} more"] if stop.files > len(names) else []
        return "\n".join([text, "", "**Files changed from here on**", "", *names]) if names else text

    picked = await shell.browse(
        Listing("Go back to before which message?", lambda: rows, picks="go back", preview=preview)
    )
    if picked is not None:
        await _go_back(shell, int(picked), said[picked].said)


async def _go_back(shell: "Shell", turns: int, text: str) -> None:
    plan = await plan_for(shell.session, turns)
    options = ways(FORK) if plan else [Option("Rewind to before it", "what followed goes; files stay"), FORK]
    way = await shell.choose(f"Go back to before “{_shown(text)[:60]}”", options)
    if way is None:
        return
    if options[way] is FORK:
        await _fork(shell, turns, text)
        return
    what: What = get_args(What)[way] if plan else "conversation"
    if not await go_back(shell, turns, what, plan):
        return
    if what != "files":
        shell.put(text)


async def _fork(shell: "Shell", turns: int, text: str) -> None:
    if not await may_end_tasks(shell):
        return
    old = shell.session
    shell.switch(old.fork(turns))
    shell.put(text)  # at once: ending what the old session runs can take a moment
    shell.show(f"This is a fork. The original is session `{old.id}`. {STAY}")
    await old.aclose()


def _row(turns: str, stop: Stop) -> Row:
    distance = "the last turn" if turns == "1" else f"{turns} turns back"
    files = f"{stop.files} file{'s' * (stop.files != 1)}" if stop.files else ""
    return Row(turns, _shown(stop.said), distance, mark=files)


def _shown(text: str) -> str:
    return " ".join(text.split())[:SHOWN]
