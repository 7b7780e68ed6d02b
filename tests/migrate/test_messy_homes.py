"""`kimi migrate` on homes as they really are: names that clash, links, pipes, other disks, keys in commands, killed runs."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kimi_program import Program, Terminal

from kimi_agent.agent.store import read_events
from kimi_agent.core import event as ev
from kimi_agent.core.message import Image

PICTURE = {"type": "image", "source": {"data": "iVBORw0KGgo=", "media_type": "image/png"}}


@pytest.fixture
def person(tmp_path: Path) -> Program:
    return Program(tmp_path)


def migrate(person: Program, *arguments: str, code: int = 0, **env: str) -> str:
    done = person.run("migrate", *arguments, **env)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return " ".join((done.stdout + done.stderr).split())


def put(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def says(uuid: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"type": "user", "uuid": uuid, "message": {"role": "user", "content": content}, **more}


def replies(reply: str, *content: Any) -> dict[str, Any]:
    return {"type": "assistant", "uuid": reply, "message": {"id": reply, "role": "assistant", "content": content}}


def calls(call_id: str, name: str = "Bash") -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": {"command": "ls"}}


def session(person: Program, name: str, *records: Any, cwd: str = "/tmp/app", project: str = "-tmp-app") -> Path:
    """A session of Claude Code: a first prompt in `cwd`, and these records."""
    lines = [says("first", "hello", cwd=cwd), *records]
    path = person.folder / ".claude" / "projects" / project / f"{name}.jsonl"
    return put(path, "".join(json.dumps(line) + "\n" for line in lines))


def sessions(person: Program) -> list[str]:
    return sorted(path.name for path in (person.home / "sessions").glob("*"))


def messages(person: Program, name: str) -> list[Any]:
    found, damaged = read_events(person.home / "sessions" / name)
    assert not damaged
    return [event.message for event in found if isinstance(event, ev.MessageAdded)]


def test_what_clashes_costs_only_the_later_one(person: Program) -> None:
    for project in ("-a", "-b"):
        session(person, "1111", project=project)
    for root in ("code", "claude"):
        put(person.folder / root / "agents" / "tester.md", root)
        put(person.folder / root / "skills" / "pdf" / "SKILL.md", root)
    put(person.folder / ".codex" / "prompts" / "Review.md", "one")
    put(person.folder / ".codex" / "prompts" / "review.md", "two")
    roots = {"KIMI_CODE_HOME": str(person.folder / "code"), "CLAUDE_CONFIG_DIR": str(person.folder / "claude")}
    said = migrate(person, "-y", **roots)
    assert said.count("comes there first") == 3
    assert (person.home / "agents" / "tester.md").read_text() == "code"
    assert (person.home / "skills" / "pdf" / "SKILL.md").read_text() == "code"
    assert (person.home / "commands" / "Review.md").read_text() == "one"
    assert "-b/1111.jsonl comes" not in migrate(person, "-y")
    assert sessions(person) == ["claude-1111.jsonl"]


def test_folders_of_another_machine_are_left_out(person: Program) -> None:
    put(person.work / "AGENTS.md", "of the folder that kimi migrate runs in")
    for name, cwd in (("1", "C:\\Users\\ada"), ("2", "/a\0b"), ("3", "app"), ("4", "/caf\udce9")):
        session(person, name, cwd=cwd)
    assert "3 sessions" in (said := migrate(person, "-y"))
    assert "its folder is none of this machine" in said
    assert sessions(person) == ["claude-4.jsonl"]


def test_a_folder_that_is_no_text_in_kimi_json(person: Program) -> None:
    put(person.folder / ".kimi" / "kimi.json", '{"work_dirs": [{"path": "/a\\ud800"}]}')
    assert "Nothing was found" in migrate(person, "-y")


def test_names_of_sessions_are_such_as_can_be_typed(person: Program) -> None:
    for name in ("with space", "a\x1b[31mred"):
        session(person, name)
    source = session(person, "plain")
    shutil.copy(source, os.fsencode(source.parent) + b"/bad\xff\xfe.jsonl")
    source.unlink()
    migrate(person, "-y")
    assert sessions(person) == ["claude-a-31mred.jsonl", "claude-bad-.jsonl", "claude-with-space.jsonl"]
    assert "Nothing to do" in migrate(person, "-y")


def test_a_skill_brings_its_files_and_nothing_that_they_lead_to(person: Program) -> None:
    skill = put(person.folder / ".kimi-code" / "skills" / "s" / "SKILL.md", "text").parent
    put(skill / "run.sh", "#!/bin/sh\n").chmod(0o555)
    secret = put(person.folder / ".ssh" / "id_rsa", "secret")
    (skill / "keys").symlink_to(secret.parent)
    (skill / "key").symlink_to(secret)
    (skill / "around").symlink_to(skill)
    (skill / "gone").symlink_to("nowhere")
    os.mkfifo(skill / "pipe")
    assert "without 5 that are no files" in migrate(person, "-y")
    target = person.home / "skills" / "s"
    assert {path.name: path.stat().st_mode & 0o777 for path in target.rglob("*")} == {
        "SKILL.md": 0o600,
        "run.sh": 0o700,
    }


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(person: Program) -> None:
    (person.folder / ".claude").mkdir()
    os.mkfifo(person.folder / ".claude" / "settings.json")
    assert "it is no file" in migrate(person, "-y")


def test_a_link_to_nothing_is_not_written_over(person: Program) -> None:
    put(person.folder / ".codex" / "AGENTS.md", "theirs")
    put(person.folder / ".codex" / "prompts" / "x.md", "x")
    person.home.mkdir()
    (person.home / "AGENTS.md").symlink_to("nowhere")
    assert "AGENTS.md is there already" in migrate(person, "-y")
    assert (person.home / "commands" / "x.md").exists()


def test_servers_of_an_unknown_form_are_not_written_over(person: Program) -> None:
    put(person.folder / ".claude.json", {"mcpServers": {"theirs": {"command": "x"}}})
    (person.folder / ".claude").mkdir()
    mine = put(person.home / "mcp.json", '{"mcpServers": [{"command": "mine"}]}')
    assert "its mcpServers is no object" in migrate(person, "-y", code=2)
    assert "mine" in mine.read_text()


def test_what_a_killed_run_left_is_removed(person: Program) -> None:
    session(person, "1")
    put(person.home / ".migrate-old" / "1", "half")
    migrate(person, "-y")
    assert [path.name for path in person.home.iterdir()] == ["sessions"]


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def test_sessions_and_skills_may_lie_on_another_disk(person: Program, other_disk: Path) -> None:
    session(person, "1")
    put(person.folder / ".kimi-code" / "skills" / "s" / "SKILL.md", "text")
    person.home.mkdir()
    for name in ("sessions", "skills"):
        (other_disk / name).mkdir()
        (person.home / name).symlink_to(other_disk / name)
    migrate(person, "-y")
    assert (other_disk / "sessions" / "claude-1.jsonl").stat().st_mode & 0o777 == 0o600
    assert (other_disk / "skills" / "s" / "SKILL.md").read_text() == "text"


def test_keys_in_the_commands_of_hooks_are_not_shown_and_the_rest_is(person: Program) -> None:
    command = (
        "curl -H 'Authorization: Bearer SECRET' 'https://me:SECRET@host/?token=SECRET' --api-key SECRET sk-ant-SECRET; "
        "X_TOKEN=$(cat evil) ./run"
    )
    hooks = {"Stop": [{"hooks": [{"type": "command", "command": command}]}]}
    put(person.folder / ".claude" / "settings.json", {"hooks": {**hooks, "Unknown": hooks["Stop"]}})
    said = migrate(person, "-y")
    assert "SECRET" not in said
    assert "curl -H 'Authorization: Bearer ***' 'https://me:***@host/?token=***'" in said
    assert "X_TOKEN=$(cat evil) ./run" in said
    assert "sk-ant-SECRET" in person.config.read_text()


def test_what_is_set_while_it_asks_is_not_written_over(person: Program) -> None:
    put(
        person.folder / ".kimi-code" / "config.toml",
        '[providers.p]\ntype = "kimi"\nbase_url = "http://theirs"\napi_key = "k"\n',
    )
    session(person, "1")
    terminal = Terminal(person, "migrate")
    terminal.expect("Bring these over?")
    mine = '[providers.p]\ntype = "kimi"\nbase_url = "http://mine"\napi_key = "k"\n'
    person.write_config(mine)
    terminal.type("y\r")
    terminal.expect("providers.p is set in")
    assert terminal.wait() == 2
    assert person.config.read_text() == mine
    assert sessions(person) == []


def test_servers_of_a_home_that_a_variable_names(person: Program) -> None:
    put(person.folder / "own" / ".claude.json", {"mcpServers": {"mine": {"command": "x"}}})
    put(person.folder / ".claude.json", {"mcpServers": {"other": {"command": "x"}}})
    migrate(person, "-y", CLAUDE_CONFIG_DIR=str(person.folder / "own"))
    assert list(json.loads((person.home / "mcp.json").read_text())["mcpServers"]) == ["mine"]


def test_a_home_that_is_a_link_is_read_in_place(person: Program) -> None:
    put(person.folder / "dots" / "skills" / "s" / "SKILL.md", "text")
    (person.folder / ".claude").symlink_to("dots")
    assert "is read in place" in migrate(person, "-y", CLAUDE_CONFIG_DIR=str(person.folder / "dots"))
    assert not (person.home / "skills").exists()


def test_pictures_that_no_model_takes_are_left_out(person: Program) -> None:
    page = {"type": "image", "source": {"data": "aGk=", "media_type": "text/html"}}
    torn = {"type": "image", "source": {"data": "!!", "media_type": "image/png"}}
    session(person, "1", says("second", [page, torn, PICTURE]))
    migrate(person, "-y")
    parts = messages(person, "claude-1.jsonl")[-1].parts
    assert [isinstance(part, Image) for part in parts] == [False, False, True]


def test_calls_have_one_id_each_and_a_result_each(person: Program) -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": "the second one"}
    session(
        person, "1",
        replies("a", calls("t"), calls("t"), calls(""), calls("n", "")),
        says("second", "again"),
        replies("b", calls("t")),
        says("third", [result]),
        replies("c", *(calls(f"many{number}") for number in range(3000))),
    )  # fmt: skip
    migrate(person, "-y")
    found = messages(person, "claude-1.jsonl")
    ids = [call.id for message in found for call in message.calls]
    assert ids[:2] == ["t", "t-1"]
    assert len(ids) == len(set(ids)) == 3002
    assert [message.result.call_id for message in found if message.result] == ids
    second = next(message for message in found if message.result and message.result.call_id == "t-1")
    assert "the second one" in str(second.result)
