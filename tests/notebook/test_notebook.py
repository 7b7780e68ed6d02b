"""The Notebook tool with a real kernel: state, failures, interrupts, output, and what is left of it."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import nbformat
import pytest
from kimi_notebook import plugin
from kimi_notebook.export import ExportNotebook
from kimi_notebook.tool import Notebook
from tool_context import call, make_context, text_of

from kimi_agent.core.display import Pictures, Terminal
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ToolError
from kimi_agent.core.message import Image
from kimi_agent.core.schema import validate
from kimi_agent.core.tool import ToolContext

pytestmark = pytest.mark.asyncio(loop_scope="module")

PICTURE = """
import io
from IPython.display import Image, display
from PIL import Image as Pillow
out = io.BytesIO()
Pillow.new("RGB", (40, 20), "red").save(out, "PNG")
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> ToolContext:
    folder = tmp_path_factory.mktemp("place") / "work"
    folder.mkdir()
    return make_context(folder)


@pytest.fixture(scope="module")
async def notebook(place: ToolContext) -> AsyncIterator[Notebook]:
    """One kernel for the tests that leave it alive."""
    os.environ.pop("PYTEST_CURRENT_TEST", None)  # with it a kernel does not capture what processes write
    tool = Notebook()
    await call(tool, place, code="pass")
    yield tool
    await tool.aclose()


def family(mark: str) -> list[int]:
    """Processes that carry the variable in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark.encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


async def test_variables_stay_and_the_last_value_is_shown(notebook: Notebook, place: ToolContext) -> None:
    assert text_of(await call(notebook, place, code="x = 20\nprint('set')")) == "set"
    output = await call(notebook, place, code="x * 2 + 2")
    assert (text_of(output), output.is_error) == ("42", False)
    assert output.for_user == Terminal("python: x * 2 + 2", "42", 0)
    assert text_of(await call(notebook, place, code="y = 1")) == "[no output]"
    folder = text_of(await call(notebook, place, code="import os; print(os.getcwd())"))
    assert folder == str(place.workspace.root)


async def test_it_is_asked_for_as_the_code_that_runs(place: ToolContext) -> None:
    params = validate(Notebook.Params, {"code": "import os\nos.remove('x')"})
    assert Notebook().effects(params, place) == (Effect("run", "python: import os\nos.remove('x')"),)
    assert await Notebook().preview(params, place) == Terminal("python: import os\nos.remove('x')")
    with pytest.raises(ToolError, match="empty"):
        Notebook().effects(validate(Notebook.Params, {"code": " \n"}), place)
    with pytest.raises(ToolError, match="broken character"):
        Notebook().effects(validate(Notebook.Params, {"code": "'\ud800'"}), place)


async def test_without_its_libraries_the_plugin_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (plugin().problems, plugin().tools is None) == ([], False)
    monkeypatch.setitem(sys.modules, "ipykernel", None)
    assert plugin().tools is None
    assert plugin().problems == ["it needs ipykernel: pip install 'kimi-agent[notebook]'"]


async def test_an_error_is_a_traceback_without_colours(notebook: Notebook, place: ToolContext) -> None:
    output = await call(notebook, place, code="def f():\n    return 1 / 0\nf()")
    assert output.is_error
    assert "ZeroDivisionError: division by zero" in text_of(output)
    assert "return 1 / 0" in text_of(output)
    assert "\x1b" not in text_of(output)


async def test_input_fails_at_once(notebook: Notebook, place: ToolContext) -> None:
    output = await call(notebook, place, code="input('Name? ')")
    assert output.is_error
    assert "StdinNotImplementedError" in text_of(output)


async def test_output_of_processes_and_of_stderr_is_seen_and_shown_live(notebook: Notebook, place: ToolContext) -> None:
    seen: list[str] = []
    ctx = ToolContext("live", place.workspace, place.ask, seen.append, (), place.scratch, place.tasks)
    code = "import sys, subprocess\nprint('one', file=sys.stderr, flush=True)\n"
    code += "subprocess.run(['echo', 'two'])\nprint('\\x1b[31mred')"
    lines = text_of(await call(notebook, ctx, code=code)).splitlines()
    while "two" not in lines:  # the kernel may read it after the end of the cell
        lines += text_of(await call(notebook, ctx, code="pass")).splitlines()
    assert sorted(line for line in lines if line in ("one", "two", "red")) == ["one", "red", "two"]
    assert "one" in "".join(seen)


async def test_secrets_stay_with_kimi(place: ToolContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what the next kernel of a resumed session is told; and no process is left when it is closed."""
    monkeypatch.setenv("MY_API_KEY", "sk-1")
    monkeypatch.setenv("KIMI_PASS_ENV", "NOTEBOOK_TEST")
    monkeypatch.setenv("NOTEBOOK_TEST", mark := f"mark{os.getpid()}")
    (tmp_path / "work").mkdir()
    ctx = make_context(tmp_path / "work")
    first = Notebook()
    spawn = "import os, subprocess\nsubprocess.Popen(['sleep', '1000'], start_new_session=True)\n"
    spawn += "print(os.environ.get('MY_API_KEY'))"
    try:
        assert text_of(await call(first, ctx, code=spawn)) == "None"
        while len(family(f"NOTEBOOK_TEST={mark}")) < 2:  # a child that has just begun has no environment yet
            await asyncio.sleep(0.01)
    finally:
        await first.aclose()
    assert family(f"NOTEBOOK_TEST={mark}") == []
    second = Notebook()
    try:
        assert "nothing of earlier calls is defined" in text_of(await call(second, ctx, code="1"))
    finally:
        await second.aclose()


