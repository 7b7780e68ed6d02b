"""Types of agents from files: those of other programs load unchanged and mean the same; hostile ones are named and left out."""

import contextlib
import datetime
import os
import re
import shutil
import socket
from pathlib import Path

import pytest
from fake_api import FakeAPI
from hypothesis import given
from hypothesis import strategies as st
from kimi_program import Program
from machine import FakeTool, House, ListProvider, instant, play, say
from plugin_files import write_plugin

from kimi_agent.agent import agent_files
from kimi_agent.agent.agent_files import choose_agent, discover_agents, load_agent_file
from kimi_agent.agent.agent_spec import MAX_INCLUDES, SPEC_LIMIT
from kimi_agent.agent.agent_types import (
    BUILT_IN,
    DEFAULT,
    LISTING_TOKENS,
    REPORT,
    AgentType,
    AgentTypes,
    MainAgent,
    allows,
)
from kimi_agent.agent.main_prompt import main_prompt
from kimi_agent.agent.prompt import system_prompt
from kimi_agent.agent.skills import TEXT_LIMIT
from kimi_agent.agent.tokens import text_tokens
from kimi_agent.core.errors import ConfigError

CORPUS = Path(__file__).parent.parent / "corpus" / "agents"
DAY = datetime.date(2026, 1, 31)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def markdown(folder: Path, name: str, about: str = "does it", head: str = "", body: str = "Do it.") -> Path:
    return write(folder / f"{name}.md", f"---\nname: {name}\ndescription: {about}\n{head}---\n\n{body}\n")


def spec(path: Path, agent: str) -> Path:
    return write(path, "version: 1\nagent:\n" + "".join(f"  {line}\n" for line in agent.splitlines()))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    (tmp_path / "repo" / "sub").mkdir()
    (tmp_path / "user").mkdir()
    return tmp_path


def look(tree: Path, *plugins: Path) -> AgentTypes:
    return discover_agents(tree / "repo/sub", tree / "user/.kimi", tree / "user", plugins)


def from_corpus(tree: Path, name: str, into: str) -> AgentTypes:
    shutil.copytree(CORPUS / name / "agents", tree / into / "agents")
    return look(tree)


def load(name: str) -> MainAgent:
    return load_agent_file(CORPUS / "kimi-cli" / name)


def filled(kind: AgentType, cwd: Path, extra_roots: tuple[Path, ...] = ()) -> str:
    return main_prompt(kind, cwd, cwd / "home", extra_roots=extra_roots, today=DAY)


def refused(path: Path, bound: str = "") -> str:
    with pytest.raises(ConfigError) as caught:
        load_agent_file(path, bound=bound)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- built-in types ---------------------------------------------------------------------------------------------------


def test_built_in_types_may_do_what_they_are_for():
    may = {kind.name: {tool for tool in TOOLS if allows(kind, tool)} for kind in BUILT_IN}
    assert {"ReadFile", "StrReplaceFile", "WriteFile", "Shell"} <= may["coder"] == may["fork"]
    assert {"ReadFile", "Grep", "Shell", "SearchWeb"} <= may["explore"]
    assert may["plan"] == may["explore"] - {"Shell"}
    assert not may["explore"] & {"StrReplaceFile", "WriteFile"}
    assert not set().union(*may.values()) & {"Agent", "AskUserQuestion"}


TOOLS = (
    "ReadFile", "WriteFile", "StrReplaceFile", "Glob", "Grep", "Shell", "FetchURL", "SearchWeb", "AskUserQuestion", "Agent",
)  # fmt: skip


@pytest.mark.parametrize("kind", BUILT_IN, ids=lambda kind: kind.name)
def test_built_in_roles_say_what_the_caller_gets(kind: AgentType):
    for wanted in (
        "last message is the only thing",
        "`path:line`",
        "what you verified",
        "what is open",
        "Nobody answers",
    ):
        assert wanted in kind.prompt
    assert text_tokens(kind.prompt) < 300


def test_an_agent_that_may_start_nobody_has_no_agent_tool():
    assert not allows(AgentType("x", "", subagents=()), "Agent")
    assert allows(AgentType("x", "", subagents=("plan",)), "Agent")
    assert list(AgentTypes().only(("PLAN", "nobody"))) == ["plan"]
    assert len(AgentTypes().only(None)) == len(BUILT_IN)


