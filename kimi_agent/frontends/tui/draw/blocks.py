"""Every kind of block to lines: the one table of what the transcript looks like."""

from typing import TypeAlias

from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from kimi_agent.agent.transcript import (
    AnswerBlock,
    AnyBlock,
    CallBlock,
    CompactionBlock,
    EvidenceBlock,
    NoticeBlock,
    PromptBlock,
    ThoughtBlock,
)
from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common.describe import beginning, ending, evidence, thousands
from kimi_agent.frontends.tui.draw.calls import FOLDED_ERROR, call_lines, duration, has_body, output_lines
from kimi_agent.frontends.tui.draw.canvas import GUTTER, Canvas
from kimi_agent.frontends.tui.draw.lines import Decor, Line, clip, fill, indent, spread, wrap
from kimi_agent.frontends.tui.draw.local import IntroBlock, NoteBlock, ShellBlock
from kimi_agent.frontends.tui.draw.picture import picture_lines

Drawable: TypeAlias = AnyBlock | IntroBlock | NoteBlock | ShellBlock

BOLD, ITALIC = Style(bold=True), Style(italic=True)
BLANK = Decor(" " * GUTTER)
PREVIEW_LINES = 3
COLUMN_WIDTH, HINTS_WIDTH = 30, 50
"""Cells below which the hints of the beginning stand in no columns, and one below the other."""


def block_lines(block: Drawable, canvas: Canvas) -> list[Line]:
    """The lines of one block, at most `canvas.width` cells wide each."""
    match block:
        case PromptBlock():
            return _prompt(block, canvas)
        case ThoughtBlock():
            return _thought(block, canvas)
        case AnswerBlock(text=text):
            return indent(_markdown(text, canvas), BLANK, BLANK)
        case CallBlock():
            return call_lines(block, canvas)
        case NoticeBlock():
            return _notice(block, canvas)
        case EvidenceBlock():
            return _evidence(block, canvas)
        case CompactionBlock():
            return _compaction(block, canvas)
        case NoteBlock(text=text):
            bar = Decor(" ▎ ", canvas.palette.faint)
            return indent(_markdown(text, canvas), bar, bar)
        case ShellBlock():
            return _shell(block, canvas)
        case IntroBlock():
            return _intro(block, canvas)


def gap(before: Drawable | None, block: Drawable) -> int:
    """Blank lines above a block: cards that are one line high stand close together."""
    if before is None:
        return 0
    if isinstance(before, EvidenceBlock) and isinstance(block, EvidenceBlock):
        return 0
    small = (ThoughtBlock, CallBlock)
    if isinstance(before, small) and isinstance(block, small):
        return int(_tall(before) or _tall(block))
    return 1


def _tall(block: ThoughtBlock | CallBlock) -> bool:
    return has_body(block) if isinstance(block, CallBlock) else not block.done


def estimate(block: Drawable, width: int) -> int:
    """A guess at the height of a block that has not been drawn yet."""
    if isinstance(block, PromptBlock | AnswerBlock | NoteBlock):
        return 1 + block.text.count("\n") + len(block.text) // max(10, width)
    return 1


def _markdown(text: str, canvas: Canvas) -> list[Line]:
    from kimi_agent.frontends.tui.draw.markdown import markdown_lines

    return markdown_lines(plain(text).strip("\n"), canvas.inner, canvas.palette, canvas.diffs)


def _prompt(block: PromptBlock, canvas: Canvas) -> list[Line]:
    palette = canvas.palette
    text = plain(block.text).strip("\n")
    text, hidden = (text, "") if canvas.expanded else beginning(text)
    lines = wrap(Text(text, palette.text), canvas.inner) if text else []
    lines += [[Segment(f"… {hidden}", palette.muted)]] if hidden else []
    lines += [[Segment(f"[image: {plain(image.name) or 'unnamed'}]", palette.accent)] for image in block.images]
    lines += [line for image in block.images for line in picture_lines(image, canvas, told=False)]
    return fill(indent(lines, Decor(" ❯ ", palette.primary + BOLD)), canvas.width, palette.prompt_bg)


