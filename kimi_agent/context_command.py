"""/context: what fills the context window; dropping a tool result, restoring it, pinning what must stay."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from kimi_agent.agent.context_use import ContextUse, Piece, context_use, drop, pin, restore
from kimi_agent.core.errors import SessionError
from kimi_agent.core.listing import Listing, Row, RowKey

if TYPE_CHECKING:
    from kimi_agent.commands import Shell

BAR = 20
"""Cells of a bar."""
LARGEST = 10
USAGE = "Usage: `/context`, `/context drop N`, `/context restore N`, `/context pin N` (again: unpin)"
_FIRST = (
    "system prompt",
    "project instructions",
    "skills listing",
    "tools",
    "prompts",
    "answers",
    "thinking",
    "tool calls",
)


async def context_command(shell: "Shell", args: str) -> None:
    words = args.split()
    if not words and shell.draws:
        await shell.browse(_listing(shell))
    elif not words:
        shell.show(_report(context_use(shell.session)))
    elif len(words) == 2 and words[0] in _ACTS and words[1].isdecimal() and len(words[1]) < 9:
        shell.show(_ACTS[words[0]](shell, int(words[1])))
    else:
        shell.show(USAGE)


# --- what can be done -------------------------------------------------------------------------------------------------


def _drop(shell: "Shell", number: int) -> str:
    shell.apply(drop(shell.session, number))
    return f"Number {number} is out of the context; the model is told where its output is kept."


def _restore(shell: "Shell", number: int) -> str:
    shell.apply(restore(shell.session, number))
    return f"Number {number} is in the context again."


def _pin(shell: "Shell", number: int) -> str:
    on, events = pin(shell.session, number)
    shell.apply(events)
    return f"Number {number} is {'pinned: it stays word for word, whatever is compacted' if on else 'not pinned any more'}."


_ACTS = {"drop": _drop, "restore": _restore, "pin": _pin}


# --- a list to look through -------------------------------------------------------------------------------------------


def _listing(shell: "Shell") -> Listing:
    browser = _Browser(shell)
    keys = (
        RowKey("d", "drop", browser.act("drop")),
        RowKey("r", "restore", browser.act("restore")),
        RowKey("p", "pin or unpin", browser.act("pin")),
        RowKey("s", "largest first", browser.sort),
    )
    return Listing(
        "Context",
        browser.rows,
        "",
        keys,
        browser.preview,
        preview_plain=True,
        head=lambda: _head(browser.use, bar=True),
    )


class _Browser:
    """What the list shows: the pieces as the last `rows` found them."""

    def __init__(self, shell: "Shell") -> None:
        self._shell = shell
        self._largest_first = False
        self.use = context_use(shell.session)

    def rows(self) -> Sequence[Row]:
        self.use = context_use(self._shell.session)
        rows = [_row(index, piece, group, self.use.total) for index, (piece, group) in enumerate(_grouped(self.use))]
        if not self._largest_first:
            return rows
        return [replace(row, group="") for row in sorted(rows, key=lambda row: -(row.share or 0))]

    def act(self, word: str) -> Callable[[str], Awaitable[str]]:
        async def run(row: str) -> str:
            number = self._piece(row).number
            if not number:
                raise SessionError("this is sent with every request, as it is")
            return _ACTS[word](self._shell, number)

        return run

    async def sort(self, row: str) -> str:
        self._largest_first = not self._largest_first
        return "The largest first." if self._largest_first else "In the order of the conversation."

    async def preview(self, row: str) -> str:
        piece = self._piece(row)
        if piece.state == "dropped":
            return f"Dropped. The model reads: {piece.text}\n\n{piece.kept}"
        return piece.text

    def _piece(self, row: str) -> Piece:
        return self.use.pieces[int(row)]


def _grouped(use: ContextUse) -> list[tuple[Piece, str]]:
    """Each piece and the heading that it stands under: what is always sent, the tools, then each prompt of the person."""
    found = []
    group = "Conversation"
    for piece in use.pieces:
        if not piece.number:
            found.append((piece, "Tools" if piece.kind == "tools" else "Sent with every request"))
            continue
        if piece.kind == "prompts":
            group = f"❯ {_one_line(piece.name, 60)}"
        found.append((piece, group))
    return found


def _row(index: int, piece: Piece, group: str, total: int) -> Row:
    name = _one_line(piece.name, 80)
    label = name if piece.kind == "tools" else f"{_singular(piece)}  {name}".rstrip()
    share = piece.tokens / total if total else 0.0
    return Row(str(index), label, f"{piece.tokens:,}", share, piece.state, group)


def _singular(piece: Piece) -> str:
    kinds = {"prompts": "prompt", "answers": "answer", "tool calls": "call", "attachments and notes": "note"}
    return kinds.get(piece.kind, piece.kind.removeprefix("results of "))


# --- a report in words ------------------------------------------------------------------------------------------------


def _report(use: ContextUse) -> str:
    return "\n\n".join([f"**{_head(use)}**", _table(use), _tools(use), _largest(use), _how(use)])


def _head(use: ContextUse, *, bar: bool = False) -> str:
    if not use.window:
        return f"About {use.total:,} tokens; the size of the window is not known."
    share = use.total / use.window
    drawn = f" {_bar(share)}" if bar else ""
    return f"About {use.total:,} of {use.window:,} tokens ({share:.0%}); compaction begins at {use.limit:,}{drawn}"


def _table(use: ContextUse) -> str:
    """A row per kind, in the order of a request; the tools' results by size."""
    kinds: dict[str, int] = dict.fromkeys(_FIRST, 0)
    for piece in use.pieces:
        kinds[piece.kind] = kinds.get(piece.kind, 0) + piece.tokens
    rows = [(kind, kinds.pop(kind)) for kind in _FIRST] + sorted(kinds.items(), key=lambda row: -row[1])
    lines = ["| part | tokens | share |", "|---|--:|--:|"]
    for kind, tokens in rows:
        if tokens:
            lines.append(f"| {_cell(kind)} | {tokens:,} | {tokens / use.total if use.total else 0.0:.0%} |")
    return "\n".join(lines)


