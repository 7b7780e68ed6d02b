"""What only happens on a terminal: hidden keys, the first run, the choice of a session, Ctrl-C."""

import re
import tomllib
from pathlib import Path

import pytest
from fake_api import FakeAPI
from kimi_program import Program, Terminal


@pytest.fixture
def kimi(tmp_path: Path) -> Program:
    return Program(tmp_path)


def choose_custom(terminal: Terminal) -> None:
    menu = terminal.expect("Another OpenAI-compatible server")
    numbers = re.findall(r"(\d+)(?:  |: )\S", menu)
    terminal.expect("1-")
    terminal.type(f"{numbers[-1]}\n")


def test_a_key_is_typed_hidden(kimi: Program) -> None:
    with FakeAPI([[{"text": "ok"}]]) as api:
        terminal = Terminal(kimi, "login")
        choose_custom(terminal)
        terminal.expect("Address of the API")
        terminal.type(f"{api.url}\n")
        terminal.expect("(not shown): ")
        terminal.type("sk-hidden\n")
        terminal.expect("the model is fake-model")
        assert terminal.wait() == 0
    assert "sk-hidden" not in terminal.seen
    assert tomllib.loads(kimi.config.read_text())["providers"]["custom"]["api_key"] == "sk-hidden"


@pytest.mark.parametrize("answer", ["\n", "\x04"])
def test_the_first_run_may_be_left(kimi: Program, answer: str) -> None:
    terminal = Terminal(kimi, "--line")
    terminal.expect("Where does the model run?")
    terminal.expect("1-")
    terminal.type(answer)
    assert terminal.wait() == 7
    assert "no model is configured" in terminal.seen
    assert not kimi.config.exists()


def test_ctrl_c_in_the_first_run(kimi: Program) -> None:
    terminal = Terminal(kimi, "login")
    terminal.expect("1-")
    terminal.type("\x03")
    assert terminal.wait() == 130
    assert "Traceback" not in terminal.seen


def test_the_first_run_goes_on_into_a_session(kimi: Program) -> None:
    with FakeAPI([[{"text": "ok"}], [{"text": "Good morning"}]]) as api:
        terminal = Terminal(kimi, "--line", "say hello", TERM="dumb")
        choose_custom(terminal)
        terminal.expect("Address of the API")
        terminal.type(f"{api.url}\n")
        terminal.expect("(not shown): ")
        terminal.type("\n")
        terminal.expect("Good morning")
        terminal.expect("You: ")
        terminal.type("/exit\n")
        assert terminal.wait() == 0


def test_a_session_is_picked_from_a_list(kimi: Program) -> None:
    with FakeAPI([[{"text": "one"}], [{"text": "two"}], [{"text": "three"}]]) as api:
        kimi.use(api.url)
        kimi.run("-p", "about whales")
        kimi.run("-p", "about sharks")
        terminal = Terminal(kimi, "--line", "-r", TERM="dumb")
        menu = terminal.expect("1-2")
        whales = next(line for line in menu.splitlines() if "whales" in line).split()[0]
        terminal.type(f"{whales}\n")
        terminal.expect("one")
        terminal.expect("You: ")
        terminal.type("/exit\n")
        assert terminal.wait() == 0


def test_the_full_screen_is_the_default(kimi: Program) -> None:
    terminal = Terminal(kimi, "say hello", "--provider", kimi.scenario([{"text": "Good morning"}]), "--yolo")
    terminal.expect("Good morning")
    terminal.type("/exit\r")
    assert terminal.wait() == 0
    assert "kimi -r" in terminal.seen


def test_login_inside_a_session_takes_effect_at_once(kimi: Program) -> None:
    with FakeAPI([[{"text": "ok"}], [{"text": "from the new one"}]]) as api:
        terminal = Terminal(kimi, "--line", "--provider", kimi.scenario([]), TERM="dumb")
        terminal.expect("You: ")
        terminal.type("/login\n")
        choose_custom(terminal)
        terminal.expect("Address of the API")
        terminal.type(f"{api.url}\n")
        terminal.expect("API key")
        terminal.type("\n")
        terminal.expect("the model is fake-model")
        terminal.type("hello\n")
        terminal.expect("from the new one")
        terminal.expect("You: ")
        terminal.type("/exit\n")
        assert terminal.wait() == 0