@pytest.mark.parametrize(("count", "size"), [(0, 0), (20, 230), (60, 230), (1000, 230)])
def test_the_listing_fits_its_budget(count: int, size: int):
    kinds = [*BUILT_IN, *(AgentType(f"type-number-{i}", "字" * size) for i in range(count))]
    listing = AgentTypes({kind.name: kind for kind in kinds}).listing()
    assert text_tokens(listing) <= LISTING_TOKENS + 10 < 410
    assert "- coder" in listing
    named = listing.count("- type-number-")
    assert named == count or f"(and {len(kinds) - named - len(BUILT_IN)} more)" in listing


# --- kimi-cli ---------------------------------------------------------------------------------------------------------


def test_the_basic_form(tmp_path: Path):
    main = load("minimal/agent.yaml")
    assert (main.kind.name, main.kind.tools, main.kind.excluded) == ("my-agent", ("Shell", "ReadFile", "WriteFile"), ())
    assert main.kind.subagents is None
    assert (
        filled(main.kind, tmp_path) == f"# My agent\n\nYou help with one repository, {tmp_path}. Today is 2026-01-31."
    )
    assert not main.types.broken


def test_the_default_agent_extended_with_a_prompt(tmp_path: Path):
    write(tmp_path / "AGENTS.md", "Use tabs.")
    write(tmp_path / ".git/x", "")
    for number in range(40):
        write(tmp_path / f"many/{number:02}.txt", "")
        write(tmp_path / f"z{number:02}", "")
    main = load("extend/agent.yaml")
    assert main.kind.name == "extend"
    assert (main.kind.tools, main.kind.excluded) == (None, ("SearchWeb", "FetchURL"))
    assert not allows(main.kind, "FetchURL")
    assert allows(main.kind, "AnythingElse")
    text = filled(main.kind, tmp_path)
    assert "You are Kimi" not in text
    assert "Use tabs." in text
    assert "No skills found." in text
    assert "\n.git/\nmany/\n  00.txt\n" in text  # a hidden folder is named only
    assert "  09.txt\n  ... and 30 more\nAGENTS.md\nz00\n" in text
    assert "z26\n... and 13 more\n" in text


def test_a_role_is_added_to_our_prompt(tmp_path: Path):
    kind = load("role/agent.yaml").kind
    assert (kind.name, kind.model, kind.tools, kind.override) == ("porter", "kimi-k2", None, False)
    ours = system_prompt(tmp_path, tmp_path / "home")
    assert filled(kind, tmp_path) == f"{ours}\n\n# Your role\n\nYou port C to Rust and nothing else."


def test_a_team_with_arguments_includes_and_subagents(tmp_path: Path):
    main = load("team/agent.yaml")
    assert main.kind.subagents == ("coder", "reviewer")
    assert filled(main.kind, tmp_path).startswith(
        "You belong to team Blue of 3.\n\n\nTeam Blue writes tests first.\n\nYou run"
    )
    assert "$HOME stays, and so does {{ this }}.\nUse slashes." in filled(main.kind, tmp_path)
    more = filled(main.kind, tmp_path, (CORPUS / "claude",))
    assert f"## More folders\n\n### `{CORPUS / 'claude'}`\n\nagents/\n  architect.md\n" in more

    coder = main.types["coder"]
    assert (coder.name, coder.description, coder.subagents) == ("coder", "Handle coding tasks", ())
    assert coder.excluded == ("Agent", "SetTodoList")
    assert main.types.broken == ()  # nobody is told that what is excluded is not here
    assert "of 3.\n\nYou run as a subagent now.\n\nTeam Blue" in filled(coder, tmp_path)

    reviewer = main.types["reviewer"]
    assert reviewer.description == "Code review expert Before a commit, and when asked."
    assert [tool for tool in TOOLS if allows(reviewer, tool)] == ["ReadFile", "Grep"]
    assert "team Blue of 1.\n\nYou run as a subagent now." in filled(reviewer, tmp_path)
    assert "explore" in main.types


