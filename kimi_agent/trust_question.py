"""The question whether a folder is trusted, for every front end: what would be read, shown as it is, and three answers."""

import re
from collections.abc import Sequence
from pathlib import Path

from kimi_agent.core.ask import Answer, Choice, Chosen, Item, Option
from kimi_agent.core.sanitize import visible
from kimi_agent.core.trust import Item as File

WITHOUT, TRUST, LEAVE = "Go on without them", "Trust them", "Leave kimi"
FIRST_LINES, FIRST_CHARACTERS = 8, 1200
"""What is shown of a new file."""
DIFF_LINES, DIFF_CHARACTERS = 200, 20_000
"""And of a change."""
NAMED = 3
"""Paths in a line about what is left out."""
_LOOKS = "It would tell the model what to do, under your name. Nothing of it has been used yet."


def question(folder: Path, files: Sequence[File], *, may_leave: bool = True) -> Choice:
    options = [
        Option(WITHOUT, "/trust asks again"),
        Option(TRUST, "these files as they are now; a change is asked about again"),
        *([Option(LEAVE)] if may_leave else []),
    ]
    item = Item(f"Trust what is in {visible(str(folder))}?", tuple(options), other=False)
    return Choice((item,), listed(files))


def listed(files: Sequence[File]) -> str:
    """What would be read, as Markdown: kind, path, size and first lines of a new file, what differs in one that changed."""
    return "\n\n".join([f"**{_count(files)} in this folder.** {_LOOKS}", *map(_shown, files)])


def picked(answer: Answer) -> str:
    """The label that was chosen; nothing, and anything unknown, is the careful answer."""
    label = answer.values[0][0] if isinstance(answer, Chosen) and answer.values and answer.values[0] else WITHOUT
    return label if label in (TRUST, LEAVE) else WITHOUT


def told_left_out(
    paths: Sequence[str], hint: str = "`kimi trust` shows and trusts them, --trust reads them for this run"
) -> str:
    """One line about what is not read."""
    named = ", ".join(visible(path) for path in paths[:NAMED]).replace("\n", "⟨U+000A⟩")
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    files, are = ("file", "is") if len(paths) == 1 else ("files", "are")
    return f"{len(paths)} {files} of this folder {are} left out, nobody has trusted them: {named}{more}; {hint}"


def _count(files: Sequence[File]) -> str:
    kinds = [file.kind for file in files]
    plural = {
        "instructions": "files of instructions",
        "agent type": "agent types",
        "skill": "skills",
        "command": "commands",
        "rules": "files of rules",
    }
    single = {"instructions": "file of instructions", "rules": "file of rules"}
    counts = [(kinds.count(kind), kind) for kind in dict.fromkeys(kinds)]
    return ", ".join(f"{n} {plural[kind] if n > 1 else single.get(kind, kind)}" for n, kind in counts)


def _shown(file: File) -> str:
    state = "new" if file.before is None else "changed since you trusted it"
    head = f"**{file.kind}** {_code(file.path)}{_leads_to(file)}, {file.size:,} bytes, {state}"
    return f"{head}\n\n{_first_lines(file.text) if file.before is None else _change(file)}"


def _leads_to(file: File) -> str:
    return f" (a link to {_code(file.leads_to)})" if file.leads_to else ""


def _first_lines(text: str) -> str:
    lines = _lines(text)
    shown = _limited(lines, FIRST_LINES, FIRST_CHARACTERS)
    return _fenced(shown) + _rest(
        len(lines) - len(shown.split("\n")) if lines else 0, len("\n".join(lines)) - len(shown)
    )


def _change(file: File) -> str:
    import difflib

    assert file.before is not None
    if not file.before and file.text:
        return f"What you trusted was too large to be kept. It now begins:\n\n{_first_lines(file.text)}"
    before, after = _lines(file.before), _lines(file.text[: max(len(file.before), 1)] if file.cut else file.text)
    rows = list(difflib.unified_diff(before, after, n=2, lineterm=""))[2:]
    if not rows:
        return "Nothing that can be seen differs: line ends, or what stands further down."
    shown = _limited(rows, DIFF_LINES, DIFF_CHARACTERS)
    return _fenced(shown, "diff") + _rest(len(rows) - len(shown.split("\n")), len("\n".join(rows)) - len(shown))


def _lines(text: str) -> list[str]:
    """Nothing is hidden in them; only the usual line ends are passed over."""
    return visible(text.replace("\r\n", "\n")).rstrip("\n").split("\n") if text.strip() else []


def _limited(lines: Sequence[str], most: int, characters: int) -> str:
    return "\n".join(lines[:most])[:characters]


def _rest(lines: int, characters: int) -> str:
    if characters <= 0:
        return ""
    return f"\n\n… and {f'{lines:,} more lines, ' if lines > 0 else ''}{characters:,} more characters."


def _fenced(text: str, language: str = "") -> str:
    """A block of code that no text can end early."""
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text)), 3)
    return f"{fence}{language}\n{text}\n{fence}" if text else "(it is empty)"


def _code(text: str) -> str:
    text = visible(text).replace("\n", "⟨U+000A⟩")
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    pad = " " if "`" in text else ""
    return f"{ticks}{pad}{text}{pad}{ticks}"
