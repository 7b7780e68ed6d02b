"""Line mode's questions, asked at the same time: one is over before the next is printed."""

import asyncio
from collections.abc import Callable

from kimi_agent.core.ask import Allow, Choice, Chosen, Deny, Item, Option, Permission
from kimi_agent.core.display import Terminal
from kimi_agent.core.message import ToolCall
from kimi_agent.frontends.line.asker import Asker


class Paper:
    """As much of a screen as questions need; it keeps what is printed."""

    speaks = typed = False

    def __init__(self) -> None:
        self.text = ""

    def line(self, text: str, style: str = "") -> None:
        self.text += f"{text}\n"

    def markdown(self, text: str) -> None:
        self.line(text)

    def refresh(self) -> None:
        pass

    def set_aside(self) -> None:
        pass


def permission(command: str) -> Permission:
    return Permission(ToolCall(command, "Shell", "{}"), (), Terminal(command))


async def settle(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0)


async def test_a_second_question_is_not_printed_before_the_first_is_over():
    screen = Paper()
    asker = Asker(screen)
    first = asyncio.create_task(asker.ask(permission("rm -rf build")))
    second = asyncio.create_task(asker.ask(permission("ls")))
    await settle(lambda: "another question waits" in screen.text)
    assert "rm -rf build" in screen.text
    assert "$ ls" not in screen.text
    asker.offer("4")
    await settle(lambda: asker.label and "instead" in asker.label)
    assert "$ ls" not in screen.text  # the feedback belongs to the first, too
    asker.offer("use git clean")
    assert await first == Deny("use git clean")
    await settle(lambda: "$ ls" in screen.text and asker.label)
    asker.offer("1")
    assert await second == Allow()


async def test_a_choice_of_several_questions_stays_together():
    screen = Paper()
    asker = Asker(screen)
    items = tuple(Item(text, (Option("a"), Option("b"))) for text in ("One?", "Two?"))
    first = asyncio.create_task(asker.ask(Choice(items)))
    await settle(lambda: "One?" in screen.text and asker.label)
    second = asyncio.create_task(asker.choose("Which theme?", [Option("dark"), Option("light")]))
    asker.offer("1")
    await settle(lambda: "Two?" in screen.text and asker.label)
    assert "Which theme?" not in screen.text
    asker.offer("2")
    assert await first == Chosen((("a",), ("b",)))
    await settle(lambda: "Which theme?" in screen.text and asker.label)
    asker.offer("2")
    assert await second == 1


async def test_a_question_that_is_taken_back_lets_the_next_one_in():
    screen = Paper()
    asker = Asker(screen)
    waiting = [asyncio.create_task(asker.ask(permission(f"step {n}"))) for n in range(3)]
    await settle(lambda: asker.label)
    waiting[1].cancel()  # it is not printed yet
    waiting[0].cancel()  # it is being asked
    await settle(lambda: "step 2" in screen.text and asker.label)
    assert "step 1" not in screen.text
    asker.offer("1")
    assert await waiting[2] == Allow()
    assert asker.label is None
