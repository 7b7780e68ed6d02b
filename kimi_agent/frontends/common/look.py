"""What a person has chosen about how the interactive shells look and behave."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from kimi_agent.frontends.common.notify import Notifications

Images: TypeAlias = Literal["auto", "kitty", "iterm2", "sixel", "blocks", "off"]
Diffs: TypeAlias = Literal["auto", "unified", "side-by-side"]

STATUS_ITEMS = (
    "mode",
    "box",
    "model",
    "thinking",
    "folder",
    "branch",
    "mcp",
    "goal",
    "tasks",
    "context",
    "cost",
    "tokens",
)
"""What the status line says, the most important first: what does not fit is left out."""


@dataclass(frozen=True, slots=True)
class Look:
    """Without `show_thinking` the model's reasoning is not shown as it comes, only folded afterwards.

    When it is to be `still`, nothing counts or moves by itself. `editor` is the command that Ctrl-O starts, empty for that of
    the environment. `keys` holds the keys of an action by its name (common/keymap.py), where they are not the usual ones.
    """

    theme: str = "auto"
    editor: str = ""
    show_thinking: bool = True
    notifications: Notifications = "off"
    still: bool = False
    images: Images = "auto"
    diffs: Diffs = "auto"
    status_line: tuple[str, ...] = STATUS_ITEMS
    vim: bool = False
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
