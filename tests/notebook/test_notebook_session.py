"""A notebook session from end to end: a scripted model, the real kernel, and the plot on the screen."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fakes import FakeAgent
from kimi_notebook.export import ExportNotebook
from kimi_notebook.tool import Notebook
from machine import House, ListProvider, call, calls, of, play, say
from textual.pilot import Pilot
from tui_house import Clock

from kimi_agent.core import event as ev
from kimi_agent.core.ask import Allow, Answer, Question
from kimi_agent.core.message import Image
from kimi_agent.frontends.common.look import Look
from kimi_agent.frontends.tui.app import KimiApp

PLOT = """\
from IPython.display import Image
from PIL import Image as Canvas, ImageDraw
import io, math

plot = Canvas.new("RGB", (640, 320), "white")
pen = ImageDraw.Draw(plot)
for n, height in enumerate(sales):
    left = 60 + n * 92
    pen.rectangle((left, 280 - height * 2, left + 60, 280), fill="steelblue")
wave = [(60 + x, 150 - 90 * math.sin(x / 60)) for x in range(540)]
pen.line(wave, fill="crimson", width=9)
pen.line((40, 20, 40, 280, 620, 280), fill="black", width=5)
out = io.BytesIO()
plot.save(out, "PNG")
print("six months, one wave")
Image(out.getvalue())
"""


def cell(code: str, call_id: str) -> Any:
    return calls(call("Notebook", msgspec.json.encode({"code": code}).decode(), call_id))


SCRIPT = [
    cell("sales = [35, 60, 80, 55, 95, 110]\nsum(sales)", "c1"),
    cell(PLOT, "c2"),
    calls(call("ExportNotebook", '{"path": "sales.ipynb"}', "c3")),
    say("Sales rise; the wave is decoration."),
]


async def session_events(folder: Path) -> tuple[list[ev.Event], ListProvider, list[Question]]:
    """What a session of that script emits. Times are made equal, so that two runs look the same."""
    questions: list[Question] = []

    async def allow(question: Question) -> Answer:
        questions.append(question)
        return Allow()

    notebook, provider = Notebook(), ListProvider(SCRIPT)
    house = House(folder, provider, [notebook, ExportNotebook()])
    session = house.open(ask=allow)
    try:
        events = await play(session, "Plot the sales of sales.csv, and keep the notebook.")
    finally:
        await session.aclose()
        await notebook.aclose()
    return (
        [msgspec.structs.replace(e, seconds=0.0) if hasattr(e, "seconds") else e for e in events],
        provider,
        questions,
    )


class ReplayedAgent(FakeAgent):
    """Its session has happened already."""

    def __init__(self, log: list[ev.Event], home: Path) -> None:
        super().__init__(home=home)
        self.log = log
        self.notices: tuple[str, ...] = ()

    def open(self, session_id: str | None = None, **options: Any) -> Any:
        session = super().open(session_id, **options)
        session._log += [event for event in self.log if not isinstance(event, ev.DELTAS)]
        return session


@pytest.fixture(scope="module")
async def played(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("played")
    return (*await session_events(folder), folder)


@pytest.mark.asyncio(loop_scope="module")
async def test_the_model_gets_the_plot_and_the_person_is_asked(played: Any) -> None:
    events, provider, questions, folder = played
    assert [type(e.display).__name__ for e in of(events, ev.ToolFinished)] == ["Terminal", "Pictures", "Plain"]
    assert [question.effects[0].kind for question in questions] == ["run", "run", "write"]
    assert questions[0].effects[0].target.startswith("python: sales = [")
    results = [message.result for message in provider.requests[-1].messages if message.result]
    assert results[0].content[0].text == "435"
    assert isinstance(results[1].content[1], Image)
    assert (folder / "work" / "sales.ipynb").exists()


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_plot_is_seen(
    snap_compare: Any, played: Any, tmp_path: Path, theme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    app = KimiApp(
        ReplayedAgent(played[0], tmp_path),
        cwd=Path("/srv/shop"),
        look=Look(theme=theme),
        clock=Clock(),
        version="1.0.0",
    )

    async def settle(pilot: Pilot[Any]) -> None:
        app.view.flush()
        await pilot.pause()

    assert snap_compare(app, terminal_size=(64, 36), run_before=settle)


def test_without_colours_there_is_a_line(snap_compare: Any, played: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = KimiApp(ReplayedAgent(played[0], tmp_path), cwd=Path("/srv/shop"), clock=Clock(), version="1.0.0")
    assert snap_compare(app, terminal_size=(64, 24))


CRASH = """
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tool_context import call, make_context, text_of
from kimi_notebook.tool import Notebook

async def main():
    ctx = make_context(Path(sys.argv[1]))
    print(text_of(await call(Notebook(), ctx, code="import os; print(os.getpid())")), flush=True)
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""


def test_a_crash_of_kimi_leaves_no_kernel(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    tests = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", CRASH, str(work), str(tests)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == -9, done.stderr
    deadline = time.monotonic() + 10
    while alive(int(done.stdout)):
        assert time.monotonic() < deadline, "the kernel outlives kimi"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
