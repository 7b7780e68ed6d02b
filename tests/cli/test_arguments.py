"""Options without their value, and prompts where a subcommand may stand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimi_agent.cli.arguments import normalise
from kimi_agent.core.errors import ConfigError

TAKES_VALUE = {
    **dict.fromkeys(["-p", "-c", "--prompt", "-r", "-S", "--session", "--resume", "-m", "--model", "--start"], True),
    **dict.fromkeys(["-y", "--yolo", "-C", "--continue", "--print"], False),
}
COMMANDS = ["sessions", "login", "logout", "doctor"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", ""),
        ("-r", "-r|"),
        ("-r|abc", "-r|abc"),
        ("-r|-y", "-r||-y"),
        ("-S|-p|hi", "-S||-p|hi"),
        ("--session=abc", "--session=abc"),
        ("-p", "-p|"),
        ("-p|- a list item", "-p|- a list item"),
        ("-p|-", "-p|-"),
        ("-c", "--continue"),
        ("-c|fix it", "-c|fix it"),
        ("fix it", "--start|fix it"),
        ("-y|fix it|-m|k2", "-y|--start|fix it|-m|k2"),
        ("-m|login", "-m|login"),
        ("-ym|login|hello", "-ym|login|--start|hello"),
        ("sessions|list|--all", "sessions|list|--all"),
        ("-w|x|sessions|-r", "-w|--start|x|sessions|-r"),
        ("--model=a|doctor", "--model=a|doctor"),
        ("-mlogin|doctor", "-mlogin|doctor"),
        ("--|login", "--start|login"),
        ("--|fix|it", "--start|fix it"),
    ],
)
def test_normalised(given: str, expected: str) -> None:
    words = given.split("|") if given else []
    wanted = expected.split("|") if expected else []
    assert normalise(words, TAKES_VALUE, COMMANDS) == wanted


def test_a_slip_in_a_command_is_not_sent_to_the_model() -> None:
    with pytest.raises(ConfigError, match='no command "logn"') as caught:
        normalise(["logn"], TAKES_VALUE, COMMANDS)
    assert "kimi login" in caught.value.hint


def test_a_prompt_without_quotes_is_refused() -> None:
    with pytest.raises(ConfigError, match='unexpected argument "it"'):
        normalise(["fix", "it"], TAKES_VALUE, COMMANDS)


@pytest.mark.parametrize("given", ["-y|server|--port|80", "provider|add|x", "update|-y", "server", "-m|k|vis"])
def test_a_command_of_another_version_is_no_prompt(given: str) -> None:
    with pytest.raises(ConfigError, match=r"^kimi [a-z]+ is not in this version$"):
        normalise(given.split("|"), TAKES_VALUE, COMMANDS)


def test_a_prompt_may_begin_like_a_command_of_another_version() -> None:
    assert normalise(["update the docs"], TAKES_VALUE, COMMANDS) == ["--start", "update the docs"]
    assert normalise(["-p", "vis"], TAKES_VALUE, COMMANDS) == ["-p", "vis"]
    with pytest.raises(ConfigError, match='unexpected argument "the"') as caught:
        normalise(["update", "the", "old", "docs"], TAKES_VALUE, COMMANDS)
    assert "quotes" in caught.value.hint


words = st.sampled_from([*TAKES_VALUE, *COMMANDS, "some text", "-", "--", "--model=x", "-yp", "-unknown"])


@given(st.lists(words, max_size=6))
def test_no_word_is_lost_before_a_subcommand(given: list[str]) -> None:
    try:
        result = normalise(given, TAKES_VALUE, COMMANDS)
    except ConfigError:
        return
    kept = [word for word in result if word not in ("", "--start", "--continue")]
    plain = [word for word in given if word not in ("--", "-c", "--start", "--continue")]
    if "--" not in given:
        assert [word for word in kept if word != "-c"] == plain
