"""The screen for a real terminal: prompt-toolkit reads below, rich prints above, the terminal's own scrollback keeps it."""

import asyncio
import base64
import io
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import ClassVar

from markdown_it import MarkdownIt
from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application, in_terminal
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import Completion
from prompt_toolkit.cursor_shapes import ModalCursorShapeConfig
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding.vi_state import InputMode
from prompt_toolkit.renderer import CPR_Support
from prompt_toolkit.styles import Style as PromptStyle
from rich.cells import cell_len, chop_cells, set_cell_size
from rich.color import Color
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.markdown import Heading, Markdown, TableElement
from rich.style import Style as RichStyle
from rich.table import Table
from rich.text import Text

from kimi_agent.core.display import Diff
from kimi_agent.core.message import Image
from kimi_agent.core.sanitize import coloured
from kimi_agent.frontends.common.clipboard import tell_tmux
from kimi_agent.frontends.common.graphics import protocol
from kimi_agent.frontends.common.guard import GUARD_S
from kimi_agent.frontends.common.inline_pictures import inline_picture
from kimi_agent.frontends.common.lending import CannotLend
from kimi_agent.frontends.common.look import Look
from kimi_agent.frontends.common.math_markdown import as_text, math_plugin
from kimi_agent.frontends.common.pace import Pace
from kimi_agent.frontends.common.pastes import Pastes
from kimi_agent.frontends.common.pictures import MAX_ROWS, UPPER_HALF, Cell, caption, half_blocks
from kimi_agent.frontends.line.complete import LineCompleter, completes
from kimi_agent.frontends.line.history import LineHistory
from kimi_agent.frontends.line.keys import bindings
from kimi_agent.frontends.line.pasting import beside_placeholders
from kimi_agent.frontends.line.screen import Owner, Style

ESCAPE_S = 0.05
"""How long a lone Esc waits for the rest of a key sequence; twice this must stay far below the 200 ms of an interrupt."""
MENU_LINES = 8

_PADDING = re.compile(r" +\n")
"""Blanks with which rich fills a line: they would wrap when the window gets narrower, and come along when copied."""

_STYLES: dict[Style, str] = {
    "": "",
    "dim": "dim",
    "bold": "bold",
    "user": "bold cyan",
    "tool": "magenta",
    "warning": "yellow",
    "error": "red",
    "add": "green",
    "remove": "red",
    "hunk": "cyan",
    "question": "bold yellow",
}
_PROMPT_STYLE = PromptStyle.from_dict(
    {"live": "ansibrightblack", "status": "ansibrightblack", "label": "bold ansicyan"}
)


