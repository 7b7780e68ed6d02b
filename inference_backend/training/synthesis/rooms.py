"""Where tasks are done: the real agent, with its loop, tools, gates and box, in a temporary folder."""

import functools
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from msgspec import Struct

from inference_backend.training.synthesis.boxed import missed
from inference_backend.training.synthesis.expert import Expert
from inference_backend.training.synthesis.families.trouble import NOBODY
from inference_backend.training.synthesis.goals import check
from inference_backend.training.synthesis.masks import Masks, masks_for
from inference_backend.training.synthesis.player import ENDPOINT
from inference_backend.training.synthesis.replay import replay
from inference_backend.training.synthesis.site import Site
from inference_backend.training.synthesis.task import Task
from inference_backend.training.synthesis.world import make_world
from kimi_agent.build import build
from kimi_agent.config import Overrides, load_config
from kimi_agent.core import event as ev
from kimi_agent.core.ask import Answer, Deny, Dismissed, Permission, Question
from kimi_agent.core.provider import Model, Provider, Request
from kimi_agent.providers.chat_request import RequestEncoder

if TYPE_CHECKING:
    from kimi_agent.agent.session import Session

MODEL = "kimi-tiny"
ENVIRONMENT = {
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "LC_ALL": "C.UTF-8",
}
"""What programs of a world say must not depend on this machine's plugins, settings and language."""
CONFIG = f"""
default_model = "{MODEL}"
[models.{MODEL}]
provider = "engine"
model = "{MODEL}"
max_context_size = 16384
profile = "compact"
[providers.engine]
type = "kimi_engine"
base_url = "http://127.0.0.1/v1"
[network]
allow_private = true
[snapshots]
enabled = false
[box]
env = {json.dumps(list(ENVIRONMENT))}
"""
NOT_ALLOWED = "The user does not want that."
"""What a person says who allows nothing."""


class Episode(Struct, frozen=True):
    """What was sent to the model, `messages` with its last answer, as the server of the engine gets them; and what came of it.

    `wrong` says why it is no example: the goal was missed, a turn ended badly. `tools` are OpenAI tools.
    """

    task: Task
    system: str
    tools: list[dict[str, Any]]
    messages: list[dict[str, Any]]
    wrong: tuple[str, ...] = ()


class Actor(Provider, Protocol):
    """Who plays a task in a model's place: an expert, or a model. `last` is the last request that it was sent."""

    model: Model
    last: Request | None


