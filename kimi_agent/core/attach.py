"""Attachments: what a person mentions with `@` in a prompt, read for the model before the turn begins."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from kimi_agent.core.message import Image
from kimi_agent.core.record import Record
from kimi_agent.core.workspace import Workspace


class Attached(Record):
    """`text` and `images` go to the model below the prompt, `notices` to the person. All empty: nothing was mentioned."""

    text: str = ""
    images: tuple[Image, ...] = ()
    notices: tuple[str, ...] = ()


Attach: TypeAlias = Callable[[str, Workspace], Awaitable[Attached]]
"""Reads what a prompt mentions. For texts that a person typed only: the mention is the permission. Raises nothing."""
