"""Where the project around a folder begins."""

import os
from pathlib import Path


def project_root(cwd: Path) -> Path:
    """The nearest folder with a repository, else `cwd`."""
    return next((folder for folder in (cwd, *cwd.parents) if os.path.exists(folder / ".git")), cwd)  # noqa: PTH110
