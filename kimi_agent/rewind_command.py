"""The slash command /rewind: back to before an earlier message, in this session or in a fork of it."""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from kimi_agent.agent.excerpt import beginning
from kimi_agent.core import event as ev
from kimi_agent.core.ask import Option
from kimi_agent.core.listing import Listing, Row
from kimi_agent.core.message import Message
from kimi_agent.task_command import may_end_tasks

if TYPE_CHECKING:
    from kimi_agent.agent.session import Session
    from kimi_agent.commands import Shell

SHOWN = 200
"""Characters of a message in the list."""
WAYS = (
    Option("Rewind to before it", "what followed goes; files stay"),
    Option("Fork there", "a copy goes on; files stay"),
)


async def rewind_command(shell: "Shell", args: str) -> None:
    """Let the person choose a message and a way; its text comes back to be edited. Raises SessionError as `undo` does."""
    turns_of = turns_now(shell.session.events())
    said = {str(len(turns_of) - number): _said(turn) for number, turn in enumerate(turns_of)}
    rows = [Row(turns, _shown(text), _distance(int(turns))) for turns, text in reversed(said.items()) if text.strip()]
    if not rows:
        shell.show("There is no earlier message to go back to.")
        return

    async def preview(row: str) -> str:
        return await asyncio.to_thread(beginning, turns_of[len(turns_of) - int(row)])

    picked = await shell.browse(
        Listing("Go back to before which message?", lambda: rows, picks="go back", preview=preview)
    )
    if picked is None:
        return
    turns, text = int(picked), said[picked]
    way = await shell.choose(f"Go back to before “{_shown(text)[:60]}”", WAYS)
    if way == 0:
        shell.apply(_rewind(shell.session, turns))
        shell.put(text)
        shell.show("The conversation goes on from here. Files stay as they are.")
    elif way == 1 and await may_end_tasks(shell):
        old = shell.session
        shell.switch(old.fork(turns))
        shell.put(text)  # at once: ending what the old session runs can take a moment
        shell.show(f"This is a fork. The original is session `{old.id}`. Files stay as they are.")
        await old.aclose()


def turns_now(events: Iterable[ev.Event]) -> list[list[ev.Event]]:
    """The events of each turn that is not undone."""
    turns: list[list[ev.Event]] = []
    for event in events:
        match event:
            case ev.TurnStarted():
                turns.append([event])
            case ev.Rewound(turns=undone, compaction=False):
                if 0 < undone <= len(turns):
                    del turns[-undone:]
            case _ if turns:
                turns[-1].append(event)
            case _:
                pass
    return turns


def _said(turn: Iterable[ev.Event]) -> str:
    """What a person said first in a turn; empty for one that the program began."""
    messages = (event.message for event in turn if isinstance(event, ev.MessageAdded))
    return next((message.text for message in messages if _of_person(message)), "")


def _of_person(message: Message) -> bool:
    return message.role == "user" and message.origin == "person"


def _rewind(session: "Session", turns: int) -> list[ev.Event]:
    """Undo the turns, and before them a compaction that came last."""
    events = session.undo(turns)
    undone = events[0]
    if isinstance(undone, ev.Rewound) and undone.compaction:
        events += session.undo(turns)
    return events


def _shown(text: str) -> str:
    return " ".join(text.split())[:SHOWN]


def _distance(turns: int) -> str:
    return "the last turn" if turns == 1 else f"{turns} turns back"