async def test_a_cell_that_takes_too_long_is_interrupted_and_the_state_stays(
    notebook: Notebook, place: ToolContext
) -> None:
    output = await call(notebook, place, code="kept = 7\nimport time\ntime.sleep(100)", timeout=1)
    assert output.is_error
    assert "KeyboardInterrupt" in text_of(output)
    assert "[timed out after 1 s: interrupted]" in text_of(output)
    assert text_of(await call(notebook, place, code="kept")) == "7"


async def test_a_cancelled_call_interrupts_its_cell_and_the_state_stays(notebook: Notebook, place: ToolContext) -> None:
    began = asyncio.Event()
    ctx = ToolContext("cancelled", place.workspace, place.ask, lambda text: began.set(), (), place.scratch, place.tasks)
    code = "kept = 8\nprint('began', flush=True)\nimport time\ntime.sleep(100)"
    running = asyncio.create_task(call(notebook, ctx, code=code))
    await began.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert text_of(await call(notebook, place, code="kept")) == "8"


async def test_two_calls_at_once_run_one_after_the_other(notebook: Notebook, place: ToolContext) -> None:
    await call(notebook, place, code="order = []")
    slow, quick = "import time\norder.append(1)\ntime.sleep(.2)\norder.append(2)", "order.append(3)"
    await asyncio.gather(call(notebook, place, code=slow), call(notebook, place, code=quick))
    assert text_of(await call(notebook, place, code="order")) == "[1, 2, 3]"


async def test_a_flood_is_cut_in_the_middle_and_whole_in_a_file(notebook: Notebook, place: ToolContext) -> None:
    text = text_of(await call(notebook, place, code="for n in range(100_000): print('line', n)"))
    assert text.startswith("line 0\n")
    assert text.endswith("line 99999")
    assert len(text) < 30_000
    whole = Path(text.partition("the whole is in ")[2].partition(": Grep")[0])
    assert whole.read_text().count("\n") == 100_000


async def test_a_piece_that_is_too_large_is_lost_and_told(notebook: Notebook, place: ToolContext) -> None:
    assert "output was lost" in text_of(await call(notebook, place, code="print('x' * (70 << 20))"))
    assert text_of(await call(notebook, place, code="print('on')")) == "on"


async def test_pictures_go_to_those_who_can_see(notebook: Notebook, place: ToolContext) -> None:
    output = await call(notebook, place, code=PICTURE + "display(Image(out.getvalue()))\nImage(out.getvalue())")
    one, two = (part for part in output.for_model if isinstance(part, Image))
    assert (one.media_type, two.name.split(" ", 2)[2]) == ("image/png", "picture 2")
    assert isinstance(output.for_user, Pictures)
    assert output.for_user.images == (one, two)


async def test_what_has_no_better_form_is_text(notebook: Notebook, place: ToolContext) -> None:
    code = "from IPython.display import HTML, SVG, Markdown, display\n"
    code += "display(Markdown('**m**'), SVG('<svg xmlns=\"http://www.w3.org/2000/svg\"/>'), HTML('<p>'))"
    text = text_of(await call(notebook, place, code=code))
    assert "**m**" in text
    assert "<svg" in text
    assert "Return the number of items" in text_of(await call(notebook, place, code="len?"))


