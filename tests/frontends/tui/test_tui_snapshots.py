"""How the shell looks: every state in 80x24 and 120x40, dark and light. `pytest -m '' --snapshot-update` accepts a new look."""

from typing import Any

import pytest
from nightly import all_but
from textual.pilot import Pilot
from tui_look import CWD, HIGH_CONTRAST, every_look, tool, whole_look

from kimi_agent.core import event as ev
from kimi_agent.core.ask import Choice, Item, Option, Permission
from kimi_agent.core.display import Diff, Plain, Terminal, Todo, TodoList
from kimi_agent.core.effect import Effect
from kimi_agent.core.message import Image, Message, Text, Think, ToolCall, user_message
from kimi_agent.core.task import Task

DIFF = '''--- a/shop/prices.py
+++ b/shop/prices.py
@@ -1,5 +1,7 @@
 """Prices."""
 # all in cents
 import math
-def total(prices, discount=0):
+def total(prices: list[float], discount: float = 0) -> float:
     """Sum of prices, less a discount in percent."""
-    return sum(prices) * (1 - discount / 10)
+    if not 0 <= discount <= 100:
+        raise ValueError(f"no such discount: {discount}")
+    return sum(prices) * (1 - discount / 100)
'''
ANSWER = """## What was wrong

The discount was divided by **10** instead of 100 in `shop/prices.py:6`.

```python
return sum(prices) * (1 - discount / 100)
```

- both tests pass
- a discount outside of 0 to 100 is refused

| case | before | after |
|---|--:|--:|
| 10 % of 100 | 0 | 90 |
| 没有折扣 | 30 | 30 |
"""


FAILED = """F.
    def test_discount():
>       assert total([100], discount=10) == 90
E       assert 0.0 == 90
1 failed, 1 passed in 0.03s"""
USAGE = ev.Usage("kimi-k2", 48_200, 1_310, 39_000, 0.0312, 17_400, 262_144)
THINK = Think("Look at the failing test first, then at the code that computes the discount, then mend it.")
WORK: list[ev.Event] = [
    ev.ModelChanged("kimi-k2"),
    ev.TurnStarted(1),
    ev.MessageAdded(user_message("A test fails. Find out why, mend the code and show that the tests pass.")),
    ev.MessageAdded(Message("assistant", (THINK, Text("I look at the code.")), "model")),
    *tool(1, "Grep", '{"pattern": "def total", "path": "."}', Plain("1 match in 1 file")),
    *tool(2, "ReadFile", '{"path": "/srv/shop/shop/prices.py"}', Plain("7 lines")),
    *tool(3, "Shell", '{"command": "pytest -q"}', Terminal("pytest -q", FAILED, 1), FAILED, 1.9, True),
    *tool(4, "StrReplaceFile", '{"path": "shop/prices.py"}', Diff("/srv/shop/shop/prices.py", DIFF, 4, 2)),
    *tool(5, "Shell", '{"command": "pytest -q"}', Terminal("pytest -q", "..\n2 passed in 0.02s", 0), "", 1.7),
    ev.MessageAdded(Message("assistant", (Text(ANSWER),), "model")),
    USAGE,
    ev.TurnEnded("done", steps=6, seconds=31),
]
ASKED: list[ev.Event] = [ev.ModelChanged("kimi-k2"), ev.TurnStarted(1), ev.MessageAdded(user_message("Mend the shop."))]
SHELL_CALL = ToolCall("c9", "Shell", '{"command": "rm -rf build && make"}')
TODOS = TodoList(
    (Todo("Read the failing test", "done"), Todo("Mend the discount", "in_progress"), Todo("Run all tests"))
)


@every_look
def test_empty(look: Any, size: Any, theme: str) -> None:
    assert look(size, theme)


@whole_look
def test_work_done(look: Any, size: Any, theme: str) -> None:
    assert look(size, theme, WORK)


@every_look
def test_cards(look: Any, size: Any, theme: str) -> None:
    async def up(pilot: Pilot[Any]) -> None:
        await pilot.press("ctrl+home")

    assert look(size, theme, WORK, act=up)


