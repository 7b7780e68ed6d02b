"""How subagents and the review of a plan look. `pytest -m '' --snapshot-update` accepts a new look."""

from typing import Any

import pytest
from nightly import all_but
from textual.pilot import Pilot
from tui_look import CWD, every_look, tool

from kimi_agent.core import event as ev
from kimi_agent.core.ask import Choice, Item, Option, Permission
from kimi_agent.core.display import Plain, Terminal
from kimi_agent.core.effect import Effect
from kimi_agent.core.message import Message, Text, ToolCall, tool_message, user_message
from kimi_agent.core.task import Task

PLAN = """# Mend the discount

The discount is divided by **10** instead of 100 in `shop/prices.py:6`.

## Steps

1. `shop/prices.py`: divide by 100; refuse a discount outside of 0 to 100.
2. `tests/test_prices.py`: the limits 0 and 100, and 101 which is refused.
3. Run `pytest -q`.

```python
def total(prices: list[float], discount: float = 0) -> float:
    if not 0 <= discount <= 100:
        raise ValueError(f"no such discount: {discount}")
    return sum(prices) * (1 - discount / 100)
```

## Decided

| question | answer |
|---|---|
| rounding | to cents, half up |
| negative prices | stay allowed (returned goods) |
"""
CHINESE = """# 修复折扣

折扣在 `shop/prices.py:6` 里除以了 **10**，应该除以 100。

1. 修改 `shop/prices.py`，拒绝 0 到 100 之外的折扣。
2. 在 `tests/test_prices.py` 里测试边界值：0、100 和被拒绝的 101。
3. 运行 `pytest -q`，并确认全部测试通过。
"""
WORKS = (
    ("coder", "Mend the prices"),
    ("explore", "Find who calls total() in the shop and in its tests"),
    ("coder", "翻译文档"),
)
STARTED: list[ev.Event] = [
    ev.ModelChanged("kimi-k2"),
    ev.TurnStarted(1),
    ev.MessageAdded(user_message("Mend the shop, and let others help.")),
]


def agent_call(number: int) -> ToolCall:
    return ToolCall(f"a{number}", "Agent", f'{{"description": "{WORKS[number - 1][1]}", "prompt": "Do it."}}')


def begun(*numbers: int) -> list[ev.Event]:
    """One reply that starts these subagents."""
    calls = [agent_call(number) for number in numbers]
    return [
        ev.StepStarted(1, "kimi-k2"),
        ev.MessageAdded(Message("assistant", (Text("I hand it out."), *calls), "model")),
        *(ev.ToolStarted(call) for call in calls),
        *(event for number in numbers for event in inside(number, started(number), ev.TurnStarted(1), asked())),
    ]


def started(number: int) -> ev.SubagentStarted:
    kind, description = WORKS[number - 1]
    return ev.SubagentStarted(f"s{number}", kind, description, "Do it.")


def asked() -> ev.MessageAdded:
    return ev.MessageAdded(user_message("Do it."))


def inside(number: int, *events: ev.Event) -> list[ev.Event]:
    return [ev.Nested(f"a{number}", event) for event in events]


def step(number: int, name: str, arguments: str, display: Any) -> list[ev.Event]:
    """A step of a subagent with one call."""
    used = ev.Usage("kimi-k2", 4100 * number, 210, 3000, 0.003, 4300, 262_144)
    return inside(1, ev.StepStarted(number, "kimi-k2"), used, *tool(number, name, arguments, display))


def ended(number: int, report: str, *, stop: ev.Stop = "done") -> list[ev.Event]:
    """The subagent's last step, and its call's end."""
    bad = stop != "done"
    said = [] if bad else [ev.MessageAdded(Message("assistant", (Text(report),), "model"))]
    return [
        *inside(
            number, ev.StepStarted(4, "kimi-k2"), ev.Usage("kimi-k2", 9000, 400), *said, ev.TurnEnded(stop, steps=4)
        ),
        ev.ToolFinished(f"a{number}", Plain(f"s{number}: {stop}, 4 steps, 41 s"), bad, 41.0),
        ev.MessageAdded(tool_message(f"a{number}", report, is_error=bad)),
    ]


READ = step(1, "ReadFile", '{"path": "/srv/shop/shop/prices.py"}', Plain("7 lines"))
TESTED = step(2, "Shell", '{"command": "pytest -q"}', Terminal("pytest -q", "2 passed", 0))
REPORT = "Both tests pass: the discount is divided by 100 now.\n\n- `shop/prices.py:6` changed\n- nothing else"


