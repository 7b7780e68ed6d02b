"""How pictures look: in the prompt as a placeholder, sent as half blocks, and in words."""

from pathlib import Path
from typing import Any

from PIL import Image as Pillow
from PIL import ImageDraw
from sample_pictures import encoded
from textual.pilot import Pilot
from tui_look import every_look

from kimi_agent.core import event as ev
from kimi_agent.core.message import Message, Text, user_message


def chart() -> Pillow.Image:
    picture = Pillow.new("RGB", (48, 18), "white")
    draw = ImageDraw.Draw(picture)
    for number, height in enumerate((5, 9, 7, 13, 16)):
        draw.rectangle((3 + 9 * number, 17 - height, 8 + 9 * number, 17), fill=(40, 110, 200 if number % 2 else 90))
    return picture


PROMPT = "What does @chart.png say about May?"
LOG: list[ev.Event] = [
    ev.ModelChanged("kimi-k2"),
    ev.TurnStarted(1),
    ev.MessageAdded(user_message(PROMPT)),
    ev.MessageAdded(user_message("[The user mentioned ...]", (encoded(chart(), name="chart.png"),), "agent")),
    ev.MessageAdded(Message("assistant", (Text("Sales were highest in **May**."),), "model")),
    ev.TurnEnded("done", steps=1),
]


@every_look
def test_a_picture_in_the_conversation_and_one_in_the_prompt(look: Any, size: Any, theme: str) -> None:
    async def attach(pilot: Pilot[Any]) -> None:
        area = pilot.app.composer.area  # type: ignore[attr-defined]
        area.put_in(
            "Draw it like " + area.pastes.attach_picture("old chart.png", str(Path("/o.png")), (640, 480)) + " "
        )
        await pilot.pause()

    assert look(size, theme, LOG, act=attach)
