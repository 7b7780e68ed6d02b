"""The agent from Python, over real HTTP."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bugfix import is_mended, make_repository, steps
from fake_api import FakeAPI
from machine import FakeTool, instant

from kimi_agent import Agent, Allow, Deny, TextDelta, ToolFinished, TurnEnded, TurnFailed
from kimi_agent.core.errors import NoModelError


def settings(api: FakeAPI, home: Path) -> dict[str, str]:
    provider = {"type": "kimi", "base_url": api.url, "api_key": "sk-test"}
    model = {"provider": "p", "model": "m", "max_context_size": 100000}
    return {
        "config": json.dumps({"default_model": "m", "providers": {"p": provider}, "models": {"m": model}}),
        "home": str(home),
    }


async def test_a_bug_is_mended_from_python(tmp_path: Path):
    work = tmp_path / "work"
    work.mkdir()
    make_repository(work)
    script = steps()
    with FakeAPI(lambda body: script[sum(m["role"] == "assistant" for m in body["messages"])]) as api:
        async with Agent(work, mode="yolo", **settings(api, tmp_path / "home")) as agent:
            events = [event async for event in agent.prompt("Fix the failing test.")]
    assert is_mended(work)
    assert any(isinstance(event, ToolFinished) for event in events)
    assert "".join(event.text for event in events if isinstance(event, TextDelta))
    assert isinstance(events[-1], TurnEnded)


async def test_nothing_that_needs_a_permission_runs_without_one(tmp_path: Path):
    ran = []

    async def act(params, ctx) -> str:
        ran.append(1)
        return "done"

    def model(body):
        results = [m for m in body["messages"] if m["role"] == "tool"]
        return [{"text": results[-1]["content"]}] if results else [{"call": {"name": "Act", "arguments": {}}}]

    asked = []

    async def ask(question):
        asked.append(question)
        return Allow() if len(asked) > 1 else Deny("not this one")

    tool = FakeTool("Act", "write", act)
    with FakeAPI(model) as api:
        given = settings(api, tmp_path / "home")
        async with Agent(tmp_path, tools=[tool], **given) as agent:
            assert "gives no permissions" in await agent.run("act")
        assert ran == []
        async with Agent(tmp_path, tools=[tool], ask=ask, **given) as agent:
            assert "not this one" in await agent.run("act")
            session = agent.session.id
        async with Agent(tmp_path, tools=[tool], ask=ask, session=session, **given) as agent:
            assert agent.session.id == session
            await agent.run("act")
    assert len(asked) == 1, "the second turn's answer came from the first result"


async def test_a_turn_that_fails_raises_with_what_is_known(tmp_path: Path):
    with FakeAPI(lambda body: [{"error": {"status": 401, "message": "bad key"}}]) as api:
        async with Agent(tmp_path, **settings(api, tmp_path / "home")) as agent:
            with pytest.raises(TurnFailed) as failure:
                await agent.run("hello")
    assert failure.value.end.kind == "AuthError"


async def test_what_is_missing_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("KIMI_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    agent = Agent(tmp_path, home=tmp_path / "home", tools=[FakeTool("Act", "", instant())])
    with pytest.raises(RuntimeError, match="not open"):
        agent.prompt("x")
    async with agent:
        with pytest.raises(TurnFailed) as failure:
            await agent.run("hello")
    assert failure.value.end.kind == NoModelError.__name__


def test_the_import_is_free_of_cost():
    code = "import kimi_agent, sys; print(len([m for m in sys.modules if m.startswith(('kimi_agent.', 'msgspec', 'asyncio'))]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"
