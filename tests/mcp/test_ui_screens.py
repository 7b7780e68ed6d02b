"""What both shells draw of MCP servers while a person types."""

from pathlib import Path

from mcp_fakes import fake
from mcp_house import hosting
from mcp_shell import shell_with
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from tui_house import gone, house, screen_text, seen, shell, until, write

from kimi_agent.agent.session import Session
from kimi_agent.core.provider import Finished, TextChunk
from kimi_agent.frontends.line.complete import LineCompleter, completes


class Typing:
    """As much of line mode as completion looks at."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def remembers(self) -> bool:
        return True

    def folder(self) -> Path:
        return self.session.cwd

    def runs_git(self) -> None:
        return None

    async def shell_candidates(self, text: str) -> None:
        return None


async def test_the_full_screen_completes_prompts_and_resources_and_shows_the_list(tmp_path: Path) -> None:
    async with hosting(tmp_path, {"notes": fake("features"), "gone": fake("exits_at_once")}, wait=False) as host:
        await host.settled(whole=True)
        made = house(tmp_path)
        made.agent.make_servers = lambda folder: host
        async with shell(made.agent, (100, 30)) as (app, pilot):
            await seen(app, pilot, "mcp 1 failed")
            await write(app, pilot, "@notes:me")
            await seen(app, pilot, "@notes:memo://shopping"[1:])
            await seen(app, pilot, "What to buy")
            await pilot.press("tab")
            await until(pilot, lambda: app.composer.text == "@notes:memo://shopping ")
            app.composer.put("")
            await write(app, pilot, "/notes:rev")
            await seen(app, pilot, "Review a file.")
            await pilot.press("tab")
            await seen(app, pilot, "a.py")
            await write(app, pilot, "b")
            await gone(app, pilot, "a.py")
            await pilot.press("tab")
            await until(pilot, lambda: app.composer.text == "/notes:review b.py ")
            await pilot.press("enter")
            made.provider.feed(TextChunk("Reviewed."), Finished("stop"))
            await seen(app, pilot, "Reviewed.")
            await write(app, pilot, "/mcp")
            await pilot.press("escape")
            await pilot.press("enter")
            await seen(app, pilot, "MCP servers")
            await seen(app, pilot, "2 tools, 2 prompts")
            assert "failed" in screen_text(app)


async def test_line_mode_completes_them_too(tmp_path: Path) -> None:
    async def texts(typed: str) -> list[str]:
        document = Document(typed)
        assert completes(document, owner)
        found = LineCompleter(owner).get_completions_async(document, CompleteEvent(completion_requested=True))
        return [completion.text async for completion in found]

    async with hosting(tmp_path, {"notes": fake("features")}, wait=False) as host:
        await host.settled(whole=True)
        owner = Typing(shell_with(tmp_path, host).session)
        assert "@notes:memo://shopping" in await texts("see @notes:me")
        assert await texts("@notes:note://b") == ["@notes:note://b.py"]
        assert await texts("/notes:rev") == ["/notes:review"]
        assert await texts("/notes:review a") == ["a.py"]
        assert await texts("/mcp reconnect n") == ["notes"]
        assert not completes(Document("hello "), owner)
