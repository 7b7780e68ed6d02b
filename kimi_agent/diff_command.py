"""/diff: what the session changed in files, each from before its first edit to now."""

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING

from kimi_agent.agent.changes import Change, change_of, commands, edits
from kimi_agent.core.display import Diff
from kimi_agent.core.errors import WorkspaceError
from kimi_agent.core.listing import Listing, Row, RowKey

if TYPE_CHECKING:
    from kimi_agent.agent.session import Session
    from kimi_agent.commands import Shell

MAX_LINES = 3000
"""Lines of all diffs together up to which they are shown at once."""


async def diff_command(shell: "Shell", args: str) -> None:
    session = shell.session
    events = session.events()
    found = edits(events)
    unknown = _unknown(commands(events))
    if not found:
        shell.show(f"The agent's tools have edited no file in this session. {unknown}".strip())
        return
    if shell.draws and not args.strip():
        await _look_through(shell, found, unknown)
        return
    changes = [await _change(session, path, diffs) for path, diffs in found.items()]
    if name := args.strip():
        wanted = str(session.workspace.resolve(name))
        changes = [change for change in changes if change.path == wanted]
        if not changes:
            shell.show(f"The agent's tools have not edited {_code(name)} in this session. {unknown}".strip())
            return
    shell.show(_told(changes, session.cwd, unknown))


def _told(changes: list[Change], cwd: Path, unknown: str) -> str:
    whole = len(changes) == 1 or sum(change.unified.count("\n") for change in changes) <= MAX_LINES
    parts = [_shown(change, cwd, whole=whole) for change in changes]
    more = "" if whole else "That is much: `/diff FILE` shows the change of one file."
    return "\n\n".join(filter(None, [_summary(changes), *parts, more, unknown]))


async def _look_through(shell: "Shell", found: dict[str, list[Diff]], unknown: str) -> None:
    """The changed files as a list; the one that is picked is shown in the conversation."""
    session = shell.session
    changes = {path: await _change(session, path, diffs) for path, diffs in found.items()}

    async def preview(row: str) -> str:
        changes[row] = await _change(session, row, found[row])
        return _shown(changes[row], session.cwd, whole=True)

    async def show_all(row: str) -> str:
        shell.show(_told(list(changes.values()), session.cwd, unknown))
        return ""

    picked = await shell.browse(
        Listing(
            "Changes of this session", lambda: [_row(change, session.cwd) for change in changes.values()],
            "show in the conversation", (RowKey("a", "show all", show_all, closes=True),), preview,
            head=lambda: " ".join(filter(None, [_summary(list(changes.values())).replace("**", "") + ".", unknown])),
        )
    )  # fmt: skip
    if picked is not None:
        shell.show(_shown(changes[picked], session.cwd, whole=True))


def _row(change: Change, cwd: Path) -> Row:
    about = f"+{change.added} -{change.removed}" if change.unified else "as it was"
    mark = "" if change.exact else "changed since"
    return Row(change.path, _name(change, cwd), about, None, "new" if change.created and change.exact else mark)


def _name(change: Change, cwd: Path) -> str:
    path = Path(change.path)
    return str(path.relative_to(cwd)) if path.is_relative_to(cwd) else str(path)


async def _change(session: "Session", path: str, diffs: list[Diff]) -> Change:
    try:
        now = (await session.workspace.read(Path(path))).decode("utf-8-sig", "replace")
    except WorkspaceError:
        now = None
    return await asyncio.to_thread(change_of, path, diffs, now)


def _summary(changes: list[Change]) -> str:
    files = "1 file" if len(changes) == 1 else f"{len(changes)} files"
    added, removed = sum(change.added for change in changes), sum(change.removed for change in changes)
    return f"**{files}, +{added} -{removed}** since before the session's first edit of each"


def _shown(change: Change, cwd: Path, *, whole: bool) -> str:
    head = f"**{_code(_name(change, cwd))}** +{change.added} -{change.removed}{' (new)' if change.created else ''}"
    if not change.unified:
        return f"{head}: as it was before"
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