def test_a_chain_merges_arguments_and_replaces_all_else(tmp_path: Path):
    kind = load("chain/below/leaf.yaml").kind
    assert filled(kind, tmp_path) == "a=base b=middle c=leaf"
    assert (kind.name, kind.tools, kind.excluded) == ("middle", ("ReadFile", "Glob", "Think"), ())
    assert load("chain/middle.yaml").kind.excluded == ("Glob",)


def test_old_names_are_known_and_absent_tools_told(tmp_path: Path):
    main = load("worn/agent.yaml")
    assert main.kind.name == "worn"
    assert main.kind.tools == ("Agent", "Shell", "StrReplaceFile", "EnterPlanMode", "TaskList")
    told = [text.rpartition("names the tool ")[2] for text in main.types.broken]
    assert told == [
        "kimi_cli.tools.multiagent:CreateSubagent, which is not here.",
        "kimi_cli.tools.dmail:SendDMail, which is not here.",
        "my_company.tools:Deploy, which is not here.",
    ]


def test_the_prompt_has_no_clock(tmp_path: Path):
    kind = load("minimal/agent.yaml").kind
    texts = {main_prompt(kind, tmp_path, tmp_path) for _ in range(3)}
    assert len(texts) <= 2  # two at midnight
    assert not re.search(r"\d\d:\d\d", texts.pop().replace(str(tmp_path), ""))


# --- Markdown ---------------------------------------------------------------------------------------------------------


def test_files_of_kimi_code(tree: Path):
    types = from_corpus(tree, "kimi-code", "repo/.kimi-code")
    reviewer, writer = types["reviewer"], types["Writer"]
    assert reviewer.description == "Strict code reviewer that ranks what it finds Reviews and checks before a merge"
    may = ("ReadFile", "Grep", "Shell", "mcp__github__list", "mcp__gitlab__list")
    assert [tool for tool in may if allows(reviewer, tool)] == ["ReadFile", "Grep", "mcp__github__list"]
    assert (reviewer.subagents, reviewer.override, reviewer.context) == (("explore",), False, "own")
    role = "You are a strict reviewer. Read the diff, then report by severity."
    assert reviewer.prompt == f"{REPORT}\n\n{role}"
    assert (writer.tools, writer.subagents, writer.max_steps, writer.context) == ((), (), 12, "shared")
    assert main_prompt(writer, tree, tree) == "You write manuals."
    main = choose_agent(types, tree, "reviewer").kind
    assert main_prompt(main, tree, tree).endswith(f"# Your role\n\n{role}")
    assert not types.broken


def test_files_of_claude_code(tree: Path):
    types = from_corpus(tree, "claude", "user/.claude")
    runner = types["test-runner"]
    assert runner.tools == ("ReadFile", "StrReplaceFile", "Shell", "SetTodoList", "SearchWeb", "Agent")
    assert (runner.subagents, runner.max_steps, runner.model) == (("explore", "plan"), 20, "")
    assert runner.prompt.endswith("touches.\n\nReport failures first.")
    assert (types["architect"].tools, types["architect"].model) == (None, "opus")
    assert [text.rpartition("names the tool ")[2] for text in types.broken] == [
        "Bash(git diff:*), which is not here.",
        "NotebookEdit, which is not here.",
    ]


def test_a_narrow_permission_of_another_program_does_not_become_a_wide_one(tree: Path):
    markdown(tree / "user/.claude/agents", "narrow", head="tools: Read, Bash(git *)\n")
    assert not allows(look(tree)["narrow"], "Shell")


# --- where they are ---------------------------------------------------------------------------------------------------

PLACES = [
    "repo/sub/.kimi/agents", "repo/sub/.kimi-code/agents", "repo/sub/.agents/agents", "repo/sub/.claude/agents",
    "repo/.kimi/agents", "repo/.claude/agents/deeper", "user/.kimi/agents", "user/.kimi-code/agents",
    "user/.agents/agents", "user/.claude/agents", "plugin",
]  # fmt: skip


def test_every_folder_is_looked_at_and_the_nearest_wins(tree: Path):
    for place in reversed(PLACES):
        markdown(tree / place, "explore", place)
        assert look(tree, tree / "plugin")["explore"].description == place
    assert list(look(tree))[:4] == ["coder", "explore", "plan", "fork"]
    assert look(tree)["coder"] in BUILT_IN


