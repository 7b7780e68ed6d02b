"""The slash command /rewind: back to before an earlier message, in this session or in a fork of it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from kimi_agent.core import event as ev
from kimi_agent.core.ask import Option
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
    messages = said_in_turns(shell.session.events())
    listed = [(len(messages) - number, text) for number, text in enumerate(messages) if text.strip()][::-1]
    if not listed:
        shell.show("There is no earlier message to go back to.")
        return
    options = [Option(_shown(text), _distance(turns)) for turns, text in listed]
    picked = await shell.choose("Go back to before which message?", options)
    if picked is None:
        return
    turns, text = listed[picked]
    way = await shell.choose(f"Go back to before “{_shown(text)[:60]}”", WAYS)
    if way == 0:
        shell.apply(_rewind(shell.session, turns))
        shell.show("The conversation goes on from here. Files stay as they are.")
    elif way == 1 and await may_end_tasks(shell):
        old = shell.session
        shell.switch(old.fork(turns))
        shell.show(f"This is a fork. The original is session `{old.id}`. Files stay as they are.")
        await old.aclose()
    else:
        return
    shell.put(text)


def said_in_turns(events: Iterable[ev.Event]) -> list[str]:
    """What a person said first in each turn that is not undone; empty for a turn that the program began."""
    said: list[str] = []
    for event in events:
        match event:
            case ev.TurnStarted():
                said.append("")
            case ev.MessageAdded(message) if said and not said[-1] and _of_person(message):
                said[-1] = message.text
            case ev.Rewound(turns=turns, compaction=False) if 0 < turns <= len(said):
                del said[-turns:]
            case _:
                pass
    return said


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
