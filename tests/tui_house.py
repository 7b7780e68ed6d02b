"""What tests of the full-screen shell share: an agent whose model says what the test feeds it, and a look at the screen."""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from machine import House
from textual import events
from textual.app import App
from textual.pilot import Pilot

from kimi_agent.core.provider import Delta, Finished, Model, Request
from kimi_agent.core.tool import Tool
from kimi_agent.frontends.common.look import Look
from kimi_agent.frontends.tui.app import KimiApp
from kimi_agent.tools.ask_user import AskUserQuestion
from kimi_agent.tools.known_files import KnownFiles
from kimi_agent.tools.read_file import ReadFile
from kimi_agent.tools.shell import Shell
from kimi_agent.tools.str_replace_file import StrReplaceFile
from kimi_agent.tools.todo import SetTodoList
from kimi_agent.tools.write_file import WriteFile

PATIENCE = 30.0


class FedProvider:
    """Streams what `feed` is given, as soon as it is given; `Finished` ends a reply. `requests` is what was asked."""

    def __init__(self) -> None:
        self.model = Model("kimi-k2", "kimi-k2-0905", "moonshot", 262_144)
        self.requests: list[Request] = []
        self._items: asyncio.Queue[Delta | Exception] = asyncio.Queue()

    def feed(self, *items: Delta | Exception) -> None:
        for item in items:
            self._items.put_nowait(item)

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        self.requests.append(request)
        while True:
            item = await self._items.get()
            if isinstance(item, Exception):
                raise item
            yield item
            if isinstance(item, Finished):
                return

    async def aclose(self) -> None:
        pass


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def file_and_shell_tools() -> list[Tool]:
    """Fresh tools of one session."""
    files = KnownFiles()
    return [ReadFile(files), WriteFile(files), StrReplaceFile(files), Shell(), SetTodoList(), AskUserQuestion()]


def house(folder: Path) -> House:
    """An agent with real tools in `folder/work`, and a model that is fed by the test."""
    made = House(folder, FedProvider())
    made.agent.models, made.agent.default_model = {"kimi-k2": made.provider.model}, "kimi-k2"
    made.agent.make_tools = lambda model, folder: file_and_shell_tools()
    return made


@asynccontextmanager
async def shell(
    agent: Any, size: tuple[int, int] = (80, 24), **options: Any
) -> AsyncIterator[tuple[KimiApp, Pilot[int]]]:
    """The application on a screen of that size, and the pilot that presses its keys."""
    chosen = {each.name: options.pop(each.name) for each in dataclasses.fields(Look) if each.name in options}
    app = KimiApp(agent, look=Look(**chosen), **options)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        try:
            yield app, pilot
        finally:
            app.talk.session.interrupt()


async def until(pilot: Pilot[int], condition: Callable[[], Any]) -> None:
    """Let the application run until the condition holds. Fails with the screen when it never does."""
    deadline, wait = time.monotonic() + PATIENCE, 0.005
    while not condition():
        assert time.monotonic() < deadline, f"never came true; the screen:\n{screen_text(pilot.app)}"
        await pilot.pause(wait)
        wait = min(2 * wait, 0.04)  # to look at the whole screen takes as long as what is waited for
    await pilot.pause()


def screen_text(app: App[Any]) -> str:
    """All that is on the screen."""
    return "\n".join("".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips())


async def seen(app: KimiApp, pilot: Pilot[int], text: str) -> None:
    """Wait until `text` is on the screen."""
    await until(pilot, lambda: text in screen_text(app))


async def gone(app: KimiApp, pilot: Pilot[int], text: str) -> None:
    await until(pilot, lambda: text not in screen_text(app))


async def write(app: KimiApp, pilot: Pilot[int], text: str) -> None:
    """Put a text into what has the focus, as a paste of the terminal does: quicker than key by key."""
    app.post_message(events.Paste(text))
    await pilot.pause()
