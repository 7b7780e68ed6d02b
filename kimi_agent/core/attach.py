"""Attachments: what the mentions in a person's text (`@file`, `@folder/`, `@https://...`) name."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from kimi_agent.core.message import Image
from kimi_agent.core.record import Record
from kimi_agent.core.workspace import Workspace


class Attached(Record):
    """`text` goes to the model below the prompt, `notices` tell the person what was cut or left out."""

    text: str = ""
    images: tuple[Image, ...] = ()
    notices: tuple[str, ...] = ()


Attach: TypeAlias = Callable[[str, Workspace], Awaitable[Attached]]
"""Reads what a text mentions, in a workspace. Never raises for what a person can mistype: that is a notice."""
