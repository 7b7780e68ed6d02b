"""Public doubles for tests of the machine: a model made of lists, small tools, and an agent put together from them."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from kimi_agent.agent.agent import Agent
from kimi_agent.agent.agent_types import AgentTypes
from kimi_agent.agent.runner import Limits
from kimi_agent.agent.session import Session
from kimi_agent.agent.store import SessionStore
from kimi_agent.agent.subagents import Budget
from kimi_agent.core import event as ev
from kimi_agent.core.ask import Allow, Answer, Question
from kimi_agent.core.display import Display, Plain
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ToolError
from kimi_agent.core.provider import CallChunk, Delta, Finished, Model, Request, TextChunk, Tokens
from kimi_agent.core.tool import ToolContext, ToolOutput, text_output
from kimi_agent.workspaces.local import LocalWorkspace

Reply = Sequence[Delta | Exception | float]
Script = Callable[[Request], Reply]
T = TypeVar("T")


class ListProvider:
    """Answers each request with the next reply: deltas are streamed, exceptions raised, numbers slept (seconds).

    `requests` keeps what was asked. A callable in place of the list is given each request.
    """

    def __init__(self, replies: Sequence[Reply] | Script, context_size: int = 0) -> None:
        self.model = Model("fake", "fake-1", "fake", context_size)
        self.requests: list[Request] = []
        self._replies = replies

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        self.requests.append(
            Request(request.session_id, request.system, list(request.messages), request.tools, request.max_output)
        )
        reply = self._replies(request) if callable(self._replies) else self._replies[len(self.requests) - 1]
        for item in reply:
            await asyncio.sleep(item if isinstance(item, int | float) else 0)
            if isinstance(item, Exception):
                raise item
            if not isinstance(item, int | float):
                yield item

    async def aclose(self) -> None:
        pass


def say(text: str, tokens: int = 10) -> list[Delta]:
    return [TextChunk(text), Tokens(tokens, 1), Finished("stop")]


def call(name: str, arguments: str = "{}", call_id: str = "", index: int = 0) -> CallChunk:
    return CallChunk(index, call_id or f"{name}:{index}", name, arguments)


def calls(*chunks: CallChunk, text: str = "") -> list[Delta]:
    first = [TextChunk(text)] if text else []
    return [*first, *chunks, Tokens(10, 1), Finished("tool_calls")]


class Params(msgspec.Struct):
    path: str = "x"
    text: str = ""
    times: int = 1


class FakeTool:
    """A tool whose behaviour is a function. `kind` and `params.path` make its effect; kind "" has none."""

    description = "A tool for tests."
    Params: type[Any] = Params

    def __init__(self, name: str, kind: str, run: Callable[[Params, ToolContext], Awaitable[str]]) -> None:
        self.name, self._kind, self._run = name, kind, run

    def effects(self, params: Params, ctx: ToolContext) -> tuple[Effect, ...]:
        if params.path == "forbidden":
            raise ToolError("this path is forbidden")
        return (Effect(self._kind, params.path),) if self._kind else ()  # type: ignore[arg-type]

    async def preview(self, params: Params, ctx: ToolContext) -> Display | None:
        return Plain(f"{self.name} {params.path}")

    async def run(self, params: Params, ctx: ToolContext) -> ToolOutput:
        return text_output(await self._run(params, ctx), Plain("ran"))


def instant(answer: str = "ok") -> Callable[[Params, ToolContext], Awaitable[str]]:
    async def run(params: Params, ctx: ToolContext) -> str:
        return answer

    return run


async def allow(question: Question) -> Answer:
    return Allow()


class House:
    """An agent in a temporary folder: `open` sessions, `play` prompts, look at the log."""

    def __init__(self, folder: Path, provider: Any, tools: Sequence[Any] = (), limits: Limits | None = None) -> None:
        self.provider, self.folder = provider, folder
        self.store = SessionStore(folder / "home")
        work = folder / "work"
        work.mkdir(exist_ok=True)
        self.agent = Agent(
            home=folder / "home",
            cwd=work,
            store=self.store,
            models={"fake": provider.model},
            default_model="fake",
            make_provider=lambda name: provider,
            make_tools=lambda model, folder: list(tools),
            make_workspace=lambda cwd, scratch: LocalWorkspace(cwd),
            limits=limits or Limits(),
        )

    def open(self, session_id: str | None = None, **options: Any) -> Session:
        options.setdefault("ask", allow)
        return self.agent.open(session_id, **options)


async def play(session: Session, text: str) -> list[ev.Event]:
    return [event async for event in session.prompt(text)]


def of(events: Sequence[ev.Event], kind: type[T]) -> list[T]:
    return [event for event in events if isinstance(event, kind)]


class Ear:
    """A `Listener` that remembers. `woken` is set when the session has something to go on with."""

    def __init__(self) -> None:
        self.shown: list[ev.Event] = []
        self.woken = asyncio.Event()

    def show(self, event: ev.Event) -> None:
        self.shown.append(event)

    def wake(self) -> None:
        self.woken.set()


def order(prompt: str, **more: object) -> str:
    """Arguments of an Agent call."""
    return json.dumps({"description": "some work", "prompt": prompt, **more})


def house(tmp_path: Path, provider: ListProvider, tools: Sequence[Any] = (), **options: Any) -> House:
    """A House with subagents: of the built-in `types` and with the usual `budget` when not given."""
    made = House(tmp_path, provider, tools)
    made.agent.find_agents = lambda folder: options.get("types", AgentTypes())
    made.agent.budget = options.get("budget", Budget())
    return made


def task_of(request: Request) -> str:
    """The last text that a person, or a subagent's caller, wrote."""
    return next(m.text for m in reversed(request.messages) if m.role == "user" and m.origin == "person")


def result_of(events: Sequence[ev.Event], call_id: str) -> str:
    """What the model was told of a call."""
    found = [e.message.result for e in of(events, ev.MessageAdded) if e.message.result]
    return next(r.content[0].text for r in found if r.call_id == call_id)
