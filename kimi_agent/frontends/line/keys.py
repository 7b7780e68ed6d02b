"""Keys of line mode in a real terminal: those of common/keymap.py, as prompt-toolkit names them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prompt_toolkit.application import get_app, in_terminal
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.filters import (
    Always,
    Condition,
    Filter,
    emacs_mode,
    has_completions,
    is_searching,
    vi_insert_mode,
    vi_navigation_mode,
)
from prompt_toolkit.input.ansi_escape_sequences import ANSI_SEQUENCES
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.key_binding.bindings import search
from prompt_toolkit.keys import ALL_KEYS, KEY_ALIASES, Keys

from kimi_agent.frontends.common.editor import edit
from kimi_agent.frontends.common.graphemes import after, before
from kimi_agent.frontends.common.keymap import ACTIONS, Keymap, keymap, shown
from kimi_agent.frontends.common.look import Look
from kimi_agent.frontends.common.pastes import Pastes
from kimi_agent.frontends.line.history import LineHistory
from kimi_agent.frontends.line.pasting import Handler, add_pasting
from kimi_agent.frontends.line.screen import Owner

_WRITING = emacs_mode | vi_insert_mode
_TAUGHT = {"shift+enter": Keys.F24}
"""Keys that prompt-toolkit has no name for, under the name of one that no keyboard has."""


def teach() -> None:
    """Shift-Enter, as terminals send it that tell it from Enter: xterm's way, and the Kitty protocol's."""
    for code in ("\x1b[27;2;13~", "\x1b[13;2u"):
        ANSI_SEQUENCES[code] = _TAUGHT["shift+enter"]


def untold(chosen: Mapping[str, Sequence[str]]) -> list[str]:
    """A word for each key that a person has chosen and that line mode cannot tell from others."""
    actions = {action.name for action in ACTIONS if action.line}
    return [
        f"keys.{name} in config.toml: line mode cannot tell {shown(key)} from other keys."
        for name in chosen.keys() & actions
        for key in keymap(chosen).keys[name]
        if sequence(key) is None
    ]


def sequence(key: str) -> tuple[str, ...] | None:
    """A key of the keymap as prompt-toolkit reads it; None for one that it cannot tell from others."""
    if key in _TAUGHT:
        return (_TAUGHT[key].value,)
    *modifiers, base = [*key[:-1].rstrip("+").split("+"), key[-1]] if key.endswith("+") else key.split("+")
    alt = ("escape",) if "alt" in modifiers else ()
    ctrl, shift = "ctrl" in modifiers, "shift" in modifiers
    if shift and alt and not ctrl and len(base) == 1:
        return (*alt, base.upper())
    name = ("c-" if ctrl else "") + ("s-" if shift else "") + ("_" if ctrl and base == "/" else base)
    known = name in ALL_KEYS or name in KEY_ALIASES or (len(name) == 1 and bool(alt))
    return (*alt, name) if known else None


class _Keys:
    """Binds actions by name to the keys that the person has for them."""

    def __init__(self, keys: KeyBindings, chosen: Keymap) -> None:
        self._keys, self._chosen = keys, chosen

    def on(self, name: str, filter: Filter = Always(), **options: Any) -> Callable[[Handler], Handler]:  # noqa: A002, B008
        def add(handler: Handler) -> Handler:
            for found in {sequence(key) for key in self._chosen.keys[name]} - {None}:
                self._keys.add(*found, filter=filter & ~is_searching, **options)(handler)  # type: ignore[misc]
            return handler

        return add


def bindings(owner: Owner, pastes: Pastes, tell: Callable[[str], None], look: Look = Look()) -> KeyBindings:  # noqa: B008 - frozen
    """Enter sends; Alt-Enter, Ctrl-J and a backslash before Enter break the line. `tell` prints a word to the person."""
    teach()
    keys = KeyBindings()
    named = _Keys(keys, keymap(look.keys))
    add_pasting(keys, named.on("paste"), owner, pastes, tell)
    _sending(keys, named, owner, pastes)
    _stopping(keys, named, owner)
    _modes(named, owner, pastes)
    _editing(keys, named)
    _commands(named, owner)
    return keys


def _sending(keys: KeyBindings, named: _Keys, owner: Owner, pastes: Pastes) -> None:
    @named.on("send")
    def send(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.complete_state and buffer.complete_state.current_completion:
            buffer.complete_state = None
        elif buffer.document.char_before_cursor == "\\" and not vi_navigation_mode():
            buffer.delete_before_cursor()
            buffer.newline(copy_margin=False)
        else:
            buffer.validate_and_handle()

    @named.on("newline")
    def newline(event: KeyPressEvent) -> None:
        event.current_buffer.newline(copy_margin=False)

    @named.on("steer")
    def steer(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if isinstance(buffer.history, LineHistory):
            buffer.history.keep = owner.remembers()
        if owner.steer(pastes.expand(buffer.text)):
            buffer.append_to_history()
            buffer.reset()
            event.app.vi_state.reset()

    @Condition
    def empty() -> bool:
        return not get_app().current_buffer.text

    @keys.add("up", filter=empty & ~is_searching)
    def take_back(event: KeyPressEvent) -> None:
        text = owner.take_back()
        if text is None:
            event.current_buffer.auto_up()
        else:
            event.current_buffer.insert_text(pastes.collapse_again(text))


def _stopping(keys: KeyBindings, named: _Keys, owner: Owner) -> None:
    @named.on("interrupt", ~has_completions & (emacs_mode | vi_navigation_mode))
    def stop(event: KeyPressEvent) -> None:
        owner.interrupt()

    @keys.add("escape", filter=has_completions & ~is_searching)
    def close_menu(event: KeyPressEvent) -> None:
        event.current_buffer.cancel_completion()

    keys.add("escape", filter=is_searching, eager=True)(search.abort_search)

    @named.on("stop")
    @keys.add("<sigint>", filter=~is_searching)
    def stop_or_clear(event: KeyPressEvent) -> None:
        if not owner.interrupt():
            buffer = event.current_buffer
            if not buffer.text:
                owner.explain_leaving()
                buffer.reset()
            else:  # undo brings it back
                buffer.save_to_undo_stack()
                buffer.document = Document()

    @keys.add("tab", filter=Condition(owner.feeding))
    def tab(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if owner.tab(buffer.text):
            buffer.reset()
        else:
            buffer.insert_text("\t")

    keys.add("c-d", filter=Condition(lambda: not get_app().current_buffer.text))(_nothing)  # or it would end the prompt
    keys.add(Keys.Vt100MouseEvent)(_nothing)  # a pasted ESC [31m looks like one, and is none that can be read

    @named.on("end", Condition(lambda: not get_app().current_buffer.text))
    def leave(event: KeyPressEvent) -> None:
        owner.end_input()

    @named.on("suspend")
    def suspend(event: KeyPressEvent) -> None:
        if owner.feeding():
            owner.suspend_command()
        else:
            event.app.suspend_to_background()


def _nothing(event: KeyPressEvent) -> None:
    pass


def _modes(named: _Keys, owner: Owner, pastes: Pastes) -> None:
    @named.on("shell_mode", eager=True)
    def shell(event: KeyPressEvent) -> None:
        owner.toggle_shell()

    @named.on("give_output")
    def give(event: KeyPressEvent) -> None:
        if output := owner.output_for_model():
            event.current_buffer.insert_text(f"{pastes.attach(output)} ")

    @named.on("plan_mode")
    def plan(event: KeyPressEvent) -> None:
        owner.toggle_plan()

    @named.on("editor", Condition(lambda: not owner.secret))
    def editor(event: KeyPressEvent) -> None:
        if command := owner.editor():
            event.app.create_background_task(_write_in_editor(event.current_buffer, command, pastes))


def _editing(keys: KeyBindings, named: _Keys) -> None:
    @named.on("undo", _WRITING, save_before=lambda event: False)
    def undo(event: KeyPressEvent) -> None:
        event.current_buffer.undo()

    @named.on("redo", _WRITING, save_before=lambda event: False)
    def redo(event: KeyPressEvent) -> None:
        event.current_buffer.redo()

    named.on("history", _WRITING)(lambda event: search.start_reverse_incremental_search.call(event))

    @keys.add("left", filter=_WRITING & ~is_searching)
    def left(event: KeyPressEvent) -> None:
        document = event.current_buffer.document
        column = document.cursor_position_col
        event.current_buffer.cursor_position -= column - before(document.current_line, column)

    @keys.add("right", filter=_WRITING & ~is_searching)
    def right(event: KeyPressEvent) -> None:
        document = event.current_buffer.document
        column = document.cursor_position_col
        event.current_buffer.cursor_position += after(document.current_line, column) - column

    @keys.add("backspace", filter=_WRITING & ~is_searching & Condition(_behind_cluster))
    def take_out(event: KeyPressEvent) -> None:
        document = event.current_buffer.document
        column = document.cursor_position_col
        event.current_buffer.delete_before_cursor(column - before(document.current_line, column))


def _behind_cluster() -> bool:
    """Whether several code points before the cursor are one character to a person."""
    document = get_app().current_buffer.document
    column = document.cursor_position_col
    return column - before(document.current_line, column) > 1


def _commands(named: _Keys, owner: Owner) -> None:
    for action in ACTIONS:
        if action.command:
            named.on(action.name)(lambda event, command=action.command: owner.command(command))  # type: ignore[misc]


async def _write_in_editor(buffer: Buffer, command: list[str], pastes: Pastes) -> None:
    text = pastes.expand(buffer.text)
    async with in_terminal():
        edited = await edit(command, text)
    if edited is not None:
        buffer.save_to_undo_stack()
        buffer.document = Document(pastes.collapse_again(edited))
