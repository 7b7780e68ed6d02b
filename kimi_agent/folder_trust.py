"""Which trust holds for a folder: what the configuration wants, the root of the project, and what was trusted before."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from kimi_agent.agent.skill_files import BRANDS, GENERIC, project_folders
from kimi_agent.builtin import SKILLS
from kimi_agent.config import Config
from kimi_agent.core.project import project_root
from kimi_agent.core.trust import EVERYTHING, Trust
from kimi_agent.plugin import Plugin

OWN = (*BRANDS, *GENERIC, ".kimi-code", ".config/agents", ".config/kimi")


def trust_of(
    wanted: str, home: Path, own: Sequence[Path] = (), clean: Callable[[str], str] = lambda text: text
) -> Callable[[Path], Trust]:
    """What answers the trust in a folder, the same for one folder each time.

    `wanted` is `always` or `ask`, `home` is `$KIMI_HOME`; `own` are more folders whose files the person has put there, such as
    those of plugins. Texts pass `clean` before they are shown or kept.
    """
    found: dict[Path, Trust] = {}
    user = Path(os.path.expanduser("~"))  # noqa: PTH111 - Path.home would raise where there is no home
    mine = (home, *(user / name for name in OWN), *own)

    def trust(folder: Path) -> Trust:
        if wanted != "ask":
            return EVERYTHING
        if folder not in found:
            from kimi_agent.trust.folder import FolderTrust

            project = project_root(folder)
            root = folder if _is_too_much(project, user) else project
            obstacle = "it holds everything of yours" if _is_too_much(root, user) else ""
            found[folder] = FolderTrust(home, root, project, own=mine, obstacle=obstacle, clean=clean)
        return found[folder]

    return trust


def settings_left_out(cwd: Path, home: Path) -> list[str]:
    """A notice for each file of settings in the project around `cwd`: none is followed."""
    from kimi_agent.trust.settings import ignored_settings

    user = Path(os.path.expanduser("~"))  # noqa: PTH111
    return ignored_settings(project_folders(cwd, user)[1], home)


def own_folders(config: Config, skill_dirs: Sequence[Path], plugins: Sequence[Plugin]) -> list[Path]:
    """What the person has named or installed needs no trust, wherever it lies."""
    extra = [Path(name) for name in map(os.path.expanduser, config.extra_skill_dirs) if os.path.isabs(name)]  # noqa: PTH117
    of_plugins = [path for plugin in plugins for path in (*plugin.skills, *plugin.prompts, *plugin.agents)]
    return [*skill_dirs, *extra, *of_plugins, SKILLS]


def _is_too_much(folder: Path, user: Path) -> bool:
    """The root of the disk, a person's home, and what is around it."""
    return (
        folder in (Path(folder.anchor), user)
        or folder in user.parents
        or os.path.realpath(folder) == os.path.realpath(user)
    )
