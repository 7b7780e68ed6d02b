"""Slash commands, through a shell that keeps what it is told to show."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from machine import FakeTool, House, ListProvider, allow, call, calls, instant, play, say

from kimi_agent import __version__
from kimi_agent.agent.hooks import Hooks
from kimi_agent.agent.session import Session
from kimi_agent.agent.skill_files import Places, discover
from kimi_agent.build import build, export_session
from kimi_agent.commands import COMMANDS, NAMES, available, execute, find
from kimi_agent.config import Config
from kimi_agent.config.load import load_config
from kimi_agent.core import event as ev
from kimi_agent.core.ask import Option
from kimi_agent.core.hook import Hook
from kimi_agent.core.listing import Listing
from kimi_agent.core.redact import Redactor
from kimi_agent.plugin import Plugin
from kimi_agent.theme_command import THEMES
from kimi_agent.workspaces.command import run_hook


class RecordingShell:
    """A `commands.Shell` without a screen. `picks` answers `choose` and `browse`, `typed` answers `ask_text`."""

    def __init__(self, house: House, picks: Sequence[int | None] = ()) -> None:
        self.agent, self.session = house.agent, house.open()
        self.shown: list[str] = []
        self.events: list[ev.Event] = []
        self.titles: list[str] = []
        self.clipboard: str | None = ""  # None: there is none
        self.prompt = ""  # what the person is given to edit
        self._picks = list(picks)
        self.left = False
        self.draws = False
        self.theme = ""
        self.listings: list[Listing] = []
        self.browsing: Callable[[Listing], Awaitable[str | None]] = self._pick
        self.typed: list[str] = []

    def show(self, markdown: str) -> None:
        self.shown.append(markdown)

    def apply(self, events: Iterable[ev.Event]) -> None:
        self.events += events

    async def run(self, events: AsyncIterator[ev.Event]) -> None:
        self.events += [event async for event in events]

    def switch(self, session: Session) -> None:
        self.session = session

    def copy(self, text: str) -> bool:
        if self.clipboard is None:
            return False
        self.clipboard = text
        return True

    def put(self, text: str) -> None:
        self.prompt = text

    def keys(self) -> Sequence[tuple[str, str]]:
        return [("Ctrl-X", "shell mode")]

    def set_theme(self, name: str) -> bool:
        self.theme = name
        return True

    async def _pick(self, listing: Listing) -> str | None:
        rows = listing.rows()
        self.titles += [row.label for row in rows]
        picked = self._picks.pop(0) if self._picks else None
        return None if picked is None else rows[picked].id

    async def choose(self, title: str, options: Sequence[Option], text: str = "") -> int | None:
        self.titles += [option.label for option in options]
        return self._picks.pop(0) if self._picks else None

    async def browse(self, listing: Listing) -> str | None:
        self.listings.append(listing)
        return await self.browsing(listing)

    async def ask_text(self, label: str, *, secret: bool = False) -> str | None:
        return self.typed.pop(0) if self.typed else None

    def quit(self) -> None:
        self.left = True


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path, ListProvider(lambda request: say("fine")))


def test_find_tells_commands_from_paths(house: House):
    session = house.open()
    assert find("/compact the parser", session)[1] == "the parser"
    assert find("/?", session)[0].name == "help"
    assert find("/etc/passwd is odd", session) is None
    assert find("hello", session) is None


@pytest.mark.parametrize("name", COMMANDS)
async def test_every_command_runs_on_an_empty_session(house: House, name: str):
    shell = RecordingShell(house)
    before = shell.session.id
    assert await execute(shell, f"/{name}")
    assert shell.shown or shell.events or shell.left or shell.titles or shell.listings or shell.session.id != before


async def test_rewind_goes_back_to_before_a_chosen_message_and_gives_its_text_back(house: House):
    shell = RecordingShell(house, [1, 0])
    await execute(shell, "/rewind")
    assert "no earlier message" in shell.shown[-1]
    for text in ("first", "second", "third"):
        await play(shell.session, text)
    [event async for event in shell.session.compact()]
    await execute(shell, "/rewind")
    assert shell.titles[:3] == ["third", "second", "first"]
    assert [m.text for m in shell.session.runner.history.messages] == ["first", "fine"]
    assert shell.prompt == "second"
    assert "Files stay as they are" in shell.shown[-1]
    shell._picks = [0, None]
    await execute(shell, "/rewind")
    assert shell.session.runner.history.turns() == 1  # no way was chosen


async def test_rewind_forks_before_a_message_and_leaves_the_session_as_it_is(house: House):
    shell = RecordingShell(house, [0, 1])
    for text in ("first", "second"):
        await play(shell.session, text)
    original = shell.session
    await execute(shell, "/rewind")
    assert shell.session.id != original.id
    assert original.id in shell.shown[-1]
    assert [m.text for m in shell.session.runner.history.messages] == ["first", "fine"]
    assert shell.prompt == "second"
    again = house.agent.open(original.id, ask=allow)
    assert again.runner.history.turns() == 2


async def test_a_session_is_renamed_undone_forked_and_left(house: House):
    shell = RecordingShell(house)
    await play(shell.session, "one")
    await execute(shell, "/title A better name")
    first = shell.session.id
    await execute(shell, "/fork")
    assert shell.session.id != first
    await execute(shell, "/undo")
    assert any(isinstance(event, ev.Rewound) for event in shell.events)
    await execute(shell, "/undo")
    assert "nothing to undo" in shell.shown[-1]
    await execute(shell, "/usage")
    assert "| requests | 1 | 1 |" in shell.shown[-1]
    await execute(shell, "/exit")
    assert shell.left


async def test_sessions_are_picked_and_closed(house: House):
    other = house.open()
    await play(other, "the other one")
    await other.aclose()
    shell = RecordingShell(house, [0])
    await execute(shell, "/sessions")
    assert shell.titles == ["the other one"]
    assert shell.session.id == other.id


async def test_modes_toggle(house: House):
    shell = RecordingShell(house)
    for command, mode in (
        ("/plan", "plan"),
        ("/plan", "default"),
        ("/yolo on", "yolo"),
        ("/yolo off", "default"),
        ("/afk", "afk"),
        ("/plan on", "plan"),
        ("/yolo off", "plan"),
    ):
        await execute(shell, command)
        assert shell.session.mode == mode
    assert shell.session.mode_before_plan == "afk"
    await execute(shell, "/afk off")
    assert (shell.session.mode, shell.session.mode_before_plan) == ("plan", "default")


async def test_an_unknown_model_is_told_with_the_known_ones(tmp_path: Path):
    house = House(tmp_path, ListProvider([]))
    session = house.agent.open(ask=allow)
    assert session.model.name == "fake"
    from kimi_agent.core.errors import NoModelError

    with pytest.raises(NoModelError, match="nope"):
        house.agent.open(ask=allow, model="nope")


async def test_commands_that_would_break_a_turn_wait(house: House):
    shell = RecordingShell(house)
    async for _ in shell.session.prompt("go"):
        await execute(shell, "/undo")
        break
    assert "waits for the end of the turn" in shell.shown[-1]


async def test_the_table_of_help_has_two_columns_in_every_row(house: House) -> None:
    shell = RecordingShell(house)
    await execute(shell, "/help")
    rows = [row for row in shell.shown[0].splitlines() if row]
    assert len(rows) == len(COMMANDS) + 2 + 3  # and one key
    assert all(row.replace("\\|", "").count("|") == 3 for row in rows)
    assert "`/plan [on\\|off\\|view\\|clear]`" in shell.shown[0]


# --- skills and custom commands ---------------------------------------------------------------------------------------


def with_skills(house: House) -> House:
    """Two skills and a custom command that would like to be /help."""
    for name, text in (
        ("skills/review/SKILL.md", "---\ndescription: reviews | code\nargument-hint: '[path]'\n---\nLook at $1 hard."),
        ("skills/new/SKILL.md", "A skill that is called as one of ours."),
        ("commands/help.md", "No help."),
    ):
        path = house.folder / "home" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    places = Places(house.folder / "home", house.folder)
    house.agent.find_skills = lambda folder: discover(folder, places, reserved=NAMES)
    return house


async def test_skills_are_commands_and_ours_win(house: House):
    shell = RecordingShell(with_skills(house))
    names = {command.name: command for command in available(shell.session)}
    assert set(names) - set(COMMANDS) == {"review", "skill:new"}
    assert names["review"].aliases == ("skill:review",)
    await execute(shell, "/help")
    assert "| `/review, /skill:review [path]` | reviews ¦ code |" in shell.shown[0]
    assert not shell.events


async def test_a_skill_is_run_or_waits_in_the_queue(house: House):
    shell = RecordingShell(with_skills(house))
    assert find("/review src\nand tests", shell.session)[0].prompt
    assert await execute(shell, "/review src")
    assert "Look at src hard." in house.provider.requests[0].messages[1].text
    async for event in shell.session.prompt("go"):
        if isinstance(event, ev.TurnStarted) and event.turn == 2:
            await execute(shell, "/skill:review docs")
    asked = [message.text for message in house.provider.requests[-1].messages]
    assert asked[-2] == "/skill:review docs"
    assert "Look at docs hard." in asked[-1]


async def test_init_asks_for_the_instructions_file(house: House):
    shell = RecordingShell(house)
    await execute(shell, "/init mind the tests")
    asked = house.provider.requests[0].messages
    assert asked[0].text == "/init mind the tests"
    assert "AGENTS.md" in asked[1].text
    assert asked[1].text.endswith("mind the tests")


@pytest.mark.parametrize("ending", ["md", "html", "json"])
async def test_export_writes_a_file_and_asks_before_it_replaces_one(house: House, ending: str):
    house.agent.export = partial(export_session, Redactor())
    shell = RecordingShell(house, [1, 0])
    await play(shell.session, "hello there")
    file = shell.session.cwd / f"out.{ending}"
    await execute(shell, f"/export {file.name}")
    assert "hello there" in file.read_text()
    file.write_text("mine")
    await execute(shell, f"/export {file.name}")
    assert file.read_text() == "mine"
    await execute(shell, f"/export {file.name}")
    assert "hello there" in file.read_text()
    await execute(shell, "/export out.docx")
    assert "ends in .md" in shell.shown[-1]


# --- flows and hooks --------------------------------------------------------------------------------------------------


async def test_a_flow_is_listed_by_its_own_name(house: House):
    path = house.folder / "home" / "skills" / "ship.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("---\ntype: flow\ndescription: ships it\n---\n```d2\nBEGIN -> a -> END\n```")
    shell = RecordingShell(with_skills(house))
    await execute(shell, "/help")
    assert "| `/flow:ship` | ships it |" in shell.shown[0]
    assert "| `/ship, /skill:ship` | ships it |" in shell.shown[0]
    assert find("/flow:ship it", shell.session)[1] == "it"
    assert find("/flow:review", shell.session) is None


async def test_hooks_are_shown_in_a_table(house: House):
    hooks = [
        Hook("Stop", "sh check.sh", source="configuration"),
        Hook("PreToolUse", "grep -q 'a|b'\n`true`", "Shell|Write", 2.5, True, "plugin guard"),
    ]
    house.agent.make_hooks = lambda *session: Hooks(hooks, run_hook, *session)
    shell = RecordingShell(house)
    await execute(shell, "/hooks")
    assert shell.shown[0].splitlines()[2:] == [
        "| PreToolUse | `Shell\\|Write` | `` grep -q 'a\\|b' `true` `` | 2.5 s | yes | plugin guard |",
        "| Stop | (all) | `sh check.sh` | 30 s | no | configuration |",
    ]


async def test_no_hooks_are_told_of(house: House):
    shell = RecordingShell(house)
    await execute(shell, "/hooks")
    assert "There are no hooks." in shell.shown[0]


def test_hooks_of_the_configuration_and_of_plugins_say_where_they_are_from(tmp_path: Path):
    config = load_config(None, {}, text='[[hooks]]\nevent = "Stop"\ncommand = "true"')
    plugin = Plugin(name="guard", hooks=[Hook("PreToolUse", "false")])
    agent = build(config, cwd=tmp_path, home=tmp_path / "home", plugins=[plugin])
    session = agent.open(ask=allow)
    assert [(hook.command, hook.source) for hook in session.hooks.hooks] == [
        ("true", "configuration"), ("false", "plugin guard"),
    ]  # fmt: skip


async def test_a_side_question_uses_the_cached_prefix_and_leaves_no_trace(tmp_path: Path):
    def reply(request):
        asides = [m.text for m in request.messages if "side question" in m.text]
        if not asides:
            return say("fine")
        if request.messages[-1].result is None:
            return calls(call("Look", "{}", "c1"))
        return say("It is 42.")

    provider = ListProvider(reply)
    shell = RecordingShell(House(tmp_path, provider, [FakeTool("Look", "read", instant("x"))]))
    await play(shell.session, "work")
    before = [event for event in shell.session.events() if isinstance(event, ev.MessageAdded)]
    await execute(shell, "/btw what is it?")
    assert "It is 42." in shell.shown[-1]
    first, asked, again = provider.requests
    assert (asked.system, asked.tools, asked.session_id) == (first.system, first.tools, first.session_id)
    assert asked.messages[: len(first.messages)] == first.messages
    assert again.messages[-1].result.is_error, "its calls are refused, and it answers all the same"
    assert [event for event in shell.session.events() if isinstance(event, ev.MessageAdded)] == before
    await execute(shell, "/usage")
    assert "| requests | 3 |" in shell.shown[-1]


async def test_a_side_question_is_answered_while_a_call_runs(tmp_path: Path):
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def hold(params, ctx) -> str:
        begun.set()
        await go_on.wait()
        return "held"

    def reply(request):
        if "side question" in request.messages[-1].text:
            return say("Nearly.")
        return calls(call("Hold")) if len(request.messages) == 1 else say("done")

    shell = RecordingShell(House(tmp_path, ListProvider(reply), [FakeTool("Hold", "read", hold)]))
    turn = asyncio.create_task(play(shell.session, "work"))
    async with asyncio.timeout(20):
        await begun.wait()
        await execute(shell, "/btw how far?")
        go_on.set()
        events = await turn
    assert "Nearly." in shell.shown[-1]
    assert events[-1].stop == "done"


async def test_the_plan_can_be_looked_at_and_deleted(house: House):
    shell = RecordingShell(house)
    await execute(shell, "/plan view")
    assert shell.shown[-1] == "There is no plan yet."
    shell.session.plan_file.parent.mkdir(parents=True)
    shell.session.plan_file.write_text("# The plan")
    await execute(shell, "/plan view")
    assert shell.shown[-1] == "# The plan"
    await execute(shell, "/plan clear")
    assert not shell.session.plan_file.exists()
    await execute(shell, "/plan")
    assert shell.session.mode == "plan"


async def test_a_folder_is_added_and_the_model_is_told_once(house: House):
    shell, more = RecordingShell(house), house.folder / "more"
    more.mkdir()
    await execute(shell, "/add-dir ../more")
    await execute(shell, f"/add-dir {more}")
    assert "already" in shell.shown[-1]
    await execute(shell, "/add-dir ../none")
    assert "There is no folder" in shell.shown[-1]
    await execute(shell, "/add-dir")
    assert shell.shown[-1] == f"- `{shell.session.cwd}`\n- `{more}`"
    for text in ("one", "two"):
        await play(shell.session, text)
    asked = [message.text for message in house.provider.requests[-1].messages]
    assert sum(str(more) in text for text in asked) == 1
    await execute(shell, "/new")
    await play(shell.session, "three")
    assert f"- `{more}`" in house.provider.requests[-1].system


async def test_a_session_that_is_resumed_with_another_folder_tells_the_model(house: House):
    first = house.open()
    await play(first, "one")
    await first.aclose()
    house.agent.extra_roots = (house.folder,)
    again = house.open(first.id)
    for text in ("two", "three"):
        await play(again, text)
    asked = [message.text for message in house.provider.requests[-1].messages]
    assert sum(text.startswith("[The user added a folder") for text in asked) == 1


async def test_the_last_answer_is_copied(house: House):
    shell = RecordingShell(house)
    await execute(shell, "/copy")
    assert "no answer" in shell.shown[-1]
    await play(shell.session, "one")
    await execute(shell, "/copy")
    assert shell.clipboard == "fine"
    shell.clipboard = None
    await execute(shell, "/copy")
    assert "no clipboard" in shell.shown[-1]


async def test_the_version_is_told(house: House):
    shell = RecordingShell(house)
    await execute(shell, "/version")
    assert shell.shown == [f"kimi {__version__}"]


async def test_a_theme_is_shown_at_once_and_remembered(house: House):
    shell = RecordingShell(house, [3])
    remembered: list[tuple[str, str]] = []
    shell.agent.remember = lambda key, value: remembered.append((key, value))
    await execute(shell, "/theme")
    assert shell.theme == "terminal"
    await execute(shell, "/theme light")
    assert shell.theme == "light"
    assert remembered == [("theme", "terminal"), ("theme", "light")]
    await execute(shell, "/theme pink")
    assert shell.theme == "light"
    assert "Usage" in shell.shown[-1]


def test_the_themes_of_the_command_are_those_of_the_configuration():
    assert set(THEMES) == set(get_args(get_type_hints(Config)["theme"]))
