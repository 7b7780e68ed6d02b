"""A server asks the model: only where its entry allows it, shown whole, within a budget, and never unasked."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from machine import House, ListProvider, say
from mcp_fakes import fake
from mcp_house import call, hosting
from tool_context import Person, make_context, text_of

from kimi_agent.agent.session import Session
from kimi_agent.core.ask import Chosen, Dismissed
from kimi_agent.mcp.host import McpHost
from kimi_agent.mcp.sampling import ALLOW, DECLINE, Sampling

YES, NO = Chosen(((ALLOW,),)), Chosen(((DECLINE,),))


@contextlib.asynccontextmanager
async def sampling(
    tmp_path: Path, person: Person, *, limit: int = 1000, allowed: bool = True
) -> AsyncIterator[tuple[McpHost, Session]]:
    hosts: list[McpHost] = []
    command = fake("asks")
    entry: dict[str, Any] = {"command": command[0], "args": command[1:], "sampling": allowed}
    sample = Sampling(lambda s: hosts[0].person(s)[0], lambda s: hosts[0].person(s)[1], limit)
    async with hosting(tmp_path, {"acme": entry}, sample=sample) as host:
        hosts.append(host)
        (tmp_path / "house").mkdir()
        house = House(tmp_path / "house", ListProvider(lambda request: say("Hello there.", 400)))
        house.agent.make_servers = lambda folder: host
        session = house.open(ask=person)
        yield host, session
        await session.aclose()


async def asked(host: McpHost, tmp_path: Path) -> str:
    return text_of(await call(host, "mcp__acme__sample", make_context(tmp_path)))


async def test_each_request_is_shown_whole_and_counts(tmp_path: Path) -> None:
    person = Person([YES, NO, Dismissed(), YES, YES])
    async with sampling(tmp_path, person) as (host, session):
        first = await asked(host, tmp_path)
        assert "'text': 'Hello there.'" in first
        assert "'model': 'fake'" in first
        question = person.questions[0]
        assert "MCP server acme" in question.items[0].question
        assert question.items[0].options[0].label == DECLINE
        assert "\nSay hi.\n" in question.text
        assert "fake would answer with at most 50 tokens" in question.text
        assert "0 answers, 0 of 1,000 tokens" in question.text
        request = session.runner.provider().requests[0]
        assert (request.max_output, request.tools) == (50, ())
        for _ in range(2):
            assert "User rejected" in await asked(host, tmp_path)
        assert "1 answer, 401 of 1,000 tokens" in person.questions[1].text
        session.set_mode("afk")
        assert "User rejected" in await asked(host, tmp_path)
        assert len(person.questions) == 3
        session.set_mode("default")
        await asked(host, tmp_path)
        await asked(host, tmp_path)
        assert "budget for sampling is used up" in await asked(host, tmp_path)
        assert len(session.runner.provider().requests) == 3


async def test_it_is_off_unless_the_entry_allows_it(tmp_path: Path) -> None:
    person = Person([YES])
    async with sampling(tmp_path, person, allowed=False) as (host, session):
        assert "not supported" in (await asked(host, tmp_path)).lower()
        assert person.questions == []
        assert session.runner.provider().requests == []
        assert "sampling" not in text_of(await call(host, "mcp__acme__client", make_context(tmp_path)))
