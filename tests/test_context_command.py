"""/context: the parts of the window, scaled to what the API counted, and taking a tool result out of it."""

import re
from pathlib import Path

import pytest
from machine import FakeTool, House, ListProvider, call, calls, instant, play, say
from test_commands import RecordingShell

from kimi_agent.agent.compaction import plan_prune
from kimi_agent.agent.context_use import context_use
from kimi_agent.commands import execute
from kimi_agent.core import event as ev
from kimi_agent.core.errors import SessionError
from kimi_agent.core.listing import Listing
from kimi_agent.core.message import Message, tool_message
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
    assert re.search(r"^\| results of Look: src/a\\\|b\.py \| [\d,]+ \| 3 \|  \|$", text, re.MULTILINE)
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
    await execute(shell, "/context drop 9")
    assert "no number 9" in shell.shown[-1]
    await execute(shell, "/context drop 1")
    assert "is no tool result" in shell.shown[-1]
    await execute(shell, "/context drop 3")
    dropped = next(event for event in shell.events if isinstance(event, ev.Compacted))
    assert (dropped.kind, dropped.pruned) == ("prune", ("c1",))
    assert dropped.after < dropped.before
    note = results(shell)[0]
    kept = Path(re.search(r"is in (.*)\]", note)[1])
    assert kept.read_text() == LONG
    await execute(shell, "/context drop 3")
    assert "is dropped" in shell.shown[-1]
    await execute(shell, "/context pin 3")
    assert "Restore it first" in shell.shown[-1]
    await play(shell.session, "and now?")
    assert results(shell) == [note]
    await execute(shell, "/context restore 3")
    assert results(shell) == [LONG]
    await execute(shell, "/context restore 3")
    assert "was not dropped" in shell.shown[-1]
    again = shell.session.fork()
    assert again.runner.history.messages == shell.session.runner.history.messages


def results(shell: RecordingShell) -> list[str]:
    return [m.result.content[0].text for m in shell.session.runner.history.messages if m.result]


async def test_what_is_pinned_outlives_pruning_and_two_summaries_word_for_word(tmp_path: Path):
    def reply(request):
        last = request.messages[-1]
        if "Write that summary now" in last.text:
            return [TextChunk("SUMMARY"), Tokens(500, 1), Finished("stop")]
        if last.text == "look":
            return calls(*(call("Look", f'{{"path": "{n}"}}', f"c{n}{len(request.messages)}", n) for n in range(12)))
        return [TextChunk(f"fine, {last.text or 'seen'}"), Tokens(90_000, 1), Finished("stop")]

    house = House(tmp_path, ListProvider(reply), [FakeTool("Look", "read", instant(LONG * 30))])
    shell = RecordingShell(house)
    await play(shell.session, "look")
    await execute(shell, "/context pin 14")  # the first result
    assert "is pinned" in shell.shown[-1]
    whole = next(m.result.content[0].text for m in shell.session.runner.history.messages if m.pinned)
    assert len(whole) > 20_000
    await execute(shell, "/context drop 14")
    assert "is pinned" in shell.shown[-1]
    await execute(shell, "/context pin 26")  # the answer
    for _ in range(2):
        assert [event async for event in shell.session.compact()]
        texts = [m.text for m in shell.session.runner.history.messages]
        assert [text.count(whole) for text in texts if LONG in text] == [1]
        assert sum(text.endswith("fine, seen") for text in texts) == 1
        await play(shell.session, "look")
    kinds = [event.kind for event in shell.session.events() if isinstance(event, ev.Compacted)]
    assert kinds.count("summary") == 2
    assert "prune" in kinds
    number = next(p.number for p in context_use(shell.session).pieces if p.state == "pinned" and LONG in p.text)
    await execute(shell, f"/context pin {number}")
    assert "not pinned any more" in shell.shown[-1]
    [event async for event in shell.session.compact()]
    assert not any(whole in m.text for m in shell.session.runner.history.messages)
    await shell.session.aclose()
    again = house.open(shell.session.id)
    assert again.runner.history.messages == shell.session.runner.history.messages


async def test_thoughts_and_calls_cannot_be_pinned(tmp_path: Path):
    shell = RecordingShell(worked(tmp_path))
    await play(shell.session, "look")
    await execute(shell, "/context pin 2")
    assert "cannot be pinned" in shell.shown[-1]


async def test_a_pin_and_a_drop_leave_every_other_byte_of_the_next_request(tmp_path: Path):
    shell = RecordingShell(worked(tmp_path))
    await play(shell.session, "look")
    provider = shell.agent.make_provider("fake")
    before = provider.requests[-1]
    await execute(shell, "/context pin 1")
    await play(shell.session, "again")
    after = provider.requests[-1]
    assert (after.system, after.tools) == (before.system, before.tools)
    parts = [m.parts for m in before.messages]
    assert [m.parts for m in after.messages][: len(parts)] == parts


async def test_nothing_is_changed_while_a_turn_runs(tmp_path: Path):
    shell = RecordingShell(worked(tmp_path))
    async for event in shell.session.prompt("look"):
        if isinstance(event, ev.TurnEnded):
            await execute(shell, "/context drop 3")
            await execute(shell, "/context pin 3")
    assert all("while a turn runs" in text for text in shell.shown[-2:])
    await execute(shell, "/context drop x")
    assert "Usage" in shell.shown[-1]


async def test_the_report_in_words_draws_nothing(tmp_path: Path):
    shell = RecordingShell(worked(tmp_path))
    await play(shell.session, "look")
    await execute(shell, "/context pin 1")
    await execute(shell, "/context")
    assert not re.search("[\u2580-\u259f]", shell.shown[-1])
    assert re.search(r"^\| prompts: look \| [\d,]+ \| 1 \| pinned \|$", shell.shown[-1], re.MULTILINE)


async def test_the_list_drops_restores_and_pins_what_is_chosen(tmp_path: Path):
    shell = RecordingShell(worked(tmp_path))
    shell.draws = True
    await play(shell.session, "look")

    async def look_through(listing: Listing) -> None:
        keys = {key.key: key.act for key in listing.keys}
        rows = listing.rows()
        assert [row.group for row in rows][-4:] == ["❯ look"] * 4
        assert abs(sum(row.share for row in rows) - 1) < 0.01
        found = next(row for row in rows if row.label.startswith("Look  src"))
        assert await listing.preview(found.id) == LONG
        await keys["d"](found.id)
        assert {row.id: row.mark for row in listing.rows()}[found.id] == "dropped"
        assert LONG in await listing.preview(found.id)
        assert "Dropped" in await listing.preview(found.id)
        await keys["r"](found.id)
        await keys["p"](found.id)
        assert {row.id: row.mark for row in listing.rows()}[found.id] == "pinned"
        await keys["s"](found.id)
        shares = [row.share for row in listing.rows()]
        assert shares == sorted(shares, reverse=True)
        with pytest.raises(SessionError, match="sent with every request"):
            await keys["p"](next(row.id for row in rows if not row.group.startswith("❯")))

    shell.browsing = look_through
    await execute(shell, "/context")
    assert results(shell) == [LONG]


def test_pruning_leaves_what_is_pinned_alone():
    old = [tool_message(f"c{n}", "word " * 40_000) for n in range(4)]
    assert plan_prune(old)[0] == ["c0", "c1", "c2"]
    pinned = [Message(m.role, m.parts, m.origin, pinned=n == 1) for n, m in enumerate(old)]
    assert plan_prune(pinned)[0] == ["c0", "c2"]
