"""/diff: what the session changed in files, each from before its first change to now."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from msgspec.structs import replace

from kimi_agent.agent.changes import Change, change_of, commands, compared, edits
from kimi_agent.agent.rewind import Return, changed
from kimi_agent.core.display import Diff
from kimi_agent.core.errors import SnapshotError, WorkspaceError
from kimi_agent.core.listing import Listing, Row, RowKey

if TYPE_CHECKING:
    from kimi_agent.agent.session import Session
    from kimi_agent.commands import Shell

Make: TypeAlias = Callable[[], Awaitable[Change]]
MAX_FILES = 300
"""Files that commands changed and that are listed."""
MAX_LINES = 3000
"""Lines of all diffs together up to which they are shown at once."""


async def diff_command(shell: "Shell", args: str) -> None:
    session = shell.session
    await session.files.settle()
    makers, more = await _makers(session)
    if not makers:
        shell.show(f"The agent's tools have changed no file in this session. {more}".strip())
        return
    if shell.draws and not args.strip():
        await _look_through(shell, makers, more)
        return
    if name := args.strip():
        wanted = str(session.workspace.resolve(name))
        makers = {path: make for path, make in makers.items() if path == wanted}
        if not makers:
            shell.show(f"The agent's tools have not changed {_code(name)} in this session. {more}".strip())
            return
    shell.show(_told([await make() for make in makers.values()], session.cwd, more))


async def _makers(session: "Session") -> tuple[dict[str, Make], str]:
    """What finds out how each file has changed, and what else there is to say.

    Where files are saved, all that changed is known, and what was taken back, too; else only what the log has of edits.
    """
    events, files = session.events(), session.files
    makers: dict[str, Make] = {path: partial(_of_edits, session, path, diffs) for path, diffs in edits(events).items()}
    if files.snapshots is None:
        return makers, _unknown(commands(events))
    try:
        found = await changed(files, events)
    except SnapshotError:
        return makers, _unknown(commands(events))
    for path, each in found.items():
        if each is None and path in makers:
            makers[path] = partial(_as_it_was, path)
        elif each is not None and (path in makers or len(makers) < MAX_FILES):
            makers[path] = partial(_of_saved, session, each)
    left = sum(each is not None and path not in makers for path, each in found.items())
    more = [f"{left} more files changed."] if left else []
    return makers, " ".join([*more, *([_unknown(commands(events))] if files.snapshots.why_not_whole else [])])


async def _as_it_was(path: str) -> Change:
    return Change(path, "", 0, 0)


def _told(changes: list[Change], cwd: Path, unknown: str) -> str:
    whole = len(changes) == 1 or sum(change.unified.count("\n") for change in changes) <= MAX_LINES
    parts = [_shown(change, cwd, whole=whole) for change in changes]
    more = "" if whole else "That is much: `/diff FILE` shows the change of one file."
    return "\n\n".join(filter(None, [_summary(changes), *parts, more, unknown]))


async def _look_through(shell: "Shell", makers: dict[str, Make], more: str) -> None:
    """The changed files as a list; the one that is picked is shown in the conversation."""
    session = shell.session
    changes = {path: await make() for path, make in makers.items()}

    async def preview(row: str) -> str:
        changes[row] = await makers[row]()
        return _shown(changes[row], session.cwd, whole=True)

    async def show_all(row: str) -> str:
        shell.show(_told(list(changes.values()), session.cwd, more))
        return ""

    picked = await shell.browse(
        Listing(
            "Changes of this session", lambda: [_row(change, session.cwd) for change in changes.values()],
            "show in the conversation", (RowKey("a", "show all", show_all, closes=True),), preview,
            head=lambda: " ".join(filter(None, [_summary(list(changes.values())).replace("**", "") + ".", more])),
        )
    )  # fmt: skip
    if picked is not None:
        shell.show(_shown(changes[picked], session.cwd, whole=True))


def _row(change: Change, cwd: Path) -> Row:
    about = change.note or (f"+{change.added} -{change.removed}" if change.unified else "as it was")
    mark = "" if change.exact and not change.since else "changed since"
    return Row(change.path, _name(change, cwd), about, None, "new" if change.created and not mark else mark)


def _name(change: Change, cwd: Path) -> str:
    path = Path(change.path)
    return str(path.relative_to(cwd)) if path.is_relative_to(cwd) else str(path)


async def _of_edits(session: "Session", path: str, diffs: list[Diff]) -> Change:
    try:
        now = (await session.workspace.read(Path(path))).decode("utf-8-sig", "replace")
    except WorkspaceError:
        now = None
    return await asyncio.to_thread(change_of, path, diffs, now)


async def _of_saved(session: "Session", each: Return) -> Change:
    assert session.files.snapshots is not None
    for state in (each.before, each.last):
        if state is not None and (state.kind in ("link", "other", "folder") or not state.saved):
            kind = f"a {state.kind}" if state.saved and state.kind != "other" else "too large to be saved, or no file"
            return Change(each.path, "", 0, 0, each.before is None, note=f"{kind}, of which no lines are shown")
    before, last = [await session.files.snapshots.content(state) for state in (each.before, each.last)]
    try:
        now = await session.workspace.read(Path(each.path))
    except WorkspaceError:
        now = None
    change = await asyncio.to_thread(compared, each.path, before, now)
    return replace(change, since=now != last)


def _summary(changes: list[Change]) -> str:
    files = "1 file" if len(changes) == 1 else f"{len(changes)} files"
    added, removed = sum(change.added for change in changes), sum(change.removed for change in changes)
    return f"**{files}, +{added} -{removed}** since before the session's first change of each"


def _shown(change: Change, cwd: Path, *, whole: bool) -> str:
    head = f"**{_code(_name(change, cwd))}** +{change.added} -{change.removed}{' (new)' if change.created else ''}"
    if change.note or not change.unified:
        return f"{head}: {change.note or 'as it was before'}"
    if change.since:
        head += "\n\nSomebody else has changed it, too:"
    if not change.exact:
        head += "\n\nSomething else has changed it too, or it is gone. The session's own edits, one by one:"
    if not whole:
        return head
    diff = change.unified.split("\n", 2)[2] if change.exact else change.unified  # without the file names
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", diff)), default=0))
    return f"{head}\n\n{fence}diff{_for_fence(_name(change, cwd))}\n{diff}\n{fence}"


def _for_fence(name: str) -> str:
    """A file name behind the language of a fence, for syntax colours; nothing where Markdown takes none."""
    return "" if "`" in name or len(name.split()) != 1 else f" {name}"


def _unknown(count: int) -> str:
    if not count:
        return ""
    ran = "1 command" if count == 1 else f"{count} commands"
    return f"{ran} ran in this session; what commands changed is not known here (`git diff` shows it)."


def _code(text: str) -> str:
    """As code on one line."""
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence} {' '.join(text.split())} {fence}" if len(fence) > 1 else f"`{' '.join(text.split())}`"
