"""Pictures of a cell as parts of a message."""

import base64
from collections.abc import Sequence

from kimi_agent.core.errors import ToolError
from kimi_agent.core.message import Image
from kimi_agent.tools.images import shrink

MAX_SHOWN = 8
"""Per cell; a history holds each of them twice, for the model and for the person."""


def fit_to_send(pictures: Sequence[bytes], name: str, notes: list[str]) -> tuple[Image, ...]:
    """The first ones, made small enough to send; a note tells of one that cannot be. Takes up to a second each."""
    images: list[Image] = []
    for data in pictures[:MAX_SHOWN]:
        try:
            small = shrink(data)
        except ToolError as error:
            notes.append(f"a picture cannot be shown: {error}")
            continue
        number = f" picture {len(images) + 1}" if len(pictures) > 1 else ""
        images.append(Image(base64.b64encode(small.data).decode(), small.media_type, name + number))
    return tuple(images)
