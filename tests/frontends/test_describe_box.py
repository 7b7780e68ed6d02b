"""The box in the words of front ends."""

import pytest

from kimi_agent.core.display import Terminal
from kimi_agent.core.effect import Effect
from kimi_agent.frontends.common.describe import effect_words, outcome


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("net:pypi.org", ("reach", "pypi.org")),
        ("write:/a/b:c", ("write", "/a/b:c")),
        ("host", ("run", "outside of the box, with all your rights")),
    ],
)
def test_what_is_asked_for_beyond_the_box_is_said_in_words(target: str, words: tuple[str, str]) -> None:
    assert effect_words(Effect("widen", target)) == words
    assert effect_words(Effect("run", "widen: x")) == ("run", "widen: x")


@pytest.mark.parametrize(
    ("box", "said"),
    [
        ("box R3 · net off", "ok"),
        ("box R3 · read-only · net off", "box R3 · read-only · net off, ok"),
        ("NO BOX", "NO BOX, ok"),
        ("", "ok"),
    ],
)
def test_a_result_names_a_box_that_is_not_the_usual_one(box: str, said: str) -> None:
    assert outcome(Terminal("x", "ok\n", 0, box), "", is_error=False) == said
