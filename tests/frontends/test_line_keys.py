"""Keys of line mode in a real terminal: one's own, vim's, those of readline, and what becomes of pastes."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from fake_api import FakeAPI, last_text
from kimi_program import Program
from tui_terminal import FullScreen

from kimi_agent.frontends.line.keys import untold

ACCENTED = "e\u0301\u0327"
"""Three code points, one character."""
LONG = "\n".join(f"line {n}" for n in range(20))
PASTE, SHOWN = f"\x1b[200~{LONG}\x1b[201~", "[Pasted text #1 +20 lines]"
LEFT, RIGHT = "\x1b[D", "\x1b[C"
Steps = Sequence[tuple[str, str]]


@contextmanager
def line(folder: Path, settings: str = "") -> Iterator[tuple[FullScreen, FakeAPI]]:
    with FakeAPI(lambda request: [{"text": f"answer {len(last_text(request))}"}]) as api:
        program = Program(folder)
        program.use(api.url)
        config = program.config.read_text()
        program.write_config(config + settings if settings.startswith("[") else settings + config)
        with FullScreen(program, "--line") as screen:
            screen.wait_until(lambda: screen.visible.endswith(">"))
            yield screen, api


def send(screen: FullScreen, api: FakeAPI, steps: Steps) -> str:
    """Type each part once the one before is seen, then Enter; answers what the model got."""
    asked = len(api.requests)
    for typed, shown in steps:
        screen.type(typed)
        screen.wait_until(lambda shown=shown: shown in screen.visible)
    screen.type("\r")
    screen.wait_until(lambda: len(api.requests) > asked)
    screen.wait_for(f"answer {len(last_text(api.requests[-1].json))}")
    screen.wait_until(lambda: screen.visible.split("\n")[-1].rstrip().endswith(">"))
    return last_text(api.requests[-1].json)


def test_the_keys_of_the_prompt(tmp_path: Path) -> None:
    cases: list[tuple[Steps, str]] = [
        ([("one\x1b[27;2;13~two", "two")], "one\ntwo"),
        ([("three\x1b[13;2ufour", "four")], "three\nfour"),
        ([(f"a{ACCENTED}b", "b"), (f"{LEFT}{LEFT}x", "ax")], f"ax{ACCENTED}b"),
        ([(f"c{ACCENTED}", "c"), ("\x7fd", "cd")], "cd"),
        ([("keep this", "keep this"), ("\x03", ">"), ("\x1f!", "keep this!")], "keep this!"),
        ([("\x12ax", "ax"), ("\x1b", ">"), ("fresh", "> fresh")], "fresh"),
        ([("\x12keep", "keep this"), ("\r", "keep this!"), ("?", "?keep this!")], "?keep this!"),
    ]
    with line(tmp_path) as (screen, api):
        for steps, sent in cases:
            assert send(screen, api, steps) == sent


def test_a_placeholder_is_never_cut(tmp_path: Path) -> None:
    cases: list[tuple[Steps, str]] = [
        ([(f"see {PASTE}", SHOWN), (f"{LEFT}, {RIGHT} !", f"see , {SHOWN} !")], f"see , {LONG} !"),
        ([(f"one {PASTE}", f"one {SHOWN}"), ("\x17two", "one two")], "one two"),
        ([(f"three {PASTE}", f"three {SHOWN}"), (f"{LEFT}\x1b[3~four", "three four")], "three four"),
        ([(f"five {PASTE}", f"five {SHOWN}"), ("\x1bb six ", f" six {SHOWN}")], f"five  six {LONG}"),
        ([(f"seven {PASTE}", f"seven {SHOWN}"), ("\x15eight", "> eight")], "eight"),
    ]
    with line(tmp_path) as (screen, api):
        for steps, sent in cases:
            assert send(screen, api, steps) == sent
    (stored,) = (tmp_path / "home" / "user-history").iterdir()
    assert [json.loads(row)["content"] for row in stored.read_text().splitlines()] == [sent for _, sent in cases]


def test_keys_of_ones_own(tmp_path: Path) -> None:
    keys = '[keys]\nundo = "f2"\nshell_mode = "alt+k"\nnewline = "f3"\nplan_mode = "ctrl+,"\n'
    with line(tmp_path, keys) as (screen, api):
        screen.wait_for("line mode cannot tell Ctrl-, from other keys")
        assert send(screen, api, [("one\x1bORtwo", "two")]) == "one\ntwo"
        screen.type("\x1bk")
        screen.wait_until(lambda: screen.visible.endswith("$"))
        screen.type("\x1bk")
        screen.wait_until(lambda: screen.visible.endswith(">"))
        assert send(screen, api, [("back", "back"), ("\x03", ">"), ("\x1bOQ again", "back again")]) == "back again"


def test_vims_keys(tmp_path: Path) -> None:
    with line(tmp_path, "vim_mode = true\n") as (screen, api):
        screen.wait_for("INSERT >")
        assert send(screen, api, [("one two three", "three"), ("\x1b", "NORMAL"), ("bdw0x", "> ne two")]) == "ne two "
        assert send(screen, api, [("INS" + LEFT, "INSERT > INS"), ("\x1b", "NORMAL"), ("Ax", "INSx")]) == "INSx"


@pytest.mark.parametrize(
    ("key", "told"), [("ctrl+,", 1), ("f5", 0), ("shift+enter", 0), ("ctrl+backspace", 1), ("x", 0)]
)
def test_keys_that_cannot_be_told_apart_are_named(key: str, told: int) -> None:
    assert len(untold({"plan_mode": (key,)})) == told
    assert untold({"expand": (key,)}) == [], "not an action of line mode"
