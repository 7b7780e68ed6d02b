"""Python plugins: what the installed distributions declare in the group `kimi.plugins`.

`importlib.metadata` takes 35 ms to import and to look through a hundred distributions; reading their entry_points.txt, 2 ms.
"""

import os
import re
import sys
from collections.abc import Iterator

GROUP = "kimi.plugins"
"""The entry point group of Python plugins."""
_LINE = re.compile(r"([^=#;]+?)\s*=\s*([\w.]+\s*:\s*[\w.]+)")
_OURS = re.compile(r"kimi[-_.]agent-", re.IGNORECASE)


def entry_points(group: str = GROUP) -> Iterator[tuple[str, str, bool]]:
    """Name, `module:attribute`, and whether it comes with this program. The first distribution of a name on the path holds.

    The working folder is passed over: what lies in a project must not run because kimi is started there.
    """
    seen: set[str] = set()
    try:
        here = os.path.realpath(os.curdir)
    except OSError:  # the folder was deleted: nothing lies there
        here = ""
    for folder in sys.path:
        if not folder or os.path.realpath(folder) == here:
            continue
        for name in _distributions(folder):
            declared = _declared(f"{folder}/{name}/entry_points.txt", group)
            project = re.split(r"-\d|\.(?:dist|egg)-info", name)[0].lower().replace("-", "_") if declared else ""
            if declared and project not in seen:
                seen.add(project)
                yield from ((key, target, bool(_OURS.match(name))) for key, target in declared)


def _distributions(folder: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if name.endswith((".dist-info", ".egg-info")))  # noqa: PTH208
    except OSError:
        return []


def _declared(path: str, group: str) -> list[tuple[str, str]]:
    """The names and targets of a group in the entry_points.txt at `path`, if there is one."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a Path costs more than the file
            data = file.read()
    except OSError:
        return []
    found, inside = [], False
    for line in data.decode("utf-8", "replace").splitlines() if group.encode() in data else ():
        line = line.strip()
        if line.startswith("["):
            inside = line == f"[{group}]"
        elif inside and (match := _LINE.match(line)):
            found.append((match[1].strip(), match[2].replace(" ", "")))
    return found
