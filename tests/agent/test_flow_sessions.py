"""A flow runs in a session: one turn per step, ended by END, an interrupt, an error, or a model that does not choose."""

import asyncio
from pathlib import Path

import pytest
from machine import House, ListProvider, of, play, say

from kimi_agent.agent.skill_files import Places, discover
from kimi_agent.agent.transcript import PromptBlock, Transcript
from kimi_agent.core import event as ev
from kimi_agent.core.errors import ServerError

FLOW = """\
---
name: release
description: makes a release
type: flow
---

```mermaid
flowchart TD
A([BEGIN]) --> B[Run the tests of $ARGUMENTS]
B --> C{Do they pass?}
C -->|yes| D[Tag it]
C -->|no| B
D --> E([END])
```
"""


def house(tmp_path: Path, provider: ListProvider) -> House:
    made = House(tmp_path, provider)
    folder = tmp_path / "home" / "skills" / "release"
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text(FLOW)
    made.agent.find_skills = lambda cwd: discover(cwd, Places(tmp_path / "home", tmp_path / "user"))
    return made


def asked(request) -> str:
    return next(m.text for m in reversed(request.messages) if m.role == "user")


async def test_a_flow_is_walked_to_its_end_and_then_the_queue_goes_on(tmp_path: Path):
    answers = iter(
        ["tests run", "<choice>no</choice>", "again", "hm", "<choice>yes</choice>", "tagged", "queued answer"]
    )
    provider = ListProvider(lambda request: say(next(answers)))
    session = house(tmp_path, provider).open()
    events = []
    async for event in session.prompt("/flow:release core"):
        events.append(event)
        if isinstance(event, ev.TurnStarted) and event.turn == 1:
            session.queue("what waits")
    steps = [asked(request) for request in provider.requests]
    assert "Run the tests of core" in steps[0]
    assert "Do they pass?" in steps[1]
    assert "Run the tests of core" in steps[2]
    assert "Do they pass?" in steps[3]
    assert "chose none" in steps[4]
    assert "Tag it" in steps[5]
    assert steps[6] == "what waits"
    assert {end.stop for end in of(events, ev.TurnEnded)} == {"done"}
    screen = Transcript()
    for event in session.events():
        screen.apply(event)
    assert [b.text for b in screen.blocks if isinstance(b, PromptBlock)] == ["/flow:release core", "what waits"]


async def test_a_failure_or_an_interrupt_ends_the_flow(tmp_path: Path):
    provider = ListProvider([say("tests run"), [ServerError("down")], say("fine")])
    session = house(tmp_path, provider).open()
    events = await play(session, "/flow:release core")
    assert of(events, ev.TurnEnded)[-1].stop == "error"
    await play(session, "hello")
    assert len(provider.requests) == 3
    assert asked(provider.requests[2]) == "hello"


async def test_an_interrupt_ends_it(tmp_path: Path):
    provider = ListProvider([say("tests run"), [60.0, *say("never")], say("fine")])
    session = house(tmp_path, provider).open()

    async def stop() -> None:
        while len(provider.requests) < 2:
            await asyncio.sleep(0)
        session.interrupt()

    stopper = asyncio.create_task(stop())
    events = await play(session, "/flow:release core")
    await stopper
    assert of(events, ev.TurnEnded)[-1].stop == "interrupted"
    await play(session, "hello")
    assert asked(provider.requests[2]) == "hello"


async def test_an_interrupt_at_the_beginning_of_a_step_leaves_nothing_of_it(tmp_path: Path):
    provider = ListProvider(lambda request: say("fine"))
    session = house(tmp_path, provider).open()
    async for event in session.prompt("/flow:release core"):
        if isinstance(event, ev.TurnStarted) and event.turn == 2:
            session.interrupt()
    await play(session, "hello")
    assert asked(provider.requests[-1]) == "hello"


async def test_a_model_that_never_chooses_ends_it_with_a_word(tmp_path: Path):
    provider = ListProvider(lambda request: say("hm"))
    session = house(tmp_path, provider).open()
    events = await play(session, "/flow:release core")
    assert any("chose none of" in notice.text for notice in of(events, ev.Notice))
    assert len(provider.requests) < 10


@pytest.mark.parametrize("text", ["/flow:nothing", "/flow:"])
async def test_what_is_no_flow_is_a_prompt(tmp_path: Path, text: str):
    provider = ListProvider([say("hm")])
    await play(house(tmp_path, provider).open(), text)
    assert asked(provider.requests[0]) == text


async def test_a_flow_whose_file_broke_is_told(tmp_path: Path):
    provider = ListProvider([])
    made = house(tmp_path, provider)
    session = made.open()
    (tmp_path / "home/skills/release/SKILL.md").write_text("---\ntype: flow\n---\nno diagram any more")
    events = await play(session, "/flow:release")
    assert "neither a ```mermaid" in of(events, ev.TurnEnded)[-1].error
    assert provider.requests == []
