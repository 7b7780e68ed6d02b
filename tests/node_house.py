"""Programs of the npm registry for tests: each package at one version, installed once per machine (houses.py).

    house = node_house.package("@modelcontextprotocol/server-everything@2026.8.31")
    command = [node_house.node(), house / "dist/index.js", "stdio"]

A test is skipped where npm is missing or the registry cannot be reached.
"""

import platform
import shutil
import sys
from pathlib import Path

import pytest
from houses import house

NODE = "22.23.3"
"""npm runs with the machine's own Node; what is installed runs with this one, whatever the machine has."""
QUIET = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-save", "--loglevel", "error", "--fetch-retries", "1")


def node() -> Path:
    """The program `node`. The package holds the binary of one platform, so nothing needs to run at its installation."""
    machine = {"x86_64": "x64", "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine())
    if machine is None or sys.platform not in ("linux", "darwin"):
        pytest.skip(f"the registry has no Node for {sys.platform} on {platform.machine()}")
    return package(f"node-{sys.platform}-{machine}@{NODE}") / "bin/node"


def package(spec: str) -> Path:
    """The folder of `name@version` in its node_modules, with what it depends on beside it. No script of a package is run."""
    npm = shutil.which("npm")

    def command(folder: Path) -> list[str]:
        if npm is None:
            pytest.skip("npm is not installed")
        return [npm, "install", "--prefix", str(folder), *QUIET, spec]

    name = spec[: spec.rindex("@")]
    return house(spec, "npm", command) / "node_modules" / name
