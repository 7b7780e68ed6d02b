"""Skills and custom commands: found in order, listed within a budget, expanded for the model, and never trusted."""

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machine import House, ListProvider, call, calls, of, play, say

from kimi_agent.agent import frontmatter
from kimi_agent.agent.skill_files import Places, discover
from kimi_agent.agent.skill_tool import SkillTool
from kimi_agent.agent.skills import LISTING_TOKENS, Library, fill
from kimi_agent.agent.tokens import text_tokens
from kimi_agent.agent.transcript import PromptBlock, Transcript
from kimi_agent.builtin import SKILLS
from kimi_agent.commands import NAMES
from kimi_agent.config import Config
from kimi_agent.core import event as ev
from kimi_agent.core.errors import SessionError


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def skill(folder: Path, name: str, about: str = "does it", body: str = "Do it.", head: str = "") -> Path:
    return write(folder / name / "SKILL.md", f"---\nname: {name}\ndescription: {about}\n{head}---\n\n{body}\n")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    (tmp_path / "repo" / "sub").mkdir()
    (tmp_path / "user").mkdir()
    return tmp_path


def look(tree: Path, cwd: str = "repo/sub", reserved: tuple[str, ...] = (), **places: object) -> Library:
    return discover(tree / cwd, Places(tree / "user/.kimi", tree / "user", **places), reserved=reserved)  # type: ignore[arg-type]


# --- where they are ---------------------------------------------------------------------------------------------------


PLACES = [
    "repo/sub/.kimi/skills", "repo/sub/.claude/skills", "repo/sub/.codex/skills", "repo/sub/.agents/skills",
    "repo/.kimi/skills", "repo/.agents/skills", "user/.kimi/skills", "user/.claude/skills", "user/.codex/skills",
    "user/.agents/skills", "user/.config/agents/skills", "extra",
]  # fmt: skip


def test_every_official_folder_is_looked_at_and_the_nearest_wins(tree: Path):
    for place in reversed(PLACES):
        skill(tree / place, "same", place)
        assert look(tree, extra=(tree / "extra",)).skills["same"].description == place


def test_what_a_project_puts_in_the_place_of_another_one_is_told(tree: Path):
    for name in ("deploy", "same"):
        skill(tree / "user/.kimi/skills", name)
    write(tree / "user/.kimi/commands/fix.md", "mine")
    skill(tree / "repo/.kimi/skills", "same")
    skill(tree / "repo/.kimi/skills", "new", "theirs")
    assert look(tree).broken == ()
    skill(tree / "repo/sub/.kimi/skills", "new")
    skill(tree / "repo/.kimi/skills", "Deploy", "theirs")
    write(tree / "repo/.kimi/commands/fix.md", "theirs")
    first, second = look(tree).broken
    assert "The skill Deploy is that of this project" in first
    assert f"in place of that of {tree}/user/.kimi/skills/deploy/SKILL.md." in first
    assert "The command fix is that of this project" in second


def test_nothing_above_the_repository_is_the_project(tree: Path):
    skill(tree / ".kimi/skills", "outside")
    assert not look(tree).skills


def test_given_folders_replace_all_others(tree: Path):
    for place in PLACES:
        skill(tree / place, "hidden")
    skill(tree / "mine", "only")
    assert list(look(tree, only=(tree / "mine",), extra=(tree / "extra",)).skills) == ["only"]


def test_without_merging_the_first_brand_is_taken(tree: Path):
    skill(tree / "user/.claude/skills", "claude")
    skill(tree / "user/.codex/skills", "codex")
    skill(tree / "user/.agents/skills", "generic")
    assert set(look(tree, merge=False).skills) == {"claude", "generic"}
    assert set(look(tree).skills) == {"claude", "codex", "generic"}


def test_flat_files_headless_files_and_names_with_spaces(tree: Path):
    write(tree / "user/.kimi/skills/flat.md", "# Tidy up\n\nRemove what nobody calls.")
    write(tree / "user/.kimi/skills/x/SKILL.md", "---\nname: My Skill\n---\nbody")
    (tree / "user/.kimi/skills/empty").mkdir()
    library = look(tree)
    assert library.skills["flat"].description == "Tidy up"
    assert library.skills["my-skill"].name == "My-Skill"
    assert not library.broken


