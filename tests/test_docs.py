"""Whatever the documentation shows is tried: commands are run, files parsed, links followed, the example tool is built in."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import warm_program
from bugfix import is_mended, make_repository, steps
from fake_api import FakeAPI
from kimi_program import Program

from kimi_agent.config import load_config

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "acp").rglob("*.md"))]
PRINT_MODE = ROOT / "docs" / "guides" / "print-mode.md"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(r"^`([\w./-]+)`[^`\n]*:\n\n\Z", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@dataclass(frozen=True)
class Fence:
    """A block of a page; `file` is what the line before it, "`name`:", calls it."""

    language: str
    text: str
    file: str


def fences(page: Path) -> list[Fence]:
    text = page.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        name = FILE_NAME.search(text[: match.start()])
        found.append(Fence(match[1], match[2], name[1] if name else ""))
    return found


def commands(page: Path) -> Iterator[str]:
    for fence in fences(page):
        if fence.language == "sh":
            yield from (line for line in fence.text.splitlines() if line.strip())


def with_commands() -> list[Any]:
    """The pages with commands; that of print mode has a test of its own."""
    pages = [page for page in PAGES if any(commands(page)) and page != PRINT_MODE]
    return [pytest.param(page, id=str(page.relative_to(ROOT))) for page in pages]


# --- commands ---------------------------------------------------------------------------------------------------------


def model(body: Any) -> list[dict[str, Any]]:
    """A model that does what the pages ask for."""
    messages = body["messages"]
    asked = max(i for i, message in enumerate(messages) if message["role"] == "user")
    prompt, done = text_of(messages[asked]), messages[asked + 1 :]
    if "JSON Schema" in prompt:
        return [{"text": '{"tests": 2}'}]
    if "Fix the failing test" in prompt:
        return steps()[sum(message["role"] == "assistant" for message in done)]
    if "How many tests" in prompt and not done:
        return [{"call": {"name": "Grep", "arguments": {"pattern": "def test_", "path": "."}}}]
    if "Which port" in prompt:
        return [{"text": "8080" if "8080" in json.dumps(messages[:asked]) else "I do not know."}]
    return [{"text": f"You said: {prompt}"}, {"tokens": {"input": 100, "output": 10}}]


def text_of(message: Any) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


@pytest.fixture
def kimi(tmp_path: Path) -> Program:
    """A repository to work in, and `kimi` on the PATH of whatever runs there."""
    program = Program(tmp_path)
    make_repository(program.work)
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "kimi").symlink_to(warm_program.executable())
    (folder / "python").write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" "$@"\n')
    (folder / "python").chmod(0o755)
    program.env["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return program


def run_page(page: Path, kimi: Program) -> dict[str, str]:
    """Run the commands of a page in their order; what each one printed. Fails at the first that fails."""
    printed = {}
    for fence in fences(page):
        if fence.file and fence.language in ("json", "python"):
            (kimi.work / fence.file).write_text(fence.text)
    with FakeAPI(model, strict=True) as api:
        kimi.use(api.url)
        for line in commands(page):
            script = ["bash", "-o", "pipefail", "-c", line]
            done = subprocess.run(
                script,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                cwd=kimi.work,
                env=kimi.environment(),
                timeout=60,
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
            printed[line] = done.stdout
    return printed


@pytest.mark.parametrize("page", with_commands())
def test_every_command_that_is_shown_works(page: Path, kimi: Program) -> None:
    printed = run_page(page, kimi)
    assert printed
    if any("Fix the failing test" in fence.text for fence in fences(page) if fence.language in ("sh", "python")):
        assert is_mended(kimi.work)


def test_print_mode_answers_as_the_page_says(kimi: Program) -> None:
    printed = run_page(PRINT_MODE, kimi)
    answers = {line: text for line, text in printed.items() if "--" in line}
    (as_json,) = [text for line, text in answers.items() if line.endswith("--output-format json")]
    (shown,) = [json.loads(f.text) for f in fences(PRINT_MODE) if f.language == "json" and not f.file]
    assert list(json.loads(as_json)) == list(shown)
    streams = [text for line, text in answers.items() if line.endswith("--output-format stream-json")]
    assert len(streams) == 2
    for lines in streams:
        *events, last = map(json.loads, lines.splitlines())
        assert last.keys() == shown.keys()
        assert events[0]["type"] == "session_started"
    (structured,) = [text for line, text in answers.items() if "--json-schema" in line]
    assert json.loads(structured) == {"tests": 2}
    assert printed['kimi -C -p "Which port was it?"'].strip() == "8080"
    assert "You said: Write release notes" in printed[next(line for line in printed if line.startswith("git log"))]


def test_flags_and_subcommands_that_are_named_exist() -> None:
    """Also in lines that no test can run, and in running text."""
    from kimi_agent.cli.app import command

    root = command()
    unknown = []
    for page in PAGES:
        if page.name == "compare.md":  # names what is not here too; tests/test_compare.py
            continue
        text = page.read_text(encoding="utf-8")
        shown = [line for f in fences(page) for line in f.text.splitlines()] + re.findall(r"`(kimi[^`\n]*)`", text)
        for line in shown:
            for words in re.findall(r"(?:^|\| |\()kimi ([^|<>#]*)", line):
                unknown += [f"{page.name}: kimi {words}: {word}" for word in unknown_words(root, words)]
    assert not unknown


def unknown_words(root: Any, words: str) -> list[str]:
    """Flags and subcommands in `words` that the program does not have. What follows a plugin's word, or `--`, is not ours."""
    from kimi_agent.cli.subcommands import is_subcommand

    level, flags, unknown = root, {"--help"}, []
    bare = re.sub(r'"[^"]*"', "TEXT", words).rstrip(").").split()
    if bare and bare[0] not in root.commands and is_subcommand(bare[0]):
        return []
    for number, word in enumerate(bare[: bare.index("--")] if "--" in bare else bare):
        flags |= {name for parameter in level.params for name in (*parameter.opts, *parameter.secondary_opts)}
        if word.startswith("-"):
            unknown += [word] if word not in flags else []
        elif word in getattr(level, "commands", {}):
            level = level.commands[word]
        elif (
            getattr(level, "commands", {}) and word.isalpha() and word.islower() and (level is not root or number == 0)
        ):
            unknown.append(word)
    return unknown


