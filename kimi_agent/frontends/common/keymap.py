"""The keys of both shells: one table of named actions, and what a person has changed in it (`[keys]` of config.toml)."""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct, field

MODIFIERS = ("ctrl", "alt", "shift")
"""In the order in which they are written."""
_LETTERLESS = ("enter", "escape", "tab", "space", "backspace", "delete", "insert", "home", "end", "pageup", "pagedown")
NAMED = frozenset((*_LETTERLESS, "up", "down", "left", "right", *(f"f{n}" for n in range(1, 25))))
_SAME = {"ctrl+m": "enter", "ctrl+i": "tab", "ctrl+[": "escape", "ctrl+h": "backspace"}
"""What a terminal sends for both is one and the same."""
_OTHER_NAMES = {"return": "enter", "esc": "escape", "del": "delete", "page_up": "pageup", "page_down": "pagedown"}
_SIGNS = {
    "underscore": "_", "slash": "/", "backslash": "\\", "minus": "-", "plus": "+", "at": "@", "comma": ",", "full_stop": ".",
    "period": ".", "semicolon": ";", "question_mark": "?", "left_square_bracket": "[", "right_square_bracket": "]",
}  # fmt: skip
_SHOWN = {"pageup": "Page Up", "pagedown": "Page Down", "escape": "Esc"}
_MODIFIER_NAMES = {"control": "ctrl", "meta": "alt", "option": "alt", "c": "ctrl", "m": "alt", "s": "shift"}


class Action(Struct, frozen=True):
    """`keys` in the spelling of `read_key`. `fixed`: these keys always do this; a person can only add others."""

    name: str
    keys: tuple[str, ...]
    help: str
    full: bool = True
    line: bool = True
    fixed: bool = False
    command: str = ""
    """The slash command that it runs."""


ACTIONS = (
    Action("send", ("enter",), "send; while a turn runs: queue for the next turn", fixed=True),
    Action("newline", ("shift+enter", "ctrl+j", "alt+enter"), "new line"),
    Action("steer", ("ctrl+s",), "steer: join the running turn before its next step"),
    Action("interrupt", ("escape",), "interrupt the turn; full screen, twice in an empty prompt: go back to an earlier message"),
    Action("stop", ("ctrl+c",), "interrupt, or empty the prompt; full screen: copy what is selected, twice: leave", fixed=True),
    Action("end", ("ctrl+d",), "in an empty prompt: leave (full screen: twice); else delete a character"),
    Action("leave", ("ctrl+q",), "twice: leave", line=False),
    Action("suspend", ("ctrl+z",), "back to your shell; `fg` goes on"),
    Action("plan_mode", ("shift+tab",), "plan mode on and off"),
    Action("shell_mode", ("ctrl+x",), "shell mode: your own shell, unseen by the model"),
    Action("give_output", ("ctrl+g",), "give the output of your last shell command to the model"),
    Action("editor", ("ctrl+o",), "write the prompt in your editor"),
    Action("paste", ("ctrl+v", "alt+v"), "paste the clipboard; a picture in it is attached"),
    Action("undo", ("ctrl+_", "ctrl+/", "alt+z"), "take back the last change of the prompt"),
    Action("redo", ("alt+shift+z",), "bring back what was undone"),
    Action("history", ("ctrl+r",), "search what was sent before in this folder"),
    Action("expand", ("ctrl+e",), "unfold all tool calls, diffs and thinking", line=False),
    Action("search", ("ctrl+f",), "search the transcript", line=False),
    Action("copy", ("ctrl+t",), "copy the block in which a selection begins, else the last answer", line=False),
    Action("page_up", ("pageup",), "scroll up", line=False),
    Action("page_down", ("pagedown",), "scroll down", line=False),
    Action("top", ("ctrl+home",), "scroll to the beginning", line=False),
    Action("bottom", ("ctrl+end",), "scroll to the end", line=False),
    Action("turn_before", ("alt+up",), "to the prompt of the turn before", line=False),
    Action("turn_after", ("alt+down",), "to the prompt of the turn after", line=False),
    Action("help", ("f1",), "`/help`: the commands and keys", command="/help"),
    Action("queue", ("alt+q",), "`/queue`: what waits for the next turn", command="/queue"),
    Action("tasks", ("alt+t",), "`/tasks`: what runs in the background", command="/tasks"),
    Action("context", ("alt+c",), "`/context`: what fills the model's window", command="/context"),
    Action("sessions", ("alt+s",), "`/sessions`: go on with another session", command="/sessions"),
)  # fmt: skip
_TYPING = frozenset(("space", "shift+space", "tab", "backspace"))
_FIXED = {key: action.name for action in ACTIONS if action.fixed for key in action.keys}
_BY_NAME = {action.name: action for action in ACTIONS}
_USUAL: Mapping[str, tuple[str, ...]] = {action.name: action.keys for action in ACTIONS}


