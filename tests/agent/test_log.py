"""The session file: whole after a cut at any byte, a flipped bit, a kill, a full disk, a second instance, a deletion."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machine import FakeTool, House, ListProvider, call, calls, instant, play, say
from nightly import examples

from kimi_agent.agent.history import fold, is_well_formed
from kimi_agent.agent.store import SessionLog, SessionStore, decode_line, encode_line, open_log, read_events
from kimi_agent.core import event as ev
from kimi_agent.core.errors import SessionError
from kimi_agent.core.message import Message, Text, Think, ToolCall, ToolResult, tool_message, user_message


def sample(extra: str = "") -> list[ev.Event]:
    return [
        ev.SessionStarted("s", "/w", 1.0, "0", "m", system_prompt="be good\u2028" + extra),
        ev.TurnStarted(1, 2.0),
        ev.MessageAdded(user_message("héllo 🌏")),
        ev.MessageAdded(Message("assistant", (Think("hm"), Text("x"), ToolCall("1", "Look", '{"a":"\\n"}')), "model")),
        ev.ToolStarted(ToolCall("1", "Look", "{}")),
        ev.MessageAdded(tool_message("1", "fine")),
        ev.TurnEnded("done", steps=1),
    ]


def write(path: Path, events: list[ev.Event]) -> bytes:
    path.write_bytes(b"".join(encode_line(event) for event in events))
    return path.read_bytes()


def test_lines_are_json_objects_and_come_back(tmp_path: Path):
    import json

    for event in sample():
        line = encode_line(event)
        assert json.loads(line)["type"]
        assert decode_line(line.rstrip(b"\n")) == event


def test_a_log_cut_at_every_byte_keeps_all_whole_lines_and_glues_nothing(tmp_path: Path):
    path = tmp_path / "s.jsonl"
    events = sample()
    data = write(path, events)
    first = data.index(b"\n") + 1
    for cut in range(first, len(data) + 1):
        path.write_bytes(data[:cut])
        whole = data[:cut].count(b"\n") + (data[cut : cut + 1] == b"\n")
        log, damaged = open_log(path)
        assert log.events == events[:whole]
        assert damaged == 0
        log.append(ev.Notice("info", "next"))
        log.close()
        again, lost = read_events(path)
        assert (again, lost) == ([*events[:whole], ev.Notice("info", "next")], 0)
        history = fold(again, tmp_path)
        assert is_well_formed([*history.messages, *history.repairs()])


@settings(max_examples=examples(300))
@given(st.data())
def test_flipped_bits_never_pass_for_a_record(data):
    lines = [encode_line(event) for event in sample()]
    which = data.draw(st.integers(0, len(lines) - 1))
    line = bytearray(lines[which].rstrip(b"\n"))
    position = data.draw(st.integers(0, len(line) - 1))
    line[position] ^= 1 << data.draw(st.integers(0, 7))
    decoded = decode_line(bytes(line))
    assert decoded is None or decoded == sample()[which]


def test_a_damaged_line_in_the_middle_costs_only_itself(tmp_path: Path):
    path = tmp_path / "s.jsonl"
    lines = write(path, sample()).splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b'{"type":"notice","lev\n', b"\0\0\0\0\n", *lines[2:]]))
    log, damaged = open_log(path)
    assert (log.events, damaged) == (sample(), 2)
    log.close()


def test_a_second_instance_is_told_and_mixes_nothing(tmp_path: Path):
    path = tmp_path / "s.jsonl"
    write(path, sample())
    log, _ = open_log(path)
    with pytest.raises(SessionError, match="open in another kimi"):
        open_log(path)
    log.close()
    open_log(path)[0].close()


def test_a_deleted_file_is_written_anew_from_memory(tmp_path: Path):
    path = tmp_path / "s.jsonl"
    write(path, sample())
    log, _ = open_log(path)
    path.unlink()
    log.append(ev.Notice("info", "still here"))
    log.close()
    assert read_events(path)[0] == [*sample(), ev.Notice("info", "still here")]


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="needs RLIMIT_FSIZE")
def test_a_full_disk_leaves_no_half_line_and_catches_up_later(tmp_path: Path):
    script = """
        import resource, signal, sys
        from pathlib import Path
        from kimi_agent.agent.store import open_log, read_events
        from kimi_agent.core import event as ev
        from kimi_agent.core.errors import SessionError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        path = Path(sys.argv[1])
        log, _ = open_log(path)
        size = path.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, resource.RLIM_INFINITY))
        failures = 0
        for n in range(3):
            try:
                log.append(ev.Notice("info", f"{n}" * 60))
            except SessionError as error:
                failures += 1
                assert "cannot save" in str(error)
        assert failures == 3, failures
        assert read_events(path)[1] == 0
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        log.append(ev.Notice("info", "last"))
        assert [e.text[:1] for e in read_events(path)[0][-4:]] == ["0", "1", "2", "l"]
    """
    path = tmp_path / "s.jsonl"
    write(path, sample())
    subprocess.run([sys.executable, "-c", textwrap.dedent(script), str(path)], check=True)


def test_a_process_killed_while_it_writes_leaves_a_log_that_opens(tmp_path: Path):
    script = """
        import sys
        from pathlib import Path
        from kimi_agent.agent.store import open_log
        from kimi_agent.core import event as ev
        log, _ = open_log(Path(sys.argv[1]))
        n = 0
        while True:
            n += 1
            log.append(ev.Notice("info", f"{n} " + "x" * (n % 5000)))
            if n == 50:
                print("going", flush=True)
    """
    path = tmp_path / "s.jsonl"
    write(path, sample())
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script), str(path)], stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"going\n"
    child.kill()
    child.wait()
    log, damaged = open_log(path)
    assert damaged == 0
    numbers = [int(e.text.split()[0]) for e in log.events if isinstance(e, ev.Notice)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= 50
    log.close()


async def test_a_session_without_a_turn_leaves_no_file(tmp_path: Path):
    house = House(tmp_path, ListProvider([say("hi")]))
    session = house.open()
    assert not house.store.folder.exists()
    await play(session, "hello")
    assert [info.title for info in house.store.list()] == ["hello"]


async def test_resume_replays_and_mends_what_a_crash_left_open(tmp_path: Path):
    provider = ListProvider([calls(call("Look"), call("Look", '{"path":"b"}', index=1)), say("hi"), say("resumed")])
    house = House(tmp_path, provider, [FakeTool("Look", "read", instant())])
    session = house.open()
    await play(session, "hello")
    await session.aclose()
    path = house.store.path(session.id)
    lines = path.read_bytes().splitlines(keepends=True)
    started = next(i for i, line in enumerate(lines) if b'"tool_started"' in line)
    path.write_bytes(b"".join(lines[: started + 1]))  # killed right after the first call began
    again = house.open(session.id[:-2])
    await play(again, "go on")
    messages = provider.requests[-1].messages
    assert is_well_formed(messages)
    texts = [m.result.content[0].text for m in messages if isinstance(m.result, ToolResult)]
    assert "outcome is unknown" in texts[0]
    assert "before it ran" in texts[1]
    assert again.runner.system == session.runner.system


async def test_unknown_ids_and_empty_folders_are_errors(tmp_path: Path):
    house = House(tmp_path, ListProvider([say("hi")]))
    for bad in ("nope", "../../etc/passwd", "", "a\0b"):
        with pytest.raises(SessionError, match="no session"):
            house.open(bad)
    with pytest.raises(SessionError, match="no earlier session"):
        house.agent.latest()


async def test_a_fork_can_leave_the_last_turns_out(tmp_path: Path):
    house = House(tmp_path, ListProvider(lambda request: say(f"answer {len(request.messages)}")))
    session = house.open()
    for text in ("one", "two", "three"):
        await play(session, text)
    fork = session.fork(2)
    assert [m.text for m in fork.runner.history.messages] == ["one", "answer 1"]
    await play(fork, "another two")
    fork_id = fork.id
    await fork.aclose()
    again = house.open(fork_id)
    assert [m.text for m in again.runner.history.messages] == ["one", "answer 1", "another two", "answer 3"]
    assert session.runner.history.turns() == 3
    for wrong in (4, -1):
        with pytest.raises(SessionError, match="3 turns to undo"):
            session.fork(wrong)


async def test_list_search_fork_undo_title_delete(tmp_path: Path):
    provider = ListProvider(lambda request: say(f"answer {len(request.messages)}"))
    house = House(tmp_path, provider)
    session = house.open()
    await play(session, "find the needle")
    await play(session, "second thing")
    session.rename("my  title\n")
    fork = session.fork()
    await play(fork, "only in the fork")
    session.undo()
    await play(session, "third")
    assert [m.text for m in provider.requests[-1].messages] == ["find the needle", "answer 1", "third"]
    assert {info.title for info in house.store.list()} == {"my title"}
    found = dict(house.store.search("ONLY IN"))
    assert [info.id for info in found] == [fork.id]
    with pytest.raises(SessionError, match="open in another"):
        house.store.delete(fork.id)
    await fork.aclose()
    house.store.delete(fork.id)
    assert [info.id for info in house.store.list()] == [session.id]
    with pytest.raises(SessionError, match="2 turns to undo, not 9"):
        session.undo(9)


def test_twenty_thousand_events_open_in_a_few_milliseconds_each_thousand(tmp_path: Path):
    """Not a clock: opening is linear, so the work per event is that of a small file."""
    import time

    def seconds(count: int) -> float:
        path = tmp_path / f"{count}.jsonl"
        body = sample()[2:6] * (count // 4)
        write(path, [*sample()[:2], *body])
        start = time.process_time()
        log, _ = open_log(path)
        fold(log.events, tmp_path)
        log.close()
        return time.process_time() - start

    small = min(seconds(2000) for _ in range(3))
    assert (
        min(seconds(20_000) for _ in range(2)) < 50 * small + 0.2
    )  # ten times as much; a hundred times if it grew squared


def test_foreign_files_are_refused(tmp_path: Path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"hello": "world"}\n')
    with pytest.raises(SessionError, match="not a kimi session"):
        open_log(path)
    assert SessionStore(tmp_path / "none").list() == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder_is_said(tmp_path: Path):
    tmp_path.chmod(0o500)
    with pytest.raises(SessionError, match="cannot open"):
        SessionLog(tmp_path / "no" / "s.jsonl").lock()