def test_a_type_of_the_project_that_replaces_another_one_is_told(tree: Path):
    markdown(tree / "user/.claude/agents", "tester")
    markdown(tree / "user/.claude/agents", "plan")
    assert look(tree).broken == ()
    for name in ("Coder", "tester", "new"):
        markdown(tree / "repo/.kimi/agents", name)
    markdown(tree / "repo/sub/.kimi/agents", "coder")
    first, second = sorted(look(tree).broken)
    assert "coder is that of this project" in first
    assert first.endswith("repo/sub/.kimi/agents/coder.md, in place of the built-in one.")
    assert second.endswith(f"in place of that of {tree}/user/.claude/agents/tester.md.")


def test_nothing_above_the_repository_is_the_project(tree: Path):
    markdown(tree / ".kimi/agents", "outside")
    assert "outside" not in look(tree)


def test_yaml_files_are_found_and_prompts_beside_them_are_none(tree: Path):
    shutil.copytree(CORPUS / "kimi-cli", tree / "user/.kimi/agents")
    types = look(tree)
    assert set(types) - {kind.name for kind in BUILT_IN} == {"my-agent", "extend", "porter", "team", "worn"}
    main = choose_agent(types, tree / "repo", "TEAM")
    assert main.types["coder"].description == "Handle coding tasks"


def test_broken_ones_are_named_and_left_out(tree: Path):
    folder = tree / "user/.kimi/agents"
    markdown(folder, "good")
    markdown(folder, "steps", head="maxTurns: many\n")
    markdown(folder, "where", head="context: cloud\n")
    markdown(folder, "empty", body="")
    write(folder / "endless.md", "---\nname: x\n")
    write(folder / "slash.md", '---\nname: "a/b"\n---\nbody')
    write(folder / "list.yaml", "- a")
    write(folder / "syntax.yaml", "agent: [")
    spec(folder / "half.yaml", "name: half")
    os.mkfifo(folder / "pipe.md")
    (folder / "gone.md").symlink_to(folder / "nothing")
    types = look(tree)
    assert set(types) - {kind.name for kind in BUILT_IN} == {"good"}
    for name in ("steps", "where", "empty", "endless", "slash", "list.yaml", "syntax.yaml", "half.yaml", "pipe"):
        assert sum(name in text for text in types.broken) == 1, (name, types.broken)
    assert len(types.broken) == 9


def test_descriptions_show_all_that_they_say_in_one_line(tree: Path):
    markdown(tree / "repo/.kimi/agents", "odd", "a\x1b[31m b\u202e\u200b" + "c" * 500)
    about = look(tree)["odd"].description
    assert about.startswith("a b")
    assert about.isprintable()
    assert len(about) <= 240


# --- hostile files ----------------------------------------------------------------------------------------------------


def test_a_project_cannot_show_files_from_outside(tree: Path):
    write(tree / "user/.ssh/id_rsa", "BEGIN KEY")
    write(tree / "user/notes.txt", "BEGIN NOTES")
    write(tree / "repo/.env", "BEGIN ENV")
    folder = tree / "repo/.kimi/agents"
    folder.mkdir(parents=True)
    (folder / "key.md").symlink_to(tree / "user/.ssh/id_rsa")
    (folder / "notes.md").symlink_to(tree / "user/notes.txt")
    (folder / "env.md").symlink_to(tree / "repo/.env")
    for name, path in (("a", "../../../user/notes.txt"), ("b", "../../.env"), ("c", str(tree / "user/notes.txt"))):
        spec(folder / f"{name}.yaml", f"name: {name}\nsystem_prompt_path: {path}\ntools: []")
    spec(folder / "d.yaml", "extend: ../../../user/base.yaml")
    spec(tree / "user/base.yaml", "name: base\nsystem_prompt_path: notes.txt\ntools: []")
    types = look(tree)
    assert len(types) == len(BUILT_IN)
    assert len(types.broken) == 7
    assert "BEGIN" not in str(types)


def test_subagents_of_a_project_stay_in_it(tree: Path):
    folder = tree / "repo/.kimi/agents"
    spec(tree / "user/sub.yaml", "extend: default")
    spec(folder / "team.yaml", f"extend: default\nsubagents: {{x: {{path: {tree / 'user/sub.yaml'}, description: y}}}}")
    with pytest.raises(ConfigError, match="leads out of the project"):
        choose_agent(look(tree), tree / "repo", "team")
    assert "x" in load_agent_file(folder / "team.yaml").types  # the person named the file


