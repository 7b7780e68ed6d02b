"""Approvals: for one definition, one name, one project."""

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from kimi_agent.core.errors import ConfigError
from kimi_agent.mcp.approvals import Approvals, approvals_file
from kimi_agent.mcp.definition import OAuth, Server
from kimi_agent.mcp.show import difference

SERVER = Server("s", "project", "stdio", ".mcp.json:2", command="npx", args=("-y", "x"), env={"A": "1"}, cwd="/c")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project" / ".git").mkdir(parents=True)
    (tmp_path / "project" / "sub").mkdir()
    return tmp_path / "project"


@pytest.fixture
def approved(tmp_path: Path, project: Path) -> Approvals:
    approvals = Approvals(tmp_path / "home")
    assert not approvals.holds(SERVER, project)
    assert not approvals.known(project)
    approvals.approve(SERVER, project)
    return approvals


def test_it_holds_for_the_project_and_the_next_start(approved: Approvals, tmp_path: Path, project: Path) -> None:
    (tmp_path / "link").symlink_to(project)
    (tmp_path / "other" / ".git").mkdir(parents=True)
    (project / "nested" / ".git").mkdir(parents=True)
    for approvals in (approved, Approvals(tmp_path / "home")):
        for folder in (project, project / "sub", tmp_path / "link", tmp_path / "link" / "sub"):
            assert approvals.holds(SERVER, folder)
            assert approvals.known(folder)
        for folder in (tmp_path / "other", tmp_path, project / "nested"):
            assert not approvals.holds(SERVER, folder)
            assert not approvals.known(folder)
    assert approvals_file(tmp_path / "home").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "change",
    [
        {"command": "npm"}, {"args": ("x", "-y")}, {"env": {"A": "2"}}, {"cwd": "/d"}, {"pass_env": ("A",)}, {"name": "t"},
        {"transport": "http", "url": "https://h"}, {"headers": {"A": "b"}}, {"bearer_env": "A"}, {"box": False},
        {"sampling": True}, {"oauth": OAuth("c")}, {"enabled_tools": ("a",)},
    ],
)  # fmt: skip
def test_whatever_changes_asks_again(approved: Approvals, project: Path, change: dict[str, Any]) -> None:
    assert not approved.holds(replace(SERVER, **change), project)  # type: ignore[type-var]


def test_what_does_not_matter_does_not_ask(approved: Approvals, project: Path) -> None:
    assert approved.holds(replace(SERVER, enabled=False, source="elsewhere:9", tool_timeout=4.0), project)  # type: ignore[type-var]


def test_what_is_the_persons_own_holds(tmp_path: Path, project: Path) -> None:
    for scope in ("user", "local", "flag", "plugin", "client"):
        assert Approvals(tmp_path / "home").holds(replace(SERVER, scope=scope), project)  # type: ignore[type-var]


def test_trust_for_one_run(tmp_path: Path, project: Path) -> None:
    approvals = Approvals(tmp_path / "home", trusted=("s",))
    assert approvals.holds(SERVER, project)
    assert approvals.known(project)
    assert not approvals.holds(replace(SERVER, name="t"), project)  # type: ignore[type-var]
    assert not approvals_file(tmp_path / "home").exists()


def test_revoke(approved: Approvals, tmp_path: Path, project: Path) -> None:
    assert approved.revoke("s", project / "sub")
    assert not approved.revoke("s", project)
    for approvals in (approved, Approvals(tmp_path / "home")):
        assert not approvals.holds(SERVER, project)
        assert not approvals.known(project)


def test_the_difference_is_shown(approved: Approvals, project: Path) -> None:
    changed = replace(SERVER, args=("-y", "evil\u202e"), url="x")  # type: ignore[type-var]
    before = approved.approved("s", project)
    assert before is not None
    assert before.digest == SERVER.digest
    shown = difference(before, changed)
    assert '- args        "x"' in shown
    assert '+ args        "evil⟨U+202E⟩"' in shown
    assert not [line for line in shown if "npx" in line]
    assert difference(before, before) == []
    secret = {"env": {"A_KEY": "one"}}
    (line,) = difference(replace(SERVER, **secret), replace(SERVER, env={"A_KEY": "two"}))  # type: ignore[type-var]
    assert "not shown" in line
    assert approved.approved("new", project) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"projects": 3}', '{"projects": {"/x": 3}}', "\ud800"])
def test_a_damaged_file_approves_nothing_and_stays(
    approved: Approvals, tmp_path: Path, project: Path, text: str
) -> None:
    path = approvals_file(tmp_path / "home")
    path.write_text(text, errors="surrogatepass")
    approvals = Approvals(tmp_path / "home")
    assert not approvals.holds(SERVER, project)
    assert "no server is approved" in approvals.problem
    with pytest.raises(ConfigError):
        approvals.approve(SERVER, project)
    assert path.read_text(errors="surrogatepass") == text


def test_a_file_that_others_write_approves_nothing(approved: Approvals, tmp_path: Path, project: Path) -> None:
    approvals_file(tmp_path / "home").chmod(0o666)
    assert not Approvals(tmp_path / "home").holds(SERVER, project)


def test_what_a_newer_version_wrote_is_kept(approved: Approvals, tmp_path: Path, project: Path) -> None:
    path = approvals_file(tmp_path / "home")
    data = json.loads(path.read_text())
    path.write_text(json.dumps(data | {"later": 1, "projects": data["projects"] | {"/x": {"y": 1}}}))
    path.chmod(0o600)
    Approvals(tmp_path / "home").approve(replace(SERVER, name="t"), project)  # type: ignore[type-var]
    now = json.loads(path.read_text())
    assert (now["later"], now["projects"]["/x"]) == (1, {"y": 1})
    assert set(now["projects"][str(project)]) == {"s", "t"}
