"""How the shell looks in the states that no other test shows. `pytest -m '' --snapshot-update` accepts a new look."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from nightly import all_but
from textual.pilot import Pilot
from tui_look import CWD, HIGH_CONTRAST, every_look, tool

from kimi_agent.agent.transcript import NoticeBlock
from kimi_agent.core import event as ev
from kimi_agent.core.ask import Choice, Item, Option, Permission
from kimi_agent.core.display import Plain, Terminal, Todo, TodoList
from kimi_agent.core.effect import Effect
from kimi_agent.core.goal import Goal
from kimi_agent.core.listing import Listing, Row, RowKey
from kimi_agent.core.message import Message, Text, ToolCall, user_message
from kimi_agent.core.provider import Model
from kimi_agent.core.task import Task
from kimi_agent.frontends.tui.draw.local import ShellBlock
from kimi_agent.frontends.tui.screens.line import LineScreen
from kimi_agent.frontends.tui.screens.listing import ListingScreen

Act = Callable[[Pilot[Any]], Awaitable[None]]
ASKED: list[ev.Event] = [ev.ModelChanged("kimi-k2"), ev.TurnStarted(1), ev.MessageAdded(user_message("Mend the shop."))]
STEP = ev.StepStarted(1, "kimi-k2")
NO_CONNECTION = "No connection to api.moonshot.ai: Connection refused"
LONG = "a-very-long-name-that-nobody-would-choose-but-somebody-has" * 2
CHINESE = "修复商店的折扣 🛒 并运行全部测试"


@dataclass(frozen=True)
class State:
    """A log that is replayed, events that are live, and what is done then."""

    log: tuple[ev.Event, ...] = ()
    live: tuple[ev.Event, ...] = ()
    act: Act | None = None


def ended(text: str) -> list[ev.Event]:
    return [ev.TurnStarted(1), ev.MessageAdded(user_message("Go on.")), ev.TurnEnded("error", text)]


def said(text: str, *calls: ToolCall) -> ev.MessageAdded:
    return ev.MessageAdded(Message("assistant", (Text(text), *calls), "model"))


async def without_a_model(pilot: Pilot[Any]) -> None:
    session = pilot.app.talk.session
    session.model = Model("", "", "")
    pilot.app.open(session)
    pilot.app.view.show([NoticeBlock(0, "warning", "config.toml: there is no key `colour` (line 3).")])


async def in_silence(pilot: Pilot[Any]) -> None:
    pilot.app.clock.now += 20
    pilot.app.update_bars()
    await pilot.pause()


async def running_a_shell_command(pilot: Pilot[Any]) -> None:
    await pilot.press("ctrl+x")
    pilot.app.view.show([ShellBlock("make", str(CWD), "cc -c a.c\ncc -c b.c\n")])


async def asking_for_a_password(pilot: Pilot[Any]) -> None:
    pilot.app.run_worker(pilot.app.push_screen_wait(LineScreen("[sudo] password for me:", secret=True)))
    await pilot.pause()


async def searching_the_history(pilot: Pilot[Any]) -> None:
    for text in ("mend the discount", "mend the prices of 价格表", "write a changelog entry\nand commit"):
        pilot.app.composer.history.add(text)
    await pilot.press("ctrl+r", *"mend")


async def searching_in_vain(pilot: Pilot[Any]) -> None:
    await pilot.press("ctrl+r", *"xyz")


async def with_long_names(pilot: Pilot[Any]) -> None:
    app = pilot.app
    app.status.update(
        app.talk.transcript.status, cwd=Path("/srv") / LONG / "项目", branch=f"修复/{LONG}", thinking="on", shell=False
    )
    await pilot.pause()


async def in_yolo(pilot: Pilot[Any]) -> None:
    for event in pilot.app.talk.session.set_mode("yolo"):
        pilot.app.feed(event)


async def in_plan_mode(pilot: Pilot[Any]) -> None:
    await pilot.press("shift+tab")


async def asking_in_chinese(pilot: Pilot[Any]) -> None:
    options = (Option("小数", "精确到分"), Option("整数 🪙", "以分为单位"))
    items = (
        Item("价格用什么类型保存？", options, "类型"),
        Item("还要什么？", (Option("缓存"), Option("搜索")), "其他", True),
    )
    pilot.app.run_worker(pilot.app.asker.ask(Choice(items)))
    await pilot.pause()
    await pilot.press("tab")


async def permission_in_chinese(pilot: Pilot[Any]) -> None:
    command = 'git commit -m "修复折扣 🛒"'
    call, effects = ToolCall("c9", "Shell", "{}"), (Effect("run", command),)
    question = Permission(call, effects, Terminal(command), f"命令 {command}", "/srv/商店")
    pilot.app.run_worker(pilot.app.asker.ask(question))
    await pilot.pause()


async def picking_in_chinese(pilot: Pilot[Any]) -> None:
    options = [Option("商店的折扣", "昨天"), Option("shop 🛒", "today"), Option("👩‍👩‍👧 family", "a join")]
    pilot.app.run_worker(pilot.app.commands.choose("选择哪一个？", options))
    await pilot.pause()


async def a_list_in_chinese(pilot: Pilot[Any]) -> None:
    async def act(row: str) -> str:
        return row

    rows = [
        Row("a", "修复商店的折扣", "昨天, 3 turns", 0.4, "running", "今天"),
        Row("b", "shop 🛒 and prices", "3 h ago, 1 turn", 0.05, "failed", "今天"),
        Row("c", "A title that is much longer than the window of most people is wide", "x", 0.0, "", "昨天"),
    ]
    listing = Listing("会话", lambda: rows, keys=(RowKey("d", "delete", act),))
    await pilot.app.push_screen(ListingScreen(listing, pilot.app.palette))


CALLS = [
    ToolCall("c1", "Shell", '{"command": "pytest -q"}'),
    ToolCall("c2", "Grep", '{"pattern": "def total", "path": "."}'),
    ToolCall("c3", "FetchURL", '{"url": "https://example.org/prices"}'),
]
TODOS = TodoList((Todo("读测试", "done"), Todo(CHINESE, "in_progress"), Todo("运行测试 ✅")))
STATES: dict[str, State] = {
    "no model": State(act=without_a_model),
    "thinking": State(
        live=(*ASKED, STEP, ev.ThinkDelta("The discount is divided by ten. That is wrong, I think. " * 9))
    ),
    "writing a call": State(
        live=(*ASKED, STEP, ev.TextDelta("I write the file."), ev.CallDelta(0, "WriteFile", 4_321))
    ),
    "several tools": State(
        live=(
            *ASKED,
            said("All at once.", *CALLS),
            *(ev.ToolStarted(call) for call in CALLS),
            ev.ToolProgress("c1", "..F..\n"),
            ev.ToolFinished("c2", Plain("1 match in 1 file"), False, 0.2),
        )
    ),
    "offline": State(live=(*ASKED, STEP, ev.Retrying(3, 9, NO_CONNECTION))),
    "offline in silence": State(live=(*ASKED, STEP), act=in_silence),
    "offline at the end": State(
        (
            *ASKED,
            ev.TurnEnded("error", f"{NO_CONNECTION}. Check the network and the address."),
            *ended("moonshot refused the key: Invalid Authentication. Check the key, then run `kimi login`."),
            *ended(
                "moonshot limits the rate: 3 requests a minute (it asks to wait 20 s). Wait, or pick another model."
            ),
            *ended(
                "moonshot failed: HTTP 500. The fault is the provider's: try again later, or pick another model with /model."
            ),
        )
    ),
    "context nearly full": State(
        (
            *ASKED,
            said("It grows."),
            ev.Usage("kimi-k2", 250_000, 9_000, 200_000, 1.25, 249_000, 262_144),
            ev.TurnEnded("done", steps=1, seconds=9),
        )
    ),
    "interrupted": State(
        (
            *ASKED,
            ev.MessageAdded(Message("assistant", (Text("I change the"),), "model"), partial=True),
            ev.TurnEnded("interrupted"),
        )
    ),
    "many queued": State(
        live=(
            *ASKED,
            STEP,
            ev.Queued(("Use Decimal", CHINESE), ("Then write a changelog entry", f"And {LONG}", "Commit")),
        )
    ),
    "shell mode idle": State(act=lambda pilot: pilot.press("ctrl+x")),
    "shell command runs": State(act=running_a_shell_command),
    "password": State(act=asking_for_a_password),
    "history search": State(act=searching_the_history),
    "history search in vain": State(act=searching_in_vain),
    "plan mode": State(act=in_plan_mode),
    "yolo": State(act=in_yolo),
    "goal at work": State(
        (
            ev.TaskChanged(Task("b1", "command", "npm run dev", "c1", "/tmp/out.txt", 0.0)),
            ev.GoalChanged(Goal("the discount is right", round=3, limit=25)),
        ),
        (*ASKED, STEP, ev.TextDelta("I go on.")),
    ),
    "resumed": State(
        (
            ev.Titled("Mend the discount of the shop"),
            *ASKED,
            *tool(1, "Shell", '{"command": "make"}', None, "The program ended before the call did.", bad=True),
            ev.TurnEnded("interrupted"),
        )
    ),
    "long names": State((*ASKED, ev.ModelChanged(f"kimi-{LONG}"), ev.TurnEnded("done")), act=with_long_names),
    "chinese": State(
        (ev.Titled(CHINESE),),
        (
            ev.TurnStarted(1),
            ev.MessageAdded(user_message(CHINESE * 4)),
            *tool(1, "SetTodoList", "{}", TODOS),
            *tool(2, "Shell", f'{{"command": "echo {CHINESE * 4}"}}', Terminal("echo", CHINESE * 4, 1), "", 12.0, True),
            ev.Queued((), (CHINESE * 4,)),
            ev.TextDelta(
                f"- {CHINESE}\n- 👩‍👩‍👧 family\n\n| 名称 | 价格 |\n|---|--:|\n| 苹果 🍎 | 3 |\n| pear | 10 |\n"
            ),
        ),
    ),
    "chinese question": State(live=tuple(ASKED), act=asking_in_chinese),
    "chinese permission": State(live=tuple(ASKED), act=permission_in_chinese),
    "chinese picker": State(act=picking_in_chinese),
    "chinese list": State(act=a_list_in_chinese),
}
SMALL = ["no model", "offline", "offline at the end", "many queued", "history search", "shell command runs", "password"]
SMALL += ["chinese question", "chinese permission", "chinese picker", "chinese list", "long names"]
PLAIN = ["offline", "offline at the end", "many queued", "chinese question", "chinese list", "chinese", "yolo"]


@pytest.mark.parametrize("name", STATES)
@every_look
def test_state(look: Any, size: Any, theme: str, name: str) -> None:
    state = STATES[name]
    assert look(size, theme, state.log, state.live, state.act)


@pytest.mark.parametrize("name", all_but(["offline at the end", "chinese question", "chinese list"], SMALL))
@pytest.mark.parametrize("size", [(20, 5), (40, 12)], ids=["20x5", "40x12"])
def test_state_in_a_small_window(look: Any, size: Any, name: str) -> None:
    state = STATES[name]
    assert look(size, "dark", state.log, state.live, state.act)


@pytest.mark.parametrize("name", all_but(["chinese"], PLAIN))
def test_state_without_colours(look: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    compare, state = look, STATES[name]
    monkeypatch.setenv("NO_COLOR", "1")
    assert compare((80, 24), "dark", state.log, state.live, state.act)


@pytest.mark.parametrize("theme", HIGH_CONTRAST)
@pytest.mark.parametrize(
    "name", all_but(["chinese question"], ["offline at the end", "chinese list", "chinese question"])
)
def test_state_in_high_contrast(look: Any, theme: str, name: str) -> None:
    state = STATES[name]
    assert look((80, 24), theme, state.log, state.live, state.act)
