"""What the lexer takes for proved is exactly what bash and dash run (T14). `make nightly` runs ten times as many lines."""

import os
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from shell_fuzz import NAMES, lines, run_in_bash, run_in_dash

from kimi_agent.rules.lexer import LIMIT, Command, prove

COUNT = int(os.environ.get("KIMI_FUZZ", "10000"))
SEED = int(os.environ.get("KIMI_FUZZ_SEED", "1"))


def test_how_much_is_tried() -> None:
    makefile = Path(__file__).parents[2].joinpath("Makefile").read_text()
    assert int(re.findall(r"KIMI_FUZZ=(\d+)", makefile)[0]) >= 100_000
    assert COUNT >= 10_000


def is_seen(line: str) -> bool:
    """Whether a line is taken for proved, and every command of it can be seen: `[` is the shell's own and says nothing."""
    commands = prove(line)
    return commands is not None and all(command.words[0] != "[" for command in commands)


def accepted(count: int) -> list[str]:
    found: dict[str, None] = {}
    seed = SEED
    while len(found) < count:
        found.update(dict.fromkeys(filter(is_seen, lines(seed, 20_000))))
        seed += 1_000_003
    return list(found)[:count]


def expected(commands: Sequence[Command], code: int) -> Counter[tuple[str, ...]]:
    """What runs when every command that is found answers `code`; a path is not found, and answers something else than 0."""
    ran: Counter[tuple[str, ...]] = Counter()
    pipelines: list[list[Command]] = []
    for command in commands:
        if command.joint == "|":
            pipelines[-1].append(command)
        else:
            pipelines.append([command])
    status = 0
    for pipeline in pipelines:
        if (pipeline[0].joint == "&&" and status) or (pipeline[0].joint == "||" and not status):
            continue
        ran.update(command.words for command in pipeline if "/" not in command.words[0])
        status = 127 if "/" in pipeline[-1].words[0] else code
    return ran


def scripts_of(found: Sequence[str]) -> list[tuple[int, str]]:
    return [(0, line) for line in found] + [(1, line) for line in found if "&&" in line or "||" in line]


def test_what_is_proved_is_what_bash_runs(tmp_path: Path) -> None:
    scripts = scripts_of(accepted(COUNT))
    for (code, line), ran in zip(scripts, run_in_bash(scripts, tmp_path), strict=True):
        commands = prove(line)
        assert commands is not None
        assert ran == expected(commands, code), repr(line)


@pytest.mark.skipif(shutil.which("dash") is None, reason="there is no dash")
def test_what_is_proved_is_what_dash_runs(tmp_path: Path) -> None:
    known = [line for line in accepted(COUNT // 2) if all(c.words[0] in NAMES for c in prove(line) or ())]
    scripts = scripts_of(known)
    assert len(scripts) > COUNT // 50
    for (code, line), ran in zip(scripts, run_in_dash(scripts, tmp_path), strict=True):
        assert ran == expected(prove(line) or [], code), repr(line)


@pytest.mark.parametrize(
    "line",
    [
        "", " ", ";", "a ;; b", "a |", "a &&", "| a", "a & b", "a |& b", "a\nb", "a\rb", "a\tb", "a\0b", "$x", "`a`",
        "a > b", "a < b", "*", "a?", "[a]", "{a,b}", "(a)", "a # b", "!a", "~", "~a", "x=1 a", "'a", '"a', '"$a"', '"a\\b"',
        '"!"', "if a", "time a", "'' a", "%1", "a\u00a0b", "ａ", "a \\\n b", "a\\ b", "x=~", "a:~",
    ],
)  # fmt: skip
def test_what_is_not_plain_words_is_not_proved(line: str) -> None:
    assert prove(line) is None


def test_long_lines_are_not_proved() -> None:
    assert prove("a" * LIMIT)
    assert prove("a" * (LIMIT + 1)) is None


def test_words_are_without_quotes_and_texts_as_written() -> None:
    commands = prove("""git  log 'a b' && "x y"z | cat;""")
    assert commands is not None
    assert [(c.words, c.text, c.joint) for c in commands] == [
        (("git", "log", "a b"), "git  log 'a b'", ""),
        (("x yz",), '"x y"z', "&&"),
        (("cat",), "cat", "|"),
    ]
