"""/usage: tokens and money of a session, by model, turn and subagent."""

from pathlib import Path

from machine import House, ListProvider, say
from test_commands import RecordingShell

from kimi_agent.commands import execute
from kimi_agent.core import event as ev
from kimi_agent.core.message import user_message
from kimi_agent.usage_report import bill, report


def turn(number: int, text: str, *usages: ev.Event) -> list[ev.Event]:
    return [ev.TurnStarted(number), ev.MessageAdded(user_message(text)), *usages, ev.TurnEnded("done")]


def nested(agent: str, *usages: ev.Usage) -> list[ev.Event]:
    started = ev.SubagentStarted(agent, "coder", f"work of {agent}", "do it")
    return [ev.Nested(agent, started), *(ev.Nested(agent, usage) for usage in usages)]


DEAR, CHEAP, FREE = "k2-turbo", "k2", "local|model"
EVENTS = [
    *turn(1, "small thing", ev.Usage(CHEAP, 1000, 10, 900, 0.01)),
    *turn(2, "large\nthing", ev.Usage(DEAR, 5000, 500, 0, 2.0, 5500, 200_000), *nested("a1", ev.Usage(FREE, 700, 7))),
    *turn(3, "", ev.Nested("btw", ev.Usage(CHEAP, 50, 5, 50, 0.001))),
]


def test_every_request_is_counted_once_in_each_way_of_looking_at_it():
    found = bill(EVENTS)
    assert found.whole.requests == 4
    for parts in (found.models, found.turns):
        assert sum(part.requests for part in parts) == 4
        assert sum(part.tokens for part in parts) == found.whole.tokens
        assert abs(sum(part.cost for part in parts) - found.whole.cost) < 1e-9
    assert [(agent.name, agent.tokens) for agent in found.agents] == [
        ("coder: work of a1", 707),
        ("side questions", 55),
    ]


def test_the_report_names_the_dearest_turns_first_and_what_has_no_price():
    lines = report(EVENTS).splitlines()
    assert "| of it cached | 950 (14%) | 50 (100%) |" in lines
    assert "| context now | 5,500 of 200,000 | |" in lines
    assert "| cost | 2.0110 | 0.0010 |" in lines
    dearest = lines.index("| dearest turns | requests | input | cached | output | cost |")
    assert lines[dearest + 2] == "| 2. large thing | 2 | 5,700 | 0% | 507 | 2.0000 |"
    assert lines[dearest + 3].startswith("| 1. small thing | 1 | 1,000 | 90% |")
    assert lines[dearest + 4].startswith("| 3. (begun by the program) ")
    assert "| local\\|model | 1 | 700 | 0% | 7 |  |" in lines
    assert lines[-1] == "Not in the cost: local\\|model, without prices."


async def test_without_prices_no_money_is_spoken_of(tmp_path: Path):
    shell = RecordingShell(House(tmp_path, ListProvider(lambda request: say("fine"))))
    await execute(shell, "/usage")
    assert shell.shown[-1].endswith("Nothing has been asked of a model yet.")
    [event async for event in shell.session.prompt("one")]
    await execute(shell, "/cost")
    assert "| cost |" not in shell.shown[-1]
    assert "not known: no prices are configured" in shell.shown[-1]