def test_broken_ones_are_named_and_left_out(tree: Path):
    folder = tree / "user/.kimi/skills"
    write(folder / "endless.md", "---\nname: x\n")
    write(folder / "odd.md", "---\nwhat is this\n---\n")
    write(folder / "bad.md", '---\nname: "a/b"\n---\n')
    os.mkfifo(folder / "pipe.md")
    skill(folder, "good")
    library = look(tree)
    assert list(library.skills) == ["good"]
    assert [
        name for name in ("endless", "odd", "bad", "pipe") if not any(name in text for text in library.broken)
    ] == []


def test_a_project_cannot_show_files_from_outside_by_a_link(tree: Path):
    secret = write(tree / "user/.ssh/id_rsa", "-----BEGIN KEY-----")
    folder = tree / "repo/.kimi/skills"
    folder.mkdir(parents=True)
    (folder / "key.md").symlink_to(secret)
    write(tree / "repo/.env", "TOKEN=1")
    (folder / "env.md").symlink_to(tree / "repo/.env")
    (tree / "repo/.claude").symlink_to(tree / "user", target_is_directory=True)
    skill(tree / "user/skills", "linked")
    library = look(tree)
    assert not library.skills
    assert len(library.broken) == 3
    assert "BEGIN" not in str(library)


# --- the head ---------------------------------------------------------------------------------------------------------


def test_the_head_as_people_write_it():
    text = """---
# a comment
name: "quoted \\"name\\""
description: >-
  Folded
  text: with a colon
allowed-tools:
  - Read
  - Grep
metadata:
  author: me
arguments: [issue, "branch"]
Disable-Model-Invocation: true   # not by itself
---
Body
---
more"""
    values, body = frontmatter.split(text)
    assert values == {
        "name": 'quoted "name"', "description": "Folded text: with a colon", "allowedtools": ("Read", "Grep"),
        "metadata": "", "arguments": ("issue", "branch"), "disablemodelinvocation": "true",
    }  # fmt: skip
    assert body == "Body\n---\nmore"


def test_heads_that_yaml_reads_cost_no_file():
    text = """---
"name": 'it''s'
作者: 张三
x.y: 1
short description: it is: short
allowed-tools: [
  Read,
  "a, b",
]
description: "\\u4e2d\\n\\x41 \\"q\\""
---
"""
    assert frontmatter.split(text)[0] == {
        "name": "it's", "作者": "张三", "x.y": "1", "short description": "it is: short", "allowedtools": ("Read", "a, b"),
        "description": '\\u4e2d\\n\\x41 "q"',
    }  # fmt: skip
    assert frontmatter.split('---\na: "\\u4e2d\\n"\n---\n')[0] == {"a": "中\n"}


@given(st.text())
def test_any_text_is_read_or_refused_in_words(text: str):
    for each in (text, f"---\n{text}\n---\nbody"):
        try:
            frontmatter.split(each)
        except ValueError as error:
            assert "head" in str(error)  # noqa: PT017


# --- arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "arguments", "filled"),
    [
        ("Fix $ARGUMENTS.", "a b", "Fix a b."),
        ("Fix $ARGUMENTS.", "", "Fix ."),
        ("$2 then $1.", "'a b' c", "c then a b."),
        ("$0 then $1", "a b", "a then b"),
        ("$ARGUMENTS[1]", "a b", "b"),
        ("awk '{print $1}'", "", "awk '{print $1}'"),
        ("costs $1.50 or \\$1", "x", "costs $1.50 or $1\n\nARGUMENTS: x"),
        ("issue $issue on $branch and $HOME", "7 main", "issue 7 on main and $HOME"),
        ("plain", "do 'it", "plain\n\nARGUMENTS: do 'it"),
        ("$1", "'$2 $ARGUMENTS' x", "$2 $ARGUMENTS"),
        ("${KIMI_SKILL_DIR}/run.sh", "", "/skills/x/run.sh"),
    ],
)
def test_arguments_are_filled_in_once(body: str, arguments: str, filled: str):
    assert fill(body, arguments, ("issue", "branch"), "/skills/x") == filled


@given(st.text(), st.text())
def test_no_argument_is_lost(body: str, arguments: str):
    arguments = arguments.strip()
    text = fill(body, arguments)
    assert arguments in text or "$" in body


# --- what the model is told -------------------------------------------------------------------------------------------


