"""Drawing without a screen: Markdown, diffs, cards, and what must hold for any text."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nightly import examples
from rich.cells import cell_len

from kimi_agent.agent.transcript import AnswerBlock, CallBlock, CompactionBlock, NoticeBlock, PromptBlock, ThoughtBlock
from kimi_agent.core.display import Diff, Plain, Terminal, Todo, TodoList
from kimi_agent.core.message import ToolCall
from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common.describe import thousands
from kimi_agent.frontends.tui.draw.blocks import block_lines
from kimi_agent.frontends.tui.draw.canvas import Canvas
from kimi_agent.frontends.tui.draw.diff import diff_lines, parse_unified
from kimi_agent.frontends.tui.draw.lines import clip, clip_start, fold, text_of, wrap
from kimi_agent.frontends.tui.draw.local import IntroBlock, NoteBlock, ShellBlock
from kimi_agent.frontends.tui.draw.markdown import MarkdownStream, markdown_lines
from kimi_agent.frontends.tui.draw.palette import PLAIN_PALETTE

MARKDOWN = st.lists(
    st.sampled_from(
        [
            "# Head", "text **bold** `code`", "- item", "  - nested", "1. one", "> quote", "```py", "x = 1", "```", "",
            "| a | b |", "|---|---|", "| 1 | 2 |", "---", "<b>html</b>", "[l](http://x)", "中文 🐛 emoji", "\ttabbed",
            "$x^2$", "$$", "$$y$$", "\\[", "\\]", "costs $5", "- [x] done",
        ]
    ),
    max_size=25,
).map("\n".join)  # fmt: skip
ANYTHING = st.text(st.characters(codec="utf-8"), max_size=200) | MARKDOWN


def markdown(source: str, width: int = 60) -> str:
    return text_of(markdown_lines(source, width, PLAIN_PALETTE))


def card(call: CallBlock, width: int = 60, expanded: bool = False) -> str:
    return text_of(block_lines(call, Canvas(width, PLAIN_PALETTE, expanded, "/w")))


def call(display: object = None, **fields: object) -> CallBlock:
    values = {"state": "done", "display": display, **fields}
    return CallBlock(0, ToolCall("c", "Shell", '{"command": "make"}'), **values)  # type: ignore[arg-type]


def test_why_a_call_failed_is_told_once() -> None:
    denied = call(Plain("use ls"), state="failed", result="Not allowed: use ls")
    assert card(denied) == " ✗ Shell  make\n   Not allowed: use ls"
    failed = call(state="failed", result="a.py has not been read in this session yet.")
    assert card(failed, 30) == " ✗ Shell  make\n   a.py has not been read in\n   this session yet."


def test_markdown_keeps_every_word() -> None:
    source = "# A\n\nb **c** *d* ~~e~~ `f`\ng\n\n1. h\n   - i\n2. j\n\n> k\n\n```py\nl = 1\n```\n\n<div>m</div>\n\nn <i>o</i>"
    assert markdown(source) == (
        "A\n\nb c d e f\ng\n\n1. h\n   ◦ i\n2. j\n\n▎ k\n\n l = 1\n\n<div>m</div>\n\nn <i>o</i>"
    )


def test_a_link_says_where_it_leads() -> None:
    assert markdown("[safe site](https://evil.example/x)") == "safe site (https://evil.example/x)"
    assert markdown("<https://a.example>") == "https://a.example"
    lines = markdown_lines("[x](javascript:alert)", 60, PLAIN_PALETTE)
    assert not any(segment.style and segment.style.link for line in lines for segment in line)


def test_tables_are_aligned_with_wide_characters() -> None:
    lines = markdown("| 名 | n |\n|---|--:|\n| 中文 | 1 |\n| ab | 22 |").split("\n")
    assert len({cell_len(line) for line in lines}) == 1


@settings(max_examples=examples(150))
@example("text\n$$\n# Head\n$$y$$", 1, 20)
@given(MARKDOWN, st.integers(1, 30), st.integers(20, 90))
def test_a_streamed_text_looks_like_the_whole_text(source: str, step: int, width: int) -> None:
    stream = MarkdownStream(width, PLAIN_PALETTE)
    shown: list = []
    for end in [*range(step, len(source), step), len(source)]:
        kept, lines = stream.update(source[:end])
        shown = [*shown[:kept], *lines]
    assert text_of(shown) == text_of(markdown_lines(source, width, PLAIN_PALETTE))


LONG_BLOCKS = {
    "code": "Look:\n\n```python\n"
    + "def f(a):\n    return a + 1  # and some words that say why\n" * 500
    + "```\n\nThe end.",
    "list": f"- item **bold** {'words ' * 8}\n" * 400 + "\nThe end.",
    "table": "| one | two |\n|---|---|\n" + f"| {'cell ' * 9}| {'other ' * 9}|\n" * 250 + "\nThe end.",
    "lines": f"{'Some words ' * 6}\n" * 400,
    "one line": "Some words " * 2000,
    "one word": "x" * 40_000,
}


@pytest.mark.parametrize("source", LONG_BLOCKS.values(), ids=LONG_BLOCKS.keys())
def test_a_long_block_is_not_drawn_again_with_every_word(source: str) -> None:
    stream = MarkdownStream(80, PLAIN_PALETTE)
    shown: list = []
    drawn = []
    for end in [*range(4001, len(source), 4001), len(source)]:
        kept, lines = stream.update(source[:end])
        shown = [*shown[:kept], *lines]
        drawn.append(len(lines))
    whole = markdown_lines(source, 80, PLAIN_PALETTE)
    assert "".join(text_of(shown).split()) == "".join(text_of(whole).split())
    assert max(drawn) < len(whole) * 2 // 3


@settings(max_examples=examples(200))
@given(ANYTHING, st.integers(20, 100), st.booleans())
def test_no_block_is_wider_than_the_canvas_or_holds_a_control_character(text: str, width: int, expanded: bool) -> None:
    blocks = [
        PromptBlock(0, text),
        ThoughtBlock(0, text),
        ThoughtBlock(0, text, True),
        AnswerBlock(0, text, True),
        NoticeBlock(0, "error", text),
        CompactionBlock(0, 10, 5),
        NoteBlock(text),
        ShellBlock(text, "/w", text, False, 1, 100.0),
        call(Terminal(text, text, 1), seconds=3.0),
        call(Diff(text, f"@@ -1 +1 @@\n-{text}\n+{text}\n", 1, 1)),
        call(Plain(text)),
        call(TodoList((Todo(text, "in_progress"),))),
        call(None, state="failed", result=text),
        call(None, state="running", output=text),
        CallBlock(0, ToolCall("c", text, text), "writing", 10),
        CallBlock(0, ToolCall("c", text, '{"path": ' + repr(text) + "}"), "done"),
    ]
    for block in blocks:
        for line in block_lines(block, Canvas(width, PLAIN_PALETTE, expanded, "/w")):
            words = "".join(segment.text for segment in line)
            assert cell_len(words) <= width, (block, words)
            assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in words), (block, words)


@given(st.text(max_size=60), st.integers(2, 30))
def test_folding_and_clipping_keep_to_the_width(text: str, width: int) -> None:
    from rich.text import Text

    safe = plain(text)
    folded = fold(Text(safe), width)
    assert all(cell_len("".join(s.text for s in line)) <= width for line in folded)
    words = "".join(s.text for line in folded for s in line)
    assert words.replace(" ", "") == re.sub("[\n\t ]", "", safe)
    one = safe.replace("\n", "").replace("\t", "")
    assert cell_len(clip(one, width)) <= width
    assert cell_len(clip_start(one, width)) <= width


def test_a_diff_is_numbered_and_whole() -> None:
    unified = "--- a/x\n+++ b/x\n@@ -9,3 +9,3 @@ def f\n a\n-b\n+B\n c\n"
    unified += "@@ -30 +30,2 @@\n z\n+--- y\n\\ No newline at end of file\n"
    assert text_of(diff_lines(unified, "x.py", 40, PLAIN_PALETTE)) == (
        "  9   a\n 10 - b\n 10 + B\n 11   c\n  ⋯\n 30   z\n 31 + --- y\n      \\ No newline at end of file"
    )
    assert [len(hunk.rows) for hunk in parse_unified(unified)] == [4, 3]


def test_cards_fold_and_unfold() -> None:
    output = "\n".join(f"line {n}" for n in range(30))
    folded = card(call(Terminal("make", output, 0), seconds=2.04))
    assert folded.startswith(" ✓ Shell  make")
    assert "2.0 s" in folded
    assert "… 24 earlier lines (Ctrl-E)" in folded
    assert "line 0\n" not in folded
    assert "line 0\n" in card(call(Terminal("make", output, 0)), expanded=True)
    assert "exit 2" in card(call(Terminal("make", "x", 2), state="failed"))
    assert card(CallBlock(0, ToolCall("c", "ReadFile", '{"path": "/w/a.py"}'), "done", display=Plain("3 lines"))) == (
        " ✓ ReadFile  a.py  3 lines"
    )


def test_the_intro_fits_a_narrow_window() -> None:
    intro = IntroBlock("1", (("folder", "/very/long/" * 20),), (("Enter", "send", "Shift-Enter", "new line"),))
    lines = block_lines(intro, Canvas(80, PLAIN_PALETTE))
    assert all(cell_len("".join(s.text for s in line)) <= 80 for line in lines)


@pytest.mark.parametrize(
    ("tokens", "words"), [(0, "0"), (950, "950"), (1000, "1k"), (12_340, "12.3k"), (999_600, "1M"), (140_000, "140k")]
)
def test_thousands(tokens: int, words: str) -> None:
    assert thousands(tokens) == words


def test_wrap_of_nothing_is_one_empty_line() -> None:
    from rich.text import Text

    assert wrap(Text(""), 10) == [[]]


def test_a_long_prompt_is_folded_until_it_is_unfolded() -> None:
    block = PromptBlock(0, text="\n".join(f"row {n}" for n in range(500)))
    folded = text_of(block_lines(block, Canvas(60, PLAIN_PALETTE)))
    assert "row 39" in folded
    assert "row 40" not in folded
    assert "… 460 more lines" in folded
    assert "row 499" in text_of(block_lines(block, Canvas(60, PLAIN_PALETTE, expanded=True)))


def test_one_endless_line_of_a_prompt_is_cut() -> None:
    block = PromptBlock(0, text="x" * 100_000)
    assert "… the rest of this line" in text_of(block_lines(block, Canvas(60, PLAIN_PALETTE)))
