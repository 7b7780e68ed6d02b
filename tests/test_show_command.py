"""What the transcript cuts: `/show` shows it whole, and says which call it was."""

from pathlib import Path

from machine import FakeTool, House, ListProvider, call, calls, instant, play, say
from test_commands import RecordingShell

from kimi_agent.commands import execute
from kimi_agent.core.display import Diff
from kimi_agent.frontends.line.diffs import drawn_diff

LONG = "\n".join(f"row {n}" for n in range(500)) + "\n```\n"


async def test_the_whole_output_of_a_call_is_shown(tmp_path: Path):
    tool = FakeTool("Read", "read", instant(LONG))
    replies = [calls(call("Read", '{"path": "a"}')), calls(call("Read", '{"path": "b"}', "c2")), say("read")]
    house = House(tmp_path, ListProvider(replies), [tool])
    shell = RecordingShell(house)
    await execute(shell, "/show")
    assert shell.shown[-1] == "No tool has been called yet."
    await play(shell.session, "go")
    await execute(shell, "/show")
    assert shell.shown[-1].startswith("**Call 2: `Read`** (done")
    assert '{"path": "b"}' in shell.shown[-1]
    assert f"````\n{LONG.rstrip()}\n````" in shell.shown[-1]
    await execute(shell, "/show 1")
    assert '{"path": "a"}' in shell.shown[-1]
    for wrong in ("3", "0", "x", "²"):
        await execute(shell, f"/show {wrong}")
        assert "a call from 1 to 2" in shell.shown[-1]
    await house.agent.aclose()


UNIFIED = """--- a/a.py
+++ b/a.py
@@ -8,4 +8,4 @@
 def f(x):
-    return x + 1
+    return x + 22
--- not a file name
\\ No newline at end of file
@@ -99 +99 @@
-entirely different words stand here
+x = 1
"""


def test_a_change_is_drawn_with_numbers_colours_and_marked_words():
    lines, hidden = drawn_diff(Diff("/w/a.py", UNIFIED, 2, 3), 40)
    assert hidden == 0
    assert [line.plain for line in lines] == [
        "   8   def f(x):",
        "   9 -     return x + 1",
        "   9 +     return x + 22",
        "  10 - -- not a file name",
        "     \\  No newline at end of file",
        "  ...",
        "  99 - entirely different words stand here",
        "  99 + x = 1",
    ]
    marked = [[line.plain[s.start : s.end] for s in line.spans if "underline" in str(s.style)] for line in lines]
    assert marked == [[], ["1"], ["22"], [], [], [], [], []]
    assert any("blue" in str(span.style) for span in lines[1].spans), "return is a keyword"


def test_of_a_long_change_the_rest_is_counted():
    unified = "@@ -0,0 +1,5000 @@\n" + "".join(f"+line {n}\n" for n in range(5000))
    lines, hidden = drawn_diff(Diff("/w/a", unified, 5000, 0), 40)
    assert len(lines) + hidden == 5000
    assert lines[-1].plain.endswith("+ line 38")