def test_an_agent_file_never_shows_a_secret(tree: Path):
    write(tree / "id_rsa", "BEGIN KEY")
    assert "secret" in refused(spec(tree / "x.yaml", "name: x\nsystem_prompt_path: id_rsa\ntools: []"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("!!python/object/apply:os.system ['touch hacked']", "no YAML"),
        ("agent: !!python/name:os.system", "no YAML"),
        ("agent: !!bool maybe", "not what its tag says"),
        ("agent: !!timestamp soon", "not what its tag says"),
        ("agent: !!int ''", "agent file"),
        ("agent: &a [*a]", "no map `agent`"),
        ("version: 2\nagent: {name: x}", "version is not 1"),
        ("version: [1]\nagent: {name: x}", "version is not 1"),
        ("agent: {name: [x]}", "name is not a text"),
        ("agent: {extend: default, tools: Shell}", "tools is not a list"),
        ("agent: {extend: default, system_prompt_args: {a: {b: c}}}", "a in system_prompt_args"),
        ("agent: {extend: default, subagents: {a: b}}", "subagents is not a map"),
        ("agent: {extend: default, subagents: [a]}", "subagents is not a map"),
        ("agent: {extend: default, subagents: {a/b: {path: x, description: y}}}", "cannot be typed"),
        ("agent: {extend: default, subagents: {a: {path: gone.yaml, description: y}}}", "gone.yaml: No such file"),
        ("agent: {extend: gone.yaml}", "cannot be read: No such file"),
        ("agent: {name: x, tools: [], system_prompt_path: gone.md}", "gone.md cannot be read: No such file"),
        ("agent: {name: x, tools: [], system_prompt_path: .}", "cannot be read: Is a directory"),
        ("agent: {name: x, system_prompt_path: x.md}", "gives no tools"),
        ("agent: {system_prompt_path: x.md, tools: []}", "gives no name"),
        ("agent: {name: x, tools: []}", "gives no system_prompt_path"),
        ("[" * 20_000, "nested too deep"),
        ("- " * 20_000, "nested too deep"),
        ("a: 1\n\x00", "no YAML"),
        ("agent: {x: " + "9" * 5000 + "}", "agent file"),
        ("agent: {x: 2020-99-99}", "agent file"),
        ("x" * (SPEC_LIMIT + 1), "larger than 64 KiB"),
        ("", "no map `agent`"),
    ],
    ids=range(28),
)
def test_what_no_agent_file_may_say(tmp_path: Path, text: str, told: str):
    assert told in refused(write(tmp_path / "x.yaml", text))
    assert not (tmp_path / "hacked").exists()


