"""Settings that a project would like to make. None is followed; that is told, so that nobody counts on one.

What kimi may do, where it connects to and with which key is said by the person alone: in their own `config.toml`, by flags and by
the environment. The files are not even read.
"""

import os
from collections.abc import Sequence
from pathlib import Path

NAMES = (
    ".kimi/config.toml", ".kimi/config.json", ".kimi/settings.json", ".kimi/settings.local.json",
    ".kimi/hooks.json", ".kimi/plugins", ".kimi-code/config.toml", ".kimi-code/local.toml",
)  # fmt: skip


def ignored_settings(folders: Sequence[Path], home: Path) -> list[str]:
    """A notice for each file of settings in these folders of a project; `home` is `$KIMI_HOME`, whose files are followed."""
    found = [path for folder in folders for name in NAMES if os.path.exists(path := folder / name)]  # noqa: PTH110
    return [
        f"{path} is not followed: permissions, hooks, servers, addresses, keys and proxies are yours alone to set, in "
        f"{home / 'config.toml'}."
        for path in found
        if not path.is_relative_to(home)
    ]
