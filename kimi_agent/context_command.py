"""/context: what fills the context window, and taking a tool result out of it."""

from typing import TYPE_CHECKING

from kimi_agent.agent.context_use import MIN_DROP, ContextUse, Piece, context_use, drop_result

if TYPE_CHECKING:
    from kimi_agent.commands import Shell

BAR = 20
"""Cells of a bar."""
LARGEST = 10
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
    if not words:
        shell.show(_report(context_use(shell.session)))
    elif len(words) == 2 and words[0] == "drop" and words[1].isdecimal() and len(words[1]) < 9:
        shell.apply(drop_result(shell.session, int(words[1])))
        shell.show(
            f"Tool result {words[1]} is out of the context; the model is told where it is kept. `/undo` now brings it back."
        )
    else:
        shell.show("Usage: `/context [drop N]`")


def _report(use: ContextUse) -> str:
    return "\n\n".join([_head(use), _table(use), _tools(use), _largest(use), _how(use)])


def _head(use: ContextUse) -> str:
    if not use.window:
        return f"**About {use.total:,} tokens**; the size of the window is not known."
    share = use.total / use.window
    bar = _bar(share).ljust(BAR, "░")
    return (
        f"**About {use.total:,} of {use.window:,} tokens** ({share:.0%}) `{bar}` "
        f"The history is compacted at {use.limit:,}."
    )


def _table(use: ContextUse) -> str:
    """A row per kind, in the order of a request; the tools' results by size."""
    kinds: dict[str, int] = dict.fromkeys(_FIRST, 0)
    for piece in use.pieces:
        kinds[piece.kind] = kinds.get(piece.kind, 0) + piece.tokens
    rows = [(kind, kinds.pop(kind)) for kind in _FIRST] + sorted(kinds.items(), key=lambda row: -row[1])
    lines = ["| part | tokens | share | |", "|---|--:|--:|---|"]
    for kind, tokens in rows:
        share = tokens / use.total if use.total else 0.0
        if tokens:
            lines.append(f"| {_cell(kind)} | {tokens:,} | {share:.0%} | `{_bar(share)}` |")
    return "\n".join(lines)


def _tools(use: ContextUse) -> str:
    tools = sorted((piece for piece in use.pieces if piece.kind == "tools"), key=lambda piece: -piece.tokens)
    return "**Tools**: " + (", ".join(f"{_cell(tool.name)} {tool.tokens:,}" for tool in tools) or "none")


def _largest(use: ContextUse) -> str:
    said = sorted((piece for piece in use.pieces if piece.kind != "tools"), key=lambda piece: -piece.tokens)[:LARGEST]
    lines = ["| largest | tokens | drop |", "|---|--:|--:|"]
    for piece in said:
        number = piece.result if piece.result and piece.tokens >= MIN_DROP else ""
        lines.append(f"| {_named(piece)} | {piece.tokens:,} | {number} |")
    return "\n".join(lines)


def _named(piece: Piece) -> str:
    about = " ".join(piece.name.split())
    return f"{_cell(piece.kind)}: {_cell(about if len(about) <= 60 else about[:59] + '…')}"


def _how(use: ContextUse) -> str:
    if use.measured:
        scaled = f"The parts are estimates, scaled to the {use.measured:,} tokens that the API counted last."
    else:
        scaled = "All numbers are estimates: the API has not counted this history yet."
    return f"{scaled} `/context drop N` takes the output of tool result N out; `/compact` shortens all."


def _bar(share: float) -> str:
    return "█" * min(BAR, round(share * BAR)) or "▏"


def _cell(text: str) -> str:
    """On one line of a table, with nothing in it that is markup."""
    return "".join(f"\\{char}" if char in "\\`*_[]<>|#~&" else char for char in " ".join(text.split()))
