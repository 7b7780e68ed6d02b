"""What was chosen in a folder, for the next session there: `$KIMI_HOME/acp.json`. The configuration stays as it is."""

import contextlib
import json
from pathlib import Path
from typing import Any

from kimi_agent.mcp.store import locked, write_whole

REMEMBERED = ("model", "thinking")
"""A mode is chosen anew each time: it says what is asked for."""
FOLDERS = 200
"""So many, those of the newest choices."""


def recall(home: Path, folder: Path) -> dict[str, str]:
    """By option; nothing where nothing was chosen, or the file cannot be read."""
    chosen = (_read(home / "acp.json") or {}).get(str(folder))
    chosen = chosen if isinstance(chosen, dict) else {}
    return {name: value for name, value in chosen.items() if name in REMEMBERED and isinstance(value, str)}


def remember(home: Path, folder: Path, option: str, value: Any) -> None:
    """A choice that cannot be kept is lost, and nothing else: a damaged file stays as it is."""
    if option not in REMEMBERED or not isinstance(value, str):
        return
    path = home / "acp.json"
    with contextlib.suppress(OSError, UnicodeError), locked(home):
        folders = _read(path)
        if folders is None:
            return
        chosen = folders.pop(str(folder), None)
        folders[str(folder)] = {**(chosen if isinstance(chosen, dict) else {}), option: value}
        newest = dict(list(folders.items())[-FOLDERS:])
        write_whole(path, json.dumps({"version": 1, "folders": newest}, indent=1, ensure_ascii=False) + "\n")


def _read(path: Path) -> dict[str, Any] | None:
    """What is known of each folder; None for a damaged file."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError):
        return None
    folders = found.get("folders") if isinstance(found, dict) else None
    return folders if isinstance(folders, dict) else None
