"""Draws docs/images/shell.svg: the real full-screen shell after a real fix in a real folder; only the model is scripted.

`make picture` writes it anew; the seconds in it are those of the run.
"""

import asyncio
import html
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

SIZE = (100, 30)
PATIENCE = 60.0
TASK = "A test fails. Find out why and fix it."
CODE = '''"""Prices."""


def total(prices, discount=0):
    """Sum of prices, less a discount in percent."""
    return sum(prices) * (1 - discount / 10)
'''
TEST = """from shop import total


def test_discount():
    assert total([100], discount=10) == 90
"""
ANSWER = "Fixed in `shop.py:6`: the discount is in **percent**, so it is divided by 100. The test passes."
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
BLANK = "\xa0"
TEXT = re.compile(
    r'<text class="(?P<name>[^"]*)" x="(?P<x>[^"]*)" y="(?P<y>[^"]*)" textLength="(?P<length>[^"]*)"(?P<rest>[^>]*)>'
    r"(?P<text>[^<]*)</text>"
)


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"call": {"name": name, "arguments": arguments}}


EDIT = {"old": "discount / 10)", "new": "discount / 100)"}
STEPS = [
    [
        {"text": "I run the test and read the code."},
        call("Shell", command="pytest -q --tb=no"),
        call("ReadFile", path="shop.py"),
    ],
    [call("StrReplaceFile", path="shop.py", edit=EDIT)],
    [call("Shell", command="pytest -q --tb=no")],
    [{"expect": "1 passed"}, {"text": ANSWER}, {"tokens": {"input": 6200, "output": 310, "cached": 5100}}],
]


def main() -> None:
    target = ROOT / "docs" / "images" / "shell.svg"
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        target.write_text(draw(Path(folder)), encoding="utf-8")


def draw(folder: Path) -> str:
    """The picture as SVG, made in an empty folder. The environment of this process is that of the picture afterwards."""
    work = folder / "shop"
    work.mkdir()
    (work / "shop.py").write_text(CODE)
    (work / "test_shop.py").write_text(TEST)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    os.environ.update(HOME=str(folder), PATH=path, PYTHONDONTWRITEBYTECODE="1", PYTEST_ADDOPTS="-p no:cacheprovider")
    os.environ.pop("NO_COLOR", None)
    return without_fonts(asyncio.run(shoot(work, folder / "home")))


async def shoot(work: Path, home: Path) -> str:
    from kimi_agent.build import build
    from kimi_agent.config import Config
    from kimi_agent.core.provider import Model
    from kimi_agent.frontends.common.look import Look
    from kimi_agent.frontends.tui.app import KimiApp
    from kimi_agent.frontends.tui.widgets.panel import GUARD_S
    from kimi_agent.providers.scripted import ScriptedProvider

    model = Model("kimi-k2.6", "kimi-k2.6", "moonshot", 262_144)
    agent = build(Config(), cwd=work, home=home)
    agent.models, agent.default_model = {model.name: model}, model.name
    agent.make_provider = lambda name: ScriptedProvider(STEPS, model=model)
    app = KimiApp(agent, look=Look(theme="dark"))
    async with app.run_test(size=SIZE) as pilot, asyncio.timeout(PATIENCE):
        app.submit(TASK)
        await pilot.pause()
        while app.talk.session.running or "Fixed" not in str(app.talk.session.events()[-6:]):
            await pilot.pause(0.1)
            if app.panel is not None:
                await pilot.pause(2 * GUARD_S)  # keys that come sooner do not count
                await pilot.press("1")
        await pilot.pause(0.2)
        return app.export_screenshot(title="kimi")


def without_fonts(svg: str) -> str:
    """`svg` without fonts from the network: a picture must not tell anybody that it is looked at."""
    svg = re.sub(r"@font-face\s*\{.*?\}|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family:\s*[^;]+;", f"font-family: {FONT};", svg)
    svg = TEXT.sub(without_blanks, svg)
    return "\n".join(line for line in svg.splitlines() if line.strip()) + "\n"


def without_blanks(match: re.Match[str]) -> str:
    """A text without the blanks around it: some viewers swallow them, and all that follows moves to the left."""
    text = html.unescape(match["text"]).rstrip("\n")
    bare = text.strip(BLANK)
    if not bare:
        return ""
    cell = float(match["length"]) / len(text)
    x = float(match["x"]) + cell * (len(text) - len(text.lstrip(BLANK)))
    shown = html.escape(bare).replace(BLANK, "&#160;")
    place = f'x="{x:g}" y="{match["y"]}" textLength="{len(bare) * cell:g}"'
    return f'<text class="{match["name"]}" {place}{match["rest"]}>{shown}</text>'


if __name__ == "__main__":
    main()
