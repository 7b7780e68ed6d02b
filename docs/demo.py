"""Records docs/images/demo.svg: the real `kimi` in a real terminal, at work on a real folder; only the model is scripted.

`make demo` writes it anew. What is typed and how long a reader gets is told by `play`; the rest is as the program drew it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs"), str(ROOT / "tests")]

from fake_api import FakeAPI  # noqa: E402
from film import Film  # noqa: E402
from kimi_program import Program  # noqa: E402
from pty_screen import PtyScreen  # noqa: E402

SIZE = (92, 26)
QUIET_S = 0.04
"""A frame is taken when the program has drawn nothing for so long."""
LONGEST_S = 0.3
"""How long a frame stays that only passes by."""
KEY_S = 0.055
PATIENCE_S = 60.0

CODE = '''"""Prices."""


def total(prices, discount=0):
    """Sum of prices, less a discount in percent."""
    return sum(prices) * (1 - discount / 10)
'''
TEST = """from shop import total


def test_discount():
    assert total([100], discount=10) == 90
"""
CONFIG = """
default_model = "kimi-k2.6"
theme = "dark"
[providers.kimi]
type = "kimi"
base_url = "{url}"
api_key = "none"
[models."kimi-k2.6"]
provider = "kimi"
model = "kimi-k2.6"
max_context_size = 262144
"""
PYTEST = "pytest -q --tb=no"


def words(text: str) -> Iterator[dict[str, Any]]:
    """A text that comes word by word."""
    for word in text.split(" "):
        yield {"text": f"{word} "}
        yield {"delay": 0.03}


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"call": {"name": name, "arguments": arguments}}


def steps() -> list[list[dict[str, Any]]]:
    """What the model says, request by request."""
    used = {"tokens": {"input": 6200, "output": 310, "cached": 5100}}
    return [
        [*words("I run the test first."), call("Shell", command=PYTEST), used],
        [
            *words("The discount is in percent, but the code divides it by 10."),
            call("StrReplaceFile", path="shop.py", edit={"old": "discount / 10)", "new": "discount / 100)"}),
            used,
        ],
        [call("Shell", command=PYTEST), used],
        [
            {"expect": "1 passed"},
            *words("Fixed in `shop.py:6`: the discount is in **percent**, so it is divided by 100. The test passes."),
            used,
        ],
    ]


class Terminal(PtyScreen):
    @property
    def screen(self) -> Any:
        return self._screen

    def settle(self, quiet_s: float, patience_s: float) -> bool:
        """Until it has drawn something and then nothing for a while; false when it draws nothing."""
        drawn = self._pump(patience_s)
        end = time.monotonic() + LONGEST_S
        while drawn and time.monotonic() < end and self._pump(quiet_s):
            pass
        return drawn


class Recorder:
    """A terminal whose screen is filmed."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal, self.film = terminal, Film(*SIZE)

    def type(self, text: str) -> None:
        """Key by key, each seen before the next."""
        for key in text:
            self.terminal.type(key)
            self._watch(KEY_S, at_least=KEY_S)

    def press(self, keys: str) -> None:
        self.terminal.type(keys)

    def until(self, text: str) -> None:
        """Film until `text` is on the screen."""
        deadline = time.monotonic() + PATIENCE_S
        while text not in self.terminal.visible:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{text!r} never came:\n{self.terminal.visible}")
            self._watch(0.2)

    def hold(self, seconds: float) -> None:
        """Let the program settle, and the reader read."""
        self._watch(0.25)
        self.film.stay(seconds)

    def _watch(self, seconds: float, *, at_least: float = 0.0) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            started = time.monotonic()
            if self.terminal.settle(QUIET_S, left):
                passed = time.monotonic() - started
                self.film.take(self.terminal.screen, max(at_least, min(passed, LONGEST_S)))


def play_shortly(recorder: Recorder) -> None:
    """The beginning, up to the file that is mentioned."""
    recorder.until("your own shell")
    recorder.hold(1.2)
    recorder.type("The discount is wrong: fix @sh")
    recorder.until("test_shop.py")
    recorder.hold(0.9)
    recorder.press("\t")
    recorder.until("@shop.py")


def play(recorder: Recorder) -> None:
    play_shortly(recorder)
    recorder.type("and run the test.")
    recorder.hold(0.5)
    recorder.press("\r")
    recorder.until("wants to run")
    recorder.hold(1.6)
    recorder.press("2")
    recorder.until("wants to change")
    recorder.hold(2.6)
    recorder.press("1")
    recorder.until("✓ tests pass")
    recorder.hold(2.4)
    recorder.press("\x18")
    recorder.hold(0.7)
    recorder.type("git diff --stat")
    recorder.hold(0.3)
    recorder.press("\r")
    recorder.until("1 file changed")
    recorder.hold(1.8)
    recorder.press("\x18")
    recorder.hold(0.4)
    recorder.type("/context")
    recorder.hold(0.5)
    recorder.press("\r")
    recorder.hold(3.0)


def record(folder: Path) -> Film:
    """Play it in an empty folder."""
    program = Program(folder)
    work = program.work.rename(folder / "shop")
    (work / "shop.py").write_text(CODE)
    (work / "test_shop.py").write_text(TEST)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"PATH": path, "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_ADDOPTS": "-p no:cacheprovider", "GIT_PAGER": "cat"}
    env = program.environment(COLORTERM="truecolor", SHELL="/bin/bash", PS1="$ ", **own)
    git = ["git", "-c", "user.name=demo", "-c", "user.email=demo@localhost"]
    for arguments in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "shop"]):
        subprocess.run([*git, *arguments], cwd=work, env=env, check=True)
    with FakeAPI(steps()) as api:
        program.write_config(CONFIG.format(url=api.url))
        argv = [sys.executable, "-P", "-m", "kimi_agent"]
        with Terminal(argv, env=env, cwd=work, columns=SIZE[0], lines=SIZE[1]) as terminal:
            recorder = Recorder(terminal)
            play(recorder)
    return recorder.film


def main() -> None:
    folder = Path(tempfile.gettempdir()) / "demo"  # it is seen in the film
    folder.mkdir()
    try:
        svg = record(folder).svg()
    finally:
        shutil.rmtree(folder)
    (ROOT / "docs" / "images" / "demo.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