def test_a_hundred_skills_fit_the_budget_and_all_are_named(tree: Path):
    for number in range(100):
        skill(tree / "user/.kimi/skills", f"skill-number-{number}", "Explains something at considerable length. " * 20)
    listing = look(tree).listing()
    assert text_tokens(listing) <= LISTING_TOKENS < 1500
    assert all(f"- skill-number-{number}" in listing for number in range(100))


def test_too_many_names_are_counted(tree: Path):
    for number in range(900):
        skill(tree / "user/.kimi/skills", f"a-rather-long-name-of-a-skill-{number}", "言葉" * 100)
    listing = look(tree).listing()
    assert text_tokens(listing) <= LISTING_TOKENS + 10
    assert listing.endswith("more)")


def test_descriptions_are_one_visible_line(tree: Path):
    evil = "nice\x1b[2J \u202eodd\u200b\U000e0041"
    write(tree / "repo/.kimi/skills/x.md", f"---\ndescription: |\n  {evil}\n  - fake: entry\n---\n")
    [line] = [line for line in look(tree).listing().splitlines() if line.startswith("- ")]
    assert line == "- x: nice odd - fake: entry"


def test_nothing_is_told_when_there_is_nothing(tree: Path):
    assert look(tree).listing() == ""
    skill(tree / "user/.kimi/skills", "mine", head="disable-model-invocation: true\n")
    library = look(tree)
    assert library.listing() == ""
    assert library.find("/mine now")[1] == "now"


# --- built-in ones ----------------------------------------------------------------------------------------------------


def test_the_built_in_ones_come_last_and_cost_little(tree: Path):
    library = look(tree, built_in=(SKILLS,), only=(tree / "nothing",))
    assert set(library.skills) == {"kimi-cli-help", "skill-creator"}
    assert text_tokens(library.listing()) < 120
    assert not library.broken
    skill(tree / "plugin", "kimi-cli-help", "of a plugin")
    skill(tree / "repo/lib", "skill-creator", "of an extra folder")
    library = look(tree, built_in=(SKILLS,), extra=(Path("lib"),), plugin_skills=(tree / "plugin",))
    assert library.skills["kimi-cli-help"].description == "of a plugin"
    assert library.skills["skill-creator"].description == "of an extra folder"


def test_what_the_help_names_is_there(tree: Path):
    """Subcommands, slash commands, tables of the configuration: the skill must not speak of what there is not."""
    text = look(tree, built_in=(SKILLS,)).expand("/kimi-cli-help")
    names = {field.name for field in dataclasses.fields(Config)}
    assert {name.partition(".")[0] for name in re.findall(r"`\[+([\w.]+)", text)} - {"NAME"} <= names
    assert set(re.findall(r"`(default_\w+|extra_\w+|theme)`", text)) <= names
    assert set(re.findall(r"`/([a-z]+)`", text)) <= NAMES
    for command in set(re.findall(r"`kimi ([a-z]+(?: [a-z]+)?)(?: --help)?`", text)):
        done = subprocess.run(
            [sys.executable, "-m", "kimi_agent", *command.split(), "--help"], capture_output=True, check=False
        )
        assert done.returncode == 0, command


# --- how they are called ----------------------------------------------------------------------------------------------


def test_what_a_prompt_calls(tree: Path):
    skill(tree / "user/.kimi/skills", "Review")
    skill(tree / "user/.kimi/skills", "auto", head="user-invocable: false\n")
    write(tree / "repo/.claude/commands/git/push.md", "Push it.")
    write(tree / "repo/.kimi/commands/review.md", "of the project")
    write(tree / "user/.kimi/commands/review.md", "of the user")
    write(tree / "repo/.kimi/commands/help.md", "not the help")
    write(tree / "repo/.kimi/commands/init.md", "not the init")
    library = look(tree, reserved=("help", "init"))
    assert library.find("/skill:review a\nb")[0].kind == "skill"
    assert "of the project" in library.expand("/review")
    assert library.find("/git:push") is not None
    assert library.find("/help") is None
    assert "AGENTS.md" in library.expand("/init")
    for text in ("/auto", "/skill:auto", "/skill:no", "/etc/hosts", "review", "/ review", "/"):
        assert library.find(text) is None
    assert set(library.for_person()) == {"skill:Review", "review", "git:push"}


def house_with(tree: Path, provider: ListProvider) -> House:
    (tree / "work").mkdir()
    house = House(tree, provider)
    places = Places(tree / "home", tree / "user")
    house.agent.find_skills = lambda folder: discover(folder, places)
    return house


