"""Python plugins: what the installed distributions declare in the group `kimi.plugins`.

`importlib.metadata` takes 35 ms to import and to look through a hundred distributions; reading their entry_points.txt, 2 ms.
"""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from kimi_agent.plugin import GROUP

_LINE = re.compile(r"([^=#;]+?)\s*=\s*([\w.]+\s*:\s*[\w.]+)")
_OURS = re.compile(r"kimi[-_.]agent-", re.IGNORECASE)


def entry_points() -> Iterator[tuple[str, str, bool]]:
    """Name, `module:attribute`, and whether it comes with this program. The first distribution of a name on the path holds.

    The working folder is passed over: what lies in a project must not run because kimi is started there.
    """
    seen: set[str] = set()
    for folder in sys.path:
        if not folder or os.path.realpath(folder) == os.path.realpath(os.curdir):
            continue
        for name in _distributions(folder):
            project = re.split(r"-\d|\.(?:dist|egg)-info", name)[0].lower().replace("-", "_")
            if project not in seen:
                seen.add(project)
                ours = bool(_OURS.match(name))
                yield from ((key, target, ours) for key, target in _declared(os.path.join(folder, name)))  # noqa: PTH118


def _distributions(folder: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if name.endswith((".dist-info", ".egg-info")))  # noqa: PTH208
    except OSError:
        return []


def _declared(folder: str) -> Iterator[tuple[str, str]]:
    try:
        text = Path(folder, "entry_points.txt").read_text("utf-8", errors="replace")
    except OSError:
        return
    inside = False
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("["):
            inside = line == f"[{GROUP}]"
        elif inside and (match := _LINE.match(line)):
            yield match[1].strip(), match[2].replace(" ", "")