def test_bombs_of_aliases_and_merges_do_not_go_off(tmp_path: Path):
    lists = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 40))
    for use in ("version: *a39\nagent: {name: x}", "agent: {extend: default, tools: *a39}",
                "agent: {extend: default, system_prompt_args: {a: *a39}}", "agent: *a39"):  # fmt: skip
        assert len(refused(write(tmp_path / "x.yaml", lists + use))) < 300
    merges = "a0: &a0 {x: y, z: z}\n"
    merges += "".join(f"a{i}: &a{i}\n  <<: [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 40))
    assert "too many keys" in refused(write(tmp_path / "x.yaml", merges + "agent: *a39"))


def test_few_merged_keys_are_fine(tmp_path: Path):
    text = "base: &base {A: one, B: one}\nagent: {extend: default, system_prompt_args: {<<: *base, B: two, ROLE_ADDITIONAL: r}}"
    assert load_agent_file(write(tmp_path / "x.yaml", text)).kind.prompt == "r"


def test_cycles_of_extend_end(tmp_path: Path):
    spec(tmp_path / "a.yaml", "extend: ./b.yaml")
    assert "a.yaml extends itself" in refused(spec(tmp_path / "b.yaml", "extend: a.yaml")).replace(
        "b.yaml ext", "a.yaml ext"
    )
    for number in range(40):
        spec(tmp_path / f"{number}.yaml", f"extend: {number + 1}.yaml")
    assert "too many files" in refused(tmp_path / "0.yaml")


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("${NOBODY}", "uses ${NOBODY}, which system_prompt_args does not give"),
        ("${KIMI_OS.__class__}", "getattr"),
        ("${KIMI_OS['x']}", "getitem"),
        ("${cycler()}", "call"),
        ("{% for i in range(10 ** 9) %}x{% endfor %}", "for"),
        ("{% set x = 1 %}", "assign"),
        ("{% macro m() %}${m()}{% endmacro %}", "macro"),
        ("${'x' * 1000000000}", "mul"),
        ("${KIMI_OS | center(1000000000)}", "filter"),
        ("{% include KIMI_OS %}", "include"),
        ("{% import 'x' as y %}", "import"),
        ("{% extends 'x' %}", "extends"),
        ("a\n{% if KIMI_OS %}", "line 2"),
        ("{% nonsense %}", "line 1"),
        ("${" + "(" * 20_000, "system prompt"),
        ("{% include '/etc/passwd' %}", "not below its folder"),
        ("{% include '../x.md' %}", "not below its folder"),
        ("{% include 'gone.md' %}", "gone.md cannot be read"),
        ("{% include 'p.md' %}", "too many files"),
        ("x" * (TEXT_LIMIT + 1), "larger than 128 KiB"),
        ("{% if KIMI_OS %}" * 150 + "{% endif %}" * 150, "nested too deep"),
        ("{% if 0 %}" + "{% elif 0 %}" * 3000 + "{% endif %}", "nested too deep"),
        ("{% if KIMI_OS is nosuch %}x{% endif %}", "test"),
        ("{% if '%999999999d' is divisibleby(3) %}x{% endif %}", "test"),
    ],
    ids=range(24),
)
def test_templates_that_are_refused_when_they_are_loaded(tmp_path: Path, template: str, told: str):
    write(tmp_path / "p.md", template)
    assert told in refused(spec(tmp_path / "x.yaml", "name: x\nsystem_prompt_path: p.md\ntools: []"))


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{% if KIMI_OS < 3 %}x{% endif %}", "'<' not supported"),
        ("{% if KIMI_OS in 3 %}x{% endif %}", "not iterable"),
        ("${KIMI_OS | length(3)}", "2 given"),
        ("${BIG}" * 100, "longer than 1,000,000 characters"),
    ],
)
def test_templates_that_cannot_be_filled_in_are_told(tmp_path: Path, template: str, told: str):
    write(tmp_path / "p.md", template)
    arguments = f"system_prompt_args: {{BIG: {'x' * 20_000}}}"
    path = spec(tmp_path / "x.yaml", f"name: x\nsystem_prompt_path: p.md\ntools: []\n{arguments}")
    with pytest.raises(ConfigError, match=told):
        filled(load_agent_file(path).kind, tmp_path)


