"""Small plugins for tests: folders, archives and repositories of them, and Python plugins as an installer leaves them."""

import json
import os
import subprocess
import textwrap
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

GREET = """\
import json, os, sys
given = json.load(sys.stdin)
print("a remark", file=sys.stderr)
if given["name"] == "nobody":
    sys.exit("there is nobody to greet")
print(json.dumps({"content": "Hello, " + given["name"] + "!", "cwd": os.getcwd(), "work": os.environ["KIMI_WORK_DIR"]}))
"""
PARAMETERS = {"type": "object", "properties": {"name": {"type": "string", "description": "Who"}}, "required": ["name"]}


def manifest(name: str = "hello", tool: str = "greet", **more: Any) -> dict[str, Any]:
    """A manifest as kimi-cli documents it."""
    command = ["python3", "scripts/greet.py"]
    tools = [{"name": tool, "description": "Greet somebody", "command": command, "parameters": PARAMETERS}]
    return {"name": name, "version": "1.0.0", "description": "Greets people", "tools": tools} | more


def write_plugin(folder: Path, data: Mapping[str, Any] | str | None = None, **files: str) -> Path:
    """A plugin with its script; `files` are more of them, `__` in a name stands for a slash."""
    (folder / "scripts").mkdir(parents=True, exist_ok=True)
    (folder / "scripts" / "greet.py").write_text(GREET)
    (folder / "plugin.json").write_text(data if isinstance(data, str) else json.dumps(data or manifest(folder.name)))
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def zipped(target: Path, entries: Mapping[str, str | bytes], modes: Mapping[str, int] | None = None) -> Path:
    """An archive with exactly these entries, however strange their names are."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            info = zipfile.ZipInfo(name)
            info.filename = name
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (modes or {}).get(name, 0o100644) << 16
            archive.writestr(info, data)
    return target


def archive_of(folder: Path, target: Path, below: str = "") -> Path:
    files = {f"{below}{file.relative_to(folder)}": file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    return zipped(target, files)


def git(folder: Path, *arguments: str, stdin: str = "") -> str:
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    who = ["-c", "user.name=T", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"]
    done = subprocess.run(
        ["git", *who, *arguments], cwd=folder, env=env, input=stdin, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit(folder: Path, message: str = "more") -> str:
    """Commit all of a folder, which becomes a repository; the id."""
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet")
    git(folder, "add", "-A")
    git(folder, "commit", "--quiet", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def python_plugin(site: Path, name: str, code: str, module: str = "") -> Path:
    """A distribution in `site` (to be put on PYTHONPATH) whose module is `code` and which declares `name`."""
    module = module or f"their_{name}"
    info = site / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[console_scripts]\nx = x:y\n\n[kimi.plugins]\n{name} = {module}:plugin\n")
    (site / f"{module}.py").write_text(textwrap.dedent(code))
    return site
