"""The embedded model: what `kimi` does where nobody has set up another one, with random weights in its place."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from acp_editor import Editor
from fake_api import FakeAPI
from inference_server_house import make_model
from kimi_program import Program, Terminal
from pty_screen import PtyScreen
from warm_kimi import KIMI

from kimi_agent.local_engine import local_engine

TOLD = "No model is set up: this is kimi-tiny"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model") / "embedded", eager=9.0)


@pytest.fixture
def newcomer(tmp_path: Path, model: Path) -> Iterator[Program]:
    program = Program(tmp_path, {"KIMI_EMBEDDED_MODEL": str(model)})
    yield program
    for state in engines(program):
        os.kill(state["pid"], signal.SIGTERM)


def engines(program: Program) -> list[dict[str, int]]:
    return [json.loads(path.read_text()) for path in (program.home / "engine").glob("*.json")]


def test_it_answers_after_one_line_and_is_shared(newcomer: Program, model: Path) -> None:
    flags = ("--max-steps-per-turn", "1", "--output-format", "stream-json")
    runs = [newcomer.run("-p", "hi", *flags) for _ in range(2)]
    for run in runs:
        assert run.stderr.count("kimi: ") == 1, run.stderr  # its random answer may be cut off, which is told besides
        assert run.stderr.startswith(f"kimi: {TOLD}")
        assert json.loads(run.stdout.splitlines()[-1])["usage"]["output"] > 0
    assert len(engines(newcomer)) == 1
    assert not newcomer.config.exists()
    local_engine(newcomer.home, str(model), lambda stage, done: None)  # under its own name: another engine
    assert len(engines(newcomer)) == 2


def test_the_one_in_the_package_does_small_things(newcomer: Program) -> None:
    newcomer.env["KIMI_EMBEDDED_MODEL"] = "auto"
    created = newcomer.run("--yolo", "-p", "create notes.txt with the text hello")
    assert created.returncode == 0
    assert (newcomer.work / "notes.txt").read_text().strip() == "hello"
    (newcomer.work / "notes.txt").write_text("one\ntwo\nthree\n")
    counted = newcomer.run("-p", "count the lines of notes.txt")
    assert (counted.returncode, counted.stdout) == (0, "notes.txt has 3 lines.\n")
    assert counted.stderr.startswith(f"kimi: {TOLD}")
    written = newcomer.run("--yolo", "-p", "Write a python script sum.py that prints 3 + 4, then run it")
    assert written.stdout == "sum.py printed: 7\n"
    assert (newcomer.work / "sum.py").read_text() == "print(3 + 4)\n"


@pytest.mark.xfail(strict=True, reason="it takes the file for one that is to be read")
def test_the_one_in_the_package_writes_a_bare_word(newcomer: Program) -> None:
    newcomer.env["KIMI_EMBEDDED_MODEL"] = "auto"
    assert newcomer.run("--yolo", "-p", "create notes.txt with hello").returncode == 0
    assert (newcomer.work / "notes.txt").read_text().strip() == "hello"


def test_the_status_line_names_it(newcomer: Program) -> None:
    newcomer.write_config('status_line = ["model"]\n')
    with PtyScreen([*KIMI], env=newcomer.environment(), cwd=newcomer.work) as screen:
        screen.wait_for(TOLD)
        screen.wait_until(lambda: "kimi-tiny" in "".join(screen.visible.splitlines()[-3:]))


def test_login_leads_away(newcomer: Program) -> None:
    with FakeAPI([[{"text": "ok"}], [{"text": "from the real one"}], [{"text": "and again"}]]) as api:
        terminal = Terminal(newcomer, "--line", "--max-steps-per-turn", "1", TERM="dumb")
        terminal.expect(TOLD)
        terminal.expect("You: ")
        terminal.type("/login\n")
        terminal.expect("Another OpenAI-compatible server")
        terminal.expect("1-")
        terminal.type("6\n")
        terminal.expect("Address of the API")
        terminal.type(f"{api.url}\n")
        terminal.expect("API key")
        terminal.type("\n")
        terminal.expect("the model is fake-model")
        terminal.type("hello\n")
        terminal.expect("from the real one")
        terminal.expect("You: ")
        terminal.type("/exit\n")
        assert terminal.wait() == 0
        after = newcomer.run("-p", "hello")
        system = [request.json["messages"][0]["content"] for request in api.requests[1:]]
    assert (after.stdout, after.stderr) == ("and again\n", "")
    assert all("Where you are" in text for text in system), "a real model is told everything, in the same session too"


def test_an_editor_is_told_too(newcomer: Program) -> None:
    newcomer.write_config("")
    flags = ("--config-file", str(newcomer.config), "--max-steps-per-turn", "1")
    editor = Editor(newcomer, *flags, capabilities={})
    assert editor.prompt(editor.new())["stopReason"] in ("end_turn", "max_turn_requests", "max_tokens")
    assert TOLD in json.dumps(editor.transcript)
    with FakeAPI([[{"text": "from the real one"}]]) as api:
        newcomer.use(api.url)  # as `kimi login` in a terminal does it
        assert editor.prompt(editor.new())["stopReason"] == "end_turn"
        assert len(api.requests) == 1
    assert editor.close() == 0
    assert editor.stderr == ""


def test_a_model_that_is_set_up_comes_first(newcomer: Program) -> None:
    with FakeAPI([[{"text": "Hello."}]]) as api:
        newcomer.use(api.url)
        run = newcomer.run("-p", "hi")
    assert (run.stdout, run.stderr) == ("Hello.\n", "")
    assert not engines(newcomer)


def test_what_cannot_be_used_is_said(newcomer: Program, tmp_path: Path) -> None:
    nowhere = newcomer.run("-p", "hi", KIMI_EMBEDDED_MODEL=str(tmp_path))
    assert nowhere.returncode == 2
    assert nowhere.stderr.startswith(f"kimi: embedded_model: there is no model in {tmp_path}")
    newcomer.write_config('embedded_model = "off"\n')
    off = newcomer.run("-p", "hi", KIMI_EMBEDDED_MODEL="")
    assert (off.returncode, off.stderr.splitlines()[0]) == (7, "kimi: no model is configured")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{}")
    run = newcomer.run("-p", "hi", KIMI_EMBEDDED_MODEL=str(broken))
    assert run.returncode == 7
    assert "the embedded model is not there" in run.stderr
    assert "kimi login" in run.stderr
    assert "Traceback" not in run.stderr
