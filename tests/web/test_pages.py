"""Pages and their programs, over the real server and the real `kimi`, as a browser speaks to it."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_api import FakeAPI
from kimi_program import Program
from nightly import all_but
from web_server import PATIENCE_S, Tab, Visitor, WebServer

from kimi_agent.frontends.web.modes import Modes
from kimi_agent.frontends.web.program import environment

READY = "your own shell"
"""What the first screen of a new session says."""


def model(body: dict) -> list[dict]:
    prompts = [m["content"] for m in body["messages"] if m["role"] == "user"]
    return [{"text": f"Answer number {len(prompts)}."}]


@pytest.fixture
def kimi(tmp_path: Path) -> Iterator[Program]:
    program = Program(tmp_path)
    with FakeAPI(model) as api:
        program.use(api.url)
        yield program


async def ask(tab: Tab, prompt: str, answer: str) -> None:
    await tab.type(prompt)
    await tab.expect(prompt)
    await tab.type("\r")
    await tab.expect(answer)


def programs_of(server: WebServer) -> set[int]:
    """The ids of the `kimi` processes that the server has started."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_bytes().rpartition(b")")[2].split()[1])
            if parent == server.process.pid and b"kimi_agent" in (folder / "cmdline").read_bytes():
                found.add(int(folder.name))
        except OSError:
            continue
    return found


