"""What is taken for git alone runs git, cd and filters in a real bash, and writes nothing, however it is quoted or joined."""

import os
from pathlib import Path

from shell_fuzz import lines, run_in_bash

from kimi_agent.tools.plain_git import _is_harmless, is_git_alone

COUNT = int(os.environ.get("KIMI_FUZZ", "5000")) // 10
SEED = int(os.environ.get("KIMI_FUZZ_SEED", "1"))
ATOMS = [
    "git status", "git commit -m ", "git add -A", "git log", "git", "commit", "cd a", "cat", "head -3", "grep x",
    "echo a", "ls", "a", " ", " ", " ", "&&", "||", ";", "|", "&", "|&", "\n", "\n", "\t", "\\", "\\\n", "'", '"',
    "'q s'", '"d s"', "'a\nb'", '"a\nb"', "$(cat <<'E'\nx\nE\n)", '"$(cat <<\'E\'\nx y\nE\n)"',
    '"$(cat <<\'E\'\n$(id) `id`\nE\n)"', " <<'E'\nx\nE\n", " <<E\n$(id)\nE\n", ' << "E"\nx\nE', "\nE\n", "E\n", "E",
    "<<'E'", "<<<x", " <<-'E'\n\tx\n\tE\n", "$(id)", "`id`", "$x", "${x}", "$'x'", "~", "*", "{a,b}", " > made",
    ">made", " >> made", " >/dev/null", " 2>/dev/null", " 2>&1", " 2>/dev/nullx", ">/dev/null/x", " < a", "1", "2",
    "GIT_EDITOR=true ", "GIT_EDITOR=id ", "x=1 ", "(", ")", "{", "}", "!", "#", " #", "=", "-", "--", "^", "%", "@",
    ",", ":", "\\ ", "\\'", '\\"', '"a\\"b"', '"\\$x"', '"\\`id\\`"', '"\\\\"', "id", "rm -rf x", "tee made",
    "xargs id", "\r", "\u00a0", "\u0000",
]  # fmt: skip


def test_what_is_git_alone_runs_nothing_else(tmp_path: Path) -> None:
    found: dict[str, None] = {}
    seed = SEED
    while len(found) < COUNT:
        found.update(dict.fromkeys(line for line in lines(seed, 20_000, ATOMS) if is_git_alone(line)))
        seed += 1_000_003
    scripts = [(code, line) for line in list(found)[:COUNT] for code in (0, 1)]
    for (code, line), ran in zip(scripts, run_in_bash(scripts, tmp_path, apart=True), strict=True):
        assert all(_is_harmless(list(words)) for words in ran), (code, line, ran)
    assert [path.name for path in tmp_path.iterdir()] == ["ran"]