@every_look
def test_subagents_at_work(look: Any, size: Any, theme: str) -> None:
    running = ToolCall("g1", "Grep", '{"pattern": "total\\\\(", "path": "/srv/shop"}')
    live = [
        *STARTED, *begun(1, 2, 3), *READ, *TESTED,
        *inside(2, ev.StepStarted(1), ev.MessageAdded(Message("assistant", (running,), "model")), ev.ToolStarted(running)),
    ]  # fmt: skip
    assert look(size, theme, live=live)


@every_look
def test_subagents_at_the_end(look: Any, size: Any, theme: str) -> None:
    lost = "It ran out of time; this is how far it came.\n\nIt said nothing."
    log = [
        *STARTED,
        *begun(1, 2, 3),
        *READ,
        *TESTED,
        *ended(1, REPORT),
        *ended(2, "找到了：有三处调用。"),
        *ended(3, lost, stop="interrupted"),
    ]
    assert look(size, theme, [*log, ev.TurnEnded("done")])


@every_look
def test_a_subagent_unfolded(look: Any, size: Any, theme: str) -> None:
    async def unfold(pilot: Pilot[Any]) -> None:
        await pilot.press("ctrl+e")

    assert look(size, theme, [*STARTED, *begun(1), *READ, *TESTED, *ended(1, REPORT), ev.TurnEnded("done")], act=unfold)


@every_look
def test_a_subagent_in_the_background(look: Any, size: Any, theme: str) -> None:
    live = [
        *STARTED, *begun(1), ev.TaskChanged(Task("b1", "agent", WORKS[0][1], "a1", "/tmp/x", 0.0)),
        ev.ToolFinished("a1", Plain("coder s1 in the background")), ev.MessageAdded(tool_message("a1", "It works.")),
        ev.MessageAdded(Message("assistant", (Text("It works on; I tell you when it is done."),), "model")),
        ev.TurnEnded("done"), *READ, *TESTED,
    ]  # fmt: skip
    assert look(size, theme, live=live)


@every_look
def test_permission_for_a_subagent(look: Any, size: Any, theme: str) -> None:
    async def ask(pilot: Pilot[Any]) -> None:
        call = ToolCall("c9", "Shell", '{"command": "make install"}')
        effects = (Effect("run", "make install"),)
        question = Permission(call, effects, Terminal("make install"), "`make install`", str(CWD), WORKS[1][1])
        pilot.app.run_worker(pilot.app.asker.ask(question))
        await pilot.pause()

    assert look(size, theme, live=[*STARTED, *begun(1, 2)], act=ask)


def review(text: str, *keys: str) -> Any:
    ways = (Option("Approve", "carry it out"), Option("Reject", "stay in plan mode"))
    item = Item("Carry out this plan? (Something else: say what to change.)", ways, "Plan")

    async def ask(pilot: Pilot[Any]) -> None:
        pilot.app.run_worker(pilot.app.asker.ask(Choice((item,), text)))
        await pilot.pause()
        await pilot.press(*keys)

    return ask


@every_look
def test_plan_review(look: Any, size: Any, theme: str) -> None:
    assert look(size, theme, live=STARTED, act=review(PLAN))


def test_plan_review_scrolled(look: Any) -> None:
    assert look((80, 24), "dark", live=STARTED, act=review(PLAN, "pagedown"))


@pytest.mark.parametrize("theme", all_but(["light"], ["dark", "light"]))
def test_plan_review_in_chinese(look: Any, theme: str) -> None:
    assert look((80, 24), theme, live=STARTED, act=review(CHINESE))


@pytest.mark.parametrize("size", [(20, 5), (40, 12)], ids=str)
def test_plan_review_in_small_windows(look: Any, size: Any) -> None:
    assert look(size, "dark", live=STARTED, act=review(PLAN))


@pytest.fixture
def colourless(look: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("NO_COLOR", "1")
    return look


def test_plan_review_without_colours(colourless: Any) -> None:
    assert colourless((80, 24), "dark", live=STARTED, act=review(PLAN))


def test_subagents_without_colours(colourless: Any) -> None:
    assert colourless((80, 24), "dark", live=[*STARTED, *begun(1, 2), *READ, *TESTED])
