"""Going back: which turns there are, what they changed in files, and what would come back; all of it read from the log."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct, field

from kimi_agent.agent.file_history import FileHistory, is_folder
from kimi_agent.core import event as ev
from kimi_agent.core.message import Message
from kimi_agent.core.snapshot import FileChange, FileState, same

Doubt: TypeAlias = Literal["", "tasks", "others", "interrupted", "between", "since"]
"""Why a file is not taken back unasked: who changed it is not known (while background tasks ran, while another kimi worked in
the folder, at a crash), or somebody else has changed it between the agent's changes, or since."""


class Stop(Struct):
    """A turn that is not undone. `at` is where it begins in the log, `files` those that changed from there to now."""

    at: int
    events: list[ev.Event] = field(default_factory=list)
    files: int = 0
    paths: tuple[str, ...] = ()

    @property
    def said(self) -> str:
        """What a person said first in it; empty for a turn that the program began."""
        messages = (event.message for event in self.events if isinstance(event, ev.MessageAdded))
        return next((message.text for message in messages if _of_person(message)), "")


class Return(Struct, frozen=True):
    """One file on the way back: what it is `now`, what the agent left (`last`), and what comes back (`before`)."""

    path: str
    now: FileState | None
    last: FileState | None
    before: FileState | None
    doubt: Doubt = ""

    @property
    def is_folder(self) -> bool:
        return is_folder(FileChange(self.path, self.before, self.last))

    @property
    def change(self) -> FileChange:
        return FileChange(self.path, self.now, self.before)


class Plan(Struct, frozen=True):
    """`sure` are files that are as the agent left them, `unsure` are to be asked about; `kept` cannot come back, for a reason."""

    sure: tuple[Return, ...] = ()
    unsure: tuple[Return, ...] = ()
    kept: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.sure or self.unsure or self.kept)


def stops(events: Sequence[ev.Event]) -> list[Stop]:
    """The turns that are not undone, oldest first."""
    found: list[Stop] = []
    undone: list[list[Stop]] = []
    for position, event in enumerate(events):
        match event:
            case ev.TurnStarted():
                found.append(Stop(position, [event]))
                undone.clear()
            case ev.Rewound(turns=turns, compaction=False):
                if 0 < turns <= len(found):
                    undone.append(found[-turns:])
                    del found[-turns:]
            case ev.Redone():
                found += undone.pop() if undone else []
            case _ if found:
                found[-1].events.append(event)
            case _:
                pass
    for stop in found:
        changed = [event for event in events[stop.at :] if isinstance(event, ev.FilesChanged)]
        stop.paths = tuple(dict.fromkeys(path for event in changed for path in event.paths))
        stop.files = max([len(stop.paths), *(event.files for event in changed)])
    return found


async def plan_back(files: FileHistory, events: Sequence[ev.Event], at: int) -> Plan:
    """What brings the files back to what they were at a place of the log. Raises SnapshotError."""
    changed = [event for event in events[at:] if isinstance(event, ev.FilesChanged)]
    older = frozenset(event.task.id for event in events[:at] if isinstance(event, ev.TaskChanged))
    changed = [event for event in changed if not (event.tasks and older.issuperset(event.tasks))]
    lists = [(event.by, await _load(files, event)) for event in changed]
    return await _planned(files, _net(lists))


async def plan_again(files: FileHistory, undone: ev.FilesChanged) -> Plan:
    """What brings back what an undo took. Raises SnapshotError."""
    back = [FileChange(change.path, change.after, change.before) for change in await _load(files, undone)]
    return await _planned(
        files, {change.path: Return(change.path, None, change.before, change.after) for change in back}
    )


async def changed(files: FileHistory, events: Sequence[ev.Event]) -> dict[str, Return | None]:
    """All files that a log tells of, as they were before and were left; None for one that is as it was. Raises SnapshotError."""
    lists = [(event.by, await _load(files, event)) for event in events if isinstance(event, ev.FilesChanged)]
    net = _net(lists)
    return {each.path: net.get(each.path) for _, changes in lists for each in changes if not is_folder(each)}


