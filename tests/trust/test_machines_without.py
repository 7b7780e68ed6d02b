"""Machines that lack what the box is made of, simulated by seccomp: kimi says so by name, and nothing runs unboxed (T2, T22)."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from boxes import offered
from kimi_program import Program

pytestmark = [
    pytest.mark.usefixtures("a_box"),
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="the filter of the test has numbers of one architecture"),
]
WITHOUT = """
import ctypes, os, struct, sys
from kimi_agent.workspaces.sandbox import kernel
op = lambda code, yes, no, value: struct.pack("=HBBI", code, yes, no, value)
code = [op(0x20, 0, 0, 0)]
if "namespaces" in sys.argv[1]:
    code += [op(0x15, 0, 1, 272), op(6, 0, 0, 0x50001)]
    code += [op(0x15, 0, 3, 56), op(0x20, 0, 0, 16), op(0x45, 0, 1, 0x10000000), op(6, 0, 0, 0x50001), op(0x20, 0, 0, 0)]
    code += [op(0x15, 0, 1, 435), op(6, 0, 0, 0x50026)]
if "landlock" in sys.argv[1]:
    code += [op(0x15, 0, 1, 444), op(6, 0, 0, 0x50026)]
code += [op(6, 0, 0, 0x7FFF0000)]
buffer = ctypes.create_string_buffer(b"".join(code))
kernel.no_new_privileges()
kernel.prctl(22, 2, "seccomp", struct.pack("@HxxxxxxP", len(code), ctypes.addressof(buffer)))
os.execv(sys.executable, [sys.executable, "-m", "kimi_agent", *sys.argv[2:]])
"""
"""`unshare`, `clone` with a user namespace and `clone3`; `landlock_create_ruleset`."""


def run_without(kimi: Program, missing: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, missing, *arguments],
        capture_output=True, text=True, cwd=kimi.work, env=kimi.environment(), timeout=60,
    )  # fmt: skip


@pytest.fixture
def kimi(tmp_path: Path) -> Program:
    if not {"R3", "R1"}.issubset(offered()):
        pytest.skip("this machine lacks what is taken away")
    return Program(tmp_path)


def shell(kimi: Program, command: str) -> list[str]:
    scenario = kimi.scenario([{"call": {"name": "Shell", "arguments": {"command": command}}}], [{"text": "done"}])
    return ["-p", "go", "--provider", scenario, "--output-format", "stream-json"]


def said(done: "subprocess.CompletedProcess[str]") -> str:
    lines: list[Any] = [json.loads(line) for line in done.stdout.splitlines()]
    added = [part for line in lines if line["type"] == "message_added" for part in line["message"]["parts"]]
    return "".join(part["content"][0]["text"] for part in added if part["type"] == "tool_result")


BOTH, NAMES = "namespaces landlock", ("unshare: Operation not permitted", "Landlock is not in this kernel")


def test_without_anything_no_mode_runs_a_command(kimi: Program) -> None:
    for flag in ("--yolo", "--afk"):
        done = run_without(kimi, BOTH, *shell(kimi, "touch ran"), flag)
        assert not (kimi.work / "ran").exists()
        assert done.returncode == (3 if flag == "--yolo" else 0), "in afk it is the model that is told"
    assert all(name in said(done) for name in NAMES), "in afk the denial says why"
    done = run_without(kimi, BOTH, *shell(kimi, "touch ran"), "--yolo", "--require-sandbox")
    assert done.returncode == 2
    assert all(name in done.stderr for name in NAMES)
    done = run_without(kimi, BOTH, "doctor", "--trust")
    assert done.returncode == 1
    assert "commands run in no box" in done.stdout
    assert all(name in done.stdout for name in NAMES)


def test_without_namespaces_a_lower_box_holds_and_says_what_it_does_not(kimi: Program) -> None:
    command = "touch in; touch ../out; chmod 0777 ../home"
    done = run_without(kimi, "namespaces", *shell(kimi, command), "--yolo")
    assert done.returncode == 0, done.stderr
    assert (kimi.work / "in").exists()
    assert not (kimi.folder / "out").exists()
    assert "box R1" in done.stdout
    assert "not held: " in done.stdout


def test_a_box_that_is_wanted_and_cannot_be_is_no_box(kimi: Program) -> None:
    """`rung` never means "or a lower one"."""
    kimi.write_config('[box]\nrung = "R3"\n')
    done = run_without(kimi, "namespaces", *shell(kimi, "touch ran"), "--yolo")
    assert done.returncode == 3
    assert not (kimi.work / "ran").exists()