def test_included_files_are_bounded_together(tmp_path: Path):
    write(tmp_path / "part.md", "x" * (TEXT_LIMIT // 8))
    write(tmp_path / "p.md", '{% include "part.md" %}\n' * (MAX_INCLUDES - 1))
    assert "larger than 128 KiB" in refused(spec(tmp_path / "x.yaml", "name: x\nsystem_prompt_path: p.md\ntools: []"))


def test_what_a_value_says_is_no_template(tmp_path: Path):
    write(tmp_path / "p.md", "${A} ${KIMI_AGENTS_MD}")
    write(tmp_path / "AGENTS.md", "{% include 'x' %}${B}")
    path = spec(tmp_path / "x.yaml", "name: x\nsystem_prompt_path: p.md\ntools: []\nsystem_prompt_args: {A: '${B}'}")
    text = filled(load_agent_file(path).kind, tmp_path)
    assert text.startswith("${B} ")
    assert text.endswith("{% include 'x' %}${B}")


def test_sockets_and_folders_are_no_files(tree: Path):
    folder = tree / "user/.kimi/agents"
    (folder / "folder.md").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        before = Path.cwd()
        os.chdir(folder)  # a socket's path must be short
        try:
            listener.bind("socket.md")
        finally:
            os.chdir(before)
        assert len(look(tree).broken) == 2


@given(st.text())
def test_any_text_is_read_or_refused_in_words(tmp_path_factory: pytest.TempPathFactory, text: str):
    folder = tmp_path_factory.mktemp("any", numbered=True)
    for name, content in (
        ("a.md", text),
        ("b.md", f"---\n{text}\n---\nbody"),
        ("c.yaml", text),
        ("d.yaml", f"agent: {text}"),
    ):
        path = folder / name
        path.write_bytes(content.encode("utf-8", "surrogatepass"))
        with contextlib.suppress(ConfigError):
            assert load_agent_file(path).kind.description.isprintable()


# --- the main agent ---------------------------------------------------------------------------------------------------


def test_the_default_agent_says_what_it_always_said(tmp_path: Path):
    assert choose_agent(AgentTypes(), tmp_path, "default").kind is DEFAULT
    assert main_prompt(DEFAULT, tmp_path, tmp_path, skills="S") == system_prompt(tmp_path, tmp_path, "S")
    assert "Think" in (agent_files.choose_agent(AgentTypes(), tmp_path, "okabe").kind.tools or ())


def test_a_built_in_type_as_main_agent_speaks_with_the_person(tmp_path: Path):
    kind = choose_agent(AgentTypes(), tmp_path, "explore").kind
    assert kind.prompt.startswith("Your role is to find things out")
    assert not allows(kind, "WriteFile")
    coder = choose_agent(AgentTypes(), tmp_path, "Coder").kind
    assert allows(coder, "AskUserQuestion")
    assert allows(coder, "Agent")


def test_unknown_agents_are_named_with_the_known_ones(tmp_path: Path):
    with pytest.raises(ConfigError) as caught:
        choose_agent(AgentTypes(), tmp_path, "x\x1b[2J")
    assert "\x1b" not in caught.value.full
    assert caught.value.hint == "Known: default, okabe, coder, explore, plan."


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("v.md", "---\nname: v\nmax_steps: banana\n---\nDo it.\n", "its max_steps is not a number above 0"),
        ("V.md", "---\nname: v\ntools: [ReadFile\n---\nDo it.\n", "its tools is no list: [ReadFile"),
        ("w.md", "---\nname: v\ntools: 'ReadFile\n---\nDo it.\n", "its tools is no list: 'ReadFile"),
        ("v.yaml", "version: 1\nagent:\n  extend: ../../../v.yaml\n", "leads out of the project"),
        ("v/agent.yaml", "version: 1\nagent: [\n", "it is no YAML"),
    ],
)
def test_an_agent_whose_file_is_left_out_is_named_with_the_reason(tree: Path, file: str, text: str, told: str):
    path = write(tree / "repo" / ".kimi" / "agents" / file, text)
    write(tree / "v.yaml", "version: 1\nagent:\n  extend: default\n")
    types = discover_agents(tree / "repo", tree / "home", tree / "user")
    assert "v" not in types
    with pytest.raises(ConfigError) as refused:
        choose_agent(types, tree / "repo", "v")
    assert str(refused.value) == "there is no agent 'v'"
    assert str(path) in refused.value.hint
    assert told in refused.value.hint
    assert "Known: default" in refused.value.hint


@pytest.mark.parametrize("tools", ["[ReadFile, Grep]  # two", "[ReadFile,\n  Grep]", "\n- ReadFile\n- Grep"])
def test_every_form_of_a_list_in_a_head(tree: Path, tools: str):
    markdown(tree / "repo" / ".kimi" / "agents", "v", head=f"tools: {tools}\n")
    assert discover_agents(tree / "repo", tree / "home", tree / "user")["v"].tools == ("ReadFile", "Grep")


def test_tools_and_models_that_nobody_has_are_told(tmp_path: Path):
    """Known are those of a plugin, of an MCP server that may come, those that the configuration withholds, and patterns."""
    kimi = Program(tmp_path)
    kimi.use("http://127.0.0.1:9/v1")
    write_plugin(tmp_path / "hello")
    kimi.run("plugin", "install", str(tmp_path / "hello"), "--yes")
    head = "tools: NoSuchTool, ReadFile, SearchWeb, greet, mcp__git__log, Read*\ndisallowedTools: Shel\nmodel: nosuch\n"
    path = markdown(kimi.work / ".kimi" / "agents", "v", head=head)
    for flags in ([], ["--agent", "v"]):
        done = kimi.run("--trust", "-p", "x", "--provider", kimi.scenario([{"text": "Done."}]), *flags)
        assert done.stdout == "Done.\n", done.stderr
        told = [line for line in done.stderr.splitlines() if "The agent type v" in line]
        assert told == [
            f"kimi: The agent type v ({path}) names the tool NoSuchTool, which is not here.",
            f"kimi: The agent type v ({path}) names the tool Shel, which is not here.",
            f"kimi: The agent type v ({path}) names the model nosuch, which is not configured: it gets that of its caller.",
        ]


