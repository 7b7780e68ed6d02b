"""Calling a person who looks elsewhere: when, and with which control sequence."""

import pytest

from kimi_agent.core import event as ev
from kimi_agent.frontends.common.notify import LONG_TURN_S, Notifier, notification

LONG = ev.TurnEnded("done", seconds=LONG_TURN_S + 21)


def sent(mode, *events: ev.Event, away: bool | None = True, **env: str) -> list[str]:
    written: list[str] = []
    notifier = Notifier(mode, written.append, env)
    notifier.away = away
    for event in events:
        notifier.follow(event)
    return written


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"TERM": "xterm-kitty"}, "\x1b]99;o=unfocused;hello\x1b\\"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "\x1b]9;hello\a"),
        ({"TERM": "foot"}, "\x1b]777;notify;kimi;hello\a"),
        ({"TERM": "xterm-256color"}, ""),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux"}, ""),
        ({}, ""),
    ],
)
def test_a_terminal_gets_what_it_understands(env: dict[str, str], expected: str):
    assert notification("hello", env) == expected


def test_nothing_in_a_text_ends_the_sequence():
    assert notification("a\x1b]0;title\ab\nc\x07", {"TERM": "foot"}) == "\x1b]777;notify;kimi;ab c\a"


def test_the_end_of_a_long_turn_is_told():
    assert sent("auto", LONG, TERM="foot") == ["\a\x1b]777;notify;kimi;kimi: done after 31 s\a"]
    assert sent("bell", LONG, TERM="foot") == ["\a"]
    assert sent("off", LONG, TERM="foot") == []
    failed = ev.TurnEnded("error", seconds=70)
    assert sent("auto", failed, TERM="foot") == ["\a\x1b]777;notify;kimi;kimi: stopped after 1 min 10 s\a"]


def test_a_short_or_interrupted_turn_is_not():
    assert sent("auto", ev.TurnEnded("done", seconds=LONG_TURN_S - 0.1), ev.TurnEnded("interrupted", seconds=90)) == []


def test_who_looks_is_not_called_and_who_may_not_look_is():
    assert sent("auto", LONG, away=False) == []
    assert sent("auto", LONG, away=None) == ["\a"]
