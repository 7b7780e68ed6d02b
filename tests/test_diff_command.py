"""/diff: the edits of a session taken back from what the files hold now."""

import itertools
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from machine import FakeTool, House, ListProvider, call, calls, instant, play, say
from test_commands import RecordingShell

from kimi_agent.agent.changes import change_of
from kimi_agent.commands import execute
from kimi_agent.core.listing import Listing
from kimi_agent.tools.diff import diff_of
from kimi_agent.tools.known_files import KnownFiles
from kimi_agent.tools.write_file import WriteFile

TEXTS = st.lists(st.sampled_from(["a", "b", "c", "", "-- x", "++ y", "}"]), max_size=12)


@given(st.lists(st.tuples(TEXTS, st.booleans()), min_size=2, max_size=5))
def test_edits_taken_back_lead_to_the_first_text(versions: list[tuple[list[str], bool]]):
    texts = ["\n".join(lines) + ("\n" if ended and lines else "") for lines, ended in versions]
    diffs = [diff_of("/f", old, new) for old, new in itertools.pairwise(texts)]
    change = change_of("/f", diffs, texts[-1])
    assert change.exact
    back = diff_of("/f", texts[-1], texts[0])
    assert change_of("/f", [*diffs, back], texts[0]).unified == ""
    assert change.added - change.removed == texts[-1].count("\n") + ends_open(texts[-1]) - (
        texts[0].count("\n") + ends_open(texts[0])
    )


def ends_open(text: str) -> bool:
    return bool(text) and not text.endswith("\n")


def test_line_ends_of_windows_are_no_change():
    old, new = "one\r\ntwo\r\nthree\r\n", "one\r\n2\r\nthree\r\n"
    change = change_of("/f", [diff_of("/f", old, new)], new)
    assert change.exact
    assert change.unified.split("\n")[2:] == ["@@ -1,3 +1,3 @@", " one", "-two", "+2", " three"]


def writing(tmp_path: Path, *texts: str) -> RecordingShell:
    """A session in which WriteFile writes these texts into `a.txt`, one per turn, and Run runs in each."""
    todo = list(texts)

    def reply(request):
        if request.messages[-1].result is not None:
            return say("done")
        text = todo.pop(0)
        number = len(todo)
        return calls(
            call("WriteFile", f'{{"path": "a.txt", "content": "{text}"}}', f"w{number}"),
            call("Run", "{}", f"r{number}", 1),
        )

    files = KnownFiles()
    return RecordingShell(
        House(tmp_path, ListProvider(reply), [WriteFile(files), FakeTool("Run", "run", instant("ran"))])
    )


async def test_two_edits_are_one_change(tmp_path: Path):
    shell = writing(tmp_path, "one\\ntwo\\n", "one\\n2\\n```\\n")
    await play(shell.session, "go")
    await play(shell.session, "go")
    await execute(shell, "/diff")
    assert shell.shown[-1].split("\n\n") == [
        "**1 file, +3 -0** since before the session's first change of each",
        "**`a.txt`** +3 -0 (new)",
        "````diff a.txt\n@@ -0,0 +1,3 @@\n+one\n+2\n+```\n````",
        "2 commands ran in this session; what commands changed is not known here (`git diff` shows it).",
    ]
    await execute(shell, "/diff a.txt")
    assert "+one" in shell.shown[-1]
    await execute(shell, "/diff b.txt")
    assert "have not changed `b.txt`" in shell.shown[-1]


async def test_a_file_that_something_else_changed_shows_the_edits_one_by_one(tmp_path: Path):
    shell = writing(tmp_path, "one\\ntwo\\n")
    await play(shell.session, "go")
    file = shell.session.cwd / "a.txt"
    file.write_text("other\n")
    await execute(shell, "/diff")
    assert "Something else has changed it too" in shell.shown[-1]
    assert "+one\n+two" in shell.shown[-1]
    file.unlink()
    await execute(shell, "/diff")
    assert "or it is gone" in shell.shown[-1]


async def test_nothing_edited_is_told(tmp_path: Path):
    shell = RecordingShell(House(tmp_path, ListProvider([])))
    await execute(shell, "/diff")
    assert shell.shown == ["The agent's tools have changed no file in this session."]


async def test_much_is_listed_and_shown_file_by_file(tmp_path: Path):
    names = iter(["a.txt", "b.txt"])

    def reply(request):
        if request.messages[-1].result is not None:
            return say("done")
        text = "x\\n" * 2000
        return calls(call("WriteFile", f'{{"path": "{next(names)}", "content": "{text}"}}'))

    shell = RecordingShell(House(tmp_path, ListProvider(reply), [WriteFile(KnownFiles())]))
    await play(shell.session, "go")
    await play(shell.session, "go")
    await execute(shell, "/diff")
    assert "`/diff FILE`" in shell.shown[-1]
    assert "+x" not in shell.shown[-1]
    await execute(shell, "/diff b.txt")
    assert shell.shown[-1].count("+x\n") == 2000


async def test_the_list_shows_the_change_of_each_file_and_the_picked_one_in_the_conversation(tmp_path: Path):
    shell = writing(tmp_path, "one\\ntwo\\n")
    shell.draws = True
    await play(shell.session, "go")
    file = str(shell.session.cwd / "a.txt")

    async def look_through(listing: Listing) -> str:
        (row,) = listing.rows()
        assert (row.id, row.label, row.description, row.mark) == (file, "a.txt", "+2 -0", "new")
        assert listing.head is not None
        assert listing.head().startswith("1 file, +2 -0 since")
        assert "1 command ran" in listing.head()
        assert "+one\n+two" in await listing.preview(row.id)
        Path(file).write_text("other\n")
        assert "Something else has changed it too" in await listing.preview(row.id)
        assert listing.rows()[0].mark == "changed since"
        await listing.keys[0].act(row.id)
        assert "**1 file, " in shell.shown[-1]
        return row.id

    shell.browsing = look_through
    await execute(shell, "/diff")
    assert shell.shown[-1].startswith("**`a.txt`** +2 -0")
    await execute(shell, "/diff a.txt")
    assert len(shell.listings) == 1
