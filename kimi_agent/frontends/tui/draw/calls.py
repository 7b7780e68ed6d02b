"""Tool calls as cards: a head line (state, name, target, numbers) and a folded body."""

from msgspec.structs import replace
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from kimi_agent.agent.transcript import CallBlock, Transcript
from kimi_agent.core.access import NO_BOX
from kimi_agent.core.display import Diff, Pictures, Plain, Terminal, TodoList
from kimi_agent.core.message import ToolCall
from kimi_agent.core.sanitize import coloured, plain
from kimi_agent.frontends.common import subagent
from kimi_agent.frontends.common.describe import box_note, headline, one_line, seconds
from kimi_agent.frontends.common.plan import reviewed_plan
from kimi_agent.frontends.tui.draw.canvas import GUTTER, Canvas
from kimi_agent.frontends.tui.draw.lines import Decor, Line, clip, fold, indent, spread, wrap
from kimi_agent.frontends.tui.draw.palette import Palette
from kimi_agent.frontends.tui.draw.picture import picture_lines

BOLD = Style(bold=True)
BLANK = Decor(" " * GUTTER)
FOLDED_OUTPUT = 6
FOLDED_ERROR = 12
FOLDED_DIFF = 16


def target(block: CallBlock, cwd: str) -> str:
    """What a call is about, as one safe line."""
    nameless = ToolCall("", "-", block.call.arguments)
    return headline(nameless, block.effects, cwd, width=1000).removeprefix("-").strip()


def duration(value: float) -> str:
    """Empty for what takes no noticeable time."""
    return seconds(value) if value >= 0.1 else ""


def mark(block: CallBlock, palette: Palette) -> tuple[str, Style]:
    match "running" if subagent.at_work(block) else block.state:
        case "done":
            return "✓", palette.success
        case "failed":
            return "✗", palette.error
        case "running":
            return "●", palette.primary
        case _:
            return "○", palette.muted


def call_lines(block: CallBlock, canvas: Canvas) -> list[Line]:
    return [_head(block, canvas), *indent(_body(block, canvas), BLANK, BLANK)]


def has_body(block: CallBlock) -> bool:
    """Whether the folded card has more than its head."""
    if block.nested or block.output or block.state == "failed" or reviewed_plan(block):
        return True
    match block.display:
        case Plain(text):
            return "\n" in text.strip()
        case Terminal(output=output):
            return bool(output.strip())
        case Diff() | TodoList() | Pictures():
            return True
        case _:
            return False


# --- head -------------------------------------------------------------------------------------------------------------


