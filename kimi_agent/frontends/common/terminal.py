"""Which interactive shell fits the terminal: the full screen, or line mode."""

from collections.abc import Mapping

_DRAWING = ("xterm", "screen", "tmux", "linux", "rxvt", "vt", "alacritty", "kitty", "foot", "wezterm", "konsole")
"""Beginnings of names of terminals that are known to move their cursor: terminfo need not be asked."""
_PAPER = ("emacs", "lpr", "printer", "network", "dialup", "switch")


def in_ci(env: Mapping[str, str]) -> bool:
    """Whether a build server runs us: what is written becomes a log."""
    return env.get("CI", "").lower() not in ("", "0", "false", "no")


def can_draw(env: Mapping[str, str]) -> bool:
    """Whether a full-screen program makes sense here. A terminal that terminfo does not know may be newer than it."""
    term = env.get("TERM", "dumb")
    if term in ("", "dumb", "unknown") or in_ci(env):
        return False
    return term.startswith(_DRAWING) or _moves_cursor(term)


def _moves_cursor(term: str) -> bool:
    try:
        import curses
    except ImportError:
        return term not in _PAPER
    try:
        curses.setupterm(term, 1)
    except curses.error:
        return term not in _PAPER
    return bool(curses.tigetstr("cup"))