async def test_a_session_has_the_prompt_and_the_tools_of_its_main_agent(tmp_path: Path):
    provider = ListProvider([say("done"), say("done")])
    house = House(tmp_path, provider, [FakeTool(name, "", instant()) for name in ("ReadFile", "Shell")])
    house.agent.main_agent = AgentType("x", "", "You only read.", tools=("Read*",), override=True)
    session = house.open()
    await play(session, "hi")
    await session.aclose()
    house.agent.main_agent = DEFAULT
    again = house.open(session.id)
    await play(again, "hi")
    assert [request.system for request in provider.requests] == ["You only read."] * 2
    assert [tool.name for tool in provider.requests[0].tools] == ["ReadFile"]


def test_the_flags_start_the_agent_of_a_file(tmp_path: Path):
    kimi = Program(tmp_path)
    shutil.copytree(CORPUS / "kimi-cli", kimi.work / ".kimi/agents")
    steps = [{"text": "Hello"}]
    for flags in (["--agent-file", ".kimi/agents/minimal/agent.yaml"], ["--agent", "MY-agent"]):
        done = kimi.run(*flags, "--trust", "-p", "hi", "--provider", kimi.scenario(steps))
        assert (done.returncode, done.stdout) == (0, "Hello\n"), done.stderr
    prompts = [path.read_text() for path in (kimi.home / "sessions").glob("*.jsonl")]
    assert len(prompts) == 2
    assert all(f"You help with one repository, {kimi.work}." in text for text in prompts)
    assert not any("You are Kimi" in text for text in prompts)


@pytest.mark.parametrize("flags", [["--agent", "team"], ["--agent-file", ".kimi/agents/team/agent.yaml"]])
def test_the_model_is_offered_the_subagents_of_its_file_and_no_others(tmp_path: Path, flags: list[str]):
    kimi = Program(tmp_path)
    shutil.copytree(CORPUS / "kimi-cli", kimi.work / ".kimi/agents")
    with FakeAPI([[{"text": "Hello"}]]) as api:
        kimi.use(api.url)
        done = kimi.run(*flags, "--trust", "-p", "hi")
    assert (done.returncode, done.stdout) == (0, "Hello\n"), done.stderr
    (tool,) = [tool["function"] for tool in api.requests[0].json["tools"] if tool["function"]["name"] == "Agent"]
    assert "- coder: Handle coding tasks\n- reviewer: Code review expert" in tool["description"]
    assert "explore:" not in tool["description"]


def test_what_was_passed_over_is_told(tmp_path: Path):
    kimi = Program(tmp_path)
    done = kimi.run(
        "--agent-file",
        str(CORPUS / "kimi-cli/worn/agent.yaml"),
        "-p",
        "x",
        "--provider",
        kimi.scenario([{"text": "y"}]),
    )
    assert "names the tool kimi_cli.tools.dmail:SendDMail, which is not here." in done.stderr
    assert done.stdout == "y\n"


def test_a_file_of_the_project_leads_nowhere_else_also_when_it_is_named(tmp_path: Path):
    project = tmp_path / "project"
    (project / ".git").mkdir(parents=True)
    outside = tmp_path / "outside.md"
    outside.write_text("not for the model")
    spec = 'version: 1\nagent:\n  name: q\n  system_prompt_path: ../outside.md\n  tools: ["kimi_cli.tools.file:ReadFile"]\n'
    (project / "q.yaml").write_text(spec)
    (tmp_path / "own.yaml").write_text(spec.replace("../", "./"))
    with pytest.raises(ConfigError, match="leads out of the project"):
        choose_agent(AgentTypes(), project, path=project / "q.yaml")
    assert choose_agent(AgentTypes(), project, path=tmp_path / "own.yaml").kind.prompt == "not for the model"
