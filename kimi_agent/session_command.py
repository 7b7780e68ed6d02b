"""The slash command /sessions: look through the sessions on disk, go on with one, rename, fork, export or delete one."""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kimi_agent.agent.catalog import Catalog, Found
from kimi_agent.agent.excerpt import ending
from kimi_agent.core import event as ev
from kimi_agent.core.errors import SessionError
from kimi_agent.core.listing import Listing, Row, RowKey
from kimi_agent.task_command import may_end_tasks
from kimi_agent.trust_command import settle_trust

if TYPE_CHECKING:
    from kimi_agent.commands import Shell

FIRST_S = 0.3
"""The list is shown after so long at the latest; what is read later joins it."""


async def sessions_command(shell: "Shell", args: str) -> None:
    """`/sessions` lists those of this folder, `/sessions all` those of every folder."""
    everywhere = args.strip() == "all"
    panel = SessionPanel(shell, everywhere)
    reading = asyncio.ensure_future(asyncio.to_thread(panel.catalog.read))
    try:
        await asyncio.wait([reading], timeout=FIRST_S)
        picked = await shell.browse(panel.listing())
    finally:
        panel.catalog.stop()
        await reading
    if panel.to_fork is not None:
        await _fork(shell, panel.to_fork)
    elif picked is not None and picked != shell.session.id and await may_end_tasks(shell):
        old = shell.session
        shell.switch(shell.agent.open(picked, ask=old.ask))
        await old.aclose()
        if shell.session.cwd != old.cwd:
            await settle_trust(shell)


async def fork_command(shell: "Shell", args: str) -> None:
    """Go on in a copy of the session that is shown."""
    await _fork(shell, shell.session.id)


async def _fork(shell: "Shell", session_id: str) -> None:
    if not await may_end_tasks(shell):
        return
    old = shell.session
    other = old if session_id == old.id else shell.agent.open(session_id, ask=old.ask)
    try:
        shell.switch(other.fork())
    finally:
        if other is not old:
            await other.aclose()
    shell.show(f"This is a fork. The original is session `{session_id}`.")
    await old.aclose()


class SessionPanel:
    """The listing of sessions and what its keys do. `to_fork` is the session that `f` has chosen. `clock` as `time.time`."""

    def __init__(self, shell: "Shell", everywhere: bool, clock: Callable[[], float] = time.time) -> None:
        self._shell, self._everywhere, self._clock = shell, everywhere, clock
        self.catalog = Catalog(shell.agent.store.folder, None if everywhere else shell.session.cwd)
        self.to_fork: str | None = None
        self._to_delete: str | None = None
        self._previews: dict[tuple[str, float], str] = {}

    def listing(self) -> Listing:
        return Listing(
            "Sessions of every folder" if self._everywhere else "Sessions",
            self._rows,
            keys=(
                RowKey("r", "rename", self._rename),
                RowKey("f", "fork", self._fork, closes=True),
                RowKey("e", "export", self._export),
                RowKey("d", "delete", self._delete),
                RowKey("delete", "", self._delete),
            ),
            preview=self._preview,
            preview_end=True,
            search=self._search,
            empty="There are no sessions."
            if self._everywhere
            else "There are no sessions in this folder: /sessions all.",
            live=True,
        )

    def _rows(self) -> Sequence[Row]:
        found = self.catalog.all()
        if self._everywhere:  # folders in the order of their newest session
            order: dict[str, int] = {}
            for each in found:
                order.setdefault(each.cwd, len(order))
            found = sorted(found, key=lambda each: order[each.cwd])
        return [self._row(each) for each in found]

    def _row(self, found: Found) -> Row:
        now = self._clock()
        group = (_home(found.cwd) or "Damaged") if self._everywhere else day(found.updated, now)
        if found.broken:
            about = f"{age(found.updated, now)}, {found.broken}"
            return Row(found.id, found.id, about, mark="broken", group=group)
        counted = "1 turn" if found.turns == 1 else f"{found.turns} turns"
        parts = (age(found.updated, now), counted, _size(found.size), found.model)
        mark = "this one" if found.id == self._shell.session.id else ""
        return Row(found.id, found.label, ", ".join(filter(None, parts)), mark=mark, group=group)

    async def _search(self, text: str) -> Sequence[str]:
        return await asyncio.to_thread(self.catalog.search, text)

    async def _preview(self, session_id: str) -> str:
        found = self.catalog.get(session_id)
        if found is None:
            return ""
        key = (found.id, found.updated)
        if key not in self._previews:
            try:
                self._previews[key] = await asyncio.to_thread(ending, found.path)
            except OSError as error:
                return f"It cannot be read: {error.strerror}"
        return self._previews[key]

    async def _rename(self, session_id: str) -> str:
        title = await self._shell.ask_text("New title")
        if not title or not title.strip():
            return ""
        title = " ".join(title.split())[:200]
        session = self._shell.session
        if session_id == session.id:
            self._shell.apply(session.rename(title))
        else:
            await asyncio.to_thread(self._write_title, session_id, title)
        if (found := self.catalog.get(session_id)) is not None:
            found.title = title
        return f"Renamed to {title}."

    def _write_title(self, session_id: str, title: str) -> None:
        log, _ = self._shell.agent.store.open(session_id)
        try:
            log.append(ev.Titled(title))
        finally:
            log.close()

    async def _fork(self, session_id: str) -> str:
        found = self.catalog.get(session_id)
        if found is not None and found.broken:
            raise SessionError(f"this session is broken: {found.broken}")
        self.to_fork = session_id
        return ""

    async def _export(self, session_id: str) -> str:
        export = self._shell.agent.export
        if export is None:
            raise SessionError("nothing exports here", "Run `kimi export` in a terminal.")
        path = _free(self._shell.session.cwd / f"kimi-session-{session_id}.md")
        own = session_id == self._shell.session.id
        events = (
            self._shell.session.events() if own else await asyncio.to_thread(self._shell.agent.store.read, session_id)
        )
        await asyncio.to_thread(export, events, path)
        return f"Written: {path}"

    async def _delete(self, session_id: str) -> str:
        if session_id == self._shell.session.id:
            raise SessionError("this session runs here: it cannot be deleted")
        if self._to_delete != session_id:
            self._to_delete = session_id
            return "Once more deletes it for good."
        self._to_delete = None
        await asyncio.to_thread(self._shell.agent.store.delete, session_id)
        self.catalog.forget(session_id)
        return "Deleted."


def age(then_s: float, now_s: float) -> str:
    seconds = max(0.0, now_s - then_s)
    for size, unit in ((365 * 86_400, "y"), (86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "just now"


def day(then_s: float, now_s: float) -> str:
    """The day of a time in words: near ones by name, others by their month."""
    then, now = time.localtime(then_s), time.localtime(now_s)
    if then[:3] == now[:3] or then_s > now_s:
        return "Today"
    if time.localtime(now_s - 86_400)[:3] == then[:3]:
        return "Yesterday"
    return "This week" if now_s - then_s < 7 * 86_400 else time.strftime("%B %Y", then)


def _home(folder: str) -> str:
    home = str(Path.home())
    return f"~{folder[len(home) :]}" if folder == home or folder.startswith(f"{home}/") else folder


def _size(size: int) -> str:
    return f"{size / 1_000_000:.1f} MB" if size >= 1_000_000 else f"{max(1, size // 1000)} kB"


def _free(path: Path) -> Path:
    """A name that no file has."""
    number, free = 2, path
    while free.exists():
        free = path.with_stem(f"{path.stem}-{number}")
        number += 1
    return free
