"""/context: the parts of the window, scaled to what the API counted, and taking a tool result out of it."""

import re
from pathlib import Path

from machine import FakeTool, House, ListProvider, call, calls, instant, play, say
from test_commands import RecordingShell

from kimi_agent.agent.context_use import context_use
from kimi_agent.commands import execute
from kimi_agent.core import event as ev
from kimi_agent.core.provider import Finished, TextChunk, Tokens

LONG = "a line of output\n" * 400


def worked(tmp_path: Path) -> House:
    """A session whose model calls Look once and is told that its requests have 9000 tokens."""

    def reply(request):
        if request.messages[-1].result is None and request.messages[-1].text == "look":
            return calls(call("Look", '{"path": "src/a|b.py"}', "c1"))
        return [TextChunk("fine"), Tokens(9000, 1), Finished("stop")]

    return House(tmp_path, ListProvider(reply), [FakeTool("Look", "read", instant(LONG))])


async def test_the_parts_add_up_to_what_the_api_counted(tmp_path: Path):
    shell = RecordingShell(worked(tmp_path))
    await play(shell.session, "look")
    use = context_use(shell.session)
    assert use.measured == 9001
    assert abs(use.total - 9001) < len(use.pieces)
    kinds = {piece.kind for piece in use.pieces}
    assert {"system prompt", "tools", "prompts", "answers", "tool calls", "results of Look"} <= kinds
    await execute(shell, "/context")
    text = shell.shown[-1]
    assert "scaled to the 9,001 tokens" in text
    assert re.search(r"^\| results of Look: src/a\\\|b\.py \| [\d,]+ \| 1 \|$", text, re.MULTILINE)
    assert "**Tools**: " in text
    assert all(row.replace("\\|", "").count("|") in (4, 5) for row in text.splitlines() if row.startswith("|"))


async def test_nothing_counted_is_told(tmp_path: Path):
    shell = RecordingShell(House(tmp_path, ListProvider(lambda request: say("fine"))))
    await execute(shell, "/context")
    assert "All numbers are estimates" in shell.shown[-1]
    assert "| answers |" not in shell.shown[-1]


async def test_instructions_of_the_project_are_their_own_part(tmp_path: Path):
    house = worked(tmp_path)
    (tmp_path / "work" / "AGENTS.md").write_text("Use tabs. " * 500)
    shell = RecordingShell(house)
    use = context_use(shell.session)
    assert sum(piece.tokens for piece in use.pieces if piece.kind == "project instructions") > 1000
    await execute(shell, "/context")
    assert "| project instructions |" in shell.shown[-1]


async def test_a_dropped_result_is_kept_in_a_file_and_can_be_brought_back(tmp_path: Path):
    shell = RecordingShell(worked(tmp_path))
    await play(shell.session, "look")
    await execute(shell, "/context drop 2")
    assert "no tool result 2" in shell.shown[-1]
    await execute(shell, "/context drop 1")
    dropped = next(event for event in shell.events if isinstance(event, ev.Compacted))
    assert (dropped.kind, dropped.pruned) == ("prune", ("c1",))
    assert dropped.after < dropped.before
    note = next(m.result.content[0].text for m in shell.session.runner.history.messages if m.result)
    kept = Path(re.search(r"is in (.*)\]", note)[1])
    assert kept.read_text() == LONG
    await execute(shell, "/context drop 1")
    assert "too short" in shell.shown[-1]
    await play(shell.session, "and now?")
    assert LONG not in str(shell.session.runner.history.messages)
    await execute(shell, "/undo")
    await execute(shell, "/undo")
    assert any(m.result and m.result.content[0].text == LONG for m in shell.session.runner.history.messages)


async def test_nothing_is_dropped_while_a_turn_runs(tmp_path: Path):
    shell = RecordingShell(worked(tmp_path))
    async for event in shell.session.prompt("look"):
        if isinstance(event, ev.TurnEnded):
            await execute(shell, "/context drop 1")
    assert "while a turn runs" in shell.shown[-1]
    await execute(shell, "/context drop x")
    assert "Usage" in shell.shown[-1]
