"""Every attack in every rung that the machine offers, as this user and, for root, as one without rights as well."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from functools import cache
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
NOBODY = 65534
NAMES = re.findall(r"^def (\w+)\(", HERE.joinpath("attacks.py").read_text().split("return DONE")[0], re.MULTILINE)
ATTACKS = [name for name in NAMES if name not in ("attack", "call", "write", "reads", "_family")]
METADATA = {"chmod_outside", "utime_outside", "xattr_outside", "chown_outside"}
UNGUARDED = {
    "hook_of_git", "settings_of_git", "history_of_git", "move_git_away", "hook_of_a_nested_repository",
    "move_a_parent_of_a_nested_repository", "pointer_of_a_submodule", "make_the_agents_folder",
}  # fmt: skip
SHOWN = {
    "read_a_hidden_file_of_the_folder", "read_a_private_key_of_the_folder", "uncover_a_key_store", "command_line_of_the_agent",
}  # fmt: skip
RESIDUE = {"R1": METADATA | UNGUARDED | SHOWN | {"anything_outside_changed"}}
"""Landlock knows nothing of modes, owners, times and attributes; what it allows of a folder it cannot take from a part of it."""
BROKEN = {"R1": {"works_loopback"}}


def users() -> list[str]:
    return ["root", "nobody"] if os.geteuid() == 0 else ["me"]


def python_for(user: str) -> list[str]:
    """An interpreter of this version that a user without rights can reach: the one of the tests may lie in root's home."""
    if user != "nobody":
        return [sys.executable]
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    for found in (sys.executable, shutil.which(version, path="/usr/bin:/usr/local/bin")):
        if found and _runs(found, user):
            return [found]
    return []


def _runs(python: str, user: str) -> bool:
    return _as(user, [python, "-c", "import msgspec, kimi_agent.workspaces.spawn"]).returncode == 0


def _as(user: str, argv: list[str]) -> "subprocess.CompletedProcess[str]":
    identity: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if user == "nobody" else {}
    path = os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")])
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": path}
    try:
        return subprocess.run(argv, env=env, cwd="/", capture_output=True, text=True, timeout=100, **identity)
    except OSError as error:
        return subprocess.CompletedProcess(argv, 127, "", str(error))


@cache
def results(rung: str, user: str, *words: str) -> dict[str, bool]:
    python = python_for(user)
    if not python:
        pytest.skip("this user can reach no interpreter of this version")
    done = _as(user, [*python, str(HERE / "probe_box.py"), rung, *words])
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    if "reason" in found:
        pytest.skip(f"{rung} is not to be had as {user}: {found['reason']}")
    assert found["code"] == 0, found["said"]
    return dict(found["done"])


@pytest.mark.parametrize("user", users())
@pytest.mark.parametrize("rung", ["R3", "R2", "R1"])
def test_no_attack_succeeds(rung: str, user: str) -> None:
    found = results(rung, user)
    assert len([name for name in found if not name.startswith("works_")]) >= 60
    assert set(ATTACKS) <= found.keys()
    succeeded = {name for name, happened in found.items() if happened and not name.startswith("works_")}
    assert succeeded == RESIDUE.get(rung, set())
    broken = {name for name, happened in found.items() if not happened and name.startswith("works_")}
    assert broken == BROKEN.get(rung, set())


@pytest.mark.parametrize("rung", ["R1"])
@pytest.mark.skipif(os.geteuid() != 0, reason="without a box they are tried only as a user who owns nothing")
def test_the_attacks_work_where_there_is_no_box(rung: str) -> None:
    """What fails everywhere proves nothing: as a user without rights at least so many get through when nothing holds them."""
    found = results(rung, "nobody", "control")
    working = {name for name, happened in found.items() if happened and not name.startswith("works_")}
    assert len(working) >= 60, sorted(found.keys() - working)
    assert working > RESIDUE["R1"]
    assert {"kill_the_agent", "udp", "tcp", "unix_path", "environment_of_the_agent", "read_a_key_store"} <= working
