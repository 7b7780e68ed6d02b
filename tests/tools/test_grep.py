import asyncio
import contextlib
import io
import itertools
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from nightly import examples
from tool_context import NoTasks

from kimi_agent.core.ask import Answer, Dismissed, Question
from kimi_agent.core.display import Plain
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ToolError
from kimi_agent.core.message import Text
from kimi_agent.core.schema import tool_spec, validate
from kimi_agent.core.tool import ToolContext
from kimi_agent.core.workspace import Exit
from kimi_agent.tools import pyrg
from kimi_agent.tools.glob import Glob, GlobParams
from kimi_agent.tools.grep import Grep, GrepParams
from kimi_agent.tools.ripgrep import find_ripgrep, python_ripgrep
from kimi_agent.workspaces.local import LocalWorkspace

COMMANDS = {"ripgrep": None, "python": python_ripgrep()}


async def nobody(question: Question) -> Answer:
    return Dismissed()


def context(root: Path) -> ToolContext:
    return ToolContext("c1", LocalWorkspace(root), nobody, lambda text: None, (), root.parent / "scratch", NoTasks())


@pytest.fixture(params=COMMANDS.values(), ids=COMMANDS)
def grep(request: pytest.FixtureRequest) -> Grep:
    return Grep(request.param)


@pytest.fixture
def ctx(tmp_path: Path) -> ToolContext:
    root = tmp_path / "project"
    for name, text in {
        "src/one.py": "import os\n\ndef alpha():\n    return 1\n\n\n\ndef beta():\n    return 2\n",
        "src/deep/two.ts": "const alpha = 'x'\n",
        "README.md": "alpha (beta)\r\nwindows\r\n",
        ".hidden/three.py": "alpha = 3\n",
        ".git/config": "alpha\n",
        "node_modules/dep/index.js": "alpha\n",
        "debug.log": "alpha\n",
        "keep.log": "alpha\n",
        "binary.bin": "\0alpha\n",
        ".gitignore": "node_modules/\n*.log\n!keep.log\n",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        os.utime(path, (1_000_000_000, 1_000_000_000))
    return context(root)


async def run(grep: Grep, ctx: ToolContext, pattern: str, **arguments: object) -> str:
    params = validate(GrepParams, {"pattern": pattern, **arguments})
    part = (await grep.run(params, ctx)).for_model[0]
    assert isinstance(part, Text)
    return part.text


async def test_files_come_newest_first_then_by_path(grep: Grep, ctx: ToolContext) -> None:
    os.utime(ctx.workspace.root / "src/deep/two.ts")
    found = await run(grep, ctx, "alpha")
    assert found.splitlines() == ["src/deep/two.ts", ".hidden/three.py", "README.md", "keep.log", "src/one.py"]


@pytest.mark.parametrize(
    ("pattern", "arguments", "shown"),
    [
        ("import os", {}, "1 file"),
        ("import os", {"output_mode": "content"}, "1 line"),
        ("alpha", {"head_limit": 1}, "1+ files"),
        ("nowhere", {}, "no matches"),
    ],
)
async def test_the_summary_counts(
    grep: Grep, ctx: ToolContext, pattern: str, arguments: dict[str, object], shown: str
) -> None:
    params = validate(GrepParams, {"pattern": pattern, **arguments})
    assert (await grep.run(params, ctx)).for_user == Plain(shown)


async def test_ignored_files_are_found_on_demand(grep: Grep, ctx: ToolContext) -> None:
    found = await run(grep, ctx, "alpha", include_ignored=True)
    assert {"node_modules/dep/index.js", "debug.log"} < set(found.splitlines())
    assert ".git/config" not in found


async def test_content_is_grouped_by_file(grep: Grep, ctx: ToolContext) -> None:
    found = await run(grep, ctx, r"def \w+|const", output_mode="content", **{"-A": 1, "path": "src"})
    assert found == (
        "src/deep/two.ts\n1:const alpha = 'x'\n\nsrc/one.py\n3:def alpha():\n4-    return 1\n--\n8:def beta():\n9-    return 2"
    )


async def test_content_without_numbers_and_case(grep: Grep, ctx: ToolContext) -> None:
    found = await run(grep, ctx, "ALPHA", output_mode="content", path="README.md", **{"-n": False, "-i": True})
    assert found == "README.md\nalpha (beta)"


async def test_counts(grep: Grep, ctx: ToolContext) -> None:
    found = await run(grep, ctx, "a", output_mode="count_matches", glob="*.{py,ts}")
    assert found.splitlines() == [".hidden/three.py: 2", "src/deep/two.ts: 2", "src/one.py: 3"]


async def test_multiline(grep: Grep, ctx: ToolContext) -> None:
    found = await run(grep, ctx, r"alpha\(\):\n    return", output_mode="content")
    assert found == "src/one.py\n3:def alpha():\n4:    return 1"


@pytest.mark.parametrize(
    ("arguments", "files"),
    [
        ({"glob": "*.py"}, {".hidden/three.py", "src/one.py"}),
        ({"glob": "src/**/*.ts"}, {"src/deep/two.ts"}),
        ({"glob": "*.log"}, {"keep.log"}),
        ({"glob": "*.log", "include_ignored": True}, {"keep.log", "debug.log"}),
        ({"glob": "!*.py"}, {"README.md", "keep.log", "src/deep/two.ts"}),
        ({"type": "py"}, {".hidden/three.py", "src/one.py"}),
        ({"type": "py", "glob": "one.*"}, {"src/one.py"}),
        ({"path": "src", "glob": "deep/*"}, {"src/deep/two.ts"}),
        ({"path": "node_modules/dep"}, {"node_modules/dep/index.js"}),
        ({"path": "debug.log"}, {"debug.log"}),
    ],
)
async def test_filters(grep: Grep, ctx: ToolContext, arguments: dict[str, object], files: set[str]) -> None:
    assert set((await run(grep, ctx, "alpha", **arguments)).splitlines()) == files


async def test_paging_is_told_and_meets_no_gap(grep: Grep, ctx: ToolContext) -> None:
    (ctx.workspace.root / "many.txt").write_text("".join(f"needle {n}\n" for n in range(10)))
    for mode, extra in itertools.product(["content"], [{}, {"glob": "*.txt"}]):
        first = await run(grep, ctx, "needle", output_mode=mode, head_limit=4, **extra)
        assert first.splitlines()[:5] == ["many.txt", "1:needle 0", "2:needle 1", "3:needle 2", "4:needle 3"]
        assert "go on with offset=4]" in first
        last = await run(grep, ctx, "needle", output_mode=mode, head_limit=4, offset=8, **extra)
        assert last == "many.txt\n9:needle 8\n10:needle 9"
    assert await run(grep, ctx, "needle", output_mode="content", offset=10) == "No results at offset 10: there are 10"


async def test_the_page_is_bounded(grep: Grep, ctx: ToolContext) -> None:
    (ctx.workspace.root / "long.txt").write_text(("needle" * 1000 + "\n") * 300)
    found = await run(grep, ctx, "needle", output_mode="content")
    assert len(found) < 41_000
    assert "omitted end of long line" in found
    assert "go on with offset=" in found


async def test_nothing_found(grep: Grep, ctx: ToolContext) -> None:
    assert await run(grep, ctx, "nowhere") == "No matches (ignored files were not searched: include_ignored)"
    assert await run(grep, ctx, "nowhere", include_ignored=True) == "No matches"


@pytest.mark.parametrize("mode", ["files_with_matches", "content", "count_matches"])
async def test_a_wrong_pattern_is_explained(grep: Grep, ctx: ToolContext, mode: str) -> None:
    with pytest.raises(
        ToolError, match=r"'foo\(bar' is not a valid regular expression: (unclosed group|missing \)).* backslash"
    ):
        await run(grep, ctx, "foo(bar", output_mode=mode)


async def test_where_the_pattern_is_wrong(ctx: ToolContext) -> None:
    with pytest.raises(ToolError, match="Unicode property not found at character 4"):
        await run(Grep(), ctx, r"foo \p{Foo}")
    with pytest.raises(ToolError, match=r"look-around.*plain part"):
        await run(Grep(), ctx, "foo(?=bar)")


async def test_other_mistakes(grep: Grep, ctx: ToolContext) -> None:
    with pytest.raises(ToolError, match="No such file or folder: nope"):
        await run(grep, ctx, "x", path="nope")
    with pytest.raises(ToolError, match=r"Unknown file type 'pyy'.*\*\.pyy"):
        await run(grep, ctx, "x", type="pyy")
    with pytest.raises(ToolError, match="braces"):
        await run(grep, ctx, "x", glob="{a,b}" * 12)


async def test_patterns_that_look_like_options(grep: Grep, ctx: ToolContext) -> None:
    (ctx.workspace.root / "-f").write_text("--files\n")
    assert await run(grep, ctx, "--files", path="-f") == "-f"


async def test_outside_of_the_workspace_paths_are_absolute(grep: Grep, ctx: ToolContext, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "x.txt").write_text("alpha\n")
    assert await run(grep, ctx, "alpha", path=str(other)) == str(other / "x.txt")
    assert Grep().effects(GrepParams("a", "../other"), ctx) == (Effect("read", str(other)),)


async def test_a_users_ripgrep_config_is_not_read(
    ctx: ToolContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rc").write_text("--pre=/bin/false\n--max-count=1\n")
    monkeypatch.setenv("RIPGREP_CONFIG_PATH", str(tmp_path / "rc"))
    assert "src/one.py: 3" in await run(Grep(), ctx, "a", output_mode="count_matches", path="src")


async def test_a_module_in_the_folder_is_not_imported(ctx: ToolContext) -> None:
    for name in ("re.py", "argparse.py", "kimi_agent.py"):
        (ctx.workspace.root / name).write_text("raise SystemExit(99)\n")
    assert "README.md" in await run(Grep(python_ripgrep()), ctx, "windows")


async def test_a_slow_command_is_cancelled_with_the_call(ctx: ToolContext) -> None:
    task = asyncio.create_task(run(Grep(("sleep", "300", "#")), ctx, "x"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not list(ctx.scratch.glob("filter-*")) if ctx.scratch.exists() else True


def test_the_parameters_have_their_official_names() -> None:
    names = ["pattern", "path", "glob", "type", "output_mode", "-A", "-B", "-C", "-n", "-i"]
    names += ["multiline", "head_limit", "offset", "include_ignored"]
    assert list(tool_spec(Grep()).schema["properties"]) == names
    assert msgspec.convert({"pattern": "x", "-A": 2, "-i": True}, GrepParams) == GrepParams(
        "x", after=2, ignore_case=True
    )


def test_file_types_are_ripgreps() -> None:
    listed = subprocess.run([*find_ripgrep(), "--type-list"], capture_output=True, text=True, check=True).stdout
    theirs = dict(line.split(": ", 1) for line in listed.splitlines())
    for name, globs in pyrg.TYPES.items():
        assert globs.split() == theirs[name].split(", ")


async def listed(params: GlobParams, ctx: ToolContext) -> object:
    try:
        return await Glob().run(params, ctx)
    except ToolError as error:
        return str(error)


class WithPython(LocalWorkspace):
    """Runs our ripgrep in place of the real one, without the cost of a process."""

    async def run(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        timeout: float,
        on_output: Callable[[bytes], None],
    ) -> Exit:
        out = io.BytesIO()
        with contextlib.chdir(cwd):
            code = pyrg.main(argv[1:], out)
        on_output(out.getvalue())
        return Exit(code)


NAMES = st.sampled_from(["a", "b", "ab", "a.py", "b.py", "x.log", ".h", "build", "deep"])
LINES = st.sampled_from(["foo", "bar", "foo bar", "FOO", "", "  foo", "é foo", "x" * 510 + "foo", "foofoo", "tail\r"])
RULES = st.sampled_from(
    [
        "*.log",
        "build/",
        "/a",
        "deep/*.py",
        "!a.py",
        "!x.log",
        "**/b",
        "a*",
        "[ab].py",
        "deep/**",
        "# no",
        "",
        "b/ ",
        "?",
        "*.{py,log}",
    ]
)
PATTERNS = st.sampled_from(
    ["foo", "^foo", "o$", "f.o", "fo+|bar", r"\bfoo\b", r"\w+", "[^f]oo", "x{3,}", "é", "^$", "o b"]
)
FILTERS = st.sampled_from(
    [None, "*.py", "a*", "deep/**", "deep/*.py", "**/b/**", "!*.py", "{a,b}.py", "/a", "*/*", "build"]
)
TREES = st.dictionaries(st.lists(NAMES, min_size=1, max_size=3).map("/".join), st.lists(LINES, max_size=6), max_size=8)
IGNORES = st.dictionaries(st.sampled_from(["", "a", "deep", "deep/b"]), st.lists(RULES, max_size=4), max_size=2)


def make_tree(root: Path, tree: dict[str, list[str]], ignores: dict[str, list[str]], kind: str) -> None:
    for name, lines in {**tree, **{f"{folder}/{kind}".lstrip("/"): rules for folder, rules in ignores.items()}}.items():
        path = root / name
        if any(parent.is_file() for parent in path.parents) or path.is_dir():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + ("\n" if len(lines) % 2 else ""), newline="")


@given(
    TREES,
    IGNORES,
    PATTERNS,
    FILTERS,
    st.sampled_from([".gitignore", ".ignore"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["", "deep"]),
)
@example({"a.py": ["foo"], "x.log": ["foo"]}, {"": ["*.log", "!x.log"]}, "foo", "*.py", ".gitignore", False, True, "")
@settings(max_examples=examples(50), suppress_health_check=list(HealthCheck))
def test_the_fallback_finds_what_ripgrep_finds(
    tmp_path_factory: pytest.TempPathFactory,
    tree: dict[str, list[str]],
    ignores: dict[str, list[str]],
    pattern: str,
    glob: str | None,
    kind: str,
    ignored: bool,
    repository: bool,
    path: str,
) -> None:
    root = tmp_path_factory.mktemp("tree")
    make_tree(root, tree, ignores, kind)
    (root / "deep").is_dir() or (root / "deep").exists() or (root / "deep").mkdir()
    if repository:
        (root / ".git").mkdir(exist_ok=True)
    for path_in in root.rglob("*"):
        os.utime(path_in, (0, 0))
    common = {"glob": glob, "include_ignored": ignored, "path": path or "."}
    variants: list[dict[str, object]] = [
        {"output_mode": "files_with_matches"},
        {"output_mode": "count_matches", "-i": True},
        {"output_mode": "content", "-C": 1},
        {"output_mode": "content", "multiline": True},
    ]
    theirs, ours = context(root), replace(context(root), workspace=WithPython(root))
    for variant in variants:
        expected = asyncio.run(run(Grep(), theirs, pattern, **common, **variant))
        assert asyncio.run(run(Grep(), ours, pattern, **common, **variant)) == expected, variant
    params = GlobParams((glob or "**/*").lstrip("!/"), path or None)
    assert asyncio.run(listed(params, ours)) == asyncio.run(listed(params, theirs))


async def test_pipes_and_devices_are_refused_at_once(grep: Grep, ctx: ToolContext) -> None:
    os.mkfifo(ctx.workspace.root / "pipe")
    for path, words in (("pipe", "named pipe"), ("/dev/zero", "device")):
        with pytest.raises(ToolError, match=words):
            await run(grep, ctx, "x", path=path)


@pytest.mark.parametrize(("pattern", "words"), [("a\0b", r"write it as \\x00"), ("\ud800", "surrogate")])
def test_what_no_command_line_can_carry(ctx: ToolContext, pattern: str, words: str) -> None:
    with pytest.raises(ToolError, match=words):
        Grep().effects(GrepParams(pattern), ctx)


async def test_matches_in_secret_files_are_left_out_of_a_search_of_their_folder(grep: Grep, tmp_path: Path):
    root = tmp_path / "work"
    (root / ".kimi").mkdir(parents=True)
    (root / ".env").write_text("api_key = 1\n")
    (root / ".kimi" / "config.toml").write_text("api_key = 2\n")
    (root / ".env.example").write_text("api_key = x\n")
    (root / "a.py").write_text("api_key = read()\n")
    for mode in ("content", "files_with_matches", "count_matches"):
        text = await run(grep, context(root), "api_key", include_ignored=True, output_mode=mode)
        assert ".env.example" in text
        assert "a.py" in text
        assert ".env\n" not in text
        assert "config.toml" not in text
        assert "matches in 2 files that are private (secrets, .kimiignore) are left out" in text
    asked = await run(grep, context(root), "api_key", path=".env", output_mode="content")
    assert "api_key = 1" in asked, "the gates are told of the file itself"
