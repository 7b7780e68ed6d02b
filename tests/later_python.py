"""Pythons for clients that want a later one than ours, with their packages, each installed once per machine (houses.py)."""

import shutil
import subprocess
from pathlib import Path

import pytest
from houses import PATIENCE_S, house


def later_python(*versions: str) -> str:
    """The first of these versions, such as "3.14", on the PATH or of the machine's pyenv. Skips the test where there is none."""
    for version in versions:
        found = shutil.which(f"python{version}")
        if found and subprocess.run([found, "--version"], capture_output=True).returncode == 0:
            return found
        if shutil.which("pyenv"):
            root = subprocess.run(["pyenv", "root"], capture_output=True, text=True).stdout.strip()
            for python in sorted(Path(root).glob(f"versions/{version}.*/bin/python")):
                return str(python)
    pytest.skip(f"there is no Python {' or '.join(versions)} on this machine")


def environment(python: str, *specs: str, patience: float = PATIENCE_S) -> Path:
    """`bin/python` of an environment with these packages; see `house` for `patience`."""

    def command(folder: Path) -> list[str]:
        quiet = ("--quiet", "--disable-pip-version-check", "--ignore-requires-python", "--retries", "1")
        subprocess.run([python, "-m", "venv", str(folder / "venv")], check=True)
        return [str(folder / "venv/bin/python"), "-m", "pip", "install", *quiet, *specs]

    return house("+".join(specs), "pypi", command, patience) / "venv/bin/python"