@every_look
def test_streaming(look: Any, size: Any, theme: str) -> None:
    live = [
        *ASKED,
        ev.StepStarted(1, "kimi-k2"),
        ev.ThinkDelta("The user wants the discount to be mended. " * 6),
        ev.TextDelta("I change the **division** and run\n\n```python\nassert total([100], 10) == 90\n```\n\nNext "),
        ev.Queued(("Use Decimal instead",), ("Then write a changelog entry",)),
    ]
    assert look(size, theme, live=live)


@every_look
def test_running_a_command(look: Any, size: Any, theme: str) -> None:
    call = ToolCall("c1", "Shell", '{"command": "pytest -q --maxfail=1"}')
    live = [
        *ASKED,
        *tool(8, "SetTodoList", "{}", TODOS),
        ev.MessageAdded(Message("assistant", (Text("Now the tests."), call), "model")),
        ev.ToolStarted(call, (Effect("run", "pytest -q --maxfail=1"),)),
        ev.ToolProgress("c1", "".join(f"tests/test_{n}.py ....\n" for n in range(12))),
    ]
    assert look(size, theme, live=live)


@every_look
def test_permission_for_a_command(look: Any, size: Any, theme: str) -> None:
    async def ask(pilot: Pilot[Any]) -> None:
        effects = (Effect("run", "rm -rf build && make"),)
        question = Permission(
            SHELL_CALL, effects, Terminal("rm -rf build && make"), "the command `rm -rf build && make`", str(CWD)
        )
        pilot.app.run_worker(pilot.app.asker.ask(question))
        await pilot.pause()

    assert look(size, theme, live=[*ASKED, ev.MessageAdded(Message("assistant", (SHELL_CALL,), "model"))], act=ask)


@whole_look
def test_permission_for_an_edit(look: Any, size: Any, theme: str) -> None:
    async def ask(pilot: Pilot[Any]) -> None:
        call = ToolCall("c9", "StrReplaceFile", "{}")
        effects = (Effect("write", "/srv/shop/shop/prices.py"),)
        question = Permission(
            call, effects, Diff("/srv/shop/shop/prices.py", DIFF, 4, 2), "edits of shop/prices.py", str(CWD)
        )
        pilot.app.run_worker(pilot.app.asker.ask(question))
        await pilot.pause()

    assert look(size, theme, live=ASKED, act=ask)


@every_look
def test_question(look: Any, size: Any, theme: str) -> None:
    async def ask(pilot: Pilot[Any]) -> None:
        databases = (Option("SQLite", "one file, no server"), Option("Postgres", "a server, many writers"))
        extras = (Option("cache"), Option("search"))
        items = (
            Item("Which database should the shop use?", databases, "Database"),
            Item("Which extras?", extras, "Extras", True),
        )
        pilot.app.run_worker(pilot.app.asker.ask(Choice(items)))
        await pilot.pause()

    assert look(size, theme, live=ASKED, act=ask)


@every_look
def test_slash_popup(look: Any, size: Any, theme: str) -> None:
    async def type_slash(pilot: Pilot[Any]) -> None:
        await pilot.press("slash", "down")

    assert look(size, theme, WORK, act=type_slash)


@every_look
def test_errors_and_notices(look: Any, size: Any, theme: str) -> None:
    log = [
        *ASKED,
        *tool(
            1, "ReadFile", '{"path": "missing.py"}', None, "There is no file missing.py. Similar: prices.py", bad=True
        ),
        ev.Notice("warning", "The model moonshot-v1 does not exist any more; kimi-k2 is used."),
        ev.Compacted(180_000, 21_500),
        ev.MessageAdded(user_message("Look at this", (Image("", "image/png", "screenshot.png"),))),
        ev.TurnEnded("error", "The account has no balance left (429). Top it up, or choose another model with /model."),
    ]
    assert look(size, theme, log)


@every_look
def test_retry(look: Any, size: Any, theme: str) -> None:
    live = [*ASKED, ev.StepStarted(1, "kimi-k2"), ev.Retrying(2, 20, "The server is overloaded (529).")]
    assert look(size, theme, live=live)