def wait_gone(ids: set[int]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while any(Path(f"/proc/{pid}").exists() for pid in ids):
        assert time.monotonic() < deadline
        time.sleep(0.05)


async def test_a_reload_shows_the_same_session_in_the_same_process(kimi: Program) -> None:
    with WebServer(kimi) as server:
        async with Visitor(server) as visitor:
            place = await visitor.new_place()
            tab = await visitor.open(place)
            await tab.expect(READY)
            await ask(tab, "first question", "Answer number 1.")
            before = programs_of(server)
            await tab.socket.close()

            again = await visitor.open(place, width=100, height=30)
            await again.expect("Answer number 1.")
            await ask(again, "second question", "Answer number 2.")
            assert programs_of(server) == before
            assert len(before) == 1


async def test_two_pages_are_two_sessions(kimi: Program) -> None:
    with WebServer(kimi) as server:
        async with Visitor(server) as visitor:
            one, two = [await visitor.open(await visitor.new_place()) for _ in range(2)]
            await one.expect(READY)
            await two.expect(READY)
            assert len(programs_of(server)) == 2
            await ask(one, "hello from one", "Answer number 1.")
            await ask(two, "hello from two", "Answer number 1.")
            assert "hello from one" not in two.visible


async def test_the_newest_page_of_a_session_has_it(kimi: Program) -> None:
    with WebServer(kimi) as server:
        async with Visitor(server) as visitor:
            place = await visitor.new_place()
            old = await visitor.open(place)
            await old.expect(READY)
            new = await visitor.open(place)
            assert await old.closed() == 4001
            await ask(new, "hello", "Answer number 1.")


async def test_a_page_that_is_left_for_long_ends_its_process_and_keeps_its_session(kimi: Program) -> None:
    with WebServer(kimi, "--grace", "0.1") as server:
        async with Visitor(server) as visitor:
            place = await visitor.new_place()
            tab = await visitor.open(place)
            await tab.expect(READY)
            await ask(tab, "remember me", "Answer number 1.")
            ids = programs_of(server)
            await tab.socket.close()
            wait_gone(ids)

            back = await visitor.open(place)
            await back.expect("remember me")
            await ask(back, "and now", "Answer number 2.")
            assert programs_of(server) != ids


async def test_leaving_kimi_closes_the_page_and_a_reload_begins_anew(kimi: Program) -> None:
    with WebServer(kimi) as server:
        async with Visitor(server) as visitor:
            place = await visitor.new_place()
            tab = await visitor.open(place)
            await tab.expect(READY)
            await ask(tab, "an old question", "Answer number 1.")
            await ask(tab, "/quit", "quit")
            assert await tab.closed() == 4000
            assert "kimi -r " in tab.visible

            new = await visitor.open(place)
            await new.expect(READY)
            assert "an old question" not in new.visible


async def test_flags_reach_every_program_but_a_prompt_only_the_first(kimi: Program) -> None:
    with WebServer(kimi, "--yolo", "only once, please") as server:
        async with Visitor(server) as visitor:
            one = await visitor.open(await visitor.new_place())
            await one.expect("Answer number 1.")
            await one.expect("yolo")
            two = await visitor.open(await visitor.new_place())
            await two.expect(READY)
            await two.expect("yolo")
            assert "only once" not in two.visible


async def test_an_earlier_session_is_gone_on_with(kimi: Program) -> None:
    kimi.run("-p", "a question from before")
    with WebServer(kimi, "-C") as server:
        async with Visitor(server) as visitor:
            tab = await visitor.open(await visitor.new_place())
            await tab.expect("a question from before")
            await tab.resize(60, 16)
            await ask(tab, "go on", "Answer number 2.")


async def test_ctrl_z_does_not_leave_the_page_dead(kimi: Program) -> None:
    with WebServer(kimi) as server:
        async with Visitor(server) as visitor:
            tab = await visitor.open(await visitor.new_place())
            await tab.expect(READY)
            await tab.type("\x1a")
            await ask(tab, "still there", "Answer number 1.")


async def test_the_number_of_programs_is_bounded(kimi: Program) -> None:
    with WebServer(kimi, "--max-sessions", "1") as server:
        async with Visitor(server) as visitor:
            one = await visitor.open(await visitor.new_place())
            await one.expect(READY)
            two = await visitor.open(await visitor.new_place())
            assert await two.closed() == 4002
            assert len(programs_of(server)) == 1


@pytest.mark.parametrize(
    ("number", "code"), all_but([(signal.SIGINT, 0)], [(signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
)
async def test_the_end_of_the_server_ends_all(kimi: Program, number: signal.Signals, code: int) -> None:
    with WebServer(kimi) as server:
        async with Visitor(server) as visitor:
            tab = await visitor.open(await visitor.new_place())
            await tab.expect(READY)
            ids = programs_of(server)
            out, errors = server.end(number)
            assert server.process.returncode == code
            wait_gone(ids)
            assert server.token not in out + errors
            assert not errors


async def test_a_killed_server_leaves_nothing_running(kimi: Program) -> None:
    with WebServer(kimi) as server:
        async with Visitor(server) as visitor:
            tab = await visitor.open(await visitor.new_place())
            await tab.expect(READY)
            ids = programs_of(server)
            server.end(signal.SIGKILL)
            wait_gone(ids)


# --- the command line -------------------------------------------------------------------------------------------------


def test_a_port_in_use(kimi: Program) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = kimi.run("web", "--no-open", "--port", str(taken.getsockname()[1]))
    assert ran.returncode == 2
    assert "is in use" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-p", "hello"], "sessions with a screen"),
        (["--print"], "sessions with a screen"),
        (["sessions", "list"], "no command"),
        (["-C", "-r", "x"], "exclude each other"),
        (["--host", "0.0.0.0"], "127.0.0.1"),
        (["--port", "70000"], "70000"),
        (["--no-such-flag"], "--no-such-flag"),
        (["-w", "no/such/folder"], "no/such/folder"),
        (["--config-file", "none.toml"], "none.toml"),
    ],
)
def test_what_cannot_be_is_told_at_once(kimi: Program, arguments: list[str], said: str) -> None:
    ran = kimi.run("web", "--no-open", *arguments)
    assert ran.returncode == 2
    assert said in ran.stderr


def test_the_browser_is_opened_without_the_token_on_its_command_line(kimi: Program) -> None:
    browser = kimi.folder / "browser"
    browser.write_text('#!/bin/sh\nprintf "%s\\n" "$1" > "$HOME/opened"\ncp "${1#file://}" "$HOME/page"\n')
    browser.chmod(0o755)
    server = subprocess.Popen(
        [sys.executable, "-m", "kimi_agent", "web"],
        cwd=kimi.work,
        env=kimi.environment(BROWSER=str(browser), DISPLAY=":99"),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        url = re.search(r"http\S+", server.stdout.readline())
        assert url is not None
        page, opened = kimi.folder / "page", kimi.folder / "opened"
        deadline = time.monotonic() + PATIENCE_S
        while not (page.exists() and url[0] in page.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert url[0].partition("token=")[2] not in opened.read_text()
        file = Path(opened.read_text().strip().removeprefix("file://"))
        assert file.stat().st_mode & 0o077 == 0
    finally:
        server.terminate()
        server.wait(PATIENCE_S)
    assert not file.exists()


# --- parts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_modes_are_followed_in_pieces_of_any_size(size: int) -> None:
    written = b"a\x1b[?1049h\x1b[?1000;1006hx\x1b[?25l\x1b[?2026h\x1b[31m\x1b[?25h\x1b[?1000l"
    modes = Modes()
    for start in range(0, len(written), size):
        modes.follow(written[start : start + size])
    assert modes.codes() == b"\x1b[?1049h\x1b[?1006h\x1b[?25h\x1b[?1000l"


def test_the_browser_is_not_taken_for_the_terminal_of_the_server() -> None:
    outer = {"TMUX": "/tmp/x", "KITTY_WINDOW_ID": "1", "TERM_PROGRAM": "vscode", "COLUMNS": "5", "TERM": "dumb"}
    kept = {"PATH": os.defpath, "KIMI_HOME": "/h", "NO_COLOR": "1"}
    assert environment(outer | kept) == kept | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