def _thought(block: ThoughtBlock, canvas: Canvas) -> list[Line]:
    palette = canvas.palette
    text, style = plain(block.text).strip(), palette.muted + ITALIC
    if canvas.expanded:
        return indent(wrap(Text(text, style), canvas.inner), Decor(" ∴ ", palette.faint))
    if block.done:
        first = " ".join(text.split())
        return [[Decor(" ∴ ", palette.faint), Segment(clip(first, canvas.inner), style)]]
    shown = text[-canvas.inner * PREVIEW_LINES * 2 :] if canvas.thinking else ""
    tail = wrap(Text(shown, style), canvas.inner)[-PREVIEW_LINES:] if shown else []
    return [[Decor(" ∴ ", palette.faint), Segment("Thinking", style)], *indent(tail, BLANK, BLANK)]


def _notice(block: NoticeBlock, canvas: Canvas) -> list[Line]:
    palette = canvas.palette
    sign, style = {"error": ("✗", palette.error), "warning": ("!", palette.warning)}.get(
        block.level, ("·", palette.muted)
    )
    return indent(wrap(Text(plain(block.text), style), canvas.inner), Decor(f" {sign} ", style))


def _evidence(block: EvidenceBlock, canvas: Canvas) -> list[Line]:
    style = canvas.palette.success if block.evidence.verified else canvas.palette.warning
    sign, _, text = evidence(block.evidence).partition(" ")
    return indent(wrap(Text(text, style), canvas.inner), Decor(f" {sign} ", style + BOLD))


def _compaction(block: CompactionBlock, canvas: Canvas) -> list[Line]:
    kinds = {"prune": "Tool output dropped", "restore": "Tool output put back", "summary": "Conversation summarised"}
    what = kinds[block.kind]
    text = f"{what}: {thousands(block.before)} → {thousands(block.after)} tokens"
    return indent(wrap(Text(text, canvas.palette.muted), canvas.inner), Decor(" ≡ ", canvas.palette.accent))


def _shell(block: ShellBlock, canvas: Canvas) -> list[Line]:
    palette = canvas.palette
    failed = not block.running and block.exit_code != 0
    right = Text()
    if failed:
        right.append(ending(block.exit_code), palette.error)
    if took := duration(block.seconds):
        right.append((" · " if failed else "") + took, palette.muted)
    rows = plain(block.command).expandtabs().strip("\n").split("\n")
    sign = palette.warning if block.running else palette.error if failed else palette.success
    head = [
        Decor(" $ ", sign + BOLD),
        *spread(Text(rows[0], palette.text), right, canvas.width - GUTTER - 1),
    ]
    more = [[BLANK, Segment(clip(row, canvas.inner), palette.text)] for row in rows[1:]]
    body = output_lines(block.output, canvas, FOLDED_ERROR * 2, in_colour=True)
    return [*fill([head, *more], canvas.width, palette.prompt_bg), *indent(body, BLANK, BLANK)]


def _intro(block: IntroBlock, canvas: Canvas) -> list[Line]:
    palette = canvas.palette
    lines: list[Line] = [[], [Segment("   kimi ", palette.primary + BOLD), Segment(block.version, palette.muted)], []]
    for label, value in block.lines:
        lines.append(
            [BLANK, Segment(f"{label:<8}", palette.muted), Segment(clip(plain(value), canvas.inner - 8), palette.text)]
        )
    lines.append([])
    keys, words = palette.primary, palette.muted
    for one, does_one, two, does_two in block.hints:
        if canvas.inner >= HINTS_WIDTH:
            told = ((f"{one:<8}", keys), (f"{does_one:<18}", words), (f"{two:<14}", keys), (does_two, words))
            lines.append([BLANK, *(Segment(text, style) for text, style in told)])
        else:
            for key, does in ((one, does_one), (two, does_two)):
                hint = Text.assemble((f"{key:<14}" if canvas.inner >= COLUMN_WIDTH else f"{key} ", keys), (does, words))
                lines += indent(wrap(hint, canvas.inner), BLANK, BLANK)
    return lines
