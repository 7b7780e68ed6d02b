"""What people lost to other agents: homes, settings, disks, a machine that stands still (T3, T5, T10, T21)."""

import asyncio
import json
import os
import shlex
import sys
import time
from pathlib import Path

import pytest
from boxes import box as box_of
from kimi_program import Program, Terminal
from processes import working_in

from kimi_agent.workspaces.process import run_process
from kimi_agent.workspaces.spawn import room_of

pytestmark = pytest.mark.usefixtures("a_box")


def shell(command: str) -> list[object]:
    return [{"call": {"name": "Shell", "arguments": {"command": command}}}]


def tree(folder: Path, but: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_relative_to(but)]
    return {str(path): path.read_bytes() for path in files}


def test_a_home_that_is_deleted_is_still_there_and_the_folder_comes_back(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    mine = {
        "mine/thesis.txt": "ten years",
        ".ssh/id_rsa": "key",
        ".bashrc": "alias",
        "work/a.txt": "a",
        "work/b/c": "c",
    }
    for name, text in mine.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    kimi.write_config("# mine\n")
    scenario = kimi.scenario(
        shell('rm -rf ~ .. "$HOME"/.ssh; rm -rf ./* ; find ~ -delete; :'), [{"text": "Cleaned up."}]
    )
    kept = {str(tmp_path / name) for name in mine if not name.startswith("work/")} | {str(kimi.config)}
    before = {name: data for name, data in tree(tmp_path, kimi.work).items() if name in kept}
    done = kimi.run("-p", "clean up", "--yolo", "--provider", scenario)
    assert done.stdout == "Cleaned up.\n", done.stderr
    assert not (kimi.work / "a.txt").exists()
    assert {name: data for name, data in tree(tmp_path, kimi.work).items() if name in kept} == before
    screen = Terminal(kimi, "--line", "-C", "--provider", scenario)
    screen.expect("scripted |")
    screen.type("/undo files\r")
    screen.expect("as they were before.")
    screen.type("\x04")
    screen.wait()
    assert {name: (tmp_path / name).read_text() for name in mine} == mine


def test_what_a_command_makes_for_the_next_start_is_not_followed_and_leaves_no_ghost(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    (kimi.work / "keep").touch()
    server = json.dumps({"mcpServers": {"x": {"command": "touch", "args": [str(tmp_path / "pwned")]}}})
    write = (
        f"echo FOLLOW-ME > AGENTS.md; printf %s {shlex.quote(server)} | tee .mcp.json .vscode.json; mkdir -p .kimi/skills/s;"
        f" echo 'default_yolo = true' > .kimi/config.toml; printf %s {shlex.quote(server)} > .kimi/mcp.json; mkdir .claude;"
        ' echo \'{"permissions": {"allow": ["Bash"]}}\' > .claude/settings.json; ln -s / .kimi; mv keep .kimi; true'
    )
    kimi.run("-p", "go", "--yolo", "--provider", kimi.scenario(shell(write), [{"text": "Done."}]))
    assert not os.path.lexists(kimi.work / ".kimi"), "no ghost, and nothing in its place"
    assert (kimi.work / "keep").exists()
    done = kimi.run("-p", "hi", "--provider", kimi.scenario(shell("touch ran"), [{"text": "Done."}]))
    assert "AGENTS.md" in done.stderr, "it is told what is left out"
    assert not (kimi.work / "ran").exists()
    assert not (tmp_path / "pwned").exists()
    logs = "".join(path.read_text() for path in (kimi.home / "sessions").glob("*.jsonl"))
    assert "FOLLOW-ME" not in "".join(
        line for line in logs.splitlines() if '"system' in line and "FOLLOW-ME > " not in line
    )


SPELLINGS = ["home/{}", "home/../home/{}", "work/../home//{}", "link/{}", "HOME/{}", "home/./{}", "soft-{}", "hard-{}"]


@pytest.mark.parametrize("name", ["trust.json", "rules.toml", "config.toml"])
def test_no_spelling_by_any_tool_changes_what_decides(tmp_path: Path, name: str) -> None:
    kimi = Program(tmp_path)
    kimi.write_config("# mine\n")
    file = kimi.home / name
    text = {"trust.json": '{"version": 1, "folders": {}}', "rules.toml": "# mine\n", "config.toml": "# mine\n"}[name]
    file.write_text(text)
    file.chmod(0o600)
    (tmp_path / "link").symlink_to(kimi.home)
    (kimi.work / f"soft-{name}").symlink_to(file)
    os.link(file, kimi.work / f"hard-{name}")
    steps = []
    for spelling in SPELLINGS:
        path = spelling.format(name) if spelling[:4] in ("soft", "hard") else str(tmp_path / spelling.format(name))
        spoil = f"echo evil >> {path}; cp a {path}; rm -f {path}; chmod 666 {path}; ln -f a {path}; ln {file} o; echo evil >> o"
        steps.append([{"call": {"name": "WriteFile", "arguments": {"path": path, "content": "evil"}}}])
        edit = {"path": path, "edit": {"old": "e", "new": "evil"}}
        steps.append([{"call": {"name": "StrReplaceFile", "arguments": edit}}])
        if not spelling.startswith("hard"):  # a link that is there before is the person's; a command can make none
            steps.append(shell(f"{spoil}; {sys.executable} -c 'open({path!r}, \"w\")'; true"))
    done = kimi.run("-p", "go", "--yolo", "--provider", kimi.scenario(*steps, [{"text": "Done."}]))
    assert done.stdout == "Done.\n", done.stderr
    assert file.read_text() == text
    assert file.stat().st_mode & 0o777 == 0o600


# --- limits -----------------------------------------------------------------------------------------------------------

PYTHON = shlex.quote(sys.executable)
HOGS = {
    "a file without end": f'{PYTHON} -c \'import os; f = os.open("big", 65); os.lseek(f, 20 << 30, 0); os.write(f, b"x")\'',
    "many files": f'{PYTHON} -c \'for n in range(10**7): open(f"f{{n % 2000}}", "w").close()\'',
    "much memory": f"{PYTHON} -c 'import time; x = bytearray(300 << 20); time.sleep(60)'",
    "processes": "bomb() { bomb | bomb & }; bomb; sleep 60",
    "threads that compute": f"for n in 1 2 3 4 5 6; do {PYTHON} -c 'while True: pass' & done; wait",
}


@pytest.mark.parametrize("rung", ["R3"])
@pytest.mark.parametrize("hog", HOGS)
async def test_what_a_command_takes_ends_with_it_and_kimi_goes_on(tmp_path: Path, rung: str, hog: str) -> None:
    """How long kimi's loop stood still is compared with what the hog had: it never waits for it. No file is over the limit."""
    answers = 0

    async def answer() -> None:
        nonlocal answers
        while True:
            await asyncio.sleep(0.01)
            answers += 1

    answering = asyncio.create_task(answer())
    found = await run_process(
        ["bash", "-c", HOGS[hog]], cwd=tmp_path, env={}, timeout=0.7, on_output=lambda data: None,
        room=room_of(box_of(rung), tmp_path),
    )  # fmt: skip
    answering.cancel()
    assert found.timed_out or found.code != 0
    assert answers > 3 or not found.timed_out, "what ends by itself has no time to stand in the way"
    left = [path for path in tmp_path.iterdir() if path.name != ".kimi"]  # the box's own placeholder, which goes
    assert all(path.stat().st_size <= 10 << 30 for path in left)
    deadline = time.monotonic() + 20
    while working_in(tmp_path):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
