"""Mentions in a prompt: `@file`, `@file:10-40`, `@folder/`, `@"with spaces"`, `@https://…`. Only what exists is one."""

import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from kimi_agent.core.errors import ToolError, WorkspaceError
from kimi_agent.core.workspace import Stat, Workspace
from kimi_agent.tools.net import parse_url

MAX_MENTIONS = 30
MAX_TRIED = 500
"""Places of a text that are looked at: a pasted one may be full of @."""
_MENTION = re.compile(r'(?<![A-Za-z0-9_.+/@-])@(?:"([^"\n]+)"(:\d+(?:-\d+)?)?|([^\s@"][^\s"]{0,1000}))')
"""Not within a word: an e-mail address is none. Chinese has no space before it."""
_LINES = re.compile(r"(.+):(\d{1,9})(?:-(\d{1,9}))?")
_WIDE = re.compile("[，。；：！？、）】》」』”’]")
_CLOSING = ".,;:!?)]}>'`*"


class Mention(Struct, frozen=True):
    """`name` is as it was typed. A URL, or a path with its stat, and the lines that are wanted of it, 0 for all."""

    name: str
    url: str = ""
    path: Path = Path()
    stat: Stat | None = None
    first: int = 0
    last: int = 0


async def find_mentions(text: str, workspace: Workspace) -> list[Mention]:
    """In their order, each once, at most MAX_MENTIONS."""
    found: dict[tuple[object, ...], Mention] = {}
    position = tried = 0
    while len(found) < MAX_MENTIONS and tried < MAX_TRIED and (match := _MENTION.search(text, position)):
        quoted, lines, bare = match.groups()
        mention = await (_bare(bare, workspace) if bare else _named(quoted + (lines or ""), workspace))
        if mention is not None:
            found.setdefault((mention.url, mention.path, mention.first, mention.last), mention)
        position = match.end() if quoted else match.start() + 1 + len(mention.name if mention else "")
        tried += 1
    return list(found.values())


async def _bare(token: str, workspace: Workspace) -> Mention | None:
    """The longest beginning of `token` that names something: a sentence may go on or end right behind a mention."""
    if token.startswith(("http://", "https://")):
        return _web(token)
    for name in _beginnings(token):
        if name.strip(".") and (mention := await _named(name, workspace)):
            return mention
    return None


def _beginnings(token: str) -> Iterator[str]:
    yield token
    if wide := _WIDE.search(token):
        token = token[: wide.start()]
        yield token
    while token[-1:] in _CLOSING and token:
        token = token[:-1]
        yield token


def _web(token: str) -> Mention | None:
    url = _WIDE.split(token, maxsplit=1)[0].rstrip(".,;:!?'`*>")
    while url.endswith(")") and url.count(")") > url.count("("):
        url = url[:-1].rstrip(".,;:!?'`*>")
    try:
        return Mention(url, url=parse_url(url).url)
    except ToolError:
        return None


async def _named(name: str, workspace: Workspace) -> Mention | None:
    """A file or folder of that name, or lines of a file; None when there is neither or it cannot be looked at."""
    if stat := await _stat(name, workspace):
        return Mention(name, path=workspace.resolve(name), stat=stat)
    if (match := _LINES.fullmatch(name)) and (stat := await _stat(match[1], workspace)) and not stat.is_dir:
        first = int(match[2])
        last = int(match[3] or first)
        if 1 <= first <= last:
            return Mention(name, path=workspace.resolve(match[1]), stat=stat, first=first, last=last)
    return None


async def _stat(name: str, workspace: Workspace) -> Stat | None:
    try:
        stat = await workspace.stat(workspace.resolve(name))
    except WorkspaceError:
        return None
    return None if stat is None or (name.endswith("/") and not stat.is_dir) else stat
