"""Drawing without a screen: diffs side by side, wide tables, tasks, cards, and what a selection copies."""

from pathlib import Path

import pytest
from rich.cells import cell_len
from tui_house import Clock, house, screen_text, seen, shell

from kimi_agent.agent.transcript import AnswerBlock, CallBlock, PromptBlock, Transcript
from kimi_agent.core import event as ev
from kimi_agent.core.display import Diff, Plain, Terminal
from kimi_agent.core.message import Message, ToolCall
from kimi_agent.frontends.common.look import Diffs
from kimi_agent.frontends.line.draw import Drawer
from kimi_agent.frontends.line.drawn import Drawn
from kimi_agent.frontends.tui.draw.blocks import block_lines
from kimi_agent.frontends.tui.draw.canvas import Canvas
from kimi_agent.frontends.tui.draw.copying import Piece, copied, selected
from kimi_agent.frontends.tui.draw.diff import diff_lines
from kimi_agent.frontends.tui.draw.lines import text_of
from kimi_agent.frontends.tui.draw.local import IntroBlock
from kimi_agent.frontends.tui.draw.markdown import markdown_lines
from kimi_agent.frontends.tui.draw.palette import PLAIN_PALETTE


class Paper:
    """A screen of line mode that keeps what is printed."""

    keeps_input = False

    def __init__(self) -> None:
        self.written: list[str] = []

    def line(self, text: str, style: str = "") -> None:
        self.written.append(text)

    def markdown(self, text: str) -> None:
        self.written.append(text)


SIDES = "@@ -1,3 +1,4 @@\n a = 1\n-total = price(b)\n+if b:\n+    total = price(中, b)\n c\n"
WIDE_TABLE = (
    "| Option | Default | Description |\n|---|--:|---|\n"
    "| max_tokens | 32000 | How many tokens a reply may have at most |\n| temperature | 1.0 | $x^2$ |"
)


def markdown(source: str, width: int = 60) -> str:
    return text_of(markdown_lines(source, width, PLAIN_PALETTE))


def card(block: CallBlock, width: int = 60) -> str:
    return text_of(block_lines(block, Canvas(width, PLAIN_PALETTE, cwd="/w")))


def copy_of(lines: list) -> str:
    return copied([Piece(line) for line in lines])


def test_a_diff_stands_side_by_side_where_there_is_room() -> None:
    beside = text_of(diff_lines(SIDES, "x.py", 120, PLAIN_PALETTE)).split("\n")
    left, right = ([line.split("│")[side] for line in beside] for side in (0, 1))
    assert [line.split() for line in left] == [
        ["1", "a", "=", "1"],
        [],
        ["2", "-", "total", "=", "price(b)"],
        ["3", "c"],
    ]
    assert [line.split()[0] for line in right] == ["1", "2", "3", "4"]
    assert len({cell_len(line) for line in left}) == 1
    assert "│" not in text_of(diff_lines(SIDES, "x.py", 119, PLAIN_PALETTE))
    assert "│" in text_of(diff_lines(SIDES, "x.py", 60, PLAIN_PALETTE, "side-by-side"))
    assert "│" not in text_of(diff_lines(SIDES, "x.py", 200, PLAIN_PALETTE, "unified"))
    assert "│" not in text_of(diff_lines("@@ -0,0 +1 @@\n+new\n", "x.py", 200, PLAIN_PALETTE))


def test_both_sides_of_a_diff_wrap_in_step() -> None:
    unified = f"@@ -1,2 +1,2 @@\n-{'old ' * 30}\n+short\n same\n"
    lines = text_of(diff_lines(unified, "x", 60, PLAIN_PALETTE, "side-by-side")).split("\n")
    assert "short" in lines[0]
    assert all(not line.partition("│")[2].strip() for line in lines[1:-1])
    assert lines[-1].split() == ["2", "same", "│", "2", "same"]


@pytest.mark.parametrize("diffs", ["unified", "side-by-side"])
def test_the_changed_words_of_a_line_are_marked(diffs: Diffs) -> None:
    lines = diff_lines(SIDES, "x.py", 80, PLAIN_PALETTE, diffs)
    marked = [segment.text for line in lines for segment in line if segment.style and segment.style.underline]
    assert "".join(marked) == "    中, "
    lines = diff_lines("@@ -1 +1 @@\n-one thing\n+quite another\n", "x", 80, PLAIN_PALETTE, diffs)
    assert not [segment for line in lines for segment in line if segment.style and segment.style.underline]


def test_what_is_copied_has_no_gutter_and_no_broken_lines() -> None:
    prose = "one two three four five six seven eight nine ten eleven twelve"
    code = "x = " + "1 + " * 30 + "1"
    source = f"{prose}\n\n```py\n{code}\n    y\n```\n\n- {prose}\n  - inner\n\n> {prose}"
    for width in (20, 33, 200):
        lines = block_lines(AnswerBlock(0, source, True), Canvas(width, PLAIN_PALETTE))
        assert copy_of(lines) == f"{prose}\n\n{code}\n    y\n\n• {prose}\n  ◦ inner\n\n{prose}"
    assert copy_of(block_lines(PromptBlock(0, prose), Canvas(30, PLAIN_PALETTE))) == prose