class RichScreen:
    obeys, keeps_input, speaks, typed, prompt = True, False, False, True, "> "

    def __init__(self, owner: Owner, look: Look = Look()) -> None:  # noqa: B008 - frozen
        self._owner, self._look = owner, look
        self._pastes = Pastes()
        self._colors = Console(file=sys.stdout).color_system
        self._history = LineHistory(owner, self._pastes)
        self._prompt: PromptSession[str] = PromptSession(
            self._message,
            multiline=True,
            history=self._history,
            completer=LineCompleter(owner, self._offer),
            complete_while_typing=Condition(lambda: completes(self._prompt.default_buffer.document, owner)),
            key_bindings=bindings(owner, self._pastes, lambda text: self.line(text, "dim"), look),
            vi_mode=look.vim,
            cursor=ModalCursorShapeConfig() if look.vim else None,
            is_password=Condition(lambda: owner.secret),
            style=_PROMPT_STYLE,
            prompt_continuation=lambda width, number, wrapped: " " * width,
            reserve_space_for_menu=0,
        )
        self._prompt.default_buffer.accept_handler = self._accept
        self._prompt.default_buffer.on_text_changed += self._make_room
        self._prompt.default_buffer.on_text_changed += self._typed_early
        self._prompt.default_buffer.on_completions_changed += self._make_room
        self._prompt.default_buffer.on_cursor_position_changed += beside_placeholders(self._pastes)
        self._prompt.app.ttimeoutlen = self._prompt.app.timeoutlen = ESCAPE_S
        self._prompt.app.terminal_size_polling_interval = None  # a signal tells of it
        # Asking the terminal where the cursor is only serves to fill the lines below the prompt with blanks.
        self._prompt.app.renderer.cpr_support = CPR_Support.NOT_SUPPORTED
        self._pace = Pace()
        self._frame: asyncio.TimerHandle | None = None  # the next one, if it is due
        self._prompt.app.before_render += self._begin_frame
        self._prompt.app.after_render += lambda app: self._pace.end()
        self._parts: StyleAndTextTuples = []  # what stands before the cursor in this frame
        self._label = ""
        self._pending: list[str] = []
        self._ending: asyncio.Task[None] | None = None
        self._asking = False
        self._draft = Document()
        self._calm: asyncio.TimerHandle | None = (
            None  # when what was typed too early to be an answer is taken out of it
        )

    # --- out ----------------------------------------------------------------------------------------------------------

    def line(self, text: str, style: Style = "") -> None:
        self._print(Text(text, style=_STYLES[style]))

    def markdown(self, text: str) -> None:
        self._print(_Markdown(text))

    def diff(self, diff: Diff, limit: int, number: int) -> None:
        from kimi_agent.frontends.line.diffs import drawn_diff

        lines, hidden = drawn_diff(diff, limit)
        if lines:
            self._print(Text("\n").join(lines))
        if hidden:
            self.line(f"  ... {hidden} more lines: /show {number}", "dim")

    def output(self, text: str) -> None:
        self._print(Text.from_ansi(coloured(text)))

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[None]:
        if not self._prompt.app.is_running:
            raise CannotLend
        self._flush()
        async with in_terminal():
            yield

    def picture(self, image: Image) -> None:
        size = self._prompt.app.output.get_size()
        room = size.columns - 4, min(MAX_ROWS, size.rows - 2)
        chosen = protocol(self._look.images) if self._colors else "off"
        if drawn := inline_picture(image, chosen, *room):
            self._write(drawn)
        elif chosen != "off" and (rows := half_blocks(image, *room)) is not None:
            for row in rows:
                self._print(_half_blocks(row))
        else:
            self.line(f"  {caption(image)}", "dim")

    def control(self, sequence: str) -> None:
        self._prompt.app.output.write_raw(sequence)
        self._prompt.app.output.flush()

    def copy(self, text: str) -> bool:
        """By OSC 52, which the terminal understands or passes over, and by tmux, which passes over it."""
        tell_tmux(text)
        self.control(f"\x1b]52;c;{base64.b64encode(text.encode('utf-8', 'replace')).decode()}\a")
        return True

    def refresh(self) -> None:
        self._flush()  # what a question is about stands above the line that asks, at every moment
        self._put_draft_aside()
        if (label := self._owner.label()) != self._label:
            self._label = label  # what asks is seen at once
            self._prompt.app.invalidate()
        elif self._frame is None and self._prompt.app.is_running:
            self._frame = asyncio.get_running_loop().call_later(max(0.0, self._pace.wait), self._prompt.app.invalidate)

    def _begin_frame(self, app: Application[str]) -> None:
        if self._frame is not None:
            self._frame.cancel()
            self._frame = None
        self._parts = []
        self._pace.begin()

    def restore(self, text: str) -> None:
        buffer, text = self._prompt.default_buffer, self._pastes.collapse_again(text)
        buffer.text = f"{text}\n{buffer.text}" if buffer.text.strip() else text
        buffer.cursor_position = len(buffer.text)

    def draft(self) -> str:
        return self._pastes.expand(self._draft.text if self._asking else self._prompt.default_buffer.text)

    def _print(self, renderable: RenderableType) -> None:
        """Print above the prompt; what comes in the same moment is written at once."""
        console = Console(
            file=io.StringIO(),
            force_terminal=True,
            color_system=self._colors,  # type: ignore[arg-type]
            width=self._prompt.app.output.get_size().columns,
            highlight=False,
            legacy_windows=False,
        )
        if isinstance(renderable, Text):  # whole: the terminal wraps it, and joins it again when it is copied
            console.print(renderable, overflow="ignore", soft_wrap=True)
        else:
            console.print(renderable, overflow="fold")
        written = _PADDING.sub("\n", console.file.getvalue())  # type: ignore[attr-defined]
        if isinstance(renderable, Markdown):
            written = "\n" + written.strip("\n") + "\n"
        self._write(written)

    def _write(self, written: str) -> None:
        self._pending.append(written.replace("\n", "\r\n"))
        if not self._prompt.app.is_running:
            self._flush()
        elif len(self._pending) == 1:
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        """Take the prompt away, write, and let it be drawn again below."""
        if not self._pending:
            return
        app, written = self._prompt.app, "".join(self._pending)
        self._pending.clear()
        drawn = app.is_running and not app.is_done
        if drawn:
            app.renderer.erase()
        app.output.write_raw(written)
        app.output.flush()
        if drawn:
            app.invalidate()

    # --- in -----------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        try:
            await self._prompt.prompt_async(default=self._prompt.default_buffer.text)  # what is restored by now
        except (EOFError, KeyboardInterrupt):
            self._owner.leave()

    def stop(self) -> None:
        app = self._prompt.app
        if app.is_running and not app.is_done:
            self._ending = asyncio.create_task(app.cancel_and_wait_for_background_tasks())  # an editor, too
            self._flush()  # while the prompt can be taken away for it
            self._prompt.default_buffer.reset()
            app.erase_when_done = True
            app.exit(result="")

    def _accept(self, buffer: Buffer) -> bool:
        """Enter. True keeps the text."""
        text = self._pastes.expand(buffer.text)
        self._history.keep = self._owner.remembers()
        accepted = self._owner.submit(text)
        if accepted:  # with vim's keys, what is typed next is text again
            self._prompt.app.vi_state.reset()
        return not accepted

    def set_aside(self) -> None:
        self._put_draft_aside()
        self._move_to_draft()

    def _put_draft_aside(self) -> None:
        """A question, or a command that reads, takes the line; what was being typed comes back after it."""
        asking = not self._owner.remembers()
        if asking and not self._asking:
            self._move_to_draft()
        elif self._asking and not asking:
            if self._calm is not None:
                self._move_to_draft()
            self._prompt.default_buffer.document, self._draft = self._draft, Document()
        self._asking = asking

    def _typed_early(self, buffer: Buffer) -> None:
        """Keys that come before a question has been seen were meant for the prompt; once the person pauses they go there."""
        if self._asking and not self._owner.hears():
            self._forget_timer()
            self._calm = asyncio.get_running_loop().call_later(GUARD_S, self._move_to_draft)

    def _move_to_draft(self) -> None:
        self._forget_timer()
        text, at, buffer = self._draft.text, self._draft.cursor_position, self._prompt.default_buffer
        if buffer.text:
            self._draft = Document(text[:at] + buffer.text + text[at:], at + buffer.cursor_position)
            buffer.reset()
            self._prompt.app.invalidate()

    def _forget_timer(self) -> None:
        if self._calm is not None:
            self._calm.cancel()
            self._calm = None

    def _offer(self, document: Document, completions: list[Completion]) -> None:
        """Better ones than the menu shows for this text, as long as none of those is chosen."""
        menu = self._prompt.default_buffer.complete_state
        if menu is not None and menu.complete_index is None and menu.original_document == document:
            menu.completions[:] = completions
            self._prompt.app.invalidate()

    def _make_room(self, buffer: Buffer) -> None:
        """Lines below the prompt are only taken while there is something to complete."""
        self._prompt.reserve_space_for_menu = (
            MENU_LINES if completes(buffer.document, self._owner) or buffer.complete_state else 0
        )

    def _message(self) -> StyleAndTextTuples:
        """What stands before the cursor. Every frame asks for it many times."""
        self._parts = self._parts or self._compose()
        return self._parts

    def _compose(self) -> StyleAndTextTuples:
        app = self._prompt.app
        width = app.output.get_size().columns
        parts: StyleAndTextTuples = []
        if not app.is_done:
            parts += [("class:live", _cut(line, width - 1) + "\n") for line in self._owner.live()]
            parts.append(("class:status", _cut(self._owner.status(), width - 1) + "\n"))
        if self._look.vim and not app.is_done:
            normal = app.vi_state.input_mode == InputMode.NAVIGATION
            parts.append(("class:status", "NORMAL " if normal else "INSERT "))
        *above, label = _folded(self._owner.label(), width)
        parts += [("class:label", f"{line}\n") for line in above]
        parts.append(("class:label", label))
        return parts


