"""Pictures into the prompt: the clipboard of each platform, dropped files, and what the model's API then holds."""

import base64
import io
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from desktop import OSASCRIPT, PBPASTE, PNGPASTE, POWERSHELL, WAYLAND, WL_PASTE, XCLIP, Desktop
from fake_api import FakeAPI
from kimi_program import Program
from nightly import all_but
from PIL import Image as Pillow
from pty_screen import PtyScreen
from sample_pictures import RED, two_bars
from tui_house import house, screen_text, seen, shell, until
from tui_terminal import FullScreen

from kimi_agent.frontends.common.clipboard_reader import ClipboardError, find_reader, read_clipboard
from kimi_agent.frontends.common.pastes import Pastes
from kimi_agent.frontends.common.prompt_pictures import KEPT_S, dropped, dropped_files, store_picture

DESKTOPS = {
    "wayland": ({"wl_paste": WL_PASTE}, WAYLAND, "linux"),
    "x11": ({"xclip": XCLIP}, {"DISPLAY": ":0"}, "linux"),
    "pngpaste": ({"pngpaste": PNGPASTE, "pbpaste": PBPASTE}, {}, "darwin"),
    "osascript": ({"osascript": OSASCRIPT, "pbpaste": PBPASTE}, {}, "darwin"),
    "wsl": ({"powershell.exe": POWERSHELL}, {"WSL_DISTRO_NAME": "Debian"}, "linux"),
}


@pytest.mark.parametrize("kind", DESKTOPS)
async def test_the_clipboard_of_every_platform(tmp_path: Path, kind: str) -> None:
    programs, env, platform = DESKTOPS[kind]
    desktop = Desktop(tmp_path / "desktop", **programs)
    assert await read_clipboard(desktop.env(**env), platform) == ""
    desktop.text.write_text("zwei Wörter\n")
    assert await read_clipboard(desktop.env(**env), platform) == "zwei Wörter\n"
    data = desktop.copy_picture(two_bars(40, 30))
    assert await read_clipboard(desktop.env(**env), platform) == data


