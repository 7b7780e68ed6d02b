"""The question about files that are not as the agent left them: three states of each, and what is to stay."""

import asyncio
import difflib
import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kimi_agent.agent.rewind import Doubt, Return
from kimi_agent.core.ask import Option
from kimi_agent.core.sanitize import plain
from kimi_agent.core.snapshot import FileState

if TYPE_CHECKING:
    from kimi_agent.agent.session import Session
    from kimi_agent.commands import Shell

MAX_LINES = 80
"""Lines of one difference that are shown."""
_WHY: dict[Doubt, str] = {
    "": "",
    "since": "It has changed since kimi's last change.",
    "between": "Something else changed it between kimi's changes.",
    "tasks": "It changed while only a background task ran: that, or you.",
    "others": "It changed while another kimi worked in this folder, too.",
    "interrupted": "It changed when kimi was killed, or after that: kimi, or you.",
}


async def ask_about(shell: "Shell", files: Sequence[Return]) -> list[Return] | None:
    """Those that are to be brought back. None: the person wants none of all this. Raises SnapshotError."""
    restored: list[Return] = []
    for number, each in enumerate(files):
        left = len(files) - number
        options = [
            Option("Keep it as it is now"),
            Option(
                "Restore it" if each.before else "Remove it", "as before kimi's change; /redo brings back what is now"
            ),
        ]
        if left > 1:
            options += [Option(f"Keep all {left} that are left"), Option(f"Restore all {left} that are left")]
        title = f"{name_of(shell.session, each.path)}: {_WHY[each.doubt]} What now?"
        picked = await shell.choose(title, options, await _three_ways(shell.session, each))
        if picked is None:
            return None
        if picked in (1, 3):
            restored += files[number:] if picked == 3 else [each]
        if picked > 1:
            break
    return restored


def name_of(session: "Session", path: str) -> str:
    """On one line, with nothing in it that a terminal or Markdown would take for more than a name."""
    folder = f"{session.cwd}/"
    name = path.removeprefix(folder) if path.startswith(folder) else path
    return re.sub(r"[`\s]+", " ", plain(os.fsencode(name).decode("utf-8", "replace")))


async def _three_ways(session: "Session", each: Return) -> str:
    snapshots = session.files.snapshots
    assert snapshots is not None
    before, last, now = [await snapshots.content(state) for state in (each.before, each.last, each.now)]
    lines = [
        f"**`{name_of(session, each.path)}`** {_WHY[each.doubt]}",
        f"- before kimi: {_about(each.before, before)}",
        f"- as kimi left it: {_about(each.last, last)}",
        f"- now: {_about(each.now, now)}",
    ]
    for title, one, other in (("What kimi changed", before, last), ("What is different now", last, now)):
        shown = await asyncio.to_thread(_difference, one or b"", other or b"")
        lines += [f"\n{title}:\n\n{shown}"] if shown else []
    return "\n".join(lines)


def _about(state: FileState | None, data: bytes | None) -> str:
    if state is None:
        return "not there"
    if state.kind == "link" and data is not None:
        return f"a link to {plain(data.decode('utf-8', 'replace'))}"
    if data is None:
        return f"a {state.kind}"
    kind = "" if state.kind == "file" else f", a {state.kind}"
    return f"{len(data)} bytes{kind}"


def _difference(one: bytes, other: bytes) -> str:
    """In a fence; empty where there is none, or nothing to read."""
    if b"\0" in one or b"\0" in other or one == other:
        return ""
    old, new = (plain(data.decode("utf-8", "replace")).splitlines() for data in (one, other))
    rows = list(difflib.unified_diff(old, new, lineterm="", n=2))[2:]
    if len(rows) > MAX_LINES:
        rows = [*rows[:MAX_LINES], f"({len(rows) - MAX_LINES} more lines)"]
    text = "\n".join(rows)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}diff\n{text}\n{fence}" if rows else ""
