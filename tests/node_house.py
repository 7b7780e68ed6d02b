"""Programs of the npm registry for tests: each package at one version, installed once per machine and used by every later run.

    house = node_house.package("@modelcontextprotocol/server-everything@2026.8.31")
    command = [node_house.node(), house / "dist/index.js", "stdio"]

They lie in `$XDG_CACHE_HOME/kimi-tests`. A test is skipped where npm is missing or the registry cannot be reached; any other
failure of an installation is one of the test.
"""

import fcntl
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

NODE = "22.23.3"
"""npm runs with the machine's own Node; what is installed runs with this one, whatever the machine has."""
PATIENCE_S = 180
ANEW_S = 300
"""For so long after the registry could not be reached nobody tries again: each try takes its time."""
_UNREACHABLE = re.compile(
    r"\b(ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH|E50[234])\b"
)


def node() -> Path:
    """The program `node`. The package holds the binary of one platform, so nothing needs to run at its installation."""
    machine = {"x86_64": "x64", "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine())
    if machine is None or sys.platform not in ("linux", "darwin"):
        pytest.skip(f"the registry has no Node for {sys.platform} on {platform.machine()}")
    return package(f"node-{sys.platform}-{machine}@{NODE}") / "bin/node"


def package(spec: str) -> Path:
    """The folder of `name@version` in its node_modules, with what it depends on beside it. No script of a package is run."""
    name = spec[: spec.rindex("@")]
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kimi-tests"
    base.mkdir(parents=True, exist_ok=True)
    house = base / spec.replace("/", "+")
    lock = os.open(house.with_name(house.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several workers want it at once: one installs, the others wait
        if not (house / "whole").exists():
            _install(spec, house)
    finally:
        os.close(lock)
    return house / "node_modules" / name


def _install(spec: str, house: Path) -> None:
    npm, missed = shutil.which("npm"), house.with_name("unreachable")
    if npm is None:
        pytest.skip("npm is not installed")
    if missed.exists() and time.time() - missed.stat().st_mtime < ANEW_S:
        pytest.skip(f"the npm registry could not be reached: {missed.read_text()}")
    shutil.rmtree(house, ignore_errors=True)
    house.mkdir()
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-save", "--loglevel", "error", "--fetch-retries", "1"]
    try:
        done = subprocess.run(
            [npm, "install", "--prefix", str(house), *quiet, spec],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            cwd=house,
        )
    except subprocess.TimeoutExpired:
        _unreachable(missed, f"no end after {PATIENCE_S} s")
        return
    if done.returncode:
        found = _UNREACHABLE.search(done.stderr)
        if found:
            _unreachable(missed, found[1])
        raise AssertionError(f"npm install {spec} failed:\n{done.stderr[-2000:]}")
    (house / "whole").touch()


def _unreachable(note: Path, why: str) -> None:
    note.write_text(why)
    pytest.skip(f"the npm registry could not be reached: {why}")
