"""Random command lines, and what a real shell runs for them: many in one process, where commands only tell their words."""

import random
import shlex
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

ATOMS = [
    "a", "ls", "git", "-la", "--x=y", "x=1", "'", '"', "'q s'", '"d s"', " ", "  ", ";", "&&", "||", "|", "&", "|&", "$",
    "$(id)", "`id`", "\\", "\n", "\t", "#", "~", "*", "?", "{a,b}", "<", ">", ">>", "(", ")", "!", "if", "then", "[[", "]]",
    "time", "-", "/", "..", "@", "%", "^", ":", "\r", "\u00a0", "\u200b", "=", "coproc", "in", "{", "}", "a'b'c", "''", '""',
    "$IFS", "${x}", "$'x'", "=ls", "+", "1>x", "2>&1", "a;b", "&&&", ",", "a:b", "-e", "--", "HEAD~1", "a~", "~a", "x=~",
    "a:~", "a'~'", "function", "select", "do", "done", "esac", "!a", "[", "]", "-p", "a b", "'#'", '"-"', "''a", "a''",
    '"a"b', "b~c~", ".", "./a", "a/", "%1", "ls -l",
]  # fmt: skip
PLAIN = [atom for atom in ATOMS if all(char not in "$`\\\n\t#*?{}<>()!\r\u00a0\u200b&" for char in atom)]
NAMES = ("a", "b", "c", "ls", "git", "ab", "x", "abc", "ba", "lsa", "als", "aa")
"""Functions in both shells; in bash whatever else is run comes to `command_not_found_handle`."""

_BASH = r"""
say() { printf '%s\0' $'\3' "$@" >&3; return $RC; }
command_not_found_handle() { say "$@"; }
for f in @NAMES@ - -la @ ^ , + -- -e a:b : .. . d --x -p; do eval "function $f { say $f \"\$@\"; }" 2>/dev/null; done
PATH=/nonexistent
for b in $(enable | while read -r _ b; do printf '%s ' "$b"; done); do
  case $b in printf|return|enable|eval|read|'['|true|false|break|exit|trap) ;; *) enable -n $b ;; esac
done
while IFS= read -r -d '' s; do RC=${s%%:*}; @RUN@; printf '\2\0' >&3; done
"""
_DASH_FUNCTION = '%s() { printf \'%%s\\000\' "$MARK" %s "$@" >&3; return $RC; }\n'


def lines(seed: int, count: int, atoms: Sequence[str] = ATOMS) -> Iterator[str]:
    """Random command lines; half of them of atoms that stand for themselves."""
    rng = random.Random(seed)
    for _ in range(count):
        chosen = PLAIN if atoms is ATOMS and rng.random() < 0.85 else atoms
        yield "".join(rng.choice(chosen) for _ in range(rng.randint(1, 9)))


def run_in_bash(
    scripts: Sequence[tuple[int, str]], folder: Path, *, apart: bool = False
) -> list[Counter[tuple[str, ...]]]:
    """What bash runs for each pair of an exit code, which every command answers, and a command line.

    `apart`: each in a subshell of its own, for lines that may define functions and the like.
    """
    given = b"".join(f"{code}:{text}".encode() + b"\0" for code, text in scripts)
    evaluate = 'eval -- "${s#*:}"'
    program = _BASH.replace("@NAMES@", " ".join(NAMES)).replace(
        "@RUN@", f"({evaluate}) </dev/null" if apart else evaluate
    )
    return _ran(["bash", "--norc", "--noprofile", "-c", program], given, folder, len(scripts))


def run_in_dash(scripts: Sequence[tuple[int, str]], folder: Path) -> list[Counter[tuple[str, ...]]]:
    """As in bash; commands that are none of `NAMES` are not seen."""
    head = "MARK=$(printf '\\003'); PATH=/nonexistent\n" + "".join(_DASH_FUNCTION % (name, name) for name in NAMES)
    calls = "".join(f"RC={code}; eval {shlex.quote(text)}\nprintf '\\002\\000' >&3\n" for code, text in scripts)
    file = folder / "dash-input"
    file.write_text(head + calls)
    return _ran(["dash", str(file)], b"", folder, len(scripts))


def _ran(argv: list[str], given: bytes, folder: Path, count: int) -> list[Counter[tuple[str, ...]]]:
    out = folder / "ran"
    with out.open("wb") as file:
        command = ["bash", "-c", 'exec 3>&1 >/dev/null; exec "$@"', "-", *argv]
        subprocess.run(
            command, input=given, stdout=file, stderr=subprocess.DEVNULL, cwd=folder, timeout=600, check=False
        )
    parts = out.read_bytes().split(b"\2\0")
    assert len(parts) == count + 1, f"the shell ended after {len(parts) - 1} of {count} command lines"
    return [
        Counter(tuple(word.decode() for word in record.split(b"\0")[:-1]) for record in part.split(b"\3\0")[1:])
        for part in parts[:count]
    ]