def test_commands_of_plugins_have_a_long_name_too(tree: Path):
    """As in kimi-code and Claude Code; the long name is listed only where the short one is another command."""
    for place in ("one/report.md", "two/report.md", "two/help.md", "single.md"):
        write(tree / place, f"of {place}")
    brought = [("one", tree / "one"), ("two", tree / "two"), ("two", tree / "single.md")]
    library = look(tree, plugin_commands=brought, reserved=("help",))
    called = {
        name: library.expand(name) for name in ("/report", "/one:report", "/Two:report", "/two:help", "/two:single")
    }
    assert [text.rpartition("of ")[2] for text in called.values()] == [
        "one/report.md", "one/report.md", "two/report.md", "two/help.md", "single.md",
    ]  # fmt: skip
    assert sorted(library.for_person()) == ["report", "single", "two:help", "two:report"]


def test_of_two_plugins_with_a_skill_of_one_name_the_later_one_is_told(tree: Path):
    """Not where the person's own is in the place of a plugin's, and not where both say the same."""
    for place in ("one", "two"):
        skill(tree / place, "review", body=f"of {place}")
        skill(tree / place, "same")
        skill(tree / place, "own", body=f"of {place}")
    skill(tree / "user/.kimi/skills", "own")
    library = look(tree, plugin_skills=(tree / "one", tree / "two"))
    assert "of one" in library.expand("/review")
    first, second = (tree / place / "review" / "SKILL.md" for place in ("one", "two"))
    assert library.broken == (f"The skill {second} is left out: {first} is one of that name.",)


async def test_the_model_calls_a_skill(tree: Path):
    provider = ListProvider([calls(call("Skill", '{"name": "Review", "arguments": "src"}')), say("done")])
    house = house_with(tree, provider)
    path = skill(tree / "home/skills", "review", "reviews code", "Look at $1 hard.")
    events = await play(house.open(), "review the code")
    first, second = provider.requests
    assert "- review: reviews code" in first.system
    assert [tool.name for tool in first.tools] == ["Skill", "EnterPlanMode", "ExitPlanMode"]
    answer = second.messages[-1].result.content[0].text
    assert "Look at src hard." in answer
    assert str(path.parent) in answer
    assert not of(events, ev.ToolFinished)[0].is_error


async def test_the_person_calls_a_skill_and_the_transcript_shows_what_they_typed(tree: Path):
    provider = ListProvider(lambda request: say("done"))
    house = house_with(tree, provider)
    skill(tree / "home/skills", "review", body="Look at $1 hard.")
    session = house.open()
    await play(session, "/review src")
    assert provider.requests[0].messages[0].text == "/review src"
    assert "Look at src hard." in provider.requests[0].messages[1].text
    transcript = Transcript()
    for event in session.events():
        transcript.apply(event)
    assert [block.text for block in transcript.blocks if isinstance(block, PromptBlock)] == ["/review src"]


async def test_a_skill_that_is_gone_ends_the_turn_with_its_name(tree: Path):
    house = house_with(tree, ListProvider(lambda request: say("done")))
    path = skill(tree / "home/skills", "review")
    session = house.open()
    path.unlink()
    end = of(await play(session, "/review"), ev.TurnEnded)[-1]
    assert end.stop == "error"
    assert "review cannot be read" in end.error
    with pytest.raises(SessionError):
        session.skills.expand("/review")


async def test_broken_ones_are_told_and_new_ones_join_the_next_session(tree: Path):
    house = house_with(tree, ListProvider(lambda request: say("done")))
    write(tree / "home/skills/bad.md", "---\n")
    assert house.open().skills.for_model() == []
    assert [text for text in house.agent.notices if "bad.md" in text]
    skill(tree / "home/skills", "new")
    assert [each.name for each in house.open().skills.for_model()] == ["new"]
    assert len(house.agent.notices) == 1


def test_the_tool_asks_before_a_secret_file(tree: Path):
    write(tree / "user/.kimi/skills/x/SKILL.md", "text")
    library = look(tree)
    path = library.skills["x"].path
    path.unlink()
    path.symlink_to(write(tree / "user/.ssh/id_rsa", "KEY"))
    [effect] = SkillTool(lambda: library).effects(SkillTool.Params("x"), None)  # type: ignore[arg-type]
    assert effect.target == str(tree / "user/.ssh/id_rsa")
