"""Line mode's pure parts: what is asked in which words, what an answer means, where streamed Markdown may be cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimi_agent.core.ask import Allow, Deny, Item, Option, Permission
from kimi_agent.core.display import Diff, Terminal
from kimi_agent.core.effect import Effect
from kimi_agent.core.message import ToolCall
from kimi_agent.frontends.line.markdown import MarkdownStream
from kimi_agent.frontends.line.questions import item_answer, permission_answer, permission_lines

CALL = ToolCall("c1", "Shell", '{"command": "make"}')
WIDE = Permission(CALL, (Effect("run", "make"),), Terminal("make"), "make")
NARROW = Permission(CALL, (Effect("run", "make"),), Terminal("make"))
ITEM = Item("Which?", (Option("red"), Option("blue"), Option("red and blue")))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("1", Allow()),
        (" Y ", Allow()),
        ("yes", Allow()),
        ("2", Allow("session")),
        ("3", Deny()),
        ("n", Deny()),
        ("no.", Deny()),
        ("4", "feedback"),
        ("4 use ninja", Deny("use ninja")),
        ("n: use ninja", Deny("use ninja")),
        ("", None),
        ("5", None),
        ("12", None),
        ("yes please, and then go on", None),
        ("1 more thing", None),
        ("okay", None),
    ],
)
def test_permission_answers(text: str, answer: object) -> None:
    assert permission_answer(WIDE, text) == answer


def test_a_scope_that_is_not_offered_cannot_be_chosen() -> None:
    assert permission_answer(NARROW, "2") is None
    assert not any(line.startswith("  2") for line, _ in permission_lines(NARROW))


@given(st.text())
def test_only_the_exact_words_allow(text: str) -> None:
    allowed = isinstance(permission_answer(WIDE, text), Allow)
    assert allowed == (text.strip().lower().rstrip(".,:") in ("1", "y", "yes", "2"))


def test_the_whole_effect_is_shown_with_everything_hidden_spelled_out() -> None:
    command = "ls\u202e -la\n" + "\n".join(f"line {n}" for n in range(500)) + "\nrm\u200b -rf \x1b[8m/"
    text = "\n".join(line for line, _ in permission_lines(Permission(CALL, (), Terminal(command))))
    assert "ls⟨U+202E⟩ -la" in text
    assert "line 499" in text
    assert "rm⟨U+200B⟩ -rf ⟨U+001B⟩[8m/" in text


def test_effects_that_the_preview_does_not_name_are_shown_too() -> None:
    question = Permission(CALL, (Effect("run", "make"), Effect("write", "/etc/passwd")), Terminal("make"))
    text = "\n".join(line for line, _ in permission_lines(question))
    assert "write: /etc/passwd" in text
    assert "run: make" not in text


def test_without_effects_and_preview_the_arguments_are_shown() -> None:
    assert ('  {"command": "make"}', "") in permission_lines(Permission(CALL, ()))


def test_a_diff_is_whole_and_coloured() -> None:
    unified = "@@ -1,2 +1,300 @@\n-old\n" + "".join(f"+new {n}\n" for n in range(300))
    lines = permission_lines(Permission(CALL, (), Diff("/w/a", unified, 300, 1, created=True)))
    assert ("  -old", "remove") in lines
    assert ("  +new 299", "add") in lines
    assert ("  new file /w/a (+300 -1)", "bold") in lines


@pytest.mark.parametrize(
    ("text", "multiple", "answer"),
    [
        ("1", False, ("red",)),
        ("2", True, ("blue",)),
        ("1,2", True, ("red", "blue")),
        ("1 1 2", True, ("red", "blue")),
        ("9", False, None),
        ("1,9", True, None),
        ("1 2", False, ("1 2",)),
        ("neither of 1", False, ("neither of 1",)),
        ("²", False, ("²",)),
    ],
)
def test_choices(text: str, multiple: bool, answer: object) -> None:
    assert item_answer(Item("Which?", ITEM.options, multiple=multiple), text) == answer


def test_a_question_without_options_takes_any_words() -> None:
    assert item_answer(Item("How many?", ()), "3") == ("3",)


SOURCE = "# Title\n\nA paragraph\nof two lines.\n\n- one\n- two\n\n```py\nx = 1\n\n~~~\ny = 2\n```\nlast"


def pieces(chunks: list[str]) -> list[str]:
    stream = MarkdownStream()
    return [piece for chunk in chunks for piece in stream.feed(chunk)] + stream.flush()


def test_a_fenced_block_is_one_piece() -> None:
    assert pieces([SOURCE]) == [
        "# Title",
        "A paragraph\nof two lines.",
        "- one\n- two",
        "```py\nx = 1\n\n~~~\ny = 2\n```",
        "last",
    ]


def test_a_fence_that_never_ends_is_still_delivered() -> None:
    assert pieces(["```\na\n\nb"]) == ["```\na\n\nb"]


@given(st.text(alphabet="a `~#-\n", max_size=80), st.data())
def test_the_cuts_do_not_depend_on_the_chunks_and_lose_nothing(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    bounds = [0, *cuts, len(text)]
    chunks = [text[start:end] for start, end in pairwise(bounds)]
    assert pieces(chunks) == pieces([text])
    assert "".join("".join(pieces(chunks)).split()) == "".join(text.split())
