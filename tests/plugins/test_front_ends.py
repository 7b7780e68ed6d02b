"""A plugin's front end and workspace, chosen by name on the command line."""

from pathlib import Path

import pytest
from kimi_program import Program
from plugin_files import python_plugin

ECHO = '''
"""A front end without a screen, and a workspace that tells whose it is."""

import asyncio

from kimi_agent.core import event as ev
from kimi_agent.plugin import Plugin
from kimi_agent.workspaces.local import LocalWorkspace


class Echo:
    def __init__(self, *, prompt="", mode="default", session_id=None, cwd=None, model=None, look=None):
        self.prompt, self.cwd, self.theme = prompt, cwd, look.theme

    async def run(self, agent):
        async def nobody(question):
            raise AssertionError(question)

        session = agent.open(ask=nobody, cwd=self.cwd)
        print("in", type(session.workspace).__name__, "with", self.theme)
        async for event in session.prompt(self.prompt):
            if isinstance(event, ev.TextDelta):
                print(event.text)
        return 7


class Elsewhere(LocalWorkspace):
    pass


plugin = Plugin(
    name="echo",
    frontends={"echo": "their_echo:Echo", "gone": "their_echo:Nothing", "tui": "their_echo:Echo"},
    workspaces={"elsewhere": lambda folder, more: Elsewhere(folder, tuple(more))},
)
'''


@pytest.fixture
def kimi(tmp_path: Path) -> Program:
    made = Program(tmp_path)
    made.env["PYTHONPATH"] = str(python_plugin(tmp_path / "site", "echo", ECHO))
    made.write_config('theme = "light"\n')
    return made


def test_a_front_end_of_a_plugin_is_chosen_by_name(kimi: Program) -> None:
    done = kimi.run("--ui", "echo", "hi", "--provider", kimi.scenario([{"text": "Hello"}]))
    assert (done.returncode, done.stdout) == (7, "in LocalWorkspace with light\nHello\n"), done.stderr


def test_a_workspace_of_a_plugin_is_chosen_by_name(kimi: Program) -> None:
    scenario = kimi.scenario([{"text": "Hello"}])
    done = kimi.run("--ui", "echo", "--workspace", "elsewhere", "hi", "--provider", scenario)
    assert (done.returncode, done.stdout) == (7, "in Elsewhere with light\nHello\n"), done.stderr
    assert kimi.run("--workspace", "elsewhere", "-p", "hi", "--provider", scenario).stdout == "Hello\n"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--ui", "nobody"], "there is no front end 'nobody' (There are: echo, gone, line, tui.)"),
        (["--ui", "gone"], "the front end 'gone' cannot be loaded"),
        (["--ui", "line", "-p", "hi"], "--ui and --line, -p and --print exclude each other"),
        (["--workspace", "nowhere", "-p", "hi"], "there is no workspace 'nowhere'"),
    ],
)
def test_a_name_that_nobody_offers_is_a_mistake_of_the_person(kimi: Program, flags: list[str], words: str) -> None:
    done = kimi.run(*flags, "--provider", kimi.scenario([{"text": "Hello"}]))
    assert (done.returncode, done.stdout) == (2, "")
    assert words.split(" (")[0] in done.stderr
    assert words.partition(" (")[2].rstrip(")") in done.stderr


def test_a_built_in_front_end_cannot_be_replaced(kimi: Program) -> None:
    done = kimi.run("--ui", "tui", "--provider", kimi.scenario([{"text": "Hello"}]))
    assert "in LocalWorkspace" not in done.stdout
    told = kimi.run("-p", "hi", "--provider", kimi.scenario([{"text": "Hello"}])).stderr
    assert "Plugin echo: its front end tui is left out" in told
