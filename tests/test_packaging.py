"""What is built is whole: the wheel has all of the program and nothing else, and runs where there is no source tree."""

import email
import json
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

from kimi_program import Program

from kimi_agent import __version__

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT, TOOLS = PYPROJECT["project"], PYPROJECT["tool"]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]


def done(*command: str | Path, **options: object) -> str:
    """What a command printed. Fails with what it said when it fails."""
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100, **options)  # type: ignore[call-overload]
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return str(ran.stdout)


def build_wheel(folder: Path) -> Path:
    done(*PIP, "wheel", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT)
    (wheel,) = folder.glob("*.whl")
    return wheel


def test_the_wheel_holds_the_program_and_nothing_else(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path)
    assert wheel.name == f"kimi_agent-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        read = {Path(name).name: archive.read(name).decode() for name in names if ".dist-info/" in name}
    built = TOOLS["hatch"]["build"]["targets"]["wheel"]
    folders = {ROOT / name: Path(name).name for name in built["packages"]}
    folders |= {ROOT / name: goal for name, goal in built["force-include"].items()}
    package = {
        f"{goal}/{path.relative_to(top)}" for top, goal in folders.items() for path in top.rglob("*") if path.is_file()
    }
    assert {n for n in names if ".dist-info/" not in n} == {n for n in package if "__pycache__" not in n}
    assert {Path(name).suffix for name in package} >= {".py", ".md", ".tcss", ".c"}

    metadata = email.message_from_string(read["METADATA"])
    assert (metadata["Name"], metadata["Version"]) == ("kimi-agent", __version__)
    assert (metadata["Requires-Python"], metadata["License-Expression"]) == (">=3.11", "Apache-2.0")
    needed = [need for need in metadata.get_all("Requires-Dist") if "extra ==" not in need]
    assert len(needed) == len(PROJECT["dependencies"])
    assert set(metadata.get_all("Provides-Extra")) == set(PROJECT["optional-dependencies"])
    assert (ROOT / "README.md").read_text(encoding="utf-8").strip() in metadata.get_payload()
    assert "kimi = kimi_agent.__main__:main" in read["entry_points.txt"]
    assert "Apache License" in read["LICENSE"]


def test_the_installed_program_works_in_an_empty_folder(tmp_path: Path) -> None:
    """In an environment of its own, which finds the libraries where the tests have them: nothing is downloaded."""
    wheel, venv = build_wheel(tmp_path / "dist"), tmp_path / "venv"
    done(sys.executable, "-m", "venv", "--without-pip", venv)
    python, program = venv / "bin" / "python", venv / "bin" / "kimi"
    done(*PIP, "--python", python, "install", "--no-index", "--no-deps", wheel)
    site = Path(done(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    libraries = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "libraries.pth").write_text("\n".join(libraries))

    kimi = Program(tmp_path / "person")
    env = kimi.environment()
    scenario = kimi.scenario(
        [{"call": {"name": "WriteFile", "arguments": {"path": "new.txt", "content": "written\n"}}}],
        [{"expect": "new.txt"}, {"text": "Done."}],
    )
    where = done(python, "-c", "import kimi_agent; print(kimi_agent.__file__)", cwd=kimi.work, env=env)
    assert Path(where.strip()).is_relative_to(venv)
    assert done(program, "--version", cwd=kimi.work, env=env) == f"kimi {__version__}\n"
    hello = '{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": 1}}\n'
    agent = json.loads(done(program, "acp", cwd=kimi.work, env=env, input=hello))["result"]
    assert agent["agentInfo"]["version"] == __version__
    assert agent["authMethods"][0]["_meta"]["terminal-auth"]["command"] == str(program)
    assert done(program, "--provider", scenario, "--yolo", "-p", "hi", cwd=kimi.work, env=env) == "Done.\n"
    assert (kimi.work / "new.txt").read_text() == "written\n"
    plugins = json.loads(done(program, "plugin", "list", "--json", cwd=kimi.work, env=env))
    assert [row["name"] for row in plugins] == sorted(
        path.name for path in (ROOT / "plugins").iterdir() if path.is_dir()
    )
    assert {row["state"] for row in plugins} <= {"on", "off"}
    assert all(Path(row["folder"]).is_relative_to(venv) for row in plugins if row["folder"])


def test_the_source_archive_has_what_it_takes_to_build_and_test(tmp_path: Path) -> None:
    done(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path, cwd=ROOT)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    assert names >= {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "Makefile",
        "constraints.txt",
        "AGENTS.md",
        "CHANGELOG.md",
    }
    assert names >= {"kimi_agent/__main__.py", "tests/test_packaging.py", "docs/images/demo.svg", "bench/run.py"}
    assert not [name for name in names if name.startswith((".venv", ".git/")) or "__pycache__" in name]