def read_key(text: str) -> str:
    """`Ctrl-X`, `c-x` or `ctrl+x` as `ctrl+x`; modifiers in the order of `MODIFIERS`. Raises ValueError."""
    wanted = text.strip()
    before, base = (wanted[:-1], wanted[-1]) if wanted[-1:] in ("+", "-") else _cut(wanted)
    if before and before[-1] not in "+-":
        raise ValueError(f"{text!r} names no key")
    modifiers = before.replace("-", "+").rstrip("+").split("+") if before else []
    names = {_MODIFIER_NAMES.get(name.lower(), name.lower()) for name in modifiers}
    if len(base) == 1 and base.isupper() and modifiers and "shift" not in names and names != {"ctrl"}:
        names.add("shift")
    base = base.lower()
    base = _SIGNS.get(base, _OTHER_NAMES.get(base, base))
    if names - set(MODIFIERS) or not (base in NAMED or (len(base) == 1 and base.isprintable() and base != " ")):
        raise ValueError(f"{text!r} names no key")
    key = "+".join([*(name for name in MODIFIERS if name in names), base])
    return _SAME.get(key, key)


def _cut(text: str) -> tuple[str, str]:
    """What stands up to the last + or -, and what follows it."""
    start = max(text.rfind("+"), text.rfind("-")) + 1
    return text[:start], text[start:]


def shown(key: str) -> str:
    """`ctrl+x` as `Ctrl-X`."""
    before, base = (key[:-1], key[-1]) if key.endswith("+") else _cut(key) if len(key) > 1 else ("", key)
    return before.title().replace("+", "-") + _SHOWN.get(base, base.capitalize())


class Keymap(Struct, frozen=True):
    """The keys of each action by its name; no key has two. `notices` say what of the person's wishes cannot be."""

    keys: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: dict(_USUAL))
    notices: tuple[str, ...] = ()

    def rows(self, *, line: bool) -> Iterator[tuple[str, str, str]]:
        """Name, keys as people write them, and help of each action that the shell has and a key leads to."""
        for action in ACTIONS:
            keys = self.keys[action.name]
            if (action.line if line else action.full) and keys:
                yield action.name, ", ".join(shown(key) for key in keys), action.help


def keymap(chosen: Mapping[str, Sequence[str]]) -> Keymap:
    """The usual keys, and what a person has chosen instead, by the name of the action; no key unbinds it."""
    notices: list[str] = []
    wishes = {name: _wish(name, keys, notices) for name, keys in chosen.items() if _known(name, notices)}
    owners = dict(_FIXED)
    keys: dict[str, tuple[str, ...]] = {}
    for action in sorted(
        ACTIONS, key=lambda action: action.name not in wishes
    ):  # what was chosen goes before the usual
        wanted = wishes.get(action.name, action.keys)
        keys[action.name] = tuple(key for key in wanted if owners.setdefault(key, action.name) == action.name)
        if lost := [key for key in wanted if owners[key] != action.name]:
            notices += [_told_lost(action, key, owners[key], chosen=action.name in wishes) for key in lost]
        if action.fixed:
            keys[action.name] = tuple(dict.fromkeys((*action.keys, *keys[action.name])))
    return Keymap({action.name: keys[action.name] for action in ACTIONS}, tuple(notices))


def _known(name: str, notices: list[str]) -> bool:
    if name not in _BY_NAME:
        notices.append(f"keys.{name} in config.toml: there is no such action; /help lists them.")
    return name in _BY_NAME


def _wish(name: str, keys: Sequence[str], notices: list[str]) -> tuple[str, ...]:
    """The keys that can be read. Where all are unreadable, the usual ones stay."""
    wanted = [text for text in keys if text.strip()]
    found: list[str] = []
    for text in wanted:
        try:
            key = read_key(text)
        except ValueError:
            notices.append(f"keys.{name} in config.toml: {text!r} is not the name of a key.")
            continue
        if key in _TYPING or len(key.removeprefix("shift+")) == 1:
            notices.append(f"keys.{name} in config.toml: {text!r} is needed for typing.")
        elif (owner := _FIXED.get(key, name)) != name:
            notices.append(f"keys.{name} in config.toml: {shown(key)} always means {owner}.")
        else:
            found.append(key)
    return tuple(dict.fromkeys(found)) if found or not wanted else _BY_NAME[name].keys


def _told_lost(action: Action, key: str, owner: str, *, chosen: bool) -> str:
    if chosen:
        return f"keys.{action.name} in config.toml: {shown(key)} is the key of {owner} already."
    return f"keys.{owner} in config.toml: {shown(key)} no longer means {action.name}."
