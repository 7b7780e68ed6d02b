"""Programs of kimi's own in the box: the git of snapshots, the list of files, the readers of documents."""

from pathlib import Path

import pytest
from boxes import box

from kimi_agent.core.errors import SnapshotError
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