# --- files and code ---------------------------------------------------------------------------------------------------


@every_page
def test_blocks_are_what_they_say(page: Path, tmp_path: Path) -> None:
    for fence in fences(page):
        match fence.language:
            case "json":
                json.loads(fence.text)
            case "toml":
                tomllib.loads(fence.text)
                path = tmp_path / "config.toml"
                path.write_text(fence.text)
                config = load_config(path, {})
                assert not config.warnings
                assert not config.default_model or config.default_model in config.models
            case "python":
                compile(fence.text, page.name, "exec")
            case language:
                assert language in ("sh", "text", ""), f"what is a block of {language}?"


def test_the_example_tool_works_once_it_is_added(tmp_path: Path) -> None:
    """The page is followed to the letter in a copy of the package; then the model calls the tool."""
    shown = fences(ROOT / "docs" / "adding.md")
    shutil.copytree(ROOT / "kimi_agent", tmp_path / "kimi_agent", ignore=shutil.ignore_patterns("__pycache__"))
    for fence in shown:
        if fence.file.startswith("kimi_agent/tools/word_count"):
            (tmp_path / fence.file).write_text(fence.text)
    added_import, added_line = [f.text for f in shown if f.language == "python" and not f.file]
    line = re.search(r"\[(.*)\]", added_line)
    assert line
    table = tmp_path / "kimi_agent" / "tools" / "__init__.py"
    first = "    from kimi_agent.tools.write_file import WriteFile\n"
    text = table.read_text().replace(first, f"{first}    {added_import}")
    text = text.replace("        AskUserQuestion(),\n", f"        AskUserQuestion(),\n        {line[1]},\n")
    table.write_text(text)

    kimi = Program(tmp_path / "person", {"PYTHONPATH": str(tmp_path)})
    (kimi.work / "poem.txt").write_text("so much depends\nupon\n")
    call = [{"call": {"name": "WordCount", "arguments": {"path": "poem.txt"}}}]
    scenario = kimi.scenario(call, [{"expect": "4 words"}, {"text": "Four."}])
    done = kimi.run("--provider", scenario, "-p", "How long is the poem?")
    assert (done.returncode, done.stdout) == (0, "Four.\n"), done.stderr


# --- words ------------------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of headings."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            dead.append(target)
    assert not dead


@every_page
def test_files_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    made_here = {fence.file for fence in fences(page)}
    named = set(re.findall(r"`((?:kimi_agent|tests|docs|bench)/[\w./-]+)`", text)) - made_here
    assert not [name for name in named if not (ROOT / name).exists()]


@every_page
def test_pages_name_no_machine_and_no_registry(page: Path) -> None:
    bad = re.compile(r"(?<![\w.~])/(?:home|root|work|tmp|opt|Users)/|pypi\.|files\.pythonhosted|registry|simple/")
    assert not bad.findall(page.read_text(encoding="utf-8"))
