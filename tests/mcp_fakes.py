"""MCP servers for tests, in plain Python: they start in a moment. What each behaviour does: tests/mcp/fakes/."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

FAKES = Path(__file__).parent / "mcp" / "fakes"
PYTHON = (sys.executable, "-S", "-E")
"""Without site-packages: a third of the time."""


def fake(behaviour: str, *arguments: object, log: Path | None = None) -> list[str]:
    """The command of a server on standard input and output; see `log` in stdio_server.py."""
    return _command("stdio_server.py", behaviour, arguments, log)


@contextlib.contextmanager
def fake_http(behaviour: str, *arguments: object, log: Path | None = None) -> Iterator[str]:
    """The URL of a server that runs meanwhile."""
    command = _command("http_server.py", behaviour, arguments, log)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def _command(program: str, behaviour: str, arguments: tuple[object, ...], log: Path | None) -> list[str]:
    logged = ("--log", str(log)) if log else ()
    return [*PYTHON, str(FAKES / program), *logged, behaviour, *map(str, arguments)]
