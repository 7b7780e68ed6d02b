"""Files in the formats of kimi-cli 1.49 load unchanged: no error, no warning, and they mean what they meant."""

import json
import re
import shutil
from pathlib import Path

import pytest
from kimi_program import Program

from kimi_agent.agent.hooks import understand
from kimi_agent.agent.skill_files import Places, discover
from kimi_agent.agent.skills import Library
from kimi_agent.builtin import SKILLS
from kimi_agent.config import Config
from kimi_agent.config.load import load_config
from kimi_agent.core.errors import SessionError
from kimi_agent.core.hook import Hook, HookExit
from kimi_agent.workspaces.command import run_hook

CORPORA = Path(__file__).parent / "corpus"
CORPUS = CORPORA / "kimi-cli-1.49"
KEYS = """
default_model default_thinking default_yolo skip_afk_prompt_injection default_plan_mode default_editor theme
show_thinking_stream merge_all_available_skills extra_skill_dirs telemetry providers models loop_control background
notifications services mcp hooks
type base_url api_key env custom_headers reasoning_key oauth storage key
provider model max_context_size capabilities display_name
max_steps_per_turn max_retries_per_step max_ralph_iterations reserved_context_size compaction_trigger_ratio
max_running_tasks read_max_bytes notification_tail_lines notification_tail_chars wait_poll_interval_ms
worker_heartbeat_interval_ms worker_stale_after_ms kill_grace_period_ms keep_alive_on_exit agent_task_timeout_s
print_wait_ceiling_s claim_stale_after_ms moonshot_search moonshot_fetch client tool_call_timeout_ms
event command matcher timeout
"""
"""What 1.49 documents for its configuration file, section by section."""


def load(name: str) -> Config:
    return load_config(CORPUS / "config" / name, {})


@pytest.mark.parametrize("path", sorted((CORPUS / "config").iterdir()), ids=lambda path: path.name)
def test_a_configuration_loads_without_a_warning(path: Path):
    assert load(path.name).warnings == ()
    assert load_config(None, {}, text=path.read_text()).warnings == ()


def test_the_corpus_has_every_key_of_the_documentation():
    text = "\n".join(path.read_text() for path in (CORPUS / "config").iterdir())
    assert not [key for key in KEYS.split() if not re.search(rf"\b{key}\b", text)]


def test_every_value_arrives():
    config = load("full.toml")
    assert (config.default_model, config.default_thinking, config.default_plan_mode) == ("house", True, True)
    assert (config.default_editor, config.theme, config.show_thinking_stream) == ("code --wait", "light", False)
    assert config.merge_all_available_skills is False
    assert config.extra_skill_dirs == ("~/team-skills", ".claude/more-skills", "/opt/skills")
    assert {name: entry.type for name, entry in config.providers.items()} == {
        "moonshot": "kimi", "gateway": "openai_legacy", "responses": "openai_responses", "claude": "anthropic",
        "google": "google_genai", "gemini": "gemini", "vertex": "vertexai",
    }  # fmt: skip
    assert config.providers["moonshot"].custom_headers == {"X-Team": "storage", "X-Trace": "on"}
    assert config.providers["gateway"].reasoning_key == "reasoning"
    assert config.models["house"].capabilities == {"thinking", "image_in"}
    assert config.models["glm-4.6"].model == "zai/glm-4.6"
    assert config.models["bare"].max_context_size == 400_000
    loop = config.loop_control
    assert (loop.max_steps_per_turn, loop.max_retries_per_step, loop.max_ralph_iterations) == (500, 7, 4)
    assert (loop.reserved_context_size, loop.compaction_trigger_ratio) == (40_000, 0.7)
    assert (config.background.max_running_tasks, config.background.agent_task_timeout_s) == (6, 1200)
    assert config.background.print_wait_ceiling_s == 600
    assert config.services["moonshot_search"].custom_headers == {"X-Team": "storage"}
    assert config.mcp.client == {"tool_call_timeout_ms": 45_000}
    assert [(h.event, h.matcher, h.timeout) for h in config.hooks] == [
        ("PreToolUse", "Shell|WriteFile", 5), ("Stop", "", 30),
    ]  # fmt: skip


