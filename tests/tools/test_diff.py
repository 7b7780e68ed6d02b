import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimi_agent.tools.diff import changed_ranges, diff_of, split_lines

LINES = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "\n", "x y\n", "}\n"]), max_size=30)


@given(LINES, LINES)
def test_ranges_rebuild_the_new_text_and_touch_nothing_equal(a: list[str], b: list[str]) -> None:
    built: list[str] = []
    at = 0
    for i1, i2, j1, j2 in changed_ranges(a, b):
        assert at <= i1 <= i2
        built += a[at:i1] + b[j1:j2]
        at = i2
    assert built + a[at:] == b


@given(LINES, LINES, st.booleans(), st.booleans())
def test_the_diff_is_one_that_patch_applies(a: list[str], b: list[str], cut_a: bool, cut_b: bool) -> None:
    old, new = "".join(a), "".join(b)
    old, new = (old.removesuffix("\n") if cut_a else old), (new.removesuffix("\n") if cut_b else new)
    diff = diff_of("f", old, new)
    assert apply(old, diff.unified) == new
    assert diff.added - diff.removed == len(split_lines(new)) - len(split_lines(old))


def apply(old: str, unified: str) -> str:
    """A reader of unified diffs that trusts the line numbers, to check them."""
    source, out, at = split_lines(old), [], 0
    lines = unified.split("\n")[2:-1]
    for index, line in enumerate(lines):
        no_newline = index + 1 < len(lines) and lines[index + 1].startswith("\\")
        text = line[1:] + ("" if no_newline else "\n")
        if line.startswith("@@"):
            start, count = (int(n) for n in line.split()[1][1:].split(","))
            out += source[at : start - (1 if count else 0)]
            at = start - (1 if count else 0)
        elif line.startswith("+"):
            out.append(text)
        elif line[:1] in (" ", "-"):
            assert source[at] == text
            out += [text] if line[0] == " " else []
            at += 1
    return "".join(out + source[at:])


def test_git_accepts_it(tmp_path: Path) -> None:
    old = "".join(f"line {n}\n" for n in range(50))
    new = old.replace("line 7\n", "").replace("line 30\n", "line thirty\nand more\n") + "tail"
    (tmp_path / "f").write_text(old)
    diff = diff_of("f", old, new).unified
    subprocess.run(["git", "apply", "-p0", "-"], cwd=tmp_path, input=diff, text=True, check=True)
    assert (tmp_path / "f").read_text() == new


def test_a_new_file() -> None:
    diff = diff_of("/w/f", "", "a\nb\n", created=True)
    assert diff.unified == "--- /dev/null\n+++ /w/f\n@@ -0,0 +1,2 @@\n+a\n+b\n"
    assert (diff.added, diff.removed, diff.created) == (2, 0, True)


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        ("a\r\nb\r\n", "a\r\nc\r\n", " a\n-b\n+c\n"),
        ("a\r\nb\n", "a\nb\n", "-a␍␊\n+a␊\n b\n"),
        ("a\nb", "a\nb\n", " a\n-b\n\\ No newline at end of file\n+b\n"),
    ],
)
def test_line_ends_are_visible_only_where_they_change(old: str, new: str, shown: str) -> None:
    assert diff_of("f", old, new).unified.partition("@@\n")[2] == shown


def test_time_grows_with_the_size_not_its_square() -> None:
    def seconds(count: int) -> float:
        a = ["}\n" if n % 2 else f"{n % (count // 4)}\n" for n in range(count)]
        b = ["{\n", *a[5:], "end\n"]
        b[::97] = ["changed\n"] * len(b[::97])
        start = time.process_time()
        changed_ranges(a, b)
        return time.process_time() - start

    small, large = min(seconds(4_000) for _ in range(3)), seconds(32_000)
    assert large < 40 * max(small, 0.01)
