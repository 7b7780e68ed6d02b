"""Exports hold the whole conversation, and nothing in them acts: no markup of the session's own, nothing to load."""

from html.parser import HTMLParser

import msgspec
import pytest
from event_strategies import EVENTS
from hypothesis import given
from hypothesis import strategies as st

from kimi_agent.core import event as ev
from kimi_agent.core.display import Diff, Plain, Terminal, Todo, TodoList
from kimi_agent.core.effect import Effect
from kimi_agent.core.message import Image, Message, Text, Think, ToolCall, tool_message, user_message
from kimi_agent.frontends.export import to_html, to_json, to_markdown

CALL = ToolCall("c1", "Shell", '{"command": "make <all>"}')
NASTY = "<script>alert(1)</script><img src=x onerror=alert(1)>&amp;\x1b[2J```"
PIXEL = Image("iVBORw0KGgo=", "image/png", "pixel.png")


def session(*events: ev.Event) -> list[ev.Event]:
    return [
        ev.SessionStarted("s1", "/w", 1_700_000_000.0, "1", "k2"),
        ev.TurnStarted(1),
        ev.MessageAdded(user_message("please do it", (PIXEL,))),
        ev.StepStarted(1),
        *events,
        ev.TurnEnded("done"),
    ]


def called(finished: ev.ToolFinished) -> list[ev.Event]:
    return session(
        ev.MessageAdded(Message("assistant", (CALL,), "model")),
        ev.ToolStarted(CALL, (Effect("run", "make <all>"),)),
        finished,
        ev.MessageAdded(tool_message("c1", "the result")),
        ev.MessageAdded(Message("assistant", (Think("hmm"), Text("**all** done")), "model")),
        ev.Usage("k2", 1000, 20, cached=900, cost=0.5),
    )


class Page(HTMLParser):
    """The tags and attributes of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "dl", "dt", "dd", "div", "details", "summary", "span", "img"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "p", "pre", "code", "em", "strong", "a", "ul", "ol", "li", "blockquote"),
    *("table", "thead", "tbody", "tr", "th", "td", "hr", "br"),
}
ATTRIBUTES = {
    "lang",
    "charset",
    "http-equiv",
    "content",
    "name",
    "class",
    "alt",
    "src",
    "href",
    "title",
    "start",
    "style",
}


def check_page(page: str) -> Page:
    parsed = Page(page)
    assert set(parsed.tags) <= ALLOWED
    names = {name for name, _ in parsed.attributes}
    assert names <= ATTRIBUTES
    assert not [
        value for name, value in parsed.attributes if name == "href" and (value or "").startswith("javascript:")
    ]
    assert all((value or "").startswith("data:image/") for name, value in parsed.attributes if name == "src")
    assert "default-src 'none'" in page
    assert "\x1b" not in page
    return parsed


@pytest.mark.parametrize(
    ("display", "texts"),
    [
        (None, ["the result"]),
        (Plain("a line"), ["a line"]),
        (Terminal("make <all>", "built\n", 2), ["$ make <all>", "built", "(exit 2)"]),
        (Diff("/w/a", "@@ -1 +1 @@\n-old <b>\n+new <b>\n", 1, 1), ["-old <b>", "+new <b>"]),
        (TodoList((Todo("first", "done"), Todo("second"))), ["[x] first", "[ ] second"]),
    ],
)
def test_all_that_happened_is_in_both(display: object, texts: list[str]) -> None:
    events = called(ev.ToolFinished("c1", display))  # type: ignore[arg-type]
    page, markdown = check_page(to_html(events)), to_markdown(events)
    for text in [*texts, "please do it", "hmm", "done", "Shell make <all>", "s1", "1,000 in (900 cached)"]:
        assert text in page.text
        assert text in markdown
    assert "img" in page.tags


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("**bold** and `code`", "<p><strong>bold</strong> and <code>code</code></p>"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "<td>1</td>"),
        ("![spy](https://example.com/x.png)", '!<a href="https://example.com/x.png">spy</a>'),
        ("[go](javascript:alert(1))", "[go](javascript:alert(1))"),
        ("<img src=x>", "&lt;img src=x&gt;"),
    ],
)
def test_answers_are_rendered_and_load_nothing(answer: str, expected: str) -> None:
    page = to_html(session(ev.MessageAdded(Message("assistant", (Text(answer),), "model"))))
    check_page(page)
    assert expected in page


def test_json_holds_the_events() -> None:
    events = called(ev.ToolFinished("c1", Plain("x")))
    assert msgspec.json.decode(to_json(events), type=list[ev.Event]) == events


def test_what_was_undone_is_left_out() -> None:
    events = [*session(ev.MessageAdded(Message("assistant", (Text("wrong turn"),), "model"))), ev.Rewound(1)]
    assert "wrong turn" not in to_html(events)
    assert "wrong turn" not in to_markdown(events)


def test_nothing_from_the_session_acts() -> None:
    call = ToolCall("c1", NASTY, f'{{"command": "{NASTY}"}}')
    events = session(
        ev.Titled(NASTY),
        ev.MessageAdded(Message("assistant", (Think(NASTY), Text(NASTY), call), "model")),
        ev.ToolStarted(call),
        ev.ToolFinished("c1", Terminal(NASTY, NASTY, 1)),
        ev.MessageAdded(user_message("x", (Image('"><script>', "image/png", NASTY), Image("", "text/html", NASTY)))),
        ev.Notice("error", NASTY),
    )
    page = check_page(to_html(events))
    assert page.text.count("<script>alert(1)</script>") >= 6


def test_a_fence_cannot_be_closed_from_inside() -> None:
    markdown = to_markdown(called(ev.ToolFinished("c1", Plain("```\n# not a title\n````"))))
    assert "`````\n```\n# not a title\n````\n`````" in markdown


@given(st.lists(EVENTS, max_size=12))
def test_any_session_can_be_exported(events: list[ev.Event]) -> None:
    check_page(to_html(events))
    assert to_markdown(events).startswith("# ")
