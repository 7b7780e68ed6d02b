"""What no file of the program may hold: text that is run, data that is code, processes that nobody knows of (T61)."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SUSPECT = re.compile(
    r"\b(subprocess|exec\w*|spawn\w*|posix_spawn\w*|fork|pty|multiprocessing|eval|__import__|mktemp|yaml|os\.system|popen|tempnam"
    r"|input\(|shell=True|extractall|pickle|marshal|shelve|dill|cloudpickle|joblib|create_subprocess\w*)"
)
SOURCES = [
    path
    for folder in ("kimi_agent", "plugins")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if SUSPECT.search(path.read_text("utf-8"))
]

STARTS = {
    "kimi_agent/workspaces/spawn.py": "commands of the agent, of hooks and of plugins, in the box",
    "kimi_agent/workspaces/piped.py": "programs of ours with pipes (git for snapshots and for the list of files), in the box",
    "kimi_agent/workspaces/sandbox/client.py": "the zygote, which makes the box",
    "kimi_agent/workspaces/sandbox/zygote.py": "the supervisors of what runs in the box",
    "kimi_agent/workspaces/sandbox/child.py": "what runs in the box",
    "kimi_agent/workspaces/sandbox/canary.py": "the victim that the canary must not reach",
    "kimi_agent/processes/watcher.py": "the shell that ends what runs when kimi is gone",
    "kimi_agent/tools/isolated.py": "readers of pages and documents, which take everything from themselves first",
    "kimi_agent/frontends/common/pty_child.py": "the person's own shell",
    "kimi_agent/frontends/common/editor.py": "the person's own editor",
    "kimi_agent/frontends/common/clipboard.py": "the clipboard's own program",
    "kimi_agent/frontends/common/clipboard_reader.py": "the clipboard's own program",
    "kimi_agent/processes/browser.py": "the browser of the person, for the page of a sign-in",
    "kimi_agent/frontends/common/file_listing.py": "git, for the list of files behind @ of an agent that has no box at all",
    "kimi_agent/cli/doctor.py": "versions of programs, when the person asks",
    "kimi_agent/cli/proofs.py": "what attacks the box, when the person asks for proofs",
    "kimi_agent/local_engine.py": "the local engine, when the person names its model with --local",
    "kimi_agent/plugins/source.py": "git, when the person installs a plugin",
}
"""The only files that start processes, and which ones."""

PROCESSES = (
    "subprocess",
    "os.exec",
    "os.spawn",
    "os.posix_spawn",
    "os.fork",
    "os.system",
    "os.popen",
    "pty.",
    "multiprocessing",
)
NEVER = {
    "eval", "exec", "__import__", "tempfile.mktemp", "yaml.unsafe_load", "yaml.full_load", "os.system", "os.popen", "os.tempnam",
    "input",
}  # fmt: skip
DATA_AS_CODE = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}


def name_of(node: ast.expr) -> str:
    """`a.b.c`, as far as it is made of names."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.insert(0, node.attr)
        node = node.value
    return ".".join([node.id, *parts]) if isinstance(node, ast.Name) else ".".join(["?", *parts])


@cache
def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text("utf-8"))))


def calls(path: Path) -> Iterator[ast.Call]:
    return (node for node in nodes(path) if isinstance(node, ast.Call))


def imported(path: Path) -> Iterator[str]:
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def starts_processes(path: Path) -> bool:
    names = [name_of(call.func) for call in calls(path)] + list(imported(path))
    return any(name.startswith(PROCESSES) or "create_subprocess" in name for name in names)


def test_processes_are_started_in_known_places_alone() -> None:
    found = {str(path.relative_to(ROOT)) for path in SOURCES if starts_processes(path)}
    assert found == set(STARTS), "start processes through workspaces/process.py, or say here which ones and why"


def test_no_text_is_run_and_no_data_is_code() -> None:
    found = []
    for path in SOURCES:
        loads_safely = "Loader(yaml.SafeLoader)" in path.read_text("utf-8")
        for call in calls(path):
            name, options = name_of(call.func), {key.arg: key.value for key in call.keywords}
            shell = isinstance(options.get("shell"), ast.Constant) and ast.literal_eval(options["shell"]) is True
            unsafe = (name == "yaml.load" and not loads_safely) or (
                name.endswith(".extractall") and "filter" not in options
            )
            if name in NEVER or shell or unsafe:
                found.append(f"{path.relative_to(ROOT)}:{call.lineno}: {ast.unparse(call)[:80]}")
        found += [
            f"{path.relative_to(ROOT)}: {name}" for name in imported(path) if name.partition(".")[0] in DATA_AS_CODE
        ]
    assert found == []


def test_nothing_is_compiled() -> None:
    odd = {".so", ".pyd", ".dll", ".dylib", ".c", ".pyx", ".pkl", ".pickle"}
    assert not [
        path for folder in ("kimi_agent", "plugins") for path in (ROOT / folder).rglob("*") if path.suffix in odd
    ]
