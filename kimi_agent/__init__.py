"""kimi: a terminal coding agent. The import is free of cost; everything heavy is loaded where it is used.

`from kimi_agent import Agent` runs a session from Python, see docs/guides/python.md. Events, questions and answers can be
imported from here as well.
"""

TYPE_CHECKING = False  # `typing` itself costs more than the rest of `kimi --version`
if TYPE_CHECKING:
    from kimi_agent.core.ask import Allow, Choice, Chosen, Deny, Dismissed, Permission
    from kimi_agent.core.event import (
        Event,
        MessageAdded,
        Nested,
        Notice,
        TextDelta,
        ThinkDelta,
        ToolFinished,
        ToolProgress,
        ToolStarted,
        TurnEnded,
        TurnStarted,
        Usage,
    )
    from kimi_agent.core.message import Image
    from kimi_agent.sdk import Agent, TurnFailed

__version__ = "0.1.0"

_FROM = {
    "kimi_agent.sdk": ("Agent", "TurnFailed"),
    "kimi_agent.core.ask": ("Allow", "Choice", "Chosen", "Deny", "Dismissed", "Permission"),
    "kimi_agent.core.event": (
        "Event", "MessageAdded", "Nested", "Notice", "TextDelta", "ThinkDelta", "ToolFinished", "ToolProgress",
        "ToolStarted", "TurnEnded", "TurnStarted", "Usage",
    ),
    "kimi_agent.core.message": ("Image",),
}  # fmt: skip
_MODULES = {name: module for module, names in _FROM.items() for name in names}

__all__ = [
    "Agent", "Allow", "Choice", "Chosen", "Deny", "Dismissed", "Event", "Image", "MessageAdded", "Nested", "Notice",
    "Permission", "TextDelta", "ThinkDelta", "ToolFinished", "ToolProgress", "ToolStarted", "TurnEnded", "TurnFailed",
    "TurnStarted", "Usage", "__version__",
]  # fmt: skip


def __getattr__(name: str) -> object:
    """Loads what is asked for, when it is asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(_MODULES[name]), name)
    return value