class Room:
    """One agent for many tasks, one after another. Use it as `async with`.

    `accepts_no_box` is for experts alone, whose commands and code are known: commands run where the machine has no box, too, and
    goals run code outside of it.
    """

    def __init__(self, *, accepts_no_box: bool = True) -> None:
        self._accepts_no_box = accepts_no_box

    async def __aenter__(self) -> Self:
        self._top = Path(tempfile.mkdtemp(prefix="kimi-world-")).resolve()
        own = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # the python3 of every world
        self._before = {name: os.environ.get(name) for name in ("PATH", *ENVIRONMENT)}
        os.environ.update(ENVIRONMENT, PATH=own)
        home = self._top / "home"
        home.mkdir()
        config = load_config(home / "config.toml", {}, Overrides(), text=CONFIG)
        self._agent = build(
            config, cwd=self._top, home=home, trust="always", headless=True, accepts_no_box=self._accepts_no_box
        )
        # A world has no rules, skills and types of agents of its own, and the compact profile tells of none: half of the time
        # of an episode would go into looking for them.
        self._agent.make_rules = self._agent.find_skills = self._agent.find_agents = None
        self._site = Site()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._agent.aclose()
        self._site.close()
        for name, value in self._before.items():
            os.environ.pop(name)
            os.environ |= {name: value} if value is not None else {}
        shutil.rmtree(self._top, ignore_errors=True)

    async def perform(self, task: Task, actor: Callable[[Model, Masks], Actor] | None = None) -> Episode:
        """Do a task in a new world. What goes wrong is in the episode's `wrong`, never raised.

        `actor` makes who does it; else the task's expert does.
        """
        folder = Path(tempfile.mkdtemp(prefix="w", dir=self._top))
        try:
            make_world(task.world, folder)
            self._site.pages = task.world.site
            masks = masks_for(task.seed, str(folder), task.world.port, self._site.port)
            model = self._agent.models[MODEL]
            return await self._act(
                task, folder, masks, actor(model, masks) if actor else Expert(task.expert(), model, masks)
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    async def replays(self, episode: Episode) -> bool:
        """Whether the same calls show the same in a clean copy of the world, and reach the goal.

        Only the tools run again, in the same box; what a person refused is not done here either.
        """
        if not any("tool_calls" in message for message in episode.messages):
            return True
        folder, scratch = (Path(tempfile.mkdtemp(prefix=kind, dir=self._top)) for kind in ("w", "s"))
        task = episode.task
        try:
            make_world(task.world, folder)
            masks = masks_for(task.seed, str(folder), task.world.port, self._site.port)
            tools = self._agent.make_tools(self._agent.models[MODEL], folder)
            workspace = self._agent.make_workspace(folder, scratch)
            same = await replay(
                episode.messages, tools, workspace, scratch, masks, _no(task.refuses) if task.refuses else ""
            )
            await workspace.aclose()
            return same and check(task.goal, folder, episode.messages[-1]["content"]).passed
        finally:
            for each in (folder, scratch):
                shutil.rmtree(each, ignore_errors=True)

    async def _act(self, task: Task, folder: Path, masks: Masks, actor: Actor) -> Episode:
        self._agent.make_provider = lambda name: actor
        session = self._agent.open(
            ask=functools.partial(_answers, _no(task.refuses)),
            cwd=folder,
            mode="default" if task.refuses else "yolo",
        )
        try:
            wrong, answer = [], ""
            for text in task.turns:
                end, answer = await _turn(session, masks.real(text))
                wrong += [f"a turn ended: {end.stop} {end.error}".strip()] if end.stop != "done" else []
            wrong += await self._missed(task, folder, masks.shown(answer))
            system, tools, messages = self._sent(session, actor, masks)
            return Episode(task, system, tools, messages, tuple(wrong))
        finally:
            await self._agent.close(session)
            shutil.rmtree(self._top / "home" / "sessions", ignore_errors=True)

    async def _missed(self, task: Task, folder: Path, answer: str) -> tuple[str, ...]:
        """What of the goal is missed. Code that a model wrote runs where its commands ran: in the box."""
        if self._accepts_no_box:
            return check(task.goal, folder, answer).reasons
        return await missed(task.goal, folder, answer, self._agent.box, self._agent.make_workspace)

    def _sent(
        self, session: "Session", actor: Actor, masks: Masks
    ) -> tuple[str, list[dict[str, Any]], list[dict[str, Any]]]:
        """The body of the request that would follow the last answer."""
        assert actor.last is not None
        whole = Request("", actor.last.system, session.runner.history.messages, actor.last.tools)
        body = json.loads(masks.shown(RequestEncoder(ENDPOINT, actor.model).encode(whole).decode()))
        messages = body["messages"]
        system = messages[0]["content"] if messages[0]["role"] == "system" else ""
        return system, body.get("tools", []), messages


async def _turn(session: "Session", text: str) -> tuple[ev.TurnEnded, str]:
    answer, end = "", ev.TurnEnded("interrupted")
    async for event in session.prompt(text):
        if isinstance(event, ev.MessageAdded) and event.message.role == "assistant":
            answer = event.message.text
        elif isinstance(event, ev.TurnEnded):
            end = event
    return end, answer


def _no(refuses: str) -> str:
    """What a person says who allows nothing, or the program where there is none."""
    if refuses == NOBODY:
        from kimi_agent.frontends.print import NOBODY as WORDS

        return WORDS
    return refuses or NOT_ALLOWED


async def _answers(no: str, question: Question) -> Answer:
    return Deny(no) if isinstance(question, Permission) else Dismissed("")