@every_look
def test_a_running_task_and_one_that_has_ended(look: Any, size: Any, theme: str) -> None:
    """An idle session was woken by the end of one; another still runs."""
    server = Task("b1", "command", "npm run dev  # the server", "c1", "/tmp/out.txt", 0.0)
    tests = Task("b2", "command", "pytest -q", "c2", "/tmp/out.txt", 0.0)
    failed = Task("b2", "command", "pytest -q", "c2", "/tmp/out.txt", 0.0, None, "failed", 9.0, 1)
    log = [
        *ASKED,
        ev.TaskChanged(server),
        *tool(1, "Shell", '{"command": "npm run dev"}', Plain("in the background: b1")),
        ev.TaskChanged(tests),
        *tool(2, "Shell", '{"command": "pytest -q"}', Plain("in the background: b2")),
        ev.MessageAdded(Message("assistant", (Text("The tests run."),), "model")),
        USAGE,
        ev.TurnEnded("done", steps=2, seconds=3),
        ev.TaskChanged(failed),
        ev.TurnStarted(2),
        ev.MessageAdded(user_message("[The background task b2 has ended]", origin="agent")),
        ev.MessageAdded(Message("assistant", (Text("One test fails. I look at it."),), "model")),
        ev.TurnEnded("done", steps=1, seconds=2),
    ]
    assert look(size, theme, log)


@every_look
def test_shell_mode(look: Any, size: Any, theme: str) -> None:
    from kimi_agent.frontends.tui.draw.local import ShellBlock

    async def shell(pilot: Pilot[Any]) -> None:
        await pilot.press("ctrl+x")
        view = pilot.app.view
        view.show([ShellBlock("git status --short", "/srv/shop", " M shop/prices.py\n?? notes.txt\n", False, 0, 0.0)])
        view.show([ShellBlock("make", "/srv/shop", "cc -o shop shop.c\nmake: *** [shop] Error 1\n", False, 2, 3.4)])
        pilot.app.composer.put("ls -la")

    assert look(size, theme, act=shell)


@every_look
def test_picker(look: Any, size: Any, theme: str) -> None:
    async def pick(pilot: Pilot[Any]) -> None:
        options = [Option(f"Mend the discount {n}", f"session-{n}  /srv/shop") for n in range(30)]
        pilot.app.run_worker(pilot.app.commands.choose("Go on with which session?", options))
        await pilot.pause()
        await pilot.press("down", "down")

    assert look(size, theme, WORK, act=pick)


@pytest.mark.parametrize("size", [(20, 5), (40, 12), (300, 80)], ids=str)
def test_odd_sizes(look: Any, size: Any) -> None:
    assert look(size, "dark", WORK)


@pytest.mark.parametrize("size", [(20, 5), (40, 12)], ids=str)
def test_permission_in_small_windows(look: Any, size: Any) -> None:
    async def ask(pilot: Pilot[Any]) -> None:
        effects = (Effect("run", "rm -rf build && make"),)
        question = Permission(SHELL_CALL, effects, Terminal("rm -rf build && make"), "this command", str(CWD))
        pilot.app.run_worker(pilot.app.asker.ask(question))
        await pilot.pause()

    assert look(size, "dark", live=ASKED, act=ask)


def test_without_colours(look: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(pilot: Pilot[Any]) -> None:
        await pilot.press("slash", "m")

    compare = look
    monkeypatch.setenv("NO_COLOR", "1")
    assert compare((80, 24), "dark", WORK, act=act)


@pytest.mark.parametrize("theme", all_but(["high-contrast-light"], HIGH_CONTRAST))
def test_high_contrast(look: Any, theme: str) -> None:
    async def up(pilot: Pilot[Any]) -> None:
        await pilot.press("pageup")

    assert look((80, 24), theme, WORK, act=up)


@pytest.mark.parametrize("theme", all_but(["high-contrast-dark"], HIGH_CONTRAST))
def test_high_contrast_permission(look: Any, theme: str) -> None:
    async def ask(pilot: Pilot[Any]) -> None:
        effects = (Effect("write", "/srv/shop/shop/prices.py"),)
        shown = Diff("/srv/shop/shop/prices.py", DIFF, 4, 2)
        pilot.app.run_worker(pilot.app.asker.ask(Permission(SHELL_CALL, effects, shown, "edits", str(CWD))))
        await pilot.pause()

    assert look((80, 24), theme, live=ASKED, act=ask)
