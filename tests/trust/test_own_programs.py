"""Programs of kimi's own in the box: the git of snapshots, the list of files, the readers of documents."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from boxes import box
from plugin_files import commit
from tool_context import call, make_context, text_of

import kimi_agent
from kimi_agent.core.errors import SnapshotError
from kimi_agent.frontends.common.file_listing import batches, lister
from kimi_agent.tools.isolated import isolated
from kimi_agent.workspaces.local import LocalWorkspace
from kimi_agent.workspaces.sandbox import landlock
from kimi_agent.workspaces.snapshot_git import Git

ATTACK = """\
echo in >"$1/in" || exit 1
for path in "$2/out" "$HOME/out" /tmp/out-of-the-box; do echo out >"$path"; done
cat "$2/secret"
python3 -c 'import socket; socket.socket()' && echo socket
exit 0
"""


@pytest.mark.parametrize("rung", ["R3", "R2", "R1"])
def test_the_git_of_snapshots_writes_only_its_own_folder(tmp_path: Path, rung: str) -> None:
    store, work = tmp_path / "store", tmp_path / "work"
    store.mkdir()
    work.mkdir()
    (work / "secret").write_text("saved, too\n")
    git = Git("/bin/sh", store, box(rung))
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    assert git.run(["-c", ATTACK, "sh", str(store), str(work)], env, work) == b"saved, too\n"
    assert (store / "in").read_text() == "in\n"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["in", "secret", "store", "work"]
    assert not Path("/tmp/out-of-the-box").exists()


@pytest.mark.parametrize("rung", ["R3", "R1"])
def test_what_goes_in_and_comes_out_is_whole_and_failures_are_told(tmp_path: Path, rung: str) -> None:
    git = Git("/bin/sh", tmp_path, box(rung))
    data = bytes(range(256)) * 8192
    assert git.run(["-c", "cat; echo loud >&2"], {"PATH": "/usr/bin:/bin"}, tmp_path, data) == data
    with pytest.raises(SnapshotError, match="git: no such thing"):
        git.run(["-c", "echo no such thing >&2; exit 3"], {"PATH": "/usr/bin:/bin"}, tmp_path, data)
    with pytest.raises(SnapshotError, match="does not run"):
        Git(str(tmp_path / "none"), tmp_path, box(rung)).run([], {}, tmp_path)
    with git.batch({"PATH": "/usr/bin:/bin"}, tmp_path) as child:
        assert child.returncode is None


READER = """
import os, socket, subprocess, sys
from kimi_agent.tools.isolated import answer


def attack(document):
    done = []
    home = sys.argv[1]

    def tried(name, act):
        try:
            act()
            done.append(name)
        except OSError:
            pass

    tried("write", lambda: open(home + "/new", "w"))
    tried("write temporary", lambda: open("/tmp/of-the-reader", "w"))
    tried("read", lambda: open(home + "/secret").read())
    tried("list", lambda: os.listdir(home))
    tried("environ", lambda: open(f"/proc/{os.getppid()}/environ").read())
    tried("inet", lambda: socket.socket())
    tried("unix", lambda: socket.socket(socket.AF_UNIX))
    tried("run", lambda: subprocess.run(["/bin/true"]))
    return document.decode() + repr(done) + repr(sorted(os.environ))


if __name__ == "__main__":
    sys.exit(answer(attack))
"""


@pytest.mark.skipif(not landlock.abi(), reason="Landlock is not in this kernel")
async def test_a_reader_of_documents_can_do_nothing_but_read_its_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, home = tmp_path / "site", tmp_path / "home"
    site.mkdir()
    home.mkdir()
    (site / "their_reader.py").write_text(READER)
    (home / "secret").write_text("x")
    for name in os.environ:
        if name not in ("PATH", "HOME", "LANG", "LC_CTYPE"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), "", "."]))
    for name in ("sitecustomize.py", "json.py", "usercustomize.py", "kimi_agent.py"):
        (home / name).write_text("open('pwned', 'w')")
    monkeypatch.chdir(home)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("KIMI_API_KEY", "sk-0123456789abcdef")
    said = await isolated("their_reader", str(home), document=b"the document ")
    names = sorted(
        {*os.environ} & {"HOME", "PATH", "LANG", "PYTHONPATH"} | ({"LC_CTYPE"} if "LC_CTYPE" in said else set())
    )
    assert said == f"the document []{names}"
    assert not {"new", "pwned"} & {path.name for path in home.iterdir()}


@pytest.mark.parametrize("rung", ["R3", "R2", "R1"])
def test_the_list_of_files_is_made_in_the_box(tmp_path: Path, rung: str) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "a.py").write_text("x")
    (work / ".gitignore").write_text("*.log\n")
    (work / "b.log").write_text("x")
    commit(work)
    (work / "new é.py").write_text("x")
    run = lister(box(rung), trusted=True)
    assert "".join(batch.text for batch in batches(work, run)).split() == [".gitignore", "a.py", "new", "é.py"]
    attack = ["/bin/sh", "-c", 'for path in . "$0"; do echo >"$path/out"; done; echo done', str(tmp_path)]
    assert b"".join(box(rung).output(attack, {"PATH": "/usr/bin:/bin"}, work)) == b"done\n"
    assert not list(tmp_path.rglob("out"))


@pytest.mark.parametrize("rung", ["R3", "R2", "R1"])
async def test_a_notebook_runs_in_the_box(tmp_path: Path, rung: str) -> None:
    pytest.importorskip("ipykernel")
    from kimi_notebook.tool import Notebook

    (tmp_path / "work").mkdir()
    place = LocalWorkspace(tmp_path / "work", box=box(rung))
    ctx, tool = make_context(tmp_path / "work", workspace=place), Notebook(sees=False)
    attack = f"import socket\nopen('in', 'w').close()\nopen({str(tmp_path / 'out')!r}, 'w')"
    try:
        assert text_of(await call(tool, ctx, code="x = 41")) == "[no output]"
        assert text_of(await call(tool, ctx, code="x + 1")) == "42"
        assert (await call(tool, ctx, code=attack)).is_error
        assert (await call(tool, ctx, code="socket.socket(socket.AF_UNIX)")).is_error
    finally:
        await tool.aclose()
    assert {path.name for path in (tmp_path / "work").iterdir()} - {".kimi"} == {"in"}
    assert not (tmp_path / "out").exists()


def test_kimi_finds_its_own_packages_when_it_is_started_in_its_source() -> None:
    """A newcomer stands in the clone; the working folder is passed over for imports everywhere else."""
    root = Path(kimi_agent.__file__).parents[1]
    command = [sys.executable, "-m", "kimi_agent", "serve", "--help"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)
    assert "Serve a model" in done.stdout, done.stderr
