"""A fault of ours, or of a plugin, is told in a line; what a terminal looked like, and the session, are as they were."""

from pathlib import Path

import pytest
from kimi_program import Program
from plugin_files import python_plugin
from tui_terminal import FullScreen

FAULTY = '''
from kimi_agent.commands import Command
from kimi_agent.plugin import Plugin


class Front:
    """Fails before it shows anything."""

    def __init__(self, **arguments):
        pass

    async def run(self, agent):
        key = "sesame-open-12345"
        raise RuntimeError("the wheel came off")


def falling():
    from pathlib import Path

    from kimi_agent.frontends.tui import app, frontend

    class Falling(app.KimiApp):
        CSS_PATH = Path(app.__file__).with_name("app.tcss")

        def action_search(self):
            key = "sesame-open-12345"
            raise RuntimeError("the wheel came off")

    class Fall(frontend.TuiFrontend):
        application = Falling

    return Fall


def __getattr__(name):
    if name == "Fall":
        return falling()
    raise AttributeError(name)


async def fail(shell, args):
    raise ValueError(f"no {args}")


plugin = Plugin(
    name="faulty",
    frontends={"front": "their_faulty:Front", "fall": "their_faulty:Fall"},
    commands=[Command("fail", "Fails.", fail)],
)
'''


@pytest.fixture
def kimi(tmp_path: Path) -> Program:
    made = Program(tmp_path)
    made.env["PYTHONPATH"] = str(python_plugin(tmp_path / "site", "faulty", FAULTY))
    return made


def report_of(kimi: Program) -> str:
    (report,) = (kimi.home / "logs").glob("crash-*.txt")
    assert report.stat().st_mode & 0o777 == 0o600
    text = report.read_text()
    assert "RuntimeError: the wheel came off" in text
    return text


def test_a_fault_is_one_line_and_a_report(kimi: Program) -> None:
    done = kimi.run("--ui", "front", "hi", "--provider", kimi.scenario([{"text": "Hello"}]))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("kimi: this is a fault of kimi, not of yours: RuntimeError: the wheel came off\n")
    assert "Traceback" not in done.stderr
    assert str(kimi.home / "logs") in done.stderr
    report_of(kimi)
    assert "Traceback" in kimi.run("--debug", "--ui", "front", "hi", "--provider", kimi.scenario([])).stderr


def test_the_full_screen_shows_no_variables(kimi: Program) -> None:
    with FullScreen(kimi, "--ui", "fall", "--provider", kimi.scenario([{"text": "Hello"}])) as screen:
        screen.expect("❯")
        screen.type("\x06")
        assert screen.wait_end() == 1
        assert b"this is a fault of kimi" in screen.raw
        assert b"sesame" not in screen.raw
        assert screen.restored
    report_of(kimi)


@pytest.mark.parametrize("flag", [[], ["--line"]], ids=["full", "line"])
def test_a_command_of_a_plugin_that_fails_ends_nothing(kimi: Program, flag: list[str]) -> None:
    with FullScreen(kimi, *flag, "--provider", kimi.scenario([{"text": "Still here"}])) as screen:
        screen.expect("❯" if not flag else ">")
        screen.type("/fail wheels\r")
        screen.expect("ValueError: no wheels")
        screen.type("hello\r")
        screen.expect("Still here")
