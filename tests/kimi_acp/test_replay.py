"""A session that is loaded is told as it was: the same updates in the same order, whatever happened in its turns."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from acp_editor import Message, call, same, text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kimi_acp.client import Client
from kimi_acp.translate import Translation
from nightly import examples

from kimi_agent.agent.agent import Agent
from kimi_agent.agent.session import Session
from kimi_agent.build import build
from kimi_agent.config import Overrides, load_config
from kimi_agent.core import event as ev
from kimi_agent.core.ask import Allow, Answer, Deny, Dismissed, Permission, Question
from kimi_agent.core.message import Image
from kimi_agent.frontends.common.listening import Listening

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
OPTIONS = [{"label": "red", "description": ""}, {"label": "blue", "description": ""}]
CALLS = [
    call("ReadFile", path="a.txt", line_offset=2),
    call("ReadFile", path="missing.txt"),
    call("ReadMediaFile", path="p.png"),
    call("ReadFile"),
    call("NoSuchTool", x=1),
    call("Glob", pattern="*.txt"),
    call("WriteFile", path="b.txt", content="b\n"),
    call("StrReplaceFile", path="a.txt", edit={"old": "two", "new": "zwei"}),
    call("StrReplaceFile", path="a.txt", edit={"old": "not there", "new": "x"}),
    call("SetTodoList", todos=[{"title": "Look", "status": "done"}, {"title": "Write", "status": "in_progress"}]),
    call("SetTodoList", todos=[]),
    call("AskUserQuestion", questions=[{"question": "Which?", "header": "Colour", "options": OPTIONS}]),
    call("EnterPlanMode"),
    call("ExitPlanMode", plan="# A plan\n\n1. Look."),
]
WORDS = [{"think": "Let me see.", "chunk": 3}, {"text": "I look.", "chunk": 4}, {"text": "ü\u2028😀"}]
TOKENS = {"tokens": {"input": 1000, "output": 20, "cached": 10}}
BEGUN = "I begin."

works = st.builds(
    lambda words, calls, counted: [*words, *calls, *([TOKENS] if counted else [])],
    st.lists(st.sampled_from(WORDS), max_size=2),
    st.lists(st.sampled_from(CALLS), min_size=1, max_size=3),
    st.booleans(),
).map(lambda step: [step])
subagents = works.map(
    lambda inner: [
        [call("Agent", description="work", prompt="Do it.", subagent_type="coder")],
        *inner,
        [{"think": "So."}, text("Report."), TOKENS],
    ]
)
ends = st.sampled_from(["done", "done", "cut off", "cancelled", "cancelled in a command", "failed"])
LAST: dict[str, Any] = {
    "done": [{"think": "Now."}, text("Done."), TOKENS],
    "cut off": [text("Do"), {"finish": "length"}],
    "cancelled": [text(BEGUN), {"delay": 300}],
    "cancelled in a command": [call("Shell", command="echo out; touch begun; sleep 300")],
    "failed": [{"error": {"status": 400, "message": "no"}}],
}
turns = st.tuples(st.lists(st.one_of(works, works, subagents), max_size=3), ends, st.booleans())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator["World"]:
    loop = asyncio.new_event_loop()
    made = World(tmp_path_factory.mktemp("replay"), loop)
    yield made
    loop.run_until_complete(made.agent.aclose())
    loop.close()


class World:
    """One agent; `run` is one session, of these turns, as it was told and as it is told again."""

    def __init__(self, folder: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.folder, self.loop, self.scenario = folder, loop, folder / "scenario.json"
        flags = Overrides(provider=f"scripted:{self.scenario}")
        self.agent: Agent = build(
            load_config(folder / "none", {}, flags), cwd=folder, home=folder / "home", trust="always"
        )
        self.work, self.asked, self.session = folder, 0, None
        self.live: list[Message] = []

    def told(self, client: Client, script: Sequence[Any], images: Sequence[bool]) -> Any:
        return self.loop.run_until_complete(self._told(client, script, images))

    async def _told(self, client: Client, script: Sequence[Any], images: Sequence[bool]) -> Any:
        self.work = self.folder / f"work-{len(list(self.folder.iterdir()))}"
        self.work.mkdir()
        (self.work / "a.txt").write_text("one\ntwo\n")
        self.scenario.write_text(json.dumps(script))
        session = self.agent.open(ask=self._answer, cwd=self.work)
        live = self._translation(client, session.id, live=True)
        live.skip(session.events())
        self.live = []
        session.listen(Listening(lambda event: self.live.extend(live.apply(event)), lambda: None))
        for image in images:
            pictures = (Image(PIXEL, "image/png"),) if image else ()
            await self._turn(session, live, pictures)
        await self.agent.close(session)
        log, _ = self.agent.store.open(session.id)
        log.close()
        again = self._translation(client, session.id, live=False)
        return self.live, list(again.replay(log.events))

    def _translation(self, client: Client, session: str, *, live: bool) -> Translation:
        return Translation(client, str(self.work), lambda: 0, live=live, session=session)

    async def _turn(self, session: Session, live: Translation, images: tuple[Image, ...]) -> None:
        async for event in session.prompt("Work.", images):
            self.live.extend(live.apply(event))
            while isinstance(event, ev.Nested):
                event = event.event
            begun = isinstance(event, ev.TextDelta) and event.text == BEGUN
            running = isinstance(event, ev.ToolProgress) and "out\n" in event.text
            if begun or running:  # in whatever turn: one that was rejected leaves its steps to the next
                session.interrupt()

    async def _answer(self, question: Question) -> Answer:
        """No to every third question, so that calls are rejected; nobody answers others."""
        self.asked += 1
        if not isinstance(question, Permission) or question.agent:
            return Allow("once") if isinstance(question, Permission) else Dismissed()
        return Deny("not that") if self.asked % 3 == 0 else Allow("once")


def seen(updates: Sequence[Message]) -> list[Message]:
    """As a client has them: texts joined, ids by the order in which they came; without what only a live client is told."""
    names: dict[Any, str] = {}
    found = []
    for update in same([{**update, "@": getattr(update, "session", "")} for update in updates]):
        kind = update["sessionUpdate"]
        if kind == "user_message_chunk" or (kind == "notice" and update["severity"] == "error"):
            continue
        if "messageId" in update:
            key = (update["@"], update["messageId"])
            update["messageId"] = names.setdefault(key, f"{update['@']}-{len(names)}")
        if kind == "tool_call_update" and not set(update) - {"sessionUpdate", "toolCallId", "@", "_meta"}:
            continue  # a piece of the output of a command
        update.pop("_meta", None)
        if kind == "tool_call_update" and set(update) == {"sessionUpdate", "toolCallId", "@", "content"}:
            continue  # as much of its output as there was by then
        found.append(update)
    return found


DRAFTS = Client(notices=True, compaction=True, plans=True, subagents=True, shows_terminals=True)


@settings(max_examples=examples(12), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(turns, min_size=1, max_size=3), st.sampled_from([Client(notices=True), DRAFTS]))
def test_whatever_has_happened_is_told_as_it_was(world: World, played: Any, client: Client) -> None:
    script = [step for parts, end, _ in played for step in (*(s for part in parts for s in part), LAST[end])]
    live, again = world.told(client, script, [image for *_, image in played])
    assert seen(live) == seen(again)
    assert sum(update["sessionUpdate"] == "user_message_chunk" for update in again) >= len(played)
