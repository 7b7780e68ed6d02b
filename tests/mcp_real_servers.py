"""Real MCP servers for tests: the command of each, at one version, installed once per machine (houses.py)."""

import sys
import venv
from pathlib import Path

import node_house
from houses import house

PYPI = ("mcp-server-git==2026.10.19", "mcp-server-fetch==2026.10.24", "mcp-server-time==2026.10.19")
NPM = "@modelcontextprotocol/server-{}@2026.8.31"
PLAYWRIGHT = "@playwright/mcp@0.0.83"


def git(repository: Path) -> list[str]:
    return [_of_pypi("mcp-server-git"), "--repository", str(repository)]


def fetch() -> list[str]:
    """Also from this machine. It asks for robots.txt before a page."""
    return [_of_pypi("mcp-server-fetch"), "--allow-private-ips"]


def time() -> list[str]:
    return [_of_pypi("mcp-server-time"), "--local-timezone", "UTC"]


def everything(transport: str = "stdio") -> list[str]:
    """`streamableHttp` serves /mcp and `sse` serves /sse, on the port in the variable PORT."""
    return [*_of_npm("everything"), transport]


def filesystem(*folders: Path) -> list[str]:
    return [*_of_npm("filesystem"), *map(str, folders)]


def playwright(chromium: str, output: Path) -> list[str]:
    """Drives the browser `chromium`; what it writes goes to `output`."""
    program = node_house.package(PLAYWRIGHT) / "cli.js"
    flags = ["--headless", "--isolated", "--no-sandbox", "--executable-path", chromium, "--output-dir", str(output)]
    return [str(node_house.node()), str(program), *flags]


def _of_npm(name: str) -> list[str]:
    return [str(node_house.node()), str(node_house.package(NPM.format(name)) / "dist/index.js")]


def _of_pypi(program: str) -> str:
    def command(folder: Path) -> list[str]:
        venv.create(folder / "venv")
        pip = [sys.executable, "-m", "pip", "--python", str(folder / "venv/bin/python"), "install", "--retries", "1"]
        return [*pip, "--quiet", "--disable-pip-version-check", *PYPI]

    return str(house("+".join(PYPI), "PyPI", command) / "venv/bin" / program)
