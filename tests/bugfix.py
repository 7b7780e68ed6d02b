"""A real repository with a real bug, and a model's way to mend it: the end-to-end task of every front end."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from kimi_program import Program

BUGGY = '''"""Prices."""


def total(prices, discount=0):
    """Sum of prices, less a discount in percent."""
    return sum(prices) * (1 - discount / 10)
'''
TEST = """from shop import total


def test_total():
    assert total([10, 20]) == 30


def test_discount():
    assert total([100], discount=10) == 90
"""
TASK = "A test fails. Find out why, mend the code and show that the tests pass."
ANSWER = "Fixed: the discount was divided by 10 instead of 100 (`shop.py:6`). Both tests pass."


def make_repository(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "shop.py").write_text(BUGGY)
    (folder / "test_shop.py").write_text(TEST)
    (folder / ".gitignore").write_text("__pycache__/\n.pytest_cache/\n")
    for command in (
        ["git", "init", "-q"],
        ["git", "add", "-A"],
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "start"],
    ):
        subprocess.run(command, cwd=folder, check=True)
    return folder


def run_pytest() -> str:
    return f"{sys.executable} -m pytest -q --disable-plugin-autoload -p no:cacheprovider test_shop.py"


def program(folder: Path, url: str) -> Program:
    """`kimi` at work in the repository, its model at `url`, stalled streams given up soon."""
    kimi = Program(folder)
    make_repository(kimi.work)
    kimi.write_config(
        f"""
        default_model = "m"
        [providers.p]
        type = "kimi"
        base_url = "{url}"
        api_key = "sk-test"
        idle_timeout = 2.0
        [models.m]
        provider = "p"
        model = "fake-model"
        max_context_size = 100000
        prices = {{ input = 1.0, output = 10.0, cached = 0.1 }}
        """
    )
    return kimi


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"call": {"name": name, "arguments": arguments}}


def steps() -> list[list[dict[str, Any]]]:
    """The model's replies. Each `expect` proves that the tool really did what the model relies on."""
    edit = {"old": "discount / 10)", "new": "discount / 100)"}
    return [
        [{"think": "First look around."}, {"text": "I look at the code."},
         call("Glob", pattern="**/*.py"), call("Grep", pattern="def total", path=".", output_mode="content")],
        [{"expect": "shop.py"}, call("ReadFile", path="shop.py")],
        [{"expect": "discount / 10"}, call("Shell", command=run_pytest())],
        [{"expect": "1 failed"}, {"think": "Percent: divide by 100."}, call("StrReplaceFile", path="shop.py", edit=edit)],
        [{"expect": "shop.py"}, call("Shell", command=run_pytest())],
        [{"expect": "2 passed"}, {"text": ANSWER, "chunk": 7}, {"tokens": {"input": 1200, "output": 40, "cached": 1000}}],
    ]  # fmt: skip


def is_mended(folder: Path) -> bool:
    """By a fresh pytest, and with nothing else in the repository changed."""
    passed = subprocess.run(run_pytest().split(), cwd=folder, capture_output=True, text=True, check=False)
    diff = subprocess.run(["git", "diff", "--numstat"], cwd=folder, capture_output=True, text=True, check=True)
    return passed.returncode == 0 and diff.stdout.split() == ["1", "1", "shop.py"]


def well_formed(requests: list[Any]) -> bool:
    """Every request that a server received answers every tool call exactly once, in place."""
    for body in requests:
        waiting: list[str] = []
        for message in body["messages"]:
            if message["role"] == "tool":
                if message["tool_call_id"] not in waiting:
                    return False
                waiting.remove(message["tool_call_id"])
            elif waiting:
                return False
            waiting += [c["id"] for c in message.get("tool_calls") or []]
            if any(
                not isinstance(json.loads(c["function"]["arguments"]), dict) for c in message.get("tool_calls") or []
            ):
                return False
        if waiting:
            return False
    return True