def test_a_managed_provider_and_json_arrive():
    managed = load("managed.toml")
    assert managed.models[managed.default_model].provider == "managed:kimi-code"
    assert managed.providers["managed:kimi-code"].base_url == "https://api.kimi.com/coding/v1"
    given = load("full.json")
    assert (given.default_model, given.default_yolo, given.default_thinking) == ("house", True, False)
    assert given.providers["moonshot"].api_key == "sk-corpus-6"
    assert given.hooks[0].command == "printf '\\a'"


def test_all_thirteen_events_are_known():
    assert len({hook.event for hook in load("hooks.toml").hooks}) == 13


@pytest.mark.parametrize(
    ("script", "told", "objection", "context"),
    [
        ("guard", {"tool_name": "Shell", "tool_input": {"command": "rm -rf build"}}, "Deleting trees", ""),
        ("guard", {"tool_name": "Shell", "tool_input": {"command": "ls"}}, None, ""),
        ("finish", {"stop_hook_active": False}, "Run the tests first.", ""),
        ("context", {"prompt": "go"}, None, "The release branch is frozen."),
        ("note", {"source": "startup"}, None, ""),
    ],
)
async def test_hook_scripts_mean_what_they_meant(
    script: str, told: dict[str, object], objection: str | None, context: str
):
    [hook] = [Hook(h.event, h.command) for h in load("hooks.toml").hooks if script in h.command][:1]
    done: HookExit = await run_hook(hook.command, json.dumps(told).encode() + b"\n", CORPUS, 30)
    said = understand(hook, done)
    assert not said.failure
    assert (said.objection is None) == (objection is None)
    assert (objection or "") in (said.objection or "")
    assert said.context == context


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """The corpus as a repository and a home folder, found as a session finds it."""
    shutil.copytree(CORPUS, tmp_path, dirs_exist_ok=True)
    (tmp_path / "project" / ".git").mkdir()
    places = Places(tmp_path / "user/.kimi", tmp_path / "user", (Path("../extra"),), built_in=(SKILLS,))
    return discover(tmp_path / "project", places)


def test_every_skill_is_found_and_the_right_one_wins(library: Library):
    assert {name: skill.description for name, skill in library.skills.items() if not skill.flow} == {
        "code-style": "How code looks in this repository",
        "headless": "Say what changed",
        "api-notes": "What callers of the public API must know",
        "port": "Port a module: one commit per file",
        "shared": "of the project",
        "mail": "Write mail as I do",
        "slides": "Slides with one thought each",
        "sql": "Queries for the warehouse",
        "notes": "Keep notes in NOTES.md.",
        "deploy": "Deploy to the staging machines",
        "kimi-cli-help": "A team's own help comes before the built-in one",
        "skill-creator": library.skills["skill-creator"].description,
    }
    assert all(f"- {skill.name}" in library.listing() for skill in library.skills.values())
    assert "Port src/a.py." in library.expand("/skill:port src/a.py")
    assert "api-notes" in library.expand("/skill:api-notes")


def test_custom_commands_are_called_by_name(library: Library):
    assert library.expand("/changelog faster start").endswith("under Unreleased: faster start")
    assert "one story each" in library.expand("/git:tidy")


def walk(library: Library, call: str, *answers: str) -> list[str]:
    """The texts of all turns of a flow, answered in order; it is at its END after the last answer."""
    run = library.script(call)
    assert run is not None
    texts = [run.start(call.partition(" ")[2])]
    for answer in answers:
        text = run.next(answer)
        if text is None:
            assert answer is answers[-1]
            return texts
        texts.append(text)
    raise AssertionError(f"not at the end after {texts}")


def test_a_mermaid_flow_runs_to_its_end(library: Library):
    yes, no = "<choice>Yes</choice>", "Nothing. <choice>No</choice>"
    texts = walk(library, "/flow:review-loop src", "read", yes, "mended", "read", no, "summed up")
    assert texts[0] == "Read the diff; list what changed\nfile by file\n\nARGUMENTS: src"
    assert texts[1].startswith("Is anything wrong?")
    assert yes in texts[1]
    assert texts[2:4] == ["Mend the worst of it", "Read the diff; list what changed\nfile by file"]
    assert texts[5] == "Write two lines of summary"


