"""The files that `@` completes: listed once in a thread, ranked in a few milliseconds."""

import asyncio
import os
import re
import subprocess
import time
from pathlib import Path

MAX_FILES = 200_000
FRESH_S = 5.0
"""A listing is used for this long before it is made again, in the background."""
SKIPPED = frozenset(
    {
        ".git",
        ".hg",
        ".svn",
        "node_modules",
        "__pycache__",
        ".venv",
        "venv",
        ".tox",
        ".mypy_cache",
        ".ruff_cache",
        ".pytest_cache",
    }
)
CANDIDATES = 2000
"""Matches that are scored; a query that matches more is too short to rank well anyway."""


_MENTION = re.compile(r'(?:^|(?<=\s))@(?:"([^"\n]*)|([^\s"]\S*)?)\Z')


def mention_before(text: str) -> tuple[int, str] | None:
    """Where the mention begins that `text` ends in, and what of its path is typed; None when it ends in none."""
    match = _MENTION.search(text)
    return (match.start(), match[1] or match[2] or "") if match else None


def mention_of(path: str) -> str:
    """A path as a prompt mentions it: in quotes where it holds spaces."""
    return f'@"{path}"' if re.search(r"\s", path) else f"@{path}"


class FileIndex:
    """Paths below a folder, relative, folders with a final slash; what git ignores is left out."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._paths: list[str] = []
        self._joined = ""
        self._listed_at: float | None = None
        self._listing: asyncio.Task[None] | None = None

    async def refresh(self) -> None:
        """List the files if the listing is missing or old. Concurrent calls share one listing."""
        if self._listed_at is not None and time.monotonic() - self._listed_at < FRESH_S:
            return
        if self._listing is None or self._listing.done():
            self._listing = asyncio.create_task(self._list())
        await asyncio.shield(self._listing)

    @property
    def ready(self) -> bool:
        return self._listed_at is not None

    async def _list(self) -> None:
        paths = await asyncio.to_thread(list_paths, self.root)
        self._paths, self._joined = paths, "\n".join(paths).lower()
        self._listed_at = time.monotonic()

    def find(self, query: str, limit: int = 50) -> list[str]:
        """The best matches for `query`, best first. The empty query answers what lies at the top."""
        if not query:
            top = [path for path in self._paths if "/" not in path[:-1]]
            return sorted(top, key=lambda path: (not path.endswith("/"), path.lower()))[:limit]
        query = query.lower().replace("\n", "")
        numbers = self._matching(re.escape(query))
        if len(numbers) < limit:
            # The first place of each letter is as good as any later one: no backtracking, so one pass over the line.
            letters = (re.escape(char) for char in query)
            numbers |= self._matching("^" + "".join(f"[^\\n{letter}]*+{letter}" for letter in letters))
        ranked = sorted((score(self._paths[number], query), self._paths[number]) for number in numbers)
        return [path for _, path in ranked[: limit + 1] if path.lower() != query or not path.endswith("/")][:limit]

    def _matching(self, expression: str) -> set[int]:
        """Numbers of the paths that the expression matches, at most CANDIDATES."""
        pattern = re.compile(expression, re.MULTILINE)
        starts: list[int] = []
        position = 0
        while len(starts) < CANDIDATES and (match := pattern.search(self._joined, position)):
            starts.append(self._joined.rfind("\n", 0, match.start()) + 1)
            position = self._joined.find("\n", match.end()) + 1
            if not position:
                break
        return set(self._numbers(starts))

    def _numbers(self, starts: list[int]) -> list[int]:
        """Line numbers of ascending line starts."""
        numbers, line, position = [], 0, 0
        for start in starts:
            line += self._joined.count("\n", position, start)
            position = start
            numbers.append(line)
        return numbers


def score(path: str, query: str) -> tuple[int, int]:
    """Lower is better: a name that begins with the query, then one that holds it, the path, then scattered letters."""
    lowered = path.lower()
    name = lowered.rstrip("/").rsplit("/", 1)[-1]
    if name.startswith(query):
        rank = 0
    elif query in name:
        rank = 1
    elif query in lowered:
        rank = 2
    else:
        rank = 3
    return rank, len(path)


def list_paths(root: Path) -> list[str]:
    """Files and their folders below `root`, sorted. Never raises: what cannot be read is not listed."""
    files = _git_files(root)
    if files is None:
        files = _walked_files(root)
    folders = {folder for file in files for folder in _parents(file)}
    return sorted([*files, *folders])


def _parents(path: str) -> list[str]:
    return [path[: index + 1] for index, char in enumerate(path) if char == "/"]


def _git_files(root: Path) -> list[str] | None:
    command = ["git", "-C", str(root), "ls-files", "-co", "--exclude-standard", "-z"]
    try:
        done = subprocess.run(command, capture_output=True, check=True, stdin=subprocess.DEVNULL, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    names = done.stdout.decode(errors="replace").split("\0")
    return [name for name in dict.fromkeys(names) if name and "\n" not in name][:MAX_FILES]


def _walked_files(root: Path) -> list[str]:
    files: list[str] = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in SKIPPED)
        relative = os.path.relpath(folder, root)
        prefix = "" if relative == "." else f"{relative}/"
        files += [prefix + name for name in sorted(names) if "\n" not in name]
        if len(files) >= MAX_FILES:
            break
    return files[:MAX_FILES]


def git_branch(folder: Path) -> str:
    """The branch checked out in the repository around `folder`; a short hash when detached, empty outside of one."""
    for parent in (folder, *folder.parents):
        dot = parent / ".git"
        try:
            if dot.is_file():
                dot = parent / dot.read_text().removeprefix("gitdir:").strip()
            head = (dot / "HEAD").read_text().strip()
        except (OSError, UnicodeDecodeError):
            continue
        return head.removeprefix("ref: refs/heads/") if head.startswith("ref:") else head[:8]
    return ""
