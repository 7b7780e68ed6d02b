"""The keys that find one's way, as a real terminal sends them."""

import base64
from pathlib import Path

from kimi_program import Program
from tui_terminal import FullScreen

LONG = "\n\n".join(f"Paragraph {n} of a long answer." for n in range(40))
ALT_UP, CTRL_END, CTRL_F, CTRL_T, ESC = "\x1b[1;3A", "\x1b[1;5F", "\x06", "\x14", "\x1b"


def test_search_jumps_copy_and_rewind(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    with FullScreen(kimi, "--provider", kimi.scenario([{"text": LONG}])) as screen:
        screen.expect("❯")
        screen.type("tell me\r")
        screen.expect("Paragraph 39")
        screen.type(CTRL_F)
        screen.expect("Find")
        screen.type("paragraph 1 of")
        screen.expect("1 of 1")
        screen.expect("Paragraph 1 of a long answer.")
        screen.type(ESC)
        screen.wait_gone("1 of 1")
        screen.type(CTRL_END)
        screen.expect("Paragraph 39")
        screen.type(ALT_UP)
        screen.expect("❯ tell me")
        screen.type(CTRL_T)
        screen.expect("Copied the last answer")
        copied = b"\x1b]52;c;" + base64.b64encode(LONG.encode())
        screen.until(lambda: copied in screen.raw)
        screen.type(ESC)
        screen.expect("Esc again goes back")
        screen.type(ESC)
        screen.expect("Go back to before which message?")
        screen.type("\r")
        screen.expect("Fork there")
        screen.type("\r")
        screen.expect("Files stay as they are")
        screen.until(lambda: "❯ tell me" in screen.visible.rsplit("Files stay", 1)[1])  # in the prompt again
        screen.type("\x03")  # empties it
        screen.wait_gone("❯ tell me")
        screen.type("\x04")
        screen.expect("again leaves")
        screen.type("\x04")
        assert screen.wait_end() == 0
        assert screen.restored