@pytest.mark.parametrize(
    ("env", "said"),
    [
        (WAYLAND, "install wl-clipboard"),
        ({"DISPLAY": ":0"}, "install xclip"),
        ({"SSH_CONNECTION": "1 2 3 4"}, "over SSH"),
        ({}, "no clipboard"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, env: dict[str, str], said: str) -> None:
    with pytest.raises(ClipboardError, match=said):
        find_reader({"PATH": str(tmp_path), **env}, "linux")


async def test_a_flood_and_a_program_that_cannot_run_are_told(tmp_path: Path) -> None:
    desktop = Desktop(tmp_path / "desktop", wl_paste="#!/bin/sh\nexec cat /dev/zero\n")
    with pytest.raises(ClipboardError, match="too large"):
        await read_clipboard(desktop.env(**WAYLAND), "linux")
    desktop.add("wl-paste", "#!/no/such/shell\n")
    with pytest.raises(ClipboardError, match="wl-paste"):
        await read_clipboard(desktop.env(**WAYLAND), "linux")


def test_a_picture_is_kept_for_its_owner_alone_and_not_for_ever(tmp_path: Path) -> None:
    out = io.BytesIO()
    two_bars().save(out, "PNG")
    old = store_picture(out.getvalue(), tmp_path)
    long_ago = time.time() - KEPT_S - 60
    os.utime(old, (long_ago, long_ago))
    path = store_picture(out.getvalue(), tmp_path)
    assert path.read_bytes() == out.getvalue()
    assert path.suffix == ".png"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]
    with pytest.raises(ClipboardError, match="cannot be read"):
        store_picture(b"no picture", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ClipboardError, match="cannot be kept"):
        store_picture(out.getvalue(), tmp_path / "file")


# --- dropped files ------------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> Path:
    two_bars(40, 30).save(tmp_path / "a b.png")
    two_bars(10, 20).save(tmp_path / "c.png")
    (tmp_path / "notes.txt").write_text("text")
    (tmp_path / "b's.txt").write_text("text")
    return tmp_path


@pytest.mark.parametrize(
    ("pasted", "names"),
    [
        ("{}/c.png", ["c.png"]),
        ("{}/c.png \n", ["c.png"]),
        ("{}/a b.png", ["a b.png"]),
        ("{}/a\\ b.png", ["a b.png"]),
        ("'{}/a b.png'", ["a b.png"]),
        ('"{}/a b.png"', ["a b.png"]),
        ("file://{}/a%20b.png", ["a b.png"]),
        ("file://localhost{}/c.png", ["c.png"]),
        ("'{0}/a b.png' {0}/c.png {0}/notes.txt", ["a b.png", "c.png", "notes.txt"]),
        ("{0}/a b.png\n{0}/c.png", ["a b.png", "c.png"]),
        ("file://{0}/a%20b.png\nfile://{0}/c.png", ["a b.png", "c.png"]),
        ("'{}/b'\\''s.txt'", ["b's.txt"]),
        ("{}/b's.txt", ["b's.txt"]),
        # text that only looks like it
        ("{}/gone.png", []),
        ("{0}/c.png is red", []),
        ("see {}/c.png", []),
        ("c.png", []),
        ("{}", []),  # a folder
        ("/" + "x" * 9000, []),
        ("/\0", []),
        ("'/unfinished", []),
    ],
)
def test_which_pastes_name_files(files: Path, pasted: str, names: list[str]) -> None:
    assert dropped_files(pasted.format(files)) == [files / name for name in names]


def test_pictures_become_placeholders_and_other_files_mentions(files: Path) -> None:
    pastes = Pastes()
    text = f"'{files}/a b.png' '{files}/notes.txt' {files}/c.png"
    put = dropped(text, "see ", files, pastes)
    assert put == "[image #1 a b.png 40x30] @notes.txt [image #2 c.png 10x20] "
    sent = pastes.expand(f"see {put}")
    assert sent == f'see @"{files}/a b.png" @notes.txt @"{files}/c.png" '
    assert pastes.collapse_again(sent) == f"see {put}"
    assert pastes.attach_picture("c.png", str(files / "c.png"), (10, 20)) == "[image #2 c.png 10x20]", "the same one"
    assert pastes.expand("a[image #2 c.png 10x20]b [image #3 mine 1x1]") == f'a @"{files}/c.png"b [image #3 mine 1x1]'
    assert dropped(f"{files}/notes.txt", "", files / "other", pastes) == f"@{files}/notes.txt "


@pytest.mark.parametrize("before", ["/add-dir ", "!ls ", "--file="])
def test_commands_and_words_take_a_path_as_it_is(files: Path, before: str) -> None:
    assert dropped(f"{files}/notes.txt", before, files, Pastes()) is None


def test_a_name_cannot_break_its_placeholder() -> None:
    pastes = Pastes()
    placeholder = pastes.attach_picture("a]\x1b[31m\nb" * 20 + ".png", "/x.png", (1, 2))
    assert placeholder.isprintable()
    assert pastes.expand(placeholder) == '@"/x.png"'
    assert pastes.ending_at(f"see {placeholder}", 4 + len(placeholder)) == len(placeholder)


# --- in the shells ------------------------------------------------------------------------------------------------------


async def test_what_stands_in_the_prompt_and_how_it_goes_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desktop = Desktop(tmp_path / "desktop", wl_paste=WL_PASTE)
    for name, value in desktop.env(**WAYLAND).items():
        monkeypatch.setenv(name, value)
    home = house(tmp_path)
    async with shell(home.agent) as (app, pilot):
        await pilot.press("ctrl+v")
        await seen(app, pilot, "The clipboard is empty")
        desktop.text.write_text("just text")
        await pilot.press("ctrl+v")
        await until(pilot, lambda: app.composer.text == "just text")
        desktop.copy_picture(two_bars(40, 30))
        await pilot.press("ctrl+v")
        await until(pilot, lambda: app.composer.text == "just text [image #1 clipboard.png 40x30] ")
        await pilot.press("backspace", "backspace")
        assert app.composer.text == "just text "
        desktop.picture.write_bytes(b"\x89PNG damaged")
        await pilot.press("ctrl+v")
        await seen(app, pilot, "cannot be read")
        await pilot.press("ctrl+x")
        desktop.copy_picture(two_bars(40, 30))
        await pilot.press("ctrl+v")
        await seen(app, pilot, "the shell takes none")
        assert "[image" not in screen_text(app)


@contextmanager
def full_screen(program: Program, **env: str) -> Iterator[FullScreen]:
    with FullScreen(program, **env) as screen:
        screen.expect("❯")
        yield screen


@contextmanager
def line_mode(program: Program, **env: str) -> Iterator[FullScreen]:
    with FullScreen(program, "--line", **env) as screen:
        screen.expect("/help")
        screen.expect("\n>")
        yield screen


SHELLS = pytest.mark.parametrize("opened", [full_screen, line_mode])


def images_in(request: Any) -> list[Pillow.Image]:
    """The pictures of an API request."""
    parts = [
        part for message in request["messages"] if isinstance(message["content"], list) for part in message["content"]
    ]
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    return [Pillow.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) for url in urls]


def send(screen: PtyScreen, shown: str, answer: str) -> None:
    screen.wait_for(shown)
    screen.type("what is it?")
    screen.wait_for("what is it?")
    screen.type("\r")
    screen.wait_for(answer)


