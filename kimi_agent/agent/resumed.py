"""What the person and the model are told when a session goes on: what of it, or around it, is not as it was."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from kimi_agent.agent.main_prompt import added_folder
from kimi_agent.agent.session import Session
from kimi_agent.agent.store import SessionLog, clean
from kimi_agent.core import event as ev
from kimi_agent.core.message import user_message

MOVED = "[The working folder is now"


def tell_what_changed(
    session: Session, log: SessionLog, damaged: int, *, asked: bool, extra_roots: Sequence[Path]
) -> None:
    """`damaged` is how many lines of the log were, `asked` says that another model was asked for. Raises SessionError."""
    if damaged:
        records = "record of this session was" if damaged == 1 else "records of this session were"
        _tell_once(session, f"{damaged} damaged {records} left out.")
    if log.newer:
        records, were = ("record", "was") if log.newer == 1 else ("records", "were")
        _tell_once(session, f"{log.newer} {records} of a newer version of kimi {were} passed over.")
    had = model_names(log.events)[-1]
    if session.model.name and had != session.model.name:
        if not asked and had:
            text = f"The model {had} of this session is not configured any more; it goes on with {session.model.name}."
            session.announce(ev.Notice("warning", text))
        session.announce(ev.ModelChanged(session.model.name))
    started = log.events[0]
    assert isinstance(started, ev.SessionStarted)
    _tell_folder(session, started.cwd)
    told = [message.text for message in session.runner.history.messages]
    for root in extra_roots:
        if f"`{root}`" not in started.system_prompt and not any(added_folder(root) in text for text in told):
            session.note(added_folder(root))


def model_names(events: Sequence[ev.Event]) -> list[str]:
    """The session's models, in the order in which it had them; never empty."""
    return [event.model for event in events if isinstance(event, ev.SessionStarted | ev.ModelChanged)]


def _tell_once(session: Session, text: str, level: Literal["info", "warning"] = "warning") -> None:
    """A notice, unless this very one is in the log already."""
    if not any(isinstance(event, ev.Notice) and event.text == text for event in session.events()):
        session.announce(ev.Notice(level, text))


def _tell_folder(session: Session, recorded: str) -> None:
    """When the system prompt, or what was told since, names another working folder: tell the model and the person."""
    folder = clean(str(session.cwd))
    told = [m.text for m in session.runner.history.messages if m.origin == "agent" and m.text.startswith(MOVED)]
    text = f"{MOVED} {folder}]"
    if (told[-1] != text) if told else (folder != recorded):
        session.announce(ev.MessageAdded(user_message(text, origin="agent")))
        session.announce(ev.Notice("warning", f"This session began in {recorded}; it goes on in {folder}."))