def _tools(use: ContextUse) -> str:
    tools = sorted((piece for piece in use.pieces if piece.kind == "tools"), key=lambda piece: -piece.tokens)
    return "**Tools**: " + (", ".join(f"{_cell(tool.name)} {tool.tokens:,}" for tool in tools) or "none")


def _largest(use: ContextUse) -> str:
    """The largest pieces, and all that a person pinned or dropped."""
    said = sorted((piece for piece in use.pieces if piece.kind != "tools"), key=lambda piece: -piece.tokens)
    lines = ["| largest | tokens | number | state |", "|---|--:|--:|---|"]
    for place, piece in enumerate(said):
        if place < LARGEST or piece.state:
            about = f"{piece.kind}: {_one_line(piece.name, 60)}"
            lines.append(f"| {_cell(about)} | {piece.tokens:,} | {piece.number or ''} | {piece.state} |")
    return "\n".join(lines)


def _how(use: ContextUse) -> str:
    if use.measured:
        scaled = f"The parts are estimates, scaled to the {use.measured:,} tokens that the API counted last."
    else:
        scaled = "All numbers are estimates: the API has not counted this history yet."
    return (
        f"{scaled} `/context drop N` takes the output of a tool result out, `/context restore N` puts it back, "
        "`/context pin N` keeps a piece word for word; `/compact` shortens all."
    )


def _bar(share: float) -> str:
    return ("█" * min(BAR, round(share * BAR)) or "▏").ljust(BAR, "░")


def _one_line(text: str, limit: int) -> str:
    about = " ".join(text.split())
    return about if len(about) <= limit else f"{about[: limit - 1]}…"


def _cell(text: str) -> str:
    """On one line of a table, with nothing in it that is markup."""
    return "".join(f"\\{char}" if char in "\\`*_[]<>|#~&" else char for char in " ".join(text.split()))
