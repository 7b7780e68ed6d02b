"""The slash commands /undo and /redo, and going back as /rewind does it too: the conversation, the files, or both."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from kimi_agent.agent.rewind import Plan, Return, last_undone, plan_again, plan_back, restore, stops
from kimi_agent.core import event as ev
from kimi_agent.core.ask import Option
from kimi_agent.file_question import ask_about, name_of

if TYPE_CHECKING:
    from kimi_agent.agent.session import Session
    from kimi_agent.commands import Shell

What: TypeAlias = Literal["both", "conversation", "files"]
STAY = "Files stay as they are."
NAMED = 8
"""Files that a question or an answer names."""
_USAGE = "Usage: `/undo [number of turns] [both|conversation|files]`"


async def undo_command(shell: "Shell", args: str) -> None:
    """Raises SessionError as `Session.undo` does, SnapshotError."""
    turns, what = _read(args)
    if turns is None:
        shell.show(_USAGE)
        return
    session = shell.session
    await session.files.settle()
    if session.runner.history.last_is_compaction() and what != "files":
        shell.apply(session.undo())
        shell.show(f"Undone in the conversation. {STAY}")
        return
    session.runner.history.require_turns(turns)
    plan = await plan_for(session, turns)
    if plan and what is None:
        title = f"Take back {'the last turn' if turns == 1 else f'the last {turns} turns'}: {_told(session, plan)}"
        picked = await shell.choose(title, ways())
        what = None if picked is None else get_args(What)[picked]
    elif what is None:
        what = "conversation"
    if what is not None:
        await go_back(shell, turns, what, plan)


async def redo_command(shell: "Shell", args: str) -> None:
    """Raises SessionError, SnapshotError."""
    session = shell.session
    await session.files.settle()
    undone = last_undone(session.events())
    if undone is None:
        shell.show("There is nothing to redo: nothing was undone, or the conversation went on since.")
        return
    said = []
    if undone.files is not None:
        chosen = await _agreed(shell, plan := await plan_again(session.files, undone.files))
        if chosen is None:
            return
        count, refused = await restore(session.files, chosen, "redo")
        said = [_files(count, "before the undo"), *_kept(session, {**plan.kept, **refused})]
        if not undone.turns:
            _tell_model(session, chosen, "The user brought your changes of files back")
    if undone.turns:
        shell.apply(session.redo())
        said.insert(0, "The conversation is back.")
    shell.show("\n".join(said))


async def plan_for(session: "Session", turns: int) -> Plan:
    """What going back so many turns would bring back. Raises SnapshotError."""
    events = session.events()
    found = stops(events)
    if not 0 < turns <= len(found) or session.files.snapshots is None or not found[-turns].files:
        return Plan()
    return await plan_back(session.files, events, found[-turns].at)


def ways(*more: Option) -> list[Option]:
    """In the order of `What`."""
    return [
        Option("Conversation and files"), Option("Conversation only", "files stay as they are"),
        Option("Files only", "the conversation goes on as it is"), *more,
    ]  # fmt: skip


async def go_back(shell: "Shell", turns: int, what: What, plan: Plan) -> bool:
    """Whether it was done; the person may change their mind. Raises SessionError, SnapshotError."""
    session, said = shell.session, []
    if what != "conversation":
        if not await _may_restore(shell):
            return False
        chosen = await _agreed(shell, plan)
        if chosen is None:
            return False
        count, refused = await restore(session.files, chosen, "undo")
        said = [_files(count, "before"), *_kept(session, {**plan.kept, **refused})]
        if refused and what == "both":
            what = "files"
            said.append("The conversation stays as it is: `/undo` again goes on with the rest.")
        if what == "files":
            _tell_model(
                session,
                [each for each in chosen if each.path not in refused],
                "The user took your changes of files back",
            )
    if what != "files":
        shell.apply(_undo(session, turns))
        said.insert(0, "Undone in the conversation." if said else f"Undone in the conversation. {STAY}")
    if what != "conversation" or plan:
        said.append("`/redo` brings it back.")
    shell.show("\n".join(said))
    return True


def _undo(session: "Session", turns: int) -> list[ev.Event]:
    """Undo the turns, and before them a compaction that came last."""
    events = session.undo(turns)
    undone = events[0]
    if isinstance(undone, ev.Rewound) and undone.compaction:
        events += session.undo(turns)
    return events


def _read(args: str) -> tuple[int | None, What | None]:
    """The number of turns, None for what is no number; and what to take back, None when that is not said."""
    words = args.split()
    what = next((each for each in get_args(What) if words and words[-1] == each), None)
    number = " ".join(words[:-1] if what else words) or "1"
    return (int(number) if number.isascii() and number.isdigit() and len(number) < 6 else None), what


async def _may_restore(shell: "Shell") -> bool:
    """What runs in the background may write again: it is ended first, or the person wants it so."""
    running = shell.session.tasks.commands()
    if not running:
        return True
    tasks = "1 background task" if len(running) == 1 else f"{len(running)} background tasks"
    options = [Option("End them first", ", ".join(running)), Option("Let them run", "they may change files again")]
    picked = await shell.choose(f"{tasks} still running", options)
    if picked == 0:
        for task in running:
            await shell.session.tasks.stop(task)
        await shell.session.files.settle()
    return picked is not None


async def _agreed(shell: "Shell", plan: Plan) -> Sequence[Return] | None:
    """What is to be brought back, when the person was asked about what is theirs; None: nothing at all."""
    more = await ask_about(shell, plan.unsure)
    return None if more is None else [*plan.sure, *more]


def _told(session: "Session", plan: Plan) -> str:
    every = [*(each.path for each in (*plan.sure, *plan.unsure) if not each.is_folder), *plan.kept]
    names = ", ".join(name_of(session, path) for path in every[:NAMED])
    more = f" and {len(every) - NAMED} more" if len(every) > NAMED else ""
    return f"{len(every)} file{'s' * (len(every) != 1)} changed ({names}{more})"


def _files(count: int, when: str) -> str:
    if count == 1:
        return f"1 file is as it was {when}."
    return f"{count} files are as they were {when}." if count else "No file was changed."


def _kept(session: "Session", reasons: Mapping[str, str]) -> list[str]:
    return [f"- `{name_of(session, path)}` stays: {why}." for path, why in reasons.items()]


def _tell_model(session: "Session", chosen: Sequence[Return], what: str) -> None:
    paths = [each.path for each in chosen if not each.is_folder]
    if paths:
        names = ", ".join(name_of(session, path) for path in paths[:50])
        session.note(f"[{what}: {names}. Read a file again before you change it.]")
