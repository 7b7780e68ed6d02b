import fnmatch
import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tool_context import NoTasks

from kimi_agent.core.ask import Answer, Dismissed, Question
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ToolError
from kimi_agent.core.globs import expand_braces, glob_regex, split_literal
from kimi_agent.core.message import Text
from kimi_agent.core.schema import tool_spec
from kimi_agent.core.tool import ToolContext
from kimi_agent.tools.glob import Glob, GlobParams
from kimi_agent.workspaces.local import LocalWorkspace


async def nobody(question: Question) -> Answer:
    return Dismissed()


@pytest.fixture
def ctx(tmp_path: Path) -> ToolContext:
    root = tmp_path / "project"
    names = [
        "a.py",
        "src/b.py",
        "src/deep/er/c.ts",
        "src/deep/d.tsx",
        ".env.example",
        "node_modules/x/y.py",
        ".git/z.py",
    ]
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (number, number))
    for folder in ("src", "src/deep", "src/deep/er"):
        os.utime(root / folder, (100, 100))
    (root / ".gitignore").write_text("node_modules\n")
    return ToolContext("c1", LocalWorkspace(root), nobody, lambda text: None, (), tmp_path / "scratch", NoTasks())


async def run(ctx: ToolContext, pattern: str, directory: str | None = None, include_dirs: bool = True) -> list[str]:
    part = (await Glob().run(GlobParams(pattern, directory, include_dirs), ctx)).for_model[0]
    assert isinstance(part, Text)
    return part.text.splitlines()


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.py", ["a.py"]),
        ("**/*.py", ["src/b.py", "a.py"]),
        ("**", ["src", "src/deep", "src/deep/er", ".gitignore", ".env.example", "src/deep/d.tsx", "src/deep/er/c.ts"]),
        ("src/**/*.{ts,tsx}", ["src/deep/d.tsx", "src/deep/er/c.ts"]),
        ("src/**/er/*", ["src/deep/er/c.ts"]),
        ("**/deep/**", ["src/deep/er", "src/deep/d.tsx", "src/deep/er/c.ts"]),
        ("**/deep", ["src/deep"]),
        ("src/deep", ["src/deep"]),
        ("./src/*", ["src/deep", "src/b.py"]),
        ("src/[ab].p?", ["src/b.py"]),
        ("src/[!b]*", ["src/deep"]),
        (".env*", [".env.example"]),
        ("node_modules/*/*.py", ["node_modules/x/y.py"]),
        ("**/y.py", ["No files match (ignored files are not looked at)."]),
    ],
)
async def test_patterns(ctx: ToolContext, pattern: str, found: list[str]) -> None:
    os.utime(ctx.workspace.root / ".gitignore", (50, 50))
    listed = await run(ctx, pattern)
    assert (listed[: len(found)] if pattern == "**" else listed) == found


async def test_folders_on_demand_and_places(ctx: ToolContext) -> None:
    assert await run(ctx, "src/*", include_dirs=False) == ["src/b.py"]
    assert await run(ctx, "*.tsx", "src/deep") == ["src/deep/d.tsx"]
    root = ctx.workspace.root
    assert await run(ctx, f"{root}/src/*.py") == ["src/b.py"]
    assert await run(ctx, "../project/*.py") == ["a.py"]
    assert await run(ctx, "*", "/proc/self/task", include_dirs=False) == [
        "No files match (ignored files are not looked at)."
    ]
    assert Glob().effects(GlobParams("../**/x"), ctx) == (Effect("read", str(root.parent)),)


async def test_long_lists_are_cut_and_say_so(ctx: ToolContext) -> None:
    for number in range(300):
        (ctx.workspace.root / f"file{number}.txt").touch()
    listed = await run(ctx, "*.txt")
    assert len(listed) == 251
    assert listed[-1] == "[250 of 300; narrow the pattern]"


async def test_mistakes(ctx: ToolContext) -> None:
    for pattern, words in {
        "": "empty",
        "nope/*": "No such folder: nope",
        "{a,b}" * 12: "braces",
        "[z-a]": "bad character range",
    }.items():
        with pytest.raises(ToolError, match=words):
            await run(ctx, pattern)


async def test_odd_names_are_found(ctx: ToolContext) -> None:
    for name in ("new\nline.odd", "sp ace.odd", "é.odd", "-dash.odd", os.fsdecode(b"\xff.odd")):
        (ctx.workspace.root / name).touch()
    listed = "\n".join(await run(ctx, "*.odd"))
    assert all(name in listed for name in ("new\nline.odd", "sp ace.odd", "é.odd", "-dash.odd", "\ufffd.odd"))


def test_the_parameters_have_their_official_names() -> None:
    assert list(tool_spec(Glob()).schema["properties"]) == ["pattern", "directory", "include_dirs"]


@given(st.text("ab*?[]!-.\\", max_size=8), st.text("ab-.!]", max_size=6))
def test_names_match_as_in_fnmatch(pattern: str, name: str) -> None:
    if "\\" not in pattern and "^" not in pattern and "**" not in pattern and pattern not in ("", "."):
        with suppress(*[ValueError] * ("-" in pattern)):  # `[z-a]` is told, where fnmatch finds nothing
            assert bool(glob_regex(pattern).fullmatch(name)) == fnmatch.fnmatchcase(name, pattern)


@given(st.text("az/*?[]{},!\\^-&|~", max_size=20), st.text(max_size=10))
def test_no_pattern_breaks_the_translation(pattern: str, path: str) -> None:
    try:
        glob_regex(pattern).fullmatch(path)
    except ValueError as error:
        assert repr(pattern) in str(error)  # noqa: PT017 - any other error fails, too


@pytest.mark.parametrize(
    ("pattern", "alternatives"),
    [
        ("a{b,c}d", ["abd", "acd"]),
        ("{a,b{c,d}}", ["a", "bc", "bd"]),
        ("{a,b}{c,d}", ["ac", "ad", "bc", "bd"]),
        ("a{b", ["a{b"]),
        (r"\{a,b}", [r"\{a,b}"]),
        ("{,x}y", ["y", "xy"]),
    ],
)
def test_braces(pattern: str, alternatives: list[str]) -> None:
    assert expand_braces(pattern) == alternatives


@pytest.mark.parametrize(
    ("pattern", "parts"),
    [
        ("/a/b/*.py", ("/a/b", "*.py")),
        ("a/b", ("a", "b")),
        ("*.py", ("", "*.py")),
        ("../x/**", ("../x", "**")),
        ("/x", ("/", "x")),
        ("a/{b,c}/d", ("a", "{b,c}/d")),
    ],
)
def test_leading_folders_are_split_off(pattern: str, parts: tuple[str, str]) -> None:
    assert split_literal(pattern) == parts


@pytest.mark.parametrize("pattern", ["~/project/src/*.py", "~/project/**/b.py", "~/*/src/b.py"])
async def test_the_home_folder(ctx: ToolContext, monkeypatch: pytest.MonkeyPatch, pattern: str) -> None:
    monkeypatch.setenv("HOME", str(ctx.workspace.root.parent))
    part = (await Glob().run(GlobParams(pattern), ctx)).for_model[0]
    assert isinstance(part, Text)
    assert part.text.endswith("src/b.py")