@SHELLS
@pytest.mark.parametrize(
    "key", all_but(["\x16"], ["\x16", "\x1bv", "\x1b[200~\x1b[201~"]), ids=["ctrl-v", "alt-v", "empty-paste"]
)
def test_the_model_gets_the_picture_of_the_clipboard(tmp_path: Path, opened: Any, key: str) -> None:
    desktop = Desktop(tmp_path / "desktop", wl_paste=WL_PASTE)
    desktop.copy_picture(two_bars(40, 30))
    program = Program(tmp_path)
    with FakeAPI([[{"text": "Two bars."}], [{"text": "Again."}]]) as api:
        program.use(api.url)
        with opened(program, **desktop.env(**WAYLAND)) as screen:
            screen.type(key)
            send(screen, "[image #1 clipboard.png 40x30]", "Two bars.")
            (picture,) = images_in(api.requests[0].json)
            assert (picture.size, picture.convert("RGB").getpixel((0, 0))) == ((40, 30), RED)
            (kept,) = (program.home / "prompt-images").iterdir()
            assert f'@"{kept}" what is it?' in str(api.requests[0].json["messages"])
            screen.type("\x1b[A")  # the history knows it as it stood
            screen.until(lambda: screen.visible.count("[image #1 clipboard.png 40x30] what is it?") >= 1)


@SHELLS
def test_the_model_gets_dropped_files(tmp_path: Path, opened: Any) -> None:
    program = Program(tmp_path)
    two_bars(40, 30).save(program.work / "a b.png")
    (program.work / "notes.txt").write_text("the notes\n")
    with FakeAPI([[{"text": "Two bars."}]]) as api:
        program.use(api.url)
        with opened(program) as screen:
            screen.type(f"\x1b[200~'{program.work}/a b.png' '{program.work}/notes.txt'\x1b[201~")
            send(screen, "[image #1 a b.png 40x30] @notes.txt", "Two bars.")
            assert [picture.size for picture in images_in(api.requests[0].json)] == [(40, 30)]
            assert "the notes" in str(api.requests[0].json["messages"])


@SHELLS
def test_backspace_takes_a_picture_out_whole(tmp_path: Path, opened: Any) -> None:
    program = Program(tmp_path)
    two_bars(40, 30).save(program.work / "a.png")
    with FakeAPI([[{"text": "Nothing."}]]) as api:
        program.use(api.url)
        with opened(program) as screen:
            screen.type(f"\x1b[200~{program.work}/a.png\x1b[201~")
            screen.wait_for("[image #1 a.png 40x30]")
            screen.type("\x7f\x7f")
            screen.wait_gone("[image #1")
            send(screen, "", "Nothing.")
            assert images_in(api.requests[0].json) == []


@SHELLS
def test_a_model_that_cannot_see_is_named_as_the_reason(tmp_path: Path, opened: Any) -> None:
    program = Program(tmp_path)
    two_bars(40, 30).save(program.work / "a.png")
    with FakeAPI([[{"text": "I cannot see."}]]) as api:
        program.use(api.url)
        program.write_config(program.config.read_text() + 'capabilities = ["thinking"]\n')
        with opened(program) as screen:
            screen.type(f"\x1b[200~{program.work}/a.png\x1b[201~")
            send(screen, "[image #1 a.png 40x30]", "I cannot see.")
            assert "the model cannot see pictures" in " ".join(screen.text.split())
            assert images_in(api.requests[0].json) == []


@SHELLS
def test_no_tool_is_told_and_nothing_is_put_in(tmp_path: Path, opened: Any) -> None:
    program = Program(tmp_path)
    with FakeAPI([[{"text": "Hello."}]]) as api:
        program.use(api.url)
        with opened(program) as screen:
            screen.type("\x16")
            screen.wait_for("There is no clipboard here")


@pytest.mark.parametrize(
    ("mode", "drawn"),
    [("--line", "  ▀▀▀▀\n  ▀▀▀▀\n"), ("--screen-reader", "[picture 4x4, a.png]\n")],
    ids=["drawn", "in words"],
)
def test_line_mode_shows_the_picture_after_the_prompt_and_on_replay(tmp_path: Path, mode: str, drawn: str) -> None:
    program = Program(tmp_path)
    two_bars(4, 4).save(program.work / "a.png")
    with FakeAPI([[{"text": "Two bars."}]]) as api:
        program.use(api.url)
        for arguments in ((mode,), (mode, "--continue")):
            with FullScreen(program, *arguments, COLORTERM="truecolor") as screen:
                screen.expect("\n>" if mode == "--line" else "You:")
                if len(arguments) == 1:
                    screen.type("look at @a.png")
                    screen.wait_for("look at @a.png")
                    screen.type(" now\r")
                    screen.wait_for("Two bars.")
                screen.until(lambda: screen.text.count("Two bars.") == screen.text.count(drawn) == 1)
                asked = screen.text.rindex("look at @a.png now", 0, screen.text.index(drawn))
                assert asked < screen.text.index(drawn) < screen.text.index("Two bars.")
                assert "[image" not in screen.text