def test_a_d2_flow_runs_to_its_end(library: Library):
    texts = walk(
        library, "/flow:design-doc", "read", "drafted", "<choice>no</choice>", "better", "<choice>Yes</choice>"
    )
    assert texts[0] == "Read the code that the question touches"
    assert texts[1] == texts[3]
    assert texts[1].startswith("# Write the document\n\n1. What is there | what is missing\n2.")
    assert walk(library, "/flow:plain-names", "done") == ["Tidy"]


def test_a_flow_is_a_skill_too_and_a_broken_one_is_named(library: Library):
    assert "flowchart TD" in library.expand("/skill:review-loop")
    assert library.script("/skill:review-loop") is None
    [text] = [text for text in library.broken if "in place of that of" not in text]
    assert "half-drawn is broken: line 10: the way from B to C needs a label" in text
    with pytest.raises(SessionError, match="half-drawn is broken: line 10"):
        library.script("/flow:half-drawn")
    assert "Think again" in library.expand("/skill:half-drawn")


# --- through the program ----------------------------------------------------------------------------------------------


@pytest.fixture
def kimi(tmp_path: Path) -> Program:
    """The corpus as somebody's home and repository, with hooks where the files look for them."""
    program = Program(tmp_path)
    shutil.copytree(CORPUS / "user", tmp_path, dirs_exist_ok=True)
    shutil.copytree(CORPUS / "project", program.work, dirs_exist_ok=True)
    for folder in ("hooks", ".kimi/hooks"):
        shutil.copytree(CORPUS / "hooks", program.work / folder)
    (program.work / ".git").mkdir()
    return program


BROKEN_SKILL = "half-drawn is broken"
"""The one thing in the corpus that kimi-cli names, too."""


REPLACED = "in place of that of"
"""A skill of the project that stands before the user's is a matter for their eyes, not a trouble."""


def told(stderr: str) -> list[str]:
    """What the program says of its files; objections of hooks are no trouble with a file."""
    lines = [line for line in stderr.splitlines() if line.startswith("kimi: ")]
    expected = (BROKEN_SKILL, "Run the tests first", REPLACED)
    return [line for line in lines if not any(words in line for words in expected)]


@pytest.mark.parametrize("name", ["full.toml", "full.json", "managed.toml", "hooks.toml"])
def test_the_program_runs_with_a_configuration(kimi: Program, name: str):
    home = {"KIMI_HOME": "", "KIMI_SHARE_DIR": str(kimi.folder / ".kimi")}
    shutil.copy(CORPUS / "config" / name, kimi.folder / ".kimi" / "config.toml")
    scenario = kimi.scenario({"repeat": 9, "steps": [[{"text": "fine <choice>STOP</choice>"}]]})
    done = kimi.run("--trust", "-p", "hi", "--provider", scenario, **home)
    assert (done.returncode, told(done.stderr)) == (0, []), done.stderr
    assert done.stdout.startswith("fine")
    assert "shared" in kimi.run("sessions", "show", "--json", **home).stdout, "the skills of the repository are listed"


@pytest.mark.parametrize(
    "path", sorted(CORPORA.glob("agents/kimi-cli/*/agent.yaml")), ids=lambda path: path.parent.name
)
def test_the_program_runs_as_an_agent(kimi: Program, path: Path):
    done = kimi.run("--trust", "-p", "hi", "--agent-file", str(path), "--provider", kimi.scenario([{"text": "fine"}]))
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr
    expected = ("is not here", "which is not configured")
    assert all(any(words in line for words in expected) for line in told(done.stderr)), done.stderr


def test_the_program_installs_the_plugins(kimi: Program):
    folders = sorted(path.parent for path in CORPORA.glob("plugins/*/plugin.json"))
    for folder in folders:
        done = kimi.run("plugin", "install", str(folder), "--yes")
        assert done.returncode == 0, done.stderr
    done = kimi.run("--trust", "-p", "hi", "--provider", kimi.scenario([{"text": "fine"}]))
    assert (done.stdout, told(done.stderr)) == ("fine\n", []), done.stderr
    listed = json.loads(kimi.run("plugin", "list", "--json").stdout)
    assert sum(found["state"] == "on" and found["origin"] != "bundled" for found in listed) == len(folders)
