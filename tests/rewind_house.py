"""What tests of going back share: a session with real tools, real files and real git, and a shell that answers by itself."""

import inspect
import json
import os
import shutil
import stat
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from boxes import box, chosen
from machine import FakeTool, House, ListProvider, call, calls, play, say

from kimi_agent.agent.session import Session
from kimi_agent.build import snapshots_of
from kimi_agent.commands import execute
from kimi_agent.config.load import load_config
from kimi_agent.core import event as ev
from kimi_agent.core.ask import Option
from kimi_agent.core.listing import Listing
from kimi_agent.core.provider import Request
from kimi_agent.tools.known_files import KnownFiles
from kimi_agent.tools.read_file import ReadFile
from kimi_agent.tools.shell import Shell
from kimi_agent.tools.task_stop import TaskStop
from kimi_agent.tools.write_file import WriteFile


class Script:
    """A model that does what `steps` say: each is a list of calls, and after the last one of a turn it says "done"."""

    def __init__(self) -> None:
        self.steps: list[Any] = []
        self.count = 0
        self.thought: Callable[[], bool] = lambda: True  # no answer before that

    def __call__(self, request: Request) -> Any:
        return self._thinking(self._reply())

    def _thinking(self, reply: Iterable[Any]) -> Iterator[Any]:
        while not self.thought():
            yield 0.01
        yield from reply

    def _reply(self) -> Any:
        if not self.steps:
            return say("done")
        step = self.steps.pop(0)
        chunks = []
        for index, (name, arguments) in enumerate(step):
            self.count += 1
            chunks.append(call(name, arguments, f"c{self.count}", index))
        return calls(*chunks)


class RewindHouse(House):
    """`config` is the text of a config.toml."""

    def __init__(self, folder: Path, config: str = "") -> None:
        self.script = Script()
        super().__init__(folder, ListProvider(self.script))
        self.work = folder / "work"
        self.during: Callable[[], object] = lambda: None  # what happens while the tool Disturb runs
        made = load_config(None, {}, text=config)

        def make_tools(model: Any, folder: Path) -> list[Any]:
            files = KnownFiles()
            return [ReadFile(files), WriteFile(files), Shell(), TaskStop(), FakeTool("Disturb", "run", self._disturb)]

        self.agent.make_tools = make_tools
        self.agent.make_snapshots = snapshots_of(
            made.snapshots, self.agent.home, box=box(chosen()) if chosen() else None
        )

    async def _disturb(self, params: Any, ctx: Any) -> str:
        done = self.during()
        if inspect.isawaitable(done):
            await done
        return "disturbed"

    def slow_git(self, monkeypatch: pytest.MonkeyPatch, command: str) -> tuple[Path, Callable[[], bool]]:
        """A git on the PATH that runs this command when the first file is there; the second says whether it waits."""
        gate, tools = self.folder / "gate", self.folder / "bin"
        tools.mkdir()
        wait = f"echo >> \"$GIT_DIR/waits\"; while ! [ -e '{gate}' ]; do {shutil.which('sleep')} 0.01; done"
        (tools / "git").write_text(
            f'#!/bin/sh\ncase " $* " in *\' {command} \'*) {wait};; esac\nexec {shutil.which("git")} "$@"\n'
        )
        (tools / "git").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
        return gate, lambda: any((self.agent.home / "snapshots").glob("*/waits"))

    async def turn(self, session: Session, *steps: Sequence[tuple[str, str]], text: str = "go") -> list[ev.Event]:
        """Let the model do these steps in one turn."""
        self.script.steps = [list(step) for step in steps]
        return await play(session, text)


def sh(command: str, **more: Any) -> tuple[str, str]:
    return ("Shell", json.dumps({"command": command, **more}))


def write(path: str, content: str) -> tuple[str, str]:
    return ("WriteFile", json.dumps({"path": path, "content": content}))


class AnsweringShell:
    """A `commands.Shell` that answers `choose` by the beginning of a label, `browse` by the number of a row."""

    draws = False

    def __init__(self, house: House, session: Session, answers: Iterable[str | int | None] = ()) -> None:
        self.agent, self.session, self.answers = house.agent, session, list(answers)
        self.shown: list[str] = []
        self.asked: list[str] = []
        self.rows: list[str] = []
        self.prompt = ""

    def show(self, markdown: str) -> None:
        self.shown.append(markdown)

    def apply(self, events: Iterable[ev.Event]) -> None:
        pass

    async def run(self, events: AsyncIterator[ev.Event]) -> None:
        async for _ in events:
            pass

    def switch(self, session: Session) -> None:
        self.session = session

    def put(self, text: str) -> None:
        self.prompt = text

    async def choose(self, title: str, options: Sequence[Option], text: str = "") -> int | None:
        if text:
            self.show(text)
        self.asked.append(title)
        if not self.answers:
            raise AssertionError(f"asked: {title}")
        answer = self.answers.pop(0)
        if answer is None:
            return None
        return next(n for n, option in enumerate(options) if option.label.startswith(str(answer)))

    async def browse(self, listing: Listing) -> str | None:
        rows = listing.rows()
        self.rows = [f"{row.label} | {row.description} | {row.mark}" for row in rows]
        answer = self.answers.pop(0)
        return None if answer is None else rows[int(answer)].id

    async def do(self, text: str, *answers: str | int | None) -> str:
        """Run a command with these answers; what it said last."""
        self.answers = list(answers)
        assert await execute(self, text)  # type: ignore[arg-type]
        assert "fault of its own" not in "".join(self.shown[-1:]), self.shown[-1]
        assert not self.answers, f"not asked for: {self.answers}"
        return self.shown[-1] if self.shown else ""


def picture(root: Path) -> dict[bytes, tuple[Any, ...]]:
    """Everything below a folder, byte by byte: kinds, rights, contents, targets of links, empty folders."""
    found: dict[bytes, tuple[Any, ...]] = {}
    for path in sorted(root.rglob("*")):
        key, info = os.fsencode(path.relative_to(root)), path.lstat()
        if stat.S_ISLNK(info.st_mode):
            found[key] = ("link", os.fsencode(path.readlink()))
        elif stat.S_ISDIR(info.st_mode):
            found[key] = ("folder",)
        elif stat.S_ISREG(info.st_mode):
            found[key] = ("file", stat.S_IMODE(info.st_mode), path.read_bytes())
        else:
            found[key] = ("other",)
    return found