async def restore(
    files: FileHistory, chosen: Sequence[Return], by: Literal["undo", "redo"]
) -> tuple[int, Mapping[str, str]]:
    """Bring files back; answer how many did, and why others did not, by path. Raises SnapshotError, SessionError."""
    assert files.snapshots is not None
    await files.snapshots.save([each.change for each in chosen])  # where there is no room to note it, nothing begins
    refused = await files.snapshots.restore([each.change for each in chosen])
    done = [each.change for each in chosen if each.path not in refused and not same(each.now, each.before)]
    await files.tell(done, by)
    return sum(not is_folder(change) for change in done), refused


async def _load(files: FileHistory, event: ev.FilesChanged) -> Sequence[FileChange]:
    assert files.snapshots is not None
    return await files.snapshots.load(event.record)


def _net(lists: Iterable[tuple[str, Sequence[FileChange]]]) -> dict[str, Return]:
    """What the changes of each path amount to, the oldest first."""
    net: dict[str, Return] = {}
    for by, changes in lists:
        person = by in ("undo", "redo")
        for change in changes:
            old = net.get(change.path)
            doubt: Doubt = by if by in ("tasks", "others", "interrupted") else ""  # type: ignore[assignment]
            if old is None:
                net[change.path] = Return(change.path, None, change.after, change.before, doubt)
                continue
            if not person and not same(old.last, change.before) and not is_folder(change):
                doubt = "between"
            net[change.path] = Return(change.path, None, change.after, old.before, old.doubt or doubt)
    return {path: each for path, each in net.items() if not same(each.before, each.last)}


async def _planned(files: FileHistory, net: Mapping[str, Return]) -> Plan:
    """Look at what the files are now, which saves that, too."""
    assert files.snapshots is not None
    sure: list[Return] = []
    unsure: list[Return] = []
    kept: dict[str, str] = {}
    states = await files.snapshots.look(list(net)) if net else ()
    for each, now in zip(net.values(), states, strict=True):
        found = Return(each.path, now, each.last, each.before, each.doubt)
        if same(now, each.before):
            continue
        if each.before is not None and not each.before.saved:
            kept[each.path] = "what it was before is not saved"
        elif now is not None and not now.saved:
            kept[each.path] = "what it is now is too large to be saved, and would be lost"
        elif each.is_folder or (same(now, each.last) and not each.doubt):
            sure.append(found)
        else:
            unsure.append(Return(each.path, now, each.last, each.before, each.doubt or "since"))
    return Plan(tuple(sure), tuple(unsure), kept)


class Undone(Struct):
    """What `/redo` brings back: files, turns or both."""

    files: ev.FilesChanged | None = None
    turns: int = 0


def last_undone(events: Sequence[ev.Event]) -> Undone | None:
    """The last undo that is not redone; None when there is none, or a turn has begun since."""
    found: list[Undone] = []
    whole = False  # the next `Rewound` belongs to the files before it
    for event in events:
        match event:
            case ev.FilesChanged(by="undo"):
                found.append(Undone(files=event))
                whole = True
                continue
            case ev.Rewound(turns=turns, compaction=False):
                if whole and found:
                    found[-1].turns = turns
                else:
                    found.append(Undone(turns=turns))
            case ev.FilesChanged(by="redo"):
                if found:
                    found[-1].files = None
            case ev.Redone():
                if found:
                    found[-1].turns = 0
            case ev.TurnStarted() | ev.Compacted() | ev.Rewound(compaction=True):
                found.clear()
            case _:
                pass
        found = [each for each in found if each.files is not None or each.turns]
        whole = False
    return found[-1] if found else None


def _of_person(message: Message) -> bool:
    return message.role == "user" and message.origin == "person"