def _half_blocks(row: Sequence[Cell]) -> Text:
    line = Text("  ")
    for upper, lower in row:
        line.append(UPPER_HALF, RichStyle(color=Color.from_rgb(*upper), bgcolor=Color.from_rgb(*lower)))
    return line


def _folded(label: str, width: int) -> list[str]:
    """A label as it is where it leaves half of the line to write in; else lines that fit, and a sign below them."""
    if cell_len(label) <= width // 2:
        return [label]
    return [*chop_cells(label.rstrip(), max(1, width - 1)), "> "]


def _cut(line: str, width: int) -> str:
    """At most `width` cells of a line: one that wraps would make the lines above the prompt jump."""
    return line if cell_len(line) <= width else set_cell_size(line, width)


class _Heading(Heading):
    """At the left margin, as everything else in a conversation."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        self.text.justify = "left"
        yield self.text


class _Table(TableElement):
    """With all of its text: what is too wide for a column goes on in the next line."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for table in super().__rich_console__(console, options):
            for column in table.columns if isinstance(table, Table) else ():
                column.overflow = "fold"
            yield table


class _Markdown(Markdown):
    elements: ClassVar = {**Markdown.elements, "heading_open": _Heading, "table_open": _Table}

    def __init__(self, text: str) -> None:
        super().__init__("", hyperlinks=False)
        parser = MarkdownIt().enable(["strikethrough", "table"])
        parser.disable(["html_block", "html_inline", "image"])  # rich leaves out HTML, and the addresses of pictures
        math_plugin(parser)
        as_text(parser)
        self.markup, self.parsed = text, parser.parse(text)
