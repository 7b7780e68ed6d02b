"""/sessions: what is listed of the files on disk, what its keys do, and that a bad or huge file costs nothing else."""

import os
import time
from functools import partial
from pathlib import Path

import pytest
from machine import FakeTool, House, ListProvider, allow, call, calls, instant, play, say
from test_commands import RecordingShell

from kimi_agent.agent.catalog import Catalog
from kimi_agent.agent.excerpt import ending
from kimi_agent.agent.store import encode_line
from kimi_agent.build import export_session
from kimi_agent.commands import execute
from kimi_agent.core import event as ev
from kimi_agent.core.errors import SessionError
from kimi_agent.core.message import Message, Text, tool_message, user_message
from kimi_agent.core.redact import Redactor
from kimi_agent.session_command import SessionPanel, age, day

NOW = 1_763_812_800.0  # a day at noon UTC, so that an hour before is the same day in most places
HOUR = 3600


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path, ListProvider(lambda request: say("fine")))


async def said(house: House, *texts: str, folder: Path | None = None, title: str = "") -> str:
    """A session on disk; its id."""
    session = house.open(cwd=folder)
    for text in texts:
        await play(session, text)
    if title:
        session.rename(title)
    await session.aclose()
    return session.id


def panel(shell: RecordingShell, everywhere: bool = False) -> SessionPanel:
    made = SessionPanel(shell, everywhere, lambda: NOW)
    made.catalog.read()
    return made


def write_log(path: Path, *events: ev.Event) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(map(encode_line, events)))


def started(name: str, cwd: Path) -> ev.SessionStarted:
    return ev.SessionStarted(name, str(cwd), 0.0, "1", "fake", system_prompt="You are Kimi.")


async def press(listing, key: str, row: str) -> str:
    return await next(each for each in listing.keys if each.key == key).act(row)


async def test_sessions_are_listed_newest_first_with_what_is_known_of_them(house: House):
    old = await said(house, "mend the parser", "and the lexer", title="Parser work")
    new = await said(house, "paint the shed")
    os.utime(house.store.path(old), (NOW - 30 * HOUR, NOW - 30 * HOUR))
    os.utime(house.store.path(new), (NOW - 2 * HOUR, NOW - 2 * HOUR))
    rows = panel(RecordingShell(house)).listing().rows()
    assert [row.id for row in rows] == [new, old]
    assert [row.label for row in rows] == ["paint the shed", "Parser work"]
    assert rows[0].description.startswith("2 h ago, 1 turn, ")
    assert rows[1].description.startswith("1 d ago, 2 turns, ")
    assert rows[1].description.endswith(" kB, fake")
    assert rows[0].group == "Today"


async def test_an_undone_turn_is_not_counted(house: House):
    session = house.open()
    await play(session, "one")
    await play(session, "two")
    session.undo()
    await session.aclose()
    assert ", 1 turn, " in panel(RecordingShell(house)).listing().rows()[0].description


