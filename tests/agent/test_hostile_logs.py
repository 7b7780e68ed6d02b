"""Logs that nobody should have written, and worlds that changed since: a session opens, says what is wrong, and works."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machine import FakeTool, House, ListProvider, call, calls, instant, of, play, say

from kimi_agent.agent.history import fold, is_well_formed
from kimi_agent.agent.store import SessionLog, SessionStore, read_events
from kimi_agent.agent.transcript import Transcript
from kimi_agent.core import event as ev
from kimi_agent.core.errors import NoModelError, SessionError
from kimi_agent.core.message import Message, Text, ToolCall, tool_message, user_message
from kimi_agent.core.provider import Model


def assistant(*ids: str) -> Message:
    return Message("assistant", (Text("hm"), *(ToolCall(i, "Look", "{}") for i in ids)), "model")


WHOLE = [
    ev.SessionStarted("s", "/", 0.0, "0"),
    ev.TurnStarted(1),
    *map(ev.MessageAdded, (user_message("go"), assistant("a", "b"), tool_message("a", "1"), tool_message("b", "2"))),
    ev.Compacted(10, 5, kind="prune", pruned=("a",)),
    *map(ev.MessageAdded, (assistant("c"), tool_message("c", "3"), user_message("steered"), assistant())),
    ev.TurnEnded("done"),
    ev.TurnStarted(2),
    *map(ev.MessageAdded, (user_message("more"), assistant("d", "e"), tool_message("e", "5"), tool_message("d", "4"))),
    ev.Rewound(turns=1),
]


@given(st.lists(st.integers(0, len(WHOLE) - 1), max_size=8), st.integers(0, len(WHOLE)))
def test_a_log_with_lines_missing_anywhere_gives_a_well_formed_history(lost: list[int], end: int):
    history = fold((event for n, event in enumerate(WHOLE[:end]) if n not in lost), Path("/tmp"))
    for repair in history.repairs():
        history.apply(ev.MessageAdded(repair))
    assert is_well_formed(history.messages)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


async def played(folder: Path, *prompts: str, **options) -> tuple[House, str]:
    house = House(folder, ListProvider(lambda request: say("ok")))
    session = house.open(**options)
    for text in prompts:
        await play(session, text)
    await session.aclose()
    return house, session.id


async def test_records_of_a_newer_version_are_passed_over_and_not_called_damage(tmp_path: Path):
    house, name = await played(tmp_path, "one")
    with house.store.path(name).open("a") as file:
        file.write('{"type":"telepathy","strength":9}\n')
    session = house.open(name)
    assert not any("damaged" in n.text for n in of(session.events(), ev.Notice))
    assert any("newer" in n.text for n in of(session.events(), ev.Notice))
    assert (await play(session, "two"))[-1].stop == "done"
    await session.aclose()
    notices = [n for n in of(house.open(name).events(), ev.Notice) if "newer" in n.text]
    assert len(notices) == 1, "said once, not at every start"


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 200_000,
        b"\0" * 4096,
        b'{"type":"notice","level":[[}',
        b'{"a":1} tail',
        b'"\xff"',
        b'{"type":"\xff"}',
        b"7",
        b'{"type":"message_added","message":{"role":"alien","parts":[]}}',
        b'{"type":"notice","text":' + b"[" * 90_000,
    ],
    ids=lambda line: line[:30].decode("latin-1"),
)
async def test_odd_lines_cost_only_themselves(tmp_path: Path, line: bytes):
    house, name = await played(tmp_path, "one")
    with house.store.path(name).open("ab") as file:
        file.write(line + b"\n")
    assert len(house.store.list()) == 1
    session = house.open(name)
    assert any("1 damaged" in n.text for n in of(session.events(), ev.Notice))
    assert (await play(session, "two"))[-1].stop == "done"


async def test_a_file_that_cannot_come_back_is_no_wrong_descriptor(tmp_path: Path):
    """The folder becomes a file: the log cannot be opened anew; what is written meanwhile must hit no other file."""
    log = SessionLog(tmp_path / "sessions" / "s.jsonl")
    log.append(WHOLE[0])
    log.append(WHOLE[1])
    log.path.unlink()
    log.path.parent.rmdir()
    log.path.parent.write_text("in the way")
    with pytest.raises(SessionError):
        log.append(WHOLE[2])
    other = (tmp_path / "other").open("wb", buffering=0)  # takes the number of the closed descriptor
    with pytest.raises(SessionError):
        log.append(WHOLE[3])
    assert (tmp_path / "other").read_bytes() == b""
    log.path.parent.unlink()
    log.append(WHOLE[4])
    other.close()
    assert read_events(log.path) == (WHOLE[:5], 0)


async def test_the_mode_that_is_shown_is_the_mode_that_holds(tmp_path: Path):
    house, name = await played(tmp_path, "one", mode="yolo")
    session = house.open(name)
    transcript = Transcript()
    for event in session.events():
        transcript.apply(event)
    assert session.mode == transcript.status.mode == "default"


async def test_a_session_killed_in_a_turn_is_not_shown_as_running(tmp_path: Path):
    house, name = await played(tmp_path, "one")
    path = house.store.path(name)
    kept = [line for line in lines(path) if '"turn_ended"' not in line]
    path.write_text("\n".join(kept) + "\n")
    session = house.open(name)
    transcript = Transcript()
    for event in session.events():
        transcript.apply(event)
    assert not transcript.status.running
    assert of(session.events(), ev.TurnEnded)[-1].stop == "interrupted"


async def test_a_model_that_is_gone_is_replaced_and_said(tmp_path: Path):
    house, name = await played(tmp_path, "one")
    path = house.store.path(name)
    with path.open("a") as file:
        file.write(json.dumps({"type": "model_changed", "model": "gone"}) + "\n")
    session = house.open(name)
    assert session.model.name == "fake"
    assert any("gone" in n.text for n in of(session.events(), ev.Notice))
    await session.aclose()
    notices = of(house.open(name).events(), ev.Notice)
    assert sum("gone" in n.text for n in notices) == 1


async def test_a_model_chosen_on_resume_is_kept(tmp_path: Path):
    house, name = await played(tmp_path, "one")
    house.agent.models["other"] = Model("other", "o", "p")
    session = house.open(name, model="other")
    await session.aclose()
    assert house.open(name).model.name == "other"


async def test_an_unknown_model_leaves_the_session_unlocked(tmp_path: Path):
    house, name = await played(tmp_path, "one")
    with pytest.raises(NoModelError):
        house.open(name, model="nope")
    await house.open(name).aclose()


async def test_another_working_folder_is_told_to_the_model_and_the_person(tmp_path: Path):
    house, name = await played(tmp_path, "one")
    other = tmp_path / "other"
    other.mkdir()
    for _ in range(2):
        session = house.open(name, cwd=other)
        told = [e.message.text for e in of(session.events(), ev.MessageAdded) if str(other) in e.message.text]
        assert len(told) == 1, "once, not at every start"
        assert any(str(other) in n.text for n in of(session.events(), ev.Notice))
        assert is_well_formed(session.runner.history.messages)
        await session.aclose()
    session = house.open(name)
    last = of(session.events(), ev.MessageAdded)[-1].message.text
    assert str(tmp_path / "work") in last
    await session.aclose()


async def test_a_folder_whose_name_is_no_utf8(tmp_path: Path):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xffd"))
    folder.mkdir()
    house = House(tmp_path, ListProvider(lambda request: say("ok")))
    session = house.open(cwd=folder)
    assert (await play(session, "hi"))[-1].stop == "done"
    house.provider.requests[0].system.encode()
    await session.aclose()
    again = house.open(house.agent.latest(folder), cwd=folder)
    assert not any("working folder" in e.message.text for e in of(again.events(), ev.MessageAdded))


async def test_a_fork_has_its_own_copy_of_the_outputs_that_were_removed(tmp_path: Path):
    huge = "x" * 150_000
    provider = ListProvider([calls(call("Look")), say("ok"), say("ok")])
    house = House(tmp_path, provider, [FakeTool("Look", "read", instant(huge))])
    session = house.open()
    await play(session, "look")
    fork = session.fork()
    saved = [path.name for path in house.store.scratch(session.id).iterdir()]
    assert saved
    assert [path.name for path in house.store.scratch(fork.id).iterdir()] == saved
    await session.aclose()
    await play(fork, "go on")
    assert is_well_formed(provider.requests[-1].messages)
    await fork.aclose()
    house.store.delete(session.id)


def test_listing_many_long_sessions_reads_little(tmp_path: Path):
    store = SessionStore(tmp_path)
    for n in range(3):
        log = store.create(f"s{n}")
        for event in WHOLE:
            log.append(event)
        log.append(ev.Titled(f"title {n}"))
        for _ in range(200):
            log.append(ev.MessageAdded(user_message("x" * 10_000)))
        log.close()
    assert sorted(info.title for info in store.list()) == ["title 0", "title 1", "title 2"]
