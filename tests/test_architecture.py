"""The rules of the house that static import contracts cannot see: sizes, folders, and what must not be written."""

import ast
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCES = sorted(
    p for folder in ("kimi_agent", "acp", "plugins", "inference_backend") for p in (ROOT / folder).rglob("*.py")
)
MAX_LINES, MAX_FUNCTION = 400, 60


def test_files_and_functions_stay_small():
    large, long = {}, {}
    for path in SOURCES:
        text, name = path.read_text(encoding="utf-8"), str(path.relative_to(ROOT))
        if text.count("\n") > MAX_LINES:
            large[name] = text.count("\n")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                # the body alone: the signature of a Typer command is a table of flags
                size = node.end_lineno - node.body[0].lineno + 1
                if size > MAX_FUNCTION:
                    long[f"{name}: {node.name}"] = size
    assert not large, f"over {MAX_LINES} lines: give part of it a file of its own"
    assert not long, f"over {MAX_FUNCTION} lines"


def test_few_files_are_large():
    large = [p for p in SOURCES if p.read_text(encoding="utf-8").count("\n") > 300]
    assert len(large) <= max(3, len(SOURCES) // 20), [str(p.relative_to(ROOT)) for p in large]


def test_every_module_says_what_it_is():
    silent = [
        p for p in SOURCES if p.stat().st_size and not ast.get_docstring(ast.parse(p.read_text(encoding="utf-8")))
    ]
    assert not silent


def test_acp_stays_a_plain_folder():
    """The SDK's import package is called `acp` too: an __init__.py here would shadow it."""
    assert not (ROOT / "acp" / "__init__.py").exists()


def test_nothing_global_and_nothing_half_built():
    """No `global`, no ContextVar, no `bind_...()` that finishes an object."""
    bad = re.compile(r"^\s*global \w|\bContextVar\(|\bdef bind_", re.MULTILINE)
    assert not [str(p.relative_to(ROOT)) for p in SOURCES if bad.search(p.read_text(encoding="utf-8"))]


def test_children_never_get_a_shell_of_ours():
    """`shell=True` and os.system build command lines out of paths; only the Shell tool runs a shell, on the user's word."""
    bad = re.compile(r"shell=True|os\.system\(|os\.popen\(|create_subprocess_shell")
    assert not [str(p.relative_to(ROOT)) for p in SOURCES if bad.search(p.read_text(encoding="utf-8"))]


def test_the_repository_names_no_machine():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split(
        "\n"
    )
    bad = re.compile(r"(?<![\w.])/(?:work|root)/[a-z]")
    named = []
    for name in filter(None, tracked):
        path = ROOT / name
        if (
            path.suffix in (".py", ".md", ".toml", ".sh", ".txt", "")
            and path.is_file()
            and path.name != Path(__file__).name
        ):
            text = path.read_bytes().decode("utf-8", "replace")
            if bad.search(text):
                named.append(name)
    assert not named