def _head(block: CallBlock, canvas: Canvas) -> Line:
    """What does not fit is cut from what the call is about, never from how it went."""
    palette = canvas.palette
    sign, style = mark(block, palette)
    left = Text.assemble((one_line(block.call.name, 60) or "…", palette.text + BOLD))
    if block.nested and (who := subagent.who(block.nested)):
        left.append(f"  {who}", palette.muted)
    if block.state == "writing":
        left.append(f"  writing, {block.size} characters", palette.muted)
    elif about := target(block, canvas.cwd):
        left.append(f"  {about}", palette.text)
    width = canvas.width - 1 - GUTTER
    numbers, summary = _numbers(block, canvas), _summary(block, palette)
    if numbers.cell_len > width // 2:  # the exit code tells more than the time
        numbers = numbers.split(" · ")[0]
    room = width - (numbers.cell_len + 2 if numbers else 0) - min(summary.cell_len, width // 3)
    if left.cell_len > room > 0:
        left.truncate(room, overflow="ellipsis")
    left.append_text(summary)
    return [Decor(f" {sign} ", style), *spread(left, numbers, width)]


def _in_background(block: CallBlock) -> bool:
    return block.state == "done" and subagent.at_work(block)


def _summary(block: CallBlock, palette: Palette) -> Text:
    text = Text()
    if block.nested:
        return text.append("  in the background" if _in_background(block) else "", palette.muted)
    match block.display:
        case Diff(added=added, removed=removed, created=created):
            text.append(f"  +{added}", palette.success)
            if removed:
                text.append(f" −{removed}", palette.error)
            if created:
                text.append("  new file", palette.muted)
        case Plain(summary) if block.state == "failed" and summary in block.result:
            pass  # the body tells it
        case Plain(summary) if "\n" not in summary.strip() and summary.strip():
            text.append(f"  {one_line(summary, 1000)}", palette.muted)
        case _:
            pass
    return text


def _numbers(block: CallBlock, canvas: Canvas) -> Text:
    palette = canvas.palette
    parts: list[tuple[str, Style]] = []
    if block.nested:
        elapsed = canvas.elapsed if subagent.at_work(block) else block.seconds
        return Text(subagent.used(block.nested, elapsed), palette.muted)
    if isinstance(block.display, Terminal) and block.display.exit_code:
        parts.append((f"exit {block.display.exit_code}", palette.error))
    if note := box_note(block.display):
        parts.append((note, palette.warning if note == NO_BOX else palette.muted))
    if took := duration(block.seconds):
        parts.append((took, palette.muted))
    text = Text()
    for number, (word, style) in enumerate(parts):
        text.append(" · " if number else "", palette.muted)
        text.append(word, style)
    return text


# --- body -------------------------------------------------------------------------------------------------------------


def _body(block: CallBlock, canvas: Canvas) -> list[Line]:
    lines = _nested(block, block.nested, canvas) if block.nested else _plan(block, canvas)
    match block.display:
        case Diff(path=path, unified=unified):
            from kimi_agent.frontends.tui.draw.diff import diff_lines

            drawn = diff_lines(plain(unified), path, canvas.inner, canvas.palette, canvas.diffs)
            lines += head_of(drawn, canvas, FOLDED_DIFF)
        case Terminal(output=output):
            limit = FOLDED_ERROR if block.state == "failed" else FOLDED_OUTPUT
            lines += output_lines(output, canvas, limit)
        case Plain(text) if "\n" in text.strip():
            lines += head_of(
                fold(Text(plain(text).strip("\n"), canvas.palette.muted), canvas.inner), canvas, FOLDED_OUTPUT
            )
        case TodoList(items):
            lines += [_todo(item.title, item.status, canvas) for item in items]
        case Pictures(text, images):
            lines += output_lines(text, canvas, FOLDED_OUTPUT)
            lines += [line for image in images for line in picture_lines(image, canvas)]
        case None if block.output and not block.nested:
            lines += output_lines(block.output, canvas, FOLDED_OUTPUT)
        case _:
            pass
    if block.state == "failed" and not isinstance(block.display, Terminal | Pictures) and block.result:
        error = wrap(Text(plain(block.result).strip("\n"), canvas.palette.error), canvas.inner)
        lines += head_of(error, canvas, FOLDED_OUTPUT)
    elif canvas.expanded and not lines and block.result:
        lines += fold(Text(plain(block.result).strip("\n"), canvas.palette.muted), canvas.inner)
    return lines


def _plan(block: CallBlock, canvas: Canvas) -> list[Line]:
    """A plan that was reviewed stays readable."""
    if not (plan := reviewed_plan(block)):
        return []
    from kimi_agent.frontends.tui.draw.markdown import markdown_lines

    return markdown_lines(plain(plan).strip("\n"), canvas.inner, canvas.palette, canvas.diffs)


def output_lines(output: str, canvas: Canvas, limit: int, *, in_colour: bool = False) -> list[Line]:
    """Output of a command; folded, its last `limit` lines. `in_colour`: in those that it was written with."""
    in_colour = in_colour and canvas.colors
    text = (coloured if in_colour else plain)(output).strip("\n")
    if not text.strip():
        return []
    rows = text.split("\n")
    hidden = 0 if canvas.expanded else max(0, len(rows) - limit)
    text, style = "\n".join(rows[hidden:]), canvas.palette.muted
    shown = fold(Text.from_ansi(text, style=style) if in_colour else Text(text, style), canvas.inner)
    return ([_more(hidden, canvas, "earlier ")] if hidden else []) + shown


def head_of(lines: list[Line], canvas: Canvas, limit: int) -> list[Line]:
    """The first lines, and how many are folded; one line more than the limit is shown rather than counted."""
    if canvas.expanded or len(lines) <= limit + 1:
        return lines
    return [*lines[:limit], _more(len(lines) - limit, canvas)]


def _more(count: int, canvas: Canvas, which: str = "more ") -> Line:
    plural = "line" if count == 1 else "lines"
    return [Segment(clip(f"… {count} {which}{plural} (Ctrl-E)", canvas.inner), canvas.palette.faint)]


def _todo(title: str, status: str, canvas: Canvas) -> Line:
    palette = canvas.palette
    sign, style = {"done": ("✓", palette.muted), "in_progress": ("●", palette.primary)}.get(status, ("○", palette.text))
    return [Segment(f"{sign} ", style), Segment(clip(" ".join(plain(title).split()), canvas.inner - 2), style)]


def _nested(block: CallBlock, nested: Transcript, canvas: Canvas) -> list[Line]:
    """A subagent in one line: its last call, then what came of it; expanded, all that it does."""
    from kimi_agent.frontends.tui.draw.blocks import block_lines, gap

    if canvas.expanded:
        lines, before = list[Line](), None
        inner = replace(canvas, width=canvas.inner)
        for each in (each for each in nested.blocks if not each.void):
            lines += [[]] * gap(before, each) + block_lines(each, inner)
            before = each
        return lines
    if subagent.at_work(block) or block.state == "running":
        call = subagent.last_call(nested)
        if call is not None:
            return [_head(call, replace(canvas, width=canvas.inner + 1))]
        return [[Segment(f" ○ {subagent.doing(nested, canvas.cwd)}", canvas.palette.muted)]]
    told = "" if block.state == "failed" else subagent.end(nested)
    return [[Segment(clip(f" ↳ {told}", canvas.inner), canvas.palette.muted)]] if told else []