def test_one_side_of_a_diff_is_copied_without_numbers_and_signs() -> None:
    lines = diff_lines(SIDES, "x.py", 60, PLAIN_PALETTE, "side-by-side")
    assert selected(lines, 6, None) == "a = 1\ntotal = price(b)\nc"
    assert selected(lines, 36, None) == "a = 1\nif b:\n    total = price(中, b)\nc"
    unified = diff_lines(SIDES, "x.py", 60, PLAIN_PALETTE)
    assert copy_of(unified) == "a = 1\ntotal = price(b)\nif b:\n    total = price(中, b)\nc"


@pytest.mark.parametrize("width", [30, 40, 80, 120])
def test_a_table_breaks_no_word_that_has_room(width: int) -> None:
    drawn = markdown(WIDE_TABLE, width)
    for word in (
        "max_tokens",
        "32000",
        "temperature",
        "Description",
        "x²",
        *["How", "many", "tokens", "a", "reply", "may", "have"],
    ):
        assert word in drawn
    assert all(cell_len(line) <= width for line in drawn.split("\n"))
    assert ("Default      32000" in drawn or "Default    32000" in drawn) == (width == 30)


def test_a_list_of_names_needs_no_blank_lines_between_its_rows() -> None:
    what = "what it does, in more words than the window has room for"
    rows = [f"| `/{name}` | {what} |" for name in ("one", "two")]
    drawn = markdown("\n".join(["| command | |", "|---|---|", *rows]), 40).split("\n")
    assert "" not in drawn
    assert sum(line.startswith("/") for line in drawn) == 2
    assert "" in markdown("\n".join(["| a | b |", "|---|---|", *[f"| {what} | {what} |"] * 2]), 40).split("\n")


def test_tasks_are_ticked() -> None:
    tasks = "- [ ] open\n- [x] done\n- [y] no task\n\n1. [X] *third*"
    assert markdown(tasks) == "☐ open\n☑ done\n• [y] no task\n\n1. ☑ third"


def test_how_a_call_went_is_never_cut_by_what_it_is_about() -> None:
    long = "make " + "x" * 300
    failed = CallBlock(0, ToolCall("c", "Shell", f'{{"command": "{long}"}}'), "failed", display=Terminal(long, "", 2))
    failed.seconds = 75.0
    assert card(failed).split("\n")[0].endswith("…  exit 2 · 1 min 15 s")
    assert "exit 2" in card(failed, 24)
    edit = CallBlock(0, ToolCall("c", "Edit", f'{{"path": "{"d/" * 60}"}}'), "done", display=Diff("p", SIDES, 2, 1))
    assert "…  +2 −1" in card(edit).split("\n")[0]


def test_a_reviewed_plan_stands_in_its_card() -> None:
    plan = CallBlock(0, ToolCall("c", "ExitPlanMode", '{"plan": "# Plan\\n\\n1. mend"}'), "running")
    assert "\n" not in card(plan)
    plan.state, plan.display = "done", Plain("approved")
    assert card(plan).endswith("   Plan\n\n   1. mend")


def test_a_narrow_window_cuts_no_hint() -> None:
    intro = IntroBlock("1", (), (("Enter", "send", "Shift-Enter", "new line"),))
    assert text_of(block_lines(intro, Canvas(40, PLAIN_PALETTE))).endswith("   Shift-Enter   new line")


@pytest.mark.parametrize("still", [False, True])
async def test_a_running_subagent_tells_how_long_unless_nothing_is_to_move(tmp_path: Path, still: bool) -> None:
    clock = Clock()
    async with shell(house(tmp_path).agent, clock=clock, still=still) as (app, pilot):
        call = CallBlock(0, ToolCall("a", "Agent", '{"description": "look"}'), "running", nested=Transcript())
        call.nested.status.running = True
        app.view.show([call])
        await seen(app, pilot, "Agent  look")
        clock.now += 75
        app.view.tick()
        app.view.flush()
        await pilot.pause()
        assert ("1 min 15 s" in screen_text(app)) is not still


def test_line_mode_prints_a_reviewed_plan_when_a_session_is_replayed() -> None:
    plan = ToolCall("c", "ExitPlanMode", '{"plan": "1. mend"}')
    events = [
        ev.MessageAdded(Message("assistant", (plan,), "model")),
        ev.ToolStarted(plan, ()),
        ev.ToolFinished("c", Plain("approved"), False, 1.0),
    ]
    for replay in (True, False):
        transcript = Transcript()
        for event in events:
            transcript.apply(event)
        paper = Paper()
        Drawer(paper, Drawn(), transcript).draw(transcript.blocks, replay=replay)  # type: ignore[arg-type]
        assert ("1. mend" in paper.written) is replay
