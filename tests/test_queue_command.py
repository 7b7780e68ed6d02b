"""/queue, and that no edit of what waits loses or doubles a text, whatever the running turn does meanwhile."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from machine import House, ListProvider, of, play, say
from nightly import examples
from test_commands import RecordingShell

from kimi_agent.agent.waiting import Waiting
from kimi_agent.commands import execute
from kimi_agent.core import event as ev
from kimi_agent.core.errors import SessionError
from kimi_agent.queue_command import QueuePanel

EDITS = st.lists(
    st.tuples(st.sampled_from(("queue", "steer", "take_back", "remove", "up", "down", "steer_now", "wait")), st.integers(0, 5)),
    max_size=40,
)  # fmt: skip


def edit(waiting: Waiting, what: str, which: int, taken: list[str]) -> None:
    """One edit of a person; `taken` are the texts that they have again."""
    there = [*waiting.steering, *waiting.queued]
    text_id = there[which % len(there)].id if there else 0
    match what:
        case "take_back":
            taken += filter(None, [waiting.take_back()])
        case "remove":
            taken += filter(None, [waiting.remove(text_id)])
        case "up" | "down":
            waiting.move(text_id, -1 if what == "up" else 1)
        case "steer_now":
            waiting.steer_now(text_id)


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=EDITS)
async def test_no_edit_during_a_turn_loses_or_doubles_a_text(tmp_path_factory: pytest.TempPathFactory, edits: list):
    house = House(tmp_path_factory.mktemp("house"), ListProvider(lambda request: [0, 0, *say("fine"), 0]))
    session = house.open()
    given_texts, taken = ["first"], []
    turn = asyncio.create_task(play(session, "first"))
    await asyncio.sleep(0)
    for number, (what, which) in enumerate(edits):
        if turn.done():
            break
        if what in ("queue", "steer"):
            given_texts.append(f"text {number % 3}")  # the same words may wait twice
            getattr(session, what)(given_texts[-1])
        elif what == "wait":
            for _ in range(which):
                await asyncio.sleep(0)
        else:
            edit(session.waiting, what, which, taken)
    events = await turn
    while (left := session.take_back()) is not None:
        taken.append(left)
    heard = [m.text for m in session.runner.history.messages if m.role == "user"]
    assert Counter([*heard, *taken]) == Counter(given_texts)
    assert not of(events, ev.Queued) or of(events, ev.Queued)[-1] == ev.Queued()


@given(edits=EDITS)
def test_every_edit_is_told_as_it_is(edits: list):
    told: list[ev.Queued] = []
    waiting = Waiting(told.append)
    for number, (what, which) in enumerate(edits):
        getattr(waiting, what)(f"{number}") if what in ("queue", "steer") else edit(waiting, what, which, [])
        assert not told or told[-1] == waiting.now()


@pytest.fixture
async def running(tmp_path: Path):
    """A shell whose session's turn waits at its first request, with texts that wait."""
    gate = asyncio.Event()

    class Slow(ListProvider):
        async def stream(self, request):
            await gate.wait()
            async for item in super().stream(request):
                yield item

    shell = RecordingShell(House(tmp_path, Slow(lambda request: say("fine"))))
    turn = asyncio.create_task(play(shell.session, "first"))
    while not shell.session.running:
        await asyncio.sleep(0)
    for text in ("one", "two", "three"):
        shell.session.queue(text)
    shell.session.steer("by the way")
    yield shell, turn, gate
    gate.set()
    await turn


def labels(listing) -> list[str]:
    return [row.label for row in listing.rows()]


async def press(listing, key: str, label: str) -> str:
    row = next(row.id for row in listing.rows() if row.label == label)
    return await next(each for each in listing.keys if each.key == key).act(row)


async def test_waiting_texts_are_put_in_order_deleted_and_steered(running):
    shell, turn, gate = running
    listing = QueuePanel(shell).listing()
    assert labels(listing) == ["by the way", "one", "two", "three"]
    assert [row.group for row in listing.rows()] == ["These join the running turn", *["These start the next turns"] * 3]
    await press(listing, "alt+up", "three")
    await press(listing, "alt+up", "by the way")
    await press(listing, "alt+down", "one")
    assert labels(listing) == ["by the way", "three", "one", "two"]
    await press(listing, "d", "one")
    await press(listing, "s", "two")
    assert labels(listing) == ["by the way", "two", "three"]
    gate.set()
    await turn
    heard = [m.text for m in shell.session.runner.history.messages if m.role == "user"]
    assert heard == ["first", "by the way", "two", "three"]


async def test_a_text_comes_back_to_be_edited_while_the_turn_runs(running):
    shell, _, _ = running
    shell._picks = [2]
    await execute(shell, "/queue")
    assert shell.prompt == "two"
    assert labels(QueuePanel(shell).listing()) == ["by the way", "one", "three"]
    listing = QueuePanel(shell).listing()
    await press(listing, "e", "one")
    assert shell.prompt == "one"


async def test_a_text_that_has_gone_its_way_is_not_sent_twice(running):
    shell, turn, gate = running
    listing = QueuePanel(shell).listing()
    row = listing.rows()[1].id
    gate.set()
    await turn
    for key in listing.keys:
        with pytest.raises(SessionError, match=r"does not wait any more|no turn runs"):
            await key.act(row)
    assert shell.prompt == ""

    async def picks(listing):
        return row

    shell.browsing = picks
    await execute(shell, "/queue")
    assert "does not wait any more" in shell.shown[-1]


async def test_where_no_turn_runs_the_front_end_is_told_of_edits(tmp_path: Path):
    shell = RecordingShell(House(tmp_path, ListProvider([])))
    shell.session.queue("one")
    shell.session.queue("two")
    await press(QueuePanel(shell).listing(), "d", "one")
    assert shell.events == [ev.Queued((), ("two",))]
