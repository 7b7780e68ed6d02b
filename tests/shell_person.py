"""A person at a real shell on a pseudo-terminal."""

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common.user_shell import UserShell

PATIENCE = 30.0
SHELLS = ("bash", "zsh", "fish", "sh")
Ran = tuple[int | None, str]


class Person:
    """Types commands, and answers while they run."""

    def __init__(self, folder: Path, shell: str) -> None:
        self.folder = folder
        environ = {"HOME": str(folder), "PATH": os.environ["PATH"], "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        self.shell = UserShell(folder, size=lambda: (80, 24), environ=environ | {"SHELL": shell})
        self.output = ""

    def _hear(self, text: str) -> None:
        self.output += text

    async def run(self, command: str, *answers: tuple[str, Callable[[], None]]) -> Ran:
        """Run a command; each answer is given when its text has appeared. Answers the code and the safe output."""
        self.output = ""
        task = asyncio.create_task(self.shell.run(command, self._hear))
        for text, answer in answers:
            await self.until(lambda text=text: text in self.output)
            answer()
        code = await asyncio.wait_for(task, PATIENCE)
        return code, plain(self.output).strip()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0)


def path_of(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path
