"""Calling a person who looks elsewhere: a bell, and a desktop notification where the terminal can show one."""

import os
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

from kimi_agent.core import event as ev
from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common.describe import seconds

Notifications: TypeAlias = Literal["auto", "bell", "off"]

LONG_TURN_S = 10.0
"""A turn that takes less is waited for."""
BELL = "\a"
_BY_PROGRAM = {"iTerm.app": 9, "WezTerm": 9, "ghostty": 9, "WarpTerminal": 9}
_BY_TERM = {
    "xterm-kitty": 99,
    "xterm-ghostty": 9,
    "wezterm": 9,
    "foot": 777,
    "foot-extra": 777,
    "rxvt-unicode-256color": 777,
}


def notification(text: str, env: Mapping[str, str]) -> str:
    """The control sequence that shows `text` on the desktop; empty where the terminal is not known to understand one.

    A multiplexer would swallow it, or print it: there it is always empty.
    """
    if env.get("TMUX") or env.get("STY"):
        return ""
    text = " ".join(plain(text).split())
    match _BY_TERM.get(env.get("TERM", "")) or _BY_PROGRAM.get(env.get("TERM_PROGRAM", "")):
        case 9:
            return f"\x1b]9;{text}\a"
        case 99:
            return f"\x1b]99;o=unfocused;{text}\x1b\\"
        case 777:
            return f"\x1b]777;notify;kimi;{text}\a"
        case _:
            return ""


class Notifier:
    """Says that a long turn is over, and that a question waits. `write` sends a control sequence to the terminal.

    `away` is whether the window has the focus elsewhere, None when the terminal has not told; only a person who is known to
    look is not called.
    """

    def __init__(self, mode: Notifications, write: Callable[[str], None], env: Mapping[str, str] | None = None) -> None:
        self._mode, self._write = mode, write
        self._env = os.environ if env is None else env
        self.away: bool | None = None

    def follow(self, event: ev.Event) -> None:
        """Call for the end of a long turn that nobody interrupted."""
        if isinstance(event, ev.TurnEnded) and event.seconds >= LONG_TURN_S and event.stop != "interrupted":
            how = "done" if event.stop == "done" else "stopped"
            self._call(f"kimi: {how} after {seconds(event.seconds)}")

    def question(self) -> None:
        self._call("kimi waits for your answer")

    def _call(self, text: str) -> None:
        if self._mode != "off" and self.away is not False:
            self._write(BELL + (notification(text, self._env) if self._mode == "auto" else ""))
