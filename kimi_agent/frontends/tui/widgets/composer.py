"""The prompt with its mark, its completions and its history: where everything that a person says begins."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.document._history import EditHistory
from textual.message import Message
from textual.widgets import Static

from kimi_agent.commands import CompleteArguments
from kimi_agent.core.sanitize import plain
from kimi_agent.core.servers import Servers
from kimi_agent.frontends.common.files import FileIndex, mention_before, mention_of
from kimi_agent.frontends.common.history import PromptHistory
from kimi_agent.frontends.common.pastes import Pastes
from kimi_agent.frontends.common.resources import is_whole, names_server, offered
from kimi_agent.frontends.tui.draw.palette import Palette
from kimi_agent.frontends.tui.widgets.popup import ArgumentWord, CommandWord, Completion, Popup
from kimi_agent.frontends.tui.widgets.prompt import PromptArea

if TYPE_CHECKING:
    from kimi_agent.frontends.common.shell_complete import Candidates

_COMMAND = re.compile(r"/(\S*)\Z")


class HistorySearch:
    """What stands in the prompt while the history is searched is the query: this keeps what was there, with its undo."""

    def __init__(self, area: PromptArea) -> None:
        self._history, self._text, self._selection = area.history, area.text, area.selection
        area.history = EditHistory(max_checkpoints=50, checkpoint_timer=2.0, checkpoint_max_characters=100)
        area.clear()

    def restore(self, area: PromptArea) -> None:
        area.replace(self._text, (0, 0), area.document.end)
        area.history = self._history
        area.history.checkpoint()
        area.selection = self._selection


def _on_one_line(text: str) -> str:
    return " ⏎ ".join(plain(text[:500]).split("\n"))


class ShellTab(Protocol):
    """What Tab does for a command."""

    async def candidates(self, line: str) -> "Candidates": ...
    def tab(self, typed: str) -> bool: ...


class Mark(Static):
    """What stands before the prompt; a selection that ends in the prompt leaves it out."""

    ALLOW_SELECT = False


class Composer(Vertical):
    """`❯` stands before the text, or `$` in shell mode."""

    class Edited(Message):
        """The text has changed."""

    @dataclass
    class Submitted(Message):
        text: str

    def __init__(self, commands: Callable[[], Sequence[Completion]], files: FileIndex, history: PromptHistory) -> None:
        super().__init__(id="composer")
        self.commands, self.files, self.history = commands, files, history
        self.pastes = Pastes()
        self.area = PromptArea(self.pastes, id="prompt")
        self.popup = Popup()
        self._mark = Mark("❯", id="mark", markup=False)
        self._mode = ""  # of vim's keys
        self._search: HistorySearch | None = None
        self._dismissed = ""
        self.shell = False
        self.feeding = False  # what is typed goes to a command that runs: no prompt, and not remembered
        self._sought: str | None = None  # the path whose files are looked for
        self.shell_tab: ShellTab | None = None
        self.arguments: Callable[[str], CompleteArguments | None] = lambda text: None
        self.servers: Callable[[], Servers | None] = lambda: None
        self._argued = ""  # the text whose arguments the popup shows
        self._completed: str | None = None  # the text whose last word the popup completes as the shell would
        self._found = ""  # the one whose files the popup shows

    def compose(self) -> ComposeResult:
        yield self.popup
        with Horizontal(id="prompt-row"):
            yield self._mark
            yield self.area

    def set_palette(self, palette: Palette) -> None:
        self.popup.palette = palette
        self.popup.refresh()

    def set_shell(self, on: bool) -> None:
        self.shell = on
        self._say_mark()
        self.set_class(on, "-shell")
        self._complete()

    def _say_mark(self) -> None:
        word = "search" if self._search is not None else self._mode
        mark = f"{word} {'$' if self.shell else '❯'}".lstrip()
        self._mark.update(mark)
        self._mark.styles.width = len(mark) + 2

    @on(PromptArea.ModeChanged)
    def _mode_changed(self, event: PromptArea.ModeChanged) -> None:
        event.stop()
        mode = event.mode.upper() if self.area.vim is not None else ""
        if mode != self._mode:
            self._mode = mode
            self._say_mark()
            self.area.set_class(mode == "INSERT", "-thin")

    @property
    def text(self) -> str:
        return self.area.text

    def put(self, text: str) -> None:
        """Replace the text; placeholders are made again for what was pasted before."""
        self.area.replace_all(text)
        self._dismissed = self.area.line_before_cursor

    def attach(self, output: str) -> None:
        """Put output of the shell at the cursor, as a placeholder that Backspace takes out."""
        before = self.area.before_cursor
        self.area.insert(("" if not before or before[-1].isspace() else " ") + self.pastes.attach(output))

    def take(self) -> str:
        """Remove and answer the text, as if it had been submitted: without blanks around it, but for those that were pasted."""
        text = self.pastes.expand(self.area.text.strip())
        if text.strip():
            self.history.add(text)
            self.area.clear()
            self.area.start_insert()
        return text

    # --- keys ---------------------------------------------------------------------------------------------------------

    @on(PromptArea.Submitted)
    def _submit(self, event: PromptArea.Submitted) -> None:
        event.stop()
        if self.feeding:
            text = self.area.expanded_text
            self.area.clear()
            self.post_message(self.Submitted(text))
        elif text := self.take():
            self.post_message(self.Submitted(text))

    @on(PromptArea.Wanted)
    async def _wanted(self, event: PromptArea.Wanted) -> None:
        event.stop()
        if self._search is not None:
            self._key_of_search(event.what)
            return
        match event.what:
            case "search":
                self._begin_search()
            case "older" | "newer" if self.popup.is_open:
                self.popup.move(-1 if event.what == "older" else 1)
            case "older" if not self.text:
                await self.run_action("app.take_back")
            case "older":
                self.older()
            case "newer":
                if (text := self.history.newer()) is not None:
                    self.put(text)
            case "complete" if not self.popup.is_open and self.shell_tab is not None and self._command() is not None:
                self._tab(self.shell_tab)
            case "complete" | "accept":
                self._accept(run=event.what == "accept")
            case "dismiss":
                self._dismissed = self.area.line_before_cursor
                self._close()
            case "end":
                await self.run_action("app.jump_end")
            case _:
                await self.run_action("app.exit_twice('Ctrl-D')")

    def older(self) -> None:
        """Show the history's entry before the present one."""
        if (text := self.history.older(self.area.expanded_text)) is not None:
            self.put(text)

    # --- searching what was sent before -------------------------------------------------------------------------------

    def _begin_search(self) -> None:
        self.area.start_insert()
        self.workers.cancel_group(self, "files")
        self._close()
        self._search = HistorySearch(self.area)
        self._say_mark()
        self._complete()

    def _key_of_search(self, what: str) -> None:
        match what:
            case "search" | "newer":
                self.popup.move(1)
            case "older":
                self.popup.move(-1)
            case "accept" | "complete":
                item = self.popup.current
                self.end_search(item.insert or None if item is not None else None)
            case "dismiss":
                self.end_search(None)

    def end_search(self, found: str | None) -> bool:
        """Put what was found into the prompt, or what was typed before; False when nothing was searched for."""
        search, self._search = self._search, None
        if search is None:
            return False
        search.restore(self.area)
        self._close()
        if found is not None:
            self.put(found)
        else:
            self._dismissed = self.area.line_before_cursor
        self._say_mark()
        return True

    def _show_found(self, query: str) -> None:
        found = self.history.search(query)
        nothing = Completion("", "nothing found" if self.history.entries else "nothing was sent in this folder yet")
        self.popup.show([Completion(text, _on_one_line(text), from_start=True) for text in found] or [nothing])
        self.area.popup_open = True

    # --- Tab for a command --------------------------------------------------------------------------------------------

    def _command(self) -> str | None:
        """The command before the cursor; None when what is typed is none."""
        before = self.area.before_cursor
        if self.shell:
            return before
        return before[1:] if before.startswith("!") else None

    def _tab(self, shell: ShellTab) -> None:
        if self.feeding:
            if shell.tab(self.area.expanded_text):
                self.area.clear()
        else:
            self.run_worker(partial(self._complete_command, shell), group="files", exclusive=True)  # type: ignore[arg-type]

    async def _complete_command(self, shell: ShellTab) -> None:
        """One candidate is put in; of several what they have in common, and they are shown."""
        before, line = self.area.before_cursor, self._command() or ""
        found = await shell.candidates(line)
        if self.area.before_cursor != before or not found.items:
            return
        word = line[found.start :]
        if len(found.items) == 1:
            self._put_word(word, found.items[0].insert)
            return
        if found.common:
            self._put_word(word, found.common)
            word = found.common
        self._completed = self.area.line_before_cursor
        self._open([CommandWord(item.insert, plain(item.label), plain(item.help), word=word) for item in found.items])

    def _put_word(self, word: str, text: str) -> None:
        """Put `text` in the place of the word before the cursor."""
        row, column = self.area.cursor_location
        self.area.replace(text, (row, max(0, column - len(word))), (row, column))

    # --- completion ---------------------------------------------------------------------------------------------------

    @on(PromptArea.Changed)
    @on(PromptArea.SelectionChanged)
    def _typed(self, event: Message) -> None:
        event.stop()
        if isinstance(event, PromptArea.Changed):
            self.post_message(self.Edited())
        self._complete()

    def _complete(self) -> None:
        if not self.is_mounted:
            return
        if self._search is not None:
            self._show_found(self.area.text)
            return
        before = self.area.line_before_cursor
        if before == self._completed:
            return
        self._completed = None
        if before == self._dismissed:
            self._close()
            return
        self._dismissed = ""
        if not self.shell and (match := _COMMAND.match(before)) and self.area.document.line_count == 1:
            self._open(self._commands_for(match[1]))
        elif mention := mention_before(before):
            self._find(mention[1])
        elif not self.shell and (complete := self.arguments(before)) and self.area.document.line_count == 1:
            self.run_worker(partial(self._find_arguments, before, complete), group="files", exclusive=True)  # type: ignore[arg-type]
        else:
            self._close()

    async def _find_arguments(self, before: str, complete: CompleteArguments) -> None:
        options, word = await complete(), before.rpartition(" ")[2]
        if before != self.area.line_before_cursor or before == self._dismissed:
            return
        self._argued, self._sought = before, None
        self._open([ArgumentWord(option.label, option.label, option.description, word=word) for option in options])

    def _find(self, query: str) -> None:
        if query != self._sought:
            self._sought = query
            self.run_worker(partial(self._find_files, query), group="files", exclusive=True)  # type: ignore[arg-type]

    async def _find_files(self, query: str) -> None:
        """Show what is found until something else is typed: files, then resources of MCP servers."""
        servers = self.servers()
        more = [Completion(mention_of(r.path), r.path, r.about) for r in await offered(servers, query)]
        if names_server(servers, query):
            self._show_mentions(query, more)
            return
        async for paths in self.files.search(query):
            if query != self._sought:
                return
            self._show_mentions(query, [*(Completion(mention_of(path), plain(path)) for path in paths), *more])

    def _show_mentions(self, query: str, found: Sequence[Completion]) -> None:
        if query == self._sought:
            self._found = query
            self._open(found)

    def _commands_for(self, query: str) -> list[Completion]:
        query = query.lower()
        commands = self.commands()
        starting = [c for c in commands if c.insert.lower().startswith(f"/{query}")]
        return starting or [c for c in commands if query in c.insert.lower()]

    def _open(self, items: Sequence[Completion]) -> None:
        self.popup.show(items)
        self.area.popup_open = self.popup.is_open

    def _close(self) -> None:
        self._sought = None
        self.popup.close()
        self.area.popup_open = False

    def _accept(self, *, run: bool) -> None:
        """Put the selected completion in; a command is run at once when Enter chose it."""
        item = self.popup.current
        if item is None:
            if run:  # Enter came when what it was meant for had gone
                self._submit(PromptArea.Submitted())
            return
        before = self.area.line_before_cursor
        if isinstance(item, ArgumentWord):
            self._accept_argument(item, before, run=run)
            return
        if isinstance(item, CommandWord):
            self._close()
            self._put_word(item.word, item.insert)
            return
        mention = mention_before(before) if item.insert.startswith("@") else None
        is_file, start = mention is not None, mention[0] if mention else 0
        if mention is not None:
            if mention[1] != self._found:  # what is shown answers an older query
                return
            self.files.mentioned(item.label)
        row, column = self.area.cursor_location
        tail = "" if (is_file and not is_whole(item.insert)) or (run and not is_file) else " "
        begin = (row, column - (len(before) - start))
        self._close()
        self.area.replace(item.insert + tail, begin, (row, column))
        if run and not is_file:
            self._submit(PromptArea.Submitted())

    def _accept_argument(self, item: ArgumentWord, before: str, *, run: bool) -> None:
        """Enter sends a command whose last word is whole, or not begun; else it puts the selected one in, as Tab does."""
        whole = not item.word and self.popup.selected == 0
        whole = whole or any(item.word == each.insert.strip() for each in self.popup.items)
        stale = before != self._argued
        if run and (whole or stale):
            self._close()
            self._submit(PromptArea.Submitted())
        elif not stale:
            self._close()
            self._put_word(item.word, item.insert + ("" if item.insert[-1:] in "=/" else " "))
