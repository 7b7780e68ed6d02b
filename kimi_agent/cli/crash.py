"""What a person is told of a fault of ours: one line, and a file for whoever mends it."""

import os
import platform
import sys
import time
import traceback
from pathlib import Path

from kimi_agent import __version__
from kimi_agent.cli.options import Options
from kimi_agent.cli.redacting import redactor_for
from kimi_agent.config.load import home_dir
from kimi_agent.core.errors import ConfigError
from kimi_agent.core.sanitize import plain


def tell(error: Exception) -> None:
    """Write the report and say on standard error where it is."""
    redactor = redactor_for(Options())
    told = plain(redactor.text(" ".join(f"{type(error).__name__}: {error}".split())))[:300]
    sys.stderr.write(f"kimi: this is a fault of kimi, not of yours: {told}\n")
    file = _write(redactor.text("".join(traceback.format_exception(error))))
    where = f" The report is in {file}." if file else " `--debug` shows where it happened."
    sys.stderr.write(f"      Sessions are kept: `kimi -C` goes on.{where}\n")


def _write(trace: str) -> Path | None:
    """The report: versions and the traceback, without values of variables, which may be keys. None where it cannot be kept."""
    text = f"kimi {__version__}, Python {platform.python_version()}, {platform.platform()}\n\n{trace}"
    try:
        folder = home_dir(os.environ) / "logs"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = folder / f"crash-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as report:
            report.write(text.encode("utf-8", "replace").decode())
    except (OSError, ConfigError):
        return None
    return file
