"""Prompts of servers as slash commands, and their resources behind `@`."""

import base64
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from machine import play
from mcp_fakes import fake
from mcp_house import call as call_tool
from mcp_house import hosting, until
from mcp_shell import proposals, run, shell_with
from test_commands import RecordingShell
from tool_context import make_context

from kimi_agent.commands import available, find, refusal
from kimi_agent.core import event as ev
from kimi_agent.core.ask import Answer, Chosen, Question
from kimi_agent.core.message import Image
from kimi_agent.core.provider import Model
from kimi_agent.frontends.common.resources import offered
from kimi_agent.mcp.host import McpHost


@contextlib.asynccontextmanager
async def features(tmp_path: Path) -> AsyncIterator[tuple[McpHost, RecordingShell]]:
    async with hosting(tmp_path, {"notes": fake("features", log=tmp_path / "log")}, wait=False) as host:
        await host.settled(whole=True)
        yield host, shell_with(tmp_path, host)


def heard(shell: RecordingShell) -> list[str]:
    return [message.text for message in shell.session.runner.history.messages]


async def test_a_prompt_is_a_slash_command_whose_text_is_the_servers(tmp_path: Path) -> None:
    async with features(tmp_path) as (_, shell):
        command = next(each for each in available(shell.session) if each.name == "notes:review")
        assert (command.help, command.usage) == ("Review a file.", "<file> [tone]")
        assert await proposals(shell, "/notes:review a") == ["a.py"]
        assert await proposals(shell, "/notes:review a.py tone=s") == ["tone=strict"]
        await run(shell, "/notes:review file=a.py so strict")
        assert heard(shell)[0] == "/notes:review file=a.py so strict"
        assert heard(shell)[1].startswith("[The user calls the prompt review of the MCP server notes.")
        assert heard(shell)[1].endswith("Review a.py in a so strict tone.")
        assert shell.session.runner.history.messages[1].origin == "agent"
        assert "no prompt 'nope'" in await run(shell, "/notes:nope")
        assert find("/nowhere:review", shell.session) is None
        assert refusal("/notes:review a.py", shell.session) == ""


async def test_what_a_prompt_needs_is_asked_for(tmp_path: Path) -> None:
    async with features(tmp_path) as (_, shell):
        asked: list[Question] = []

        async def answer(question: Question) -> Answer:
            asked.append(question)
            return Chosen((("b b.py",),))

        shell.session.ask = answer
        await run(shell, "/notes:review")
        assert "needs file" in asked[0].items[0].question
        assert [option.label for option in asked[0].items[0].options] == ["kind", "strict", "a.py", "b.py"]
        assert heard(shell)[0] == "/notes:review 'file=b b.py'"
        assert "Review b b.py" in heard(shell)[1]
        events = await play(shell.session, "/notes:review")  # where nobody is asked, as in -p
        assert "needs file" in events[-1].error
        assert "no prompt 'nope'. It has: review, greet" in (await play(shell.session, "/notes:nope"))[-1].error


async def test_a_resource_is_read_when_it_is_mentioned_and_its_change_told_once(tmp_path: Path) -> None:
    async with features(tmp_path) as (host, shell):
        await play(
            shell.session, "Look at @notes:memo://shopping, and at @notes:note://7, @notes:none:x and mail@notes:x."
        )
        text = heard(shell)[1]
        assert '<attachment name="notes:memo://shopping">' in text
        assert "milk and bread" in text
        assert "the note 7" in text
        assert "@notes:none:x is not attached" in text
        assert "mail" not in text
        notices = [e.text for e in shell.session.events() if isinstance(e, ev.Notice)]
        assert any("@notes:none:x" in notice for notice in notices)
        assert "resources/subscribe" in (tmp_path / "log").read_text()
        await call_tool(host, "mcp__notes__touch", make_context(tmp_path))
        await until(lambda: host._changed_resources)
        await play(shell.session, "go on")
        told = [text for text in heard(shell) if "has changed since it was read" in text]
        assert told == ["[The MCP resource notes:memo://shopping has changed since it was read.]"]
        await play(shell.session, "and on")
        assert len([text for text in heard(shell) if "has changed since" in text]) == 1


async def test_a_picture_goes_to_models_that_see(tmp_path: Path) -> None:
    async with features(tmp_path) as (_, shell):
        await play(shell.session, "@notes:blob://logo")
        parts = [part for message in shell.session.runner.history.messages for part in message.parts]
        images = [part for part in parts if isinstance(part, Image)]
        assert base64.b64decode(images[0].data)[:4] == b"\x89PNG"
        blind = Model("fake", "fake-1", "fake", capabilities=frozenset({"thinking"}))
        shell.session.runner.model = blind
        await play(shell.session, "@notes:blob://logo again")
        assert "[a picture that the model cannot see]" in heard(shell)[-2]


async def test_resources_and_templates_are_completed(tmp_path: Path) -> None:
    async def paths(query: str) -> Sequence[str]:
        return [each.path for each in await offered(host, query)]

    async with features(tmp_path) as (host, _):
        assert await paths("") == []
        assert await paths("shop") == ["notes:memo://shopping"]
        assert await paths("notes:memo") == ["notes:memo://shopping"]
        assert await paths("notes:no") == ["notes:note://"]
        assert await paths("notes:note://a") == ["notes:note://a.py"]
        assert await paths("notes:note://zzz") == []
        assert await offered(None, "x") == []


async def test_a_name_of_ours_is_never_taken(tmp_path: Path) -> None:
    async with hosting(tmp_path, {"skill": fake("features"), "help": fake("features")}, wait=False) as host:
        await host.settled(whole=True)
        shell = shell_with(tmp_path, host)
        assert find("/help", shell.session)[0].name == "help"
        assert find("/help:review a", shell.session)[0].name == "help:review"