async def test_a_kernel_that_dies_is_told_and_replaced(place: ToolContext, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    ctx = make_context(tmp_path / "work")
    tool = Notebook(sees=False)
    try:
        output = await call(tool, ctx, code="import os\nprint('last', flush=True)\nos.abort()")
        assert output.is_error
        assert "the kernel died" in text_of(output)
        assert "SIGABRT" in text_of(output) or "134" in text_of(output)
        picture = await call(tool, ctx, code=PICTURE + "x = 1\nImage(out.getvalue())")
        assert "nothing of earlier calls is defined: the last one died" in text_of(picture)
        assert "you cannot see pictures" in text_of(picture)
        assert not any(isinstance(part, Image) for part in picture.for_model)
        assert isinstance(picture.for_user, Pictures)

        pid = int(text_of(await call(tool, ctx, code="import os; print(os.getpid())")))
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        assert "died" in text_of(await call(tool, ctx, code="1"))

        assert "restarted as asked" in text_of(await call(tool, ctx, code="1", restart=True))
        assert "NameError" in text_of(await call(tool, ctx, code="x"))

        deaf = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(1000)"
        stubborn = await call(tool, ctx, code=deaf, timeout=1)
        assert "its kernel was killed: all variables are lost" in text_of(stubborn)
    finally:
        await tool.aclose()


async def test_an_interpreter_without_a_kernel_is_told(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    ctx = make_context(tmp_path / "work")
    with pytest.raises(ToolError, match="did not start: Cannot run /nowhere/python"):
        await call(Notebook(python="/nowhere/python"), ctx, code="1")
    (python := tmp_path / "python").write_text("#!/bin/sh\necho no module named ipykernel >&2; exit 1\n")
    python.chmod(0o755)
    with pytest.raises(ToolError, match="exit code 1\nno module named ipykernel"):
        await call(Notebook(python=str(python)), ctx, code="1")


FLOODS = {
    "json": "for _ in range(300): display({'application/json': {'a': 'x' * 5000}, 'text/plain': 'x'}, raw=True)",
    "nothing": "for _ in range(8000): display({'text/plain': ''}, raw=True)",
    "no picture": "for _ in range(300): display({'image/png': 'x' * 5001, 'text/plain': 'x'}, raw=True)",
}


@pytest.mark.parametrize("code", FLOODS.values(), ids=FLOODS)
async def test_the_record_of_a_flood_is_bounded(notebook: Notebook, tmp_path: Path, code: str) -> None:
    (tmp_path / "work").mkdir()
    ctx = make_context(tmp_path / "work")
    await call(notebook, ctx, code=code)
    assert (ctx.scratch / "notebook.jsonl").stat().st_size < 500_000
    await call(ExportNotebook(), ctx, path="a.ipynb")


async def test_the_session_becomes_a_notebook_that_others_open(notebook: Notebook, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    ctx = make_context(tmp_path / "work")
    export = ExportNotebook()
    with pytest.raises(ToolError, match="no cell"):
        await call(export, ctx, path="a.ipynb")
    with pytest.raises(ToolError, match="must end in"):
        await call(export, ctx, path="a.py")
    await call(notebook, ctx, code="print('hello')\n40 + 2")
    await call(notebook, ctx, code=PICTURE + "Image(out.getvalue())")
    await call(notebook, ctx, code="1 / 0")
    await call(notebook, ctx, code="print('\\ud800 broken', 'x' * 500_000)")
    params = validate(ExportNotebook.Params, {"path": "out/a.ipynb"})
    target = ctx.workspace.resolve("out/a.ipynb")
    assert export.effects(params, ctx) == (Effect("write", str(target)),)
    with (ctx.scratch / "notebook.jsonl").open("a") as record:
        record.write('{"code": "a crash cut th')
    assert "4 cells" in text_of(await export.run(params, ctx))
    made = nbformat.read(target, as_version=4)
    nbformat.validate(made)
    assert made.cells[0].source == "print('hello')\n40 + 2"
    assert [output.output_type for output in made.cells[0].outputs] == ["stream", "execute_result"]
    assert made.cells[0].outputs[1].data["text/plain"] == "42"
    assert made.cells[1].outputs[0].data["image/png"].startswith("iVBOR")
    assert made.cells[2].outputs[0].ename == "ZeroDivisionError"
    assert len(json.dumps(made.cells[3])) < 250_000
    assert "4 cells" in text_of(await export.run(params, ctx))
