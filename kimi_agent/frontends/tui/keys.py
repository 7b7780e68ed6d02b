"""The keys of common/keymap.py as Textual knows them, and keys that Textual does not tell apart by itself."""

import unicodedata
from collections.abc import Mapping
from enum import Enum

from textual import events
from textual.binding import Binding

from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common.keymap import ACTIONS, Keymap

EVERYWHERE = {
    "interrupt": "interrupt",
    "stop": "interrupt_or_exit",
    "leave": "exit_twice",
    "suspend": "suspend_process",
    "plan_mode": "plan_mode",
    "expand": "expand",
    "search": "search",
    "copy": "copy",
    "page_up": "page(-1)",
    "page_down": "page(1)",
    "top": "page(0)",
    "bottom": "jump_end",
    "turn_before": "jump_turn(-1)",
    "turn_after": "jump_turn(1)",
}
"""The methods of the application that actions call, whatever has the focus."""
IN_PROMPT = {
    "send": "send",
    "newline": "newline",
    "end": "delete_or_exit",
    "undo": "undo",
    "redo": "redo",
    "history": "search_history",
    "steer": "app.steer",
    "shell_mode": "app.shell_mode",
    "give_output": "app.give_output",
    "editor": "app.editor",
    "paste": "app.paste_clipboard",
} | {action.name: f"app.run_command('{action.command}')" for action in ACTIONS if action.command}
"""Those that only the prompt has."""
UNBOUND = "unbound"
"""A key that no terminal sends."""
_NAMES = {"solidus": "slash", "reverse_solidus": "backslash", "commercial_at": "at", "hyphen_minus": "minus"}
_NAMES |= {"plus_sign": "plus", "low_line": "underscore"}
_ALSO = {"ctrl+_": "ctrl+shift+minus"}
"""What terminals with the Kitty protocol send for the same keys."""


class _Taught(Enum):
    ALT_ENTER = "alt+enter"
    ALT_BACKSPACE = "alt+backspace"
    ALT_B = "alt+b"
    ALT_F = "alt+f"


def teach() -> None:
    """Alt-Enter of terminals without the Kitty protocol comes as ESC CR: without this it would count as Enter."""
    from textual._ansi_sequences import ANSI_SEQUENCES_KEYS

    known = {"\x1b\r": _Taught.ALT_ENTER, "\x1b\n": _Taught.ALT_ENTER, "\x1b\x7f": _Taught.ALT_BACKSPACE}
    for sequence, key in (known | {"\x1bb": _Taught.ALT_B, "\x1bf": _Taught.ALT_F}).items():
        ANSI_SEQUENCES_KEYS[sequence] = (key,)  # type: ignore[index]


def typed(event: events.Key) -> str:
    """What a key puts into a text: more than Python calls printable, such as the blanks and joiners of many languages."""
    text = event.character or ""
    return text if event.is_printable or (not text.isascii() and plain(text).splitlines() == [text]) else ""


def bindings() -> list[Binding]:
    """What holds everywhere, with the usual keys; `set_keymap` puts a person's own in their places."""
    return [
        Binding(
            _keys(action.keys), EVERYWHERE[action.name], id=action.name, show=False, priority=action.name == "plan_mode"
        )
        for action in ACTIONS
        if action.name in EVERYWHERE
    ]


def bindings_of_questions() -> list[Binding]:
    """What holds while a question lies above a list."""
    wanted = ("interrupt", "stop", "leave", "suspend", "expand")
    return [
        Binding(_keys(action.keys), f"app.{EVERYWHERE[action.name]}", id=action.name, show=False)
        for action in ACTIONS
        if action.name in wanted
    ]


def for_textual(keymap: Keymap) -> dict[str, str]:
    """What differs from `bindings`: Textual goes through it at every key."""
    usual = Keymap().keys
    return {name: _keys(keymap.keys[name]) or UNBOUND for name in EVERYWHERE if keymap.keys[name] != usual[name]}


def for_prompt(keymap: Keymap) -> Mapping[str, str]:
    """What each key does in the prompt: the name of an action of Textual."""
    doing = {name: f"app.{action}" for name, action in EVERYWHERE.items()} | IN_PROMPT
    return {key: doing[name] for name, keys in keymap.keys.items() for each in keys for key in _spellings(each)}


def _keys(keys: tuple[str, ...]) -> str:
    return ",".join(spelling for key in keys for spelling in _spellings(key))


def _spellings(key: str) -> list[str]:
    return [_spelling(key), *([_ALSO[key]] if key in _ALSO else [])]


def _spelling(key: str) -> str:
    base = key[-1]
    if base.isalnum():
        return key
    name = unicodedata.name(base).lower().replace(" ", "_").replace("-", "_")
    return key[:-1] + _NAMES.get(name, name)
