"""The real vim as an oracle: what its keys make of a text."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

Outcome = tuple[str, tuple[int, int]]


TOGETHER = 5
"""Cases of one vim: it sleeps for a second before it inserts after a message, so that several run at a time."""


def outcomes(folder: Path, cases: Sequence[tuple[str, str]]) -> list[Outcome]:
    """The text and the cursor (row, column) after the keys of each case; every case begins at the text's first character."""
    groups = [cases[first : first + TOGETHER] for first in range(0, len(cases), TOGETHER)]
    running = [_begun(folder / str(number), group) for number, group in enumerate(groups)]
    for vim in running:
        vim.wait(240)
    return [each for number, group in enumerate(groups) for each in _found(folder / str(number), len(group))]


def _begun(folder: Path, cases: Sequence[tuple[str, str]]) -> subprocess.Popen[bytes]:
    folder.mkdir()
    script = ["set nocompatible encoding=utf-8 noswapfile nojoinspaces"]
    for number, (text, keys) in enumerate(cases):
        before, after = folder / f"before{number}", folder / f"after{number}"
        before.write_text(text + "\n")
        quoted = keys.replace("\\", "\\\\").replace('"', '\\"').replace("<", "\\<lt>")
        quoted = quoted.replace("\x1b", "\\<Esc>").replace("\x12", "\\<C-R>")
        script += [
            "enew!",
            f"call setline(1, readfile('{before}'))",
            "set undolevels=-1 | call setline(1, getline(1)) | set undolevels=1000",
            "call cursor(1, 1)",
            "let @\"=''",
            f'call feedkeys("{quoted}", "ntx")',
            f"call writefile(getline(1, '$') + [json_encode([line('.') - 1, charcol('.') - 1])], '{after}')",
        ]
    (folder / "script.vim").write_text("\n".join([*script, "qa!"]) + "\n")
    return subprocess.Popen(
        ["vim", "-u", "NONE", "-i", "NONE", "-N", "-n", "-e", "-s", "-S", str(folder / "script.vim")],
        env={"TERM": "xterm", "LANG": "C.UTF-8", "PATH": os.environ["PATH"], "HOME": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


def _found(folder: Path, cases: int) -> list[Outcome]:
    found: list[Outcome] = []
    for number in range(cases):
        *lines, place = (folder / f"after{number}").read_text().split("\n")[:-1]
        row, column = json.loads(place)
        found.append(("\n".join(lines), (row, column)))
    return found
