"""What bash runs, the permissive look has found: a command that is forbidden hides in no spelling (T15)."""

import gc
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from nightly import all_but
from rule_house import book, run
from shell_fuzz import run_in_bash

from kimi_agent.rules.commands import forbids
from kimi_agent.rules.scan import scan

COUNT = int(os.environ.get("KIMI_FUZZ", "5000"))
SEED = int(os.environ.get("KIMI_FUZZ_SEED", "1"))
NAMES = (
    "aa",
    "a''a",
    "\\aa",
    "'aa'",
    '"aa"',
    'a"a"',
    "$'\\x61a'",
    "a\\\na",
    "${nn:-aa}",
    "{aa,x}",
    "a$nn''a",
    "a${nn}a",
    "a$@a",
    "$nn aa",
)
"""Spellings of `aa`, the command that is looked for; `nn` is never set."""
AROUND = (
    "{c}", "{c} x", "({c})", "{{ {c}; }}", "$({c})", 'b "$({c})"', 'b "x $(b "$({c})") y"', "b <<E\n$({c})\nE\n",
    "if {c}; then b; fi", "! {c}", "f{n}() {{ {c}; }}; f{n}", "case x in (x) {c};; esac", "case x in x) {c};; esac",
    "for i in 1; do {c}; done", "b # don't\n{c} # can't\n", "[[ -n $({c}) ]]", "b ${{yy:-$({c})}}", "x=1 {c}",
    "2>/dev/null {c}", "b <({c})", "b | {c}", "b && {c}", "b; {c} && b", "{c} |& b", "b $(( 1 + $({c}) ))", "x=$({c})",
    "x=(1 $({c}))", "b 'it'\\''s' && {c}", "b \\' ; {c}", 'b "\\"" ; {c}', "b $'\\'' ; {c}", "b '\n' ; {c}",
    "b ${{#nn}} ; {c}", "b ${{nn#x}} ; {c}", "b \"${{nn%\\}}}}\" ; {c}", "b <<'E'\nx ' y\nE\n{c}", "b <<E\nit's\nE\n{c}",
    "b <<< ' ' ; {c}", "b `b x` ; {c}", "((1 << 2)) ; {c}", "b $((1 << 2)) ; {c}", "b a#b ; {c}", "b '#' ; {c}",
    "b \\# ; {c}", "b\t;\t{c}", "b &&\n\n{c}", "b |\n{c}", "b ;\n# x ' y\n{c}", "b $# ; {c}", "b ${{#}} ; {c}",
    "eval b ; {c}", "eval {c}", "> /dev/null {c}", "b > /dev/null; {c}", "select i in 1; do {c}; break; done",
    "b {{a,b}} ; {c}", "b x\\\n y ; {c}", "until {c}; do break; done", "b $\"x\" ; {c}", "b \"`b 'x'`\" ; {c}",
    "b \"$(b ')')\" ; {c}", "b $(b \\)) ; {c}",
)  # fmt: skip
JUNK = (
    "",
    "",
    "",
    "b 'x' ;",
    'b "y" ;',
    "b # z\n",
    "b \\\n;",
    "b `b` ;",
    "b <<E\nE\n",
    "x=' ' ;",
    "b $'\\n' ;",
    'b "$nn" ;',
    "b ${nn} ;",
    "b '\"' ;",
    'b "\'" ;',
)


def texts(count: int) -> Iterator[str]:
    """Command lines that run `aa` somewhere deep within, most of them, in a spelling of its name."""
    rng = random.Random(SEED)
    for _ in range(count):
        text = rng.choice(NAMES) + rng.choice(("", " x", " -f y"))
        for _ in range(rng.randint(1, 4)):
            text = rng.choice(AROUND).format(c=text, n=rng.randrange(10**6))
        yield f"{rng.choice(JUNK)} {text}"


def test_what_bash_runs_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "w"
    folder.mkdir()
    lines = list(dict.fromkeys(texts(COUNT // 8)))
    hits = 0
    for line, commands in zip(lines, run_in_bash([(0, line) for line in lines], folder, apart=True), strict=True):
        if any(words[:1] == ("aa",) for words in commands):
            hits += 1
            answers = {forbids("aa", found) for found in scan(line).commands}
            assert answers & {True, None}, repr(line)
    assert hits > len(lines) // 2


@pytest.mark.parametrize(
    "piece", all_but(["true;", '"$(', "(", "'a;b' ", "<<E\n", "{a,b}", "sudo ", "bash -c '", "$(aa # "], [
        "true;", "a ", "$(", '"$(', "`", "${", "(", "{", "'a;b' ", "# ' ", "<<E\n", "{a,b}", "\\", '"', "sudo ", "aa -x ",
        "bash -c '", "$(aa # ", "x=$(", "${x:-", "a=b ", "eval \"",
    ]),
)  # fmt: skip
def test_the_look_takes_time_in_proportion(piece: str, tmp_path: Path) -> None:
    """Four times the text takes at most about four times as long, and never for ever."""
    house = book(tmp_path, ["deny Shell(aa -rf)", "deny Shell(nothing *)", "ask Read(./secrets/**)"])

    def seconds(size: int) -> float:
        line = piece * (size // len(piece)) + "; b"
        scan.cache_clear()
        gc.disable()  # the collector would look at all that the tests before have left: time that is not the look's
        try:
            started = time.process_time()
            run(house, line)
            return time.process_time() - started
        finally:
            gc.enable()

    small = large = float("inf")
    for _ in range(6):  # the best of some: what else the machine does can only add to it
        small, large = min(small, seconds(8_000)), min(large, seconds(32_000))
        if large < 9 * small + 0.05:
            break
    assert large < 9 * small + 0.05