async def test_only_those_of_this_folder_unless_all_are_asked_for(house: House, tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    here, there = await said(house, "here"), await said(house, "there", folder=elsewhere)
    shell = RecordingShell(house)
    assert [row.id for row in panel(shell).listing().rows()] == [here]
    rows = panel(shell, everywhere=True).listing().rows()
    assert {(row.id, row.group) for row in rows} == {(here, str(house.folder / "work")), (there, str(elsewhere))}


async def test_one_is_picked_and_the_old_one_closed(house: House):
    other = await said(house, "the other one")
    shell = RecordingShell(house, [0])
    old = shell.session
    await play(old, "mine")
    house.store.path(other).touch()
    await execute(shell, "/sessions")
    assert shell.session.id == other
    house.agent.open(old.id, ask=allow)  # its file is not locked any more


async def test_what_was_said_is_found_but_not_what_the_program_says(house: House):
    cat = await said(house, "feed the CAT at noon")
    dog = await said(house, "walk the dog", title="Animals")
    listing = panel(RecordingShell(house)).listing()
    assert await listing.search("Cat noon") == [cat]
    assert await listing.search("animals") == [dog]
    assert set(await listing.search("fine")) == {cat, dog}  # the model's answer
    assert await listing.search("You are Kimi") == []


async def test_a_thousand_sessions_are_read_and_searched_quickly(house: House):
    cwd, filler = house.folder / "work", ev.MessageAdded(tool_message("c", "x" * 20_000))
    for number in range(1000):
        write_log(
            house.store.folder / f"s{number:04}.jsonl",
            started(f"s{number:04}", cwd),
            ev.TurnStarted(1),
            ev.MessageAdded(user_message(f"prompt number {number}")),
            filler,
            ev.MessageAdded(Message("assistant", (Text("done " * 200),), "model")),
        )
    catalog = Catalog(house.store.folder)
    begun = time.process_time()
    catalog.read()
    assert len(catalog.all()) == 1000
    read = time.process_time() - begun
    for text in ("n", "nu", "number 77"):
        found = catalog.search(text)
    assert set(found) == {f"s{number:04}" for number in range(1000) if "77" in str(number)}
    assert time.process_time() - begun - read < read  # searching costs less than reading did


async def test_a_broken_file_is_shown_as_broken_and_costs_nothing_else(house: House):
    good = await said(house, "all is well")
    (house.store.folder / "torn.jsonl").write_bytes(b'{"type":"session_started","id":"to')
    (house.store.folder / "empty.jsonl").write_bytes(b"")
    (house.store.folder / "wild.jsonl").write_bytes(b"\xff\xfe\x00\n" * 3)
    shell = RecordingShell(house)
    listing = panel(shell).listing()
    rows = {row.id: row for row in listing.rows()}
    assert {row_id for row_id, row in rows.items() if row.mark == "broken"} == {"torn", "empty", "wild"}
    assert rows[good].mark == ""
    assert await listing.preview("wild") == ""
    with pytest.raises(SessionError, match="broken"):
        await press(listing, "f", "torn")
    shell._picks = [next(at for at, row in enumerate(listing.rows()) if row.id == "wild")]
    before = shell.session.id
    await execute(shell, "/sessions")
    assert "not a kimi session" in shell.shown[-1]
    assert shell.session.id == before


async def test_the_preview_is_the_end_of_the_conversation(tmp_path: Path):
    replies = [calls(call("Look")), say("**Found** it."), say("Gone.")]
    house = House(tmp_path, ListProvider(replies), [FakeTool("Look", "read", instant())])
    session_id = await said(house, "find it", "remove it\nnow")
    text = await panel(RecordingShell(house)).listing().preview(session_id)
    assert text == "> find it\n\n- Look\n\n**Found** it.\n\n> remove it\n> now\n\nGone."


def test_of_a_huge_log_only_the_end_is_read(tmp_path: Path):
    path = tmp_path / "huge.jsonl"
    with path.open("wb") as file:
        file.write(encode_line(started("huge", tmp_path)))
        file.seek(1 << 40)  # a hole: nobody could read the whole of it
        file.write(b"\n" + encode_line(ev.MessageAdded(Message("assistant", (Text("The end."),), "model"))))
    assert ending(path) == "The end."


async def test_sessions_are_renamed_also_the_one_that_runs(house: House):
    other = await said(house, "the other one")
    shell = RecordingShell(house)
    await play(shell.session, "mine")
    shell.typed = ["  A new\nname ", "Mine, too", ""]
    listing = panel(shell).listing()
    assert await press(listing, "r", other) == "Renamed to A new name."
    await press(listing, "r", shell.session.id)
    assert await press(listing, "r", other) == ""
    assert {row.label for row in listing.rows()} == {"A new name", "Mine, too"}
    assert shell.session.title == "Mine, too"
    assert {info.title for info in house.store.list()} == {"A new name", "Mine, too"}


async def test_deleting_asks_once_more_and_refuses_the_running_session(house: House):
    one, two = await said(house, "one"), await said(house, "two")
    shell = RecordingShell(house)
    await play(shell.session, "mine")
    listing = panel(shell).listing()
    assert "Once more" in await press(listing, "d", one)
    assert "Once more" in await press(listing, "delete", two)
    assert len(listing.rows()) == 3
    assert await press(listing, "d", two) == "Deleted."
    assert {row.id for row in listing.rows()} == {one, shell.session.id}
    assert not (house.store.folder / f"{two}.jsonl").exists()
    for _ in range(2):
        with pytest.raises(SessionError, match="cannot be deleted"):
            await press(listing, "d", shell.session.id)


async def test_a_session_that_is_open_elsewhere_is_not_deleted(house: House):
    elsewhere = house.open()
    await play(elsewhere, "at work")
    listing = panel(RecordingShell(house)).listing()
    await press(listing, "d", elsewhere.id)
    with pytest.raises(SessionError, match="open in another kimi"):
        await press(listing, "d", elsewhere.id)
    assert len(listing.rows()) == 1


async def test_a_fork_of_another_session_goes_on_and_leaves_it_as_it_is(house: House):
    other = await said(house, "the other one")
    shell = RecordingShell(house)
    await play(shell.session, "mine")
    old = shell.session

    async def forks(listing):
        await press(listing, "f", other)

    shell.browsing = forks
    await execute(shell, "/sessions")
    assert shell.session.id not in (old.id, other)
    assert [m.text for m in shell.session.runner.history.messages] == ["the other one", "fine"]
    house.agent.open(old.id, ask=allow)
    house.agent.open(other, ask=allow)


async def test_a_session_is_exported_to_a_new_file(house: House):
    house.agent.export = partial(export_session, Redactor())
    other = await said(house, "the other one")
    listing = panel(RecordingShell(house)).listing()
    for name in (f"kimi-session-{other}.md", f"kimi-session-{other}-2.md"):
        assert name in await press(listing, "e", other)
        assert "the other one" in (house.folder / "work" / name).read_text()


def test_ages_and_days_in_words():
    noon = time.mktime((2026, 3, 4, 12, 0, 0, 0, 0, -1))
    assert [age(noon - s, noon) for s in (-5, 30, 120, 7200, 200_000, 8e7)] == [
        "just now", "just now", "2 min ago", "2 h ago", "2 d ago", "2 y ago",
    ]  # fmt: skip
    days = [day(noon - hours * HOUR, noon) for hours in (-30, 1, 13, 24, 70, 24 * 40)]
    assert days == ["Today", "Today", "Yesterday", "Yesterday", "This week", "January 2026"]
