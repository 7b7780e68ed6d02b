"""The files that `@` completes: listed and searched in threads, shown as they are found."""

import asyncio
import os
import re
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

from kimi_agent.core.head import read_head
from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common.file_listing import Batch, Run, batches, run_here
from kimi_agent.frontends.common.file_search import SHOWN, search

FRESH_S = 3.0
"""A listing is used for this long before it is made again, in the background."""
COST_SHARE = 10
"""And for this many times what it took to make."""
HEAD_BYTES = 4096
"""Of a file of git that is looked at."""
MORE_S = 0.01
"""Seconds before the first search in a listing that is not finished; each next one waits twice as long."""
_HIDDEN_FOLDER = re.compile(r"(?:^|/)\.[^/]*/")
_MENTION = re.compile(r'(?:^|(?<=\s))@(?:"([^"\n]*)|([^\s"]\S*)?)\Z')


def mention_before(text: str) -> tuple[int, str] | None:
    """Where the mention begins that `text` ends in, and what of its path is typed; None when it ends in none."""
    begin = text.find("@", text.rfind("\n") + 1)
    match = _MENTION.search(text, begin) if begin >= 0 else None
    return (match.start(), match[1] or match[2] or "") if match else None


def mention_of(path: str) -> str:
    """A path as a prompt mentions it: in quotes where it holds spaces."""
    return f'@"{path}"' if re.search(r"\s", path) else f"@{path}"


class FileIndex:
    """Paths below a folder, relative, folders with a final slash; what git ignores is left out.

    `git` answers what runs git, None while it must not run: in a folder that the person does not trust.
    """

    def __init__(self, root: Path, git: Callable[[], Run | None] = lambda: run_here) -> None:
        self.root, self._git = root, git
        self._began = time.time()
        self._mentioned: dict[str, float] = {}
        self._batches: list[Batch] = []
        self._growing: list[Batch] = []  # those of the listing that is being made
        self._listed_at: float | None = None
        self._cost = 0.0
        self._listing: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        return self._listed_at is not None

    async def refresh(self) -> None:
        """List the files if the listing is missing or old. Concurrent calls share one listing."""
        if (listing := self._refreshing()) is not None:
            await asyncio.shield(listing)

    def _refreshing(self) -> "asyncio.Task[None] | None":
        """The listing that is being made; None when the one there is will do."""
        fresh_s = max(FRESH_S, self._cost * COST_SHARE)
        if self._listed_at is not None and time.monotonic() - self._listed_at < fresh_s:
            return None
        if self._listing is None or self._listing.done():
            self._listing = asyncio.create_task(self._list())
        return self._listing

    async def _list(self) -> None:
        began = time.monotonic()
        growing = self._growing = []
        loop, listed = asyncio.get_running_loop(), asyncio.Event()

        def list_all() -> None:
            for batch in batches(self.root, self._git()):
                growing.append(batch)
            with suppress(RuntimeError):  # the program has ended
                loop.call_soon_threadsafe(listed.set)

        threading.Thread(target=list_all, name="files", daemon=True).start()  # nothing waits for it at the end
        await listed.wait()
        self._batches, self._listed_at = growing, time.monotonic()
        self._cost = self._listed_at - began

    def mentioned(self, path: str) -> None:
        """A person chose this path: it comes before its equals now."""
        self._mentioned[path] = time.time()

    def _used(self, path: str) -> float | None:
        """When it was mentioned or changed since this began; None when it is gone."""
        try:
            changed = os.lstat(self.root / path).st_mtime
        except OSError:
            return None
        return max(self._mentioned.get(path, 0.0), changed if changed > self._began else 0.0)

    def find(self, query: str, limit: int = SHOWN) -> list[str]:
        """The best matches in what is listed, best first. The empty query answers what lies at the top."""
        answers = [answer for answer in search(self._batches, query, self._used, limit) if answer is not None]
        return answers[-1]

    async def search(self, query: str, limit: int = SHOWN) -> AsyncIterator[list[str]]:
        """Better and better answers while the files are listed; none of them waits for the end of that.

        The loop is never held up: a thread searches.
        """
        if is_elsewhere(query):
            yield await asyncio.to_thread(complete_path, self.root, query, limit)
            return
        listing = self._refreshing()
        wait_s = MORE_S
        while listing is not None and not self.ready and not listing.done():
            await asyncio.wait((listing,), timeout=wait_s)
            wait_s *= 2
            async for answer in self._search(self._growing[:], query, limit):
                if answer:
                    yield answer
        stale = listing is not None and not listing.done()
        async for answer in self._search(self._batches, query, limit):
            yield answer
        if stale:
            assert listing is not None
            await asyncio.shield(listing)
            async for answer in self._search(self._batches, query, limit):
                last = answer
            yield last

    async def _search(self, batches: list[Batch], query: str, limit: int) -> AsyncIterator[list[str]]:
        unwanted = threading.Event()
        answers = search(batches, query, self._used, limit)

        def next_answer() -> list[str] | None:
            return next((answer for answer in answers if answer is not None or unwanted.is_set()), None)

        try:
            while (answer := await asyncio.to_thread(next_answer)) is not None:
                yield answer
        finally:
            unwanted.set()


def is_elsewhere(query: str) -> bool:
    """Whether it names a place that is completed from the disk: a full path, one from home or above, a hidden folder."""
    return query.startswith(("/", "~/", "../", "./")) or query in ("~", "..") or bool(_HIDDEN_FOLDER.search(query))


def complete_path(root: Path, query: str, limit: int = SHOWN) -> list[str]:
    """What begins with `query` in the folder that it names, written as the query is; folders first. Never raises."""
    if query in ("~", ".."):
        return [f"{query}/"]
    typed, slash, begun = query.rpartition("/")
    folder = Path.home() / typed[2:] if typed == "~" or typed.startswith("~/") else root / (typed + slash)
    found: list[tuple[bool, str]] = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if (
                entry.name.lower().startswith(begun.lower())
                and (begun or entry.name[0] != ".")
                and "\n" not in entry.name
            ):
                found.append((not entry.is_dir(), entry.name))
    return [f"{typed}{slash}{name}{'' if is_file else '/'}" for is_file, name in sorted(found)][:limit]


def list_paths(root: Path) -> list[str]:
    """Files and their folders below `root`, sorted. Never raises: what cannot be read is not listed."""
    return sorted({path for batch in batches(root) for path in batch.text.split("\n") if path})


def git_branch(folder: Path) -> str:
    """The branch checked out in the repository around `folder`; a short hash when detached, empty outside of one."""
    for parent in (folder, *folder.parents):
        dot = parent / ".git"
        try:
            if dot.is_file():
                dot = parent / _first_line(dot).removeprefix("gitdir:").strip()
            head = _first_line(dot / "HEAD")
        except (OSError, ValueError):
            continue
        return head.removeprefix("ref: refs/heads/") if head.startswith("ref:") else head[:8]
    return ""


def _first_line(file: Path) -> str:
    """Of a file that a stranger may have made: a pipe, a device, or larger than the memory. Raises OSError, ValueError."""
    return plain(read_head(file, HEAD_BYTES).decode()).strip().partition("\n")[0]
