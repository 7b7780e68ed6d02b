"""`kimi migrate` on homes that are made from the documented formats of the other agents (tests/corpus/migrate)."""

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from kimi_program import Program, Terminal

from kimi_agent.agent.history import fold
from kimi_agent.agent.store import read_events
from kimi_agent.config import load_config
from kimi_agent.core import event as ev
from kimi_agent.core.message import Image, Think

CORPUS = Path(__file__).parent.parent / "corpus" / "migrate"
FOLDERS = {"kimi": ".kimi", "kimi-code": ".kimi-code", "claude": ".claude", "codex": ".codex"}
SECRETS = ("sk-kimi-cli-secret", "sk-kimi-code-secret", "ctx7-secret", "ghp-secret", "codex-secret", "sk-codex-secret")
SESSIONS = {
    "kimi-cli": "kimi-cli-11111111-aaaa-4aaa-8aaa-111111111111",
    "kimi-code": "kimi-code-55555555-bbbb-4bbb-8bbb-555555555555",
    "claude": "claude-77777777-cccc-4ccc-8ccc-777777777777",
    "codex": "codex-019bce9f-0a40-79e2-8351-8818e8487fb6",
    "old codex": "codex-0196aaaa-0000-7000-8000-000000000001",
}


def somebody(folder: Path) -> Program:
    """Somebody who has used all four agents; `$KIMI_HOME` is a folder of its own."""
    for name, place in FOLDERS.items():
        shutil.copytree(CORPUS / name, folder / place)
    shutil.copy(CORPUS / "claude.json", folder / ".claude.json")
    return Program(folder)


@pytest.fixture
def person(tmp_path: Path) -> Program:
    return somebody(tmp_path)


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """Somebody who has brought everything over; to be looked at, not to be changed."""
    person = somebody(tmp_path_factory.mktemp("moved"))
    migrate(person, "-y")
    return person


def migrate(person: Program, *arguments: str, code: int = 0) -> str:
    done = person.run("migrate", *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def contents(folder: Path, but: str = "") -> dict[str, str]:
    """Every file below `folder` with the hash of its bytes, those below `but` left out."""
    files = [path for path in folder.rglob("*") if path.is_file() and not (but and path.is_relative_to(folder / but))]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def servers(person: Program) -> dict[str, Any]:
    return dict(json.loads((person.home / "mcp.json").read_text())["mcpServers"])


def events(person: Program, session: str) -> list[ev.Event]:
    found, damaged = read_events(person.home / "sessions" / f"{session}.jsonl")
    assert not damaged
    return found


def test_a_dry_run_shows_the_whole_plan_and_writes_nothing(person: Program) -> None:
    before = contents(person.folder)
    said = migrate(person, "--dry-run")
    assert contents(person.folder) == before
    assert not person.home.exists()
    for agent in ("kimi-cli (~/.kimi)", "kimi-code (~/.kimi-code)", "Claude Code (~/.claude)", "Codex (~/.codex)"):
        assert agent in said
    for thing in ("providers.moonshot", "playwright", "release", "PreToolUse", "review.md", *SESSIONS.values()):
        assert thing in said
    assert "~/.codex/prompts/review.md -> ~/home/commands/review.md" in said
    assert not [secret for secret in SECRETS if secret in said]


def test_what_is_left_out_is_named_with_its_reason(person: Program) -> None:
    said = " ".join(migrate(person, "--dry-run").split())
    for thing, reason in (
        ("models.lost", 'model "lost" names provider "nowhere", which is not defined'),
        ("Stop: prompt", "only commands can be hooks here"),
        ("TurnStarted: turn.sh", "that event does not happen here"),
        ("PreToolUse (?:Bash|Shell): check.sh", "matcher Bash is (?:Bash|Shell) here"),
        ("TeammateIdle: echo idle", "that event does not happen here"),
        ("editor", "its kind 'ws-ide' is not known here"),
        ("88888888-cccc-4ccc-8ccc-888888888888.jsonl", "no line of it can be read"),
        ("99999999-cccc-4ccc-8ccc-999999999999.jsonl", "holds no conversation"),
        ("session_66666666-bbbb-4bbb-8bbb-666666666666", "its format '2.0' is not known"),
        ("22222222-aaaa-4aaa-8aaa-222222222222", "no line of it can be read"),
        ("44444444-aaaa-4aaa-8aaa-444444444444", "kimi.json does not tell its folder"),
        ("auth.json", "are not brought over: run kimi login"),
        ("019bce9f-0a40-79e2-8351-8818e8487fff.jsonl", "belongs to a subagent"),
    ):
        assert reason in said.partition(thing)[2][:400], thing


def test_the_originals_stay_as_they_are_and_a_second_run_has_nothing_to_do(person: Program) -> None:
    before = contents(person.folder)
    assert "The originals are as they were." in migrate(person, "-y")
    assert contents(person.folder, but="home") == before
    after = contents(person.home)
    assert "Nothing to do" in migrate(person)
    assert contents(person.home) == after


def test_settings_and_hooks_join_config_toml(moved: Program) -> None:
    config = load_config(moved.config, {})
    assert config.default_model == "kimi-k2"
    assert config.providers["moonshot"].api_key == "sk-kimi-cli-secret"
    assert config.providers["managed:kimi-code"].api_key == "sk-kimi-code-secret"
    assert set(config.models) == {"kimi-k2", "kimi-for-coding"}
    assert config.loop_control.max_steps_per_turn == 100
    hooks = [(hook.event, hook.matcher, hook.command) for hook in config.hooks]
    assert hooks == [
        ("PreToolUse", "(?:Bash|Shell)", "check.sh"),
        ("PreToolUse", "^(?:Shell)$", 'export CLAUDE_PROJECT_DIR="$PWD"; "$CLAUDE_PROJECT_DIR"/.claude/check.sh'),
        ("PostToolUse", "^(?:StrReplaceFile|WriteFile)$", "ruff format ."),
        ("Stop", "", "notify-send done"),
    ]


@pytest.mark.parametrize("hooks", ["[]", '[{event = "Stop", command = "mine"}]'])
def test_hooks_join_an_inline_array(tmp_path: Path, hooks: str) -> None:
    person = Program(tmp_path)
    person.home.mkdir(parents=True, exist_ok=True)
    (person.home / "config.toml").write_text(f'# mine\ndefault_model = ""\nhooks = {hooks}\nproviders = {{}}\n')
    (tmp_path / ".claude").mkdir()
    theirs = {"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "theirs"}]}]}}
    (tmp_path / ".claude" / "settings.json").write_text(json.dumps(theirs))
    assert "1 brought over" in migrate(person, "-y")
    text = (person.home / "config.toml").read_text()
    mine = ["mine"] if "mine" in hooks else []
    assert [hook["command"] for hook in tomllib.loads(text)["hooks"]] == [*mine, "theirs"]
    assert text.startswith('# mine\ndefault_model = ""\n')


def test_servers_skills_commands_and_instructions_come_over(moved: Program) -> None:
    assert set(servers(moved)) == {"context7", "playwright", "github", "files", "docs", "figma"}
    assert servers(moved)["github"] == {
        "url": "https://api.githubcopilot.com/mcp/",
        "headers": {"Authorization": "Bearer ghp-secret"},
        "transport": "http",
    }
    assert servers(moved)["docs"]["startupTimeoutMs"] == 20_000
    assert (moved.home / "skills" / "release" / "steps.sh").read_text() == "echo release\n"
    assert (moved.home / "skills" / "commit" / "SKILL.md").exists()
    assert (moved.home / "commands" / "review.md").exists()
    assert (moved.home / "AGENTS.md").read_text() == "Answer in one paragraph.\n"
    assert list((moved.home / "user-history").iterdir())


def test_what_kimi_reads_in_place_is_not_copied(person: Program) -> None:
    said = migrate(person, "-y")
    assert said.count("is read in place") >= 4
    assert not (person.home / "skills" / "pdf").exists()
    assert not (person.home / "skills" / "deploy").exists()
    assert not (person.home / "agents").exists()


def test_nobody_else_can_read_what_was_written(moved: Program) -> None:
    secret = [moved.config, moved.home / "mcp.json", *(moved.home / "sessions").glob("*.jsonl")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in secret} == {0o600}


def test_the_home_of_kimi_cli_is_ours(person: Program) -> None:
    person.env["KIMI_HOME"] = str(person.folder / ".kimi")
    kept = contents(person.folder / ".kimi")
    said = migrate(person, "--from", "kimi-cli", "-y")
    home = person.folder / ".kimi"
    assert load_config(home / "config.toml", {}).default_model == "kimi-k2"
    assert (home / "sessions" / f"{SESSIONS['kimi-cli']}.jsonl").exists()
    assert kept.items() <= contents(home).items()
    assert "is read in place" in said
    assert "Nothing to do" in migrate(person, "--from", "kimi-cli")


def test_nothing_is_written_over(person: Program) -> None:
    (person.home / "skills" / "release").mkdir(parents=True)
    (person.home / "skills" / "release" / "SKILL.md").write_text("---\ndescription: mine\n---\nmine\n")
    (person.home / "AGENTS.md").write_text("mine\n")
    (person.home / "mcp.json").write_text('{"mcpServers": {"github": {"command": "mine"}}, "other": 1}')
    person.write_config(
        '# my file\ndefault_model = "mine"\n[providers.moonshot]\ntype = "kimi"  # mine\napi_key = "sk-mine"\n'
        '[models.mine]\nprovider = "moonshot"\nmodel = "k"\n[[hooks]]\n# my hook\nevent = "Stop"\ncommand = "mine"\n'
    )
    said = migrate(person, "-y")
    text = person.config.read_text()
    config = tomllib.loads(text)
    assert text.startswith("# my file\n")
    assert "# mine" in text
    assert "# my hook" in text
    assert (config["default_model"], config["providers"]["moonshot"]["api_key"]) == ("mine", "sk-mine")
    assert len(config["hooks"]) == 5
    assert servers(person)["github"] == {"command": "mine"}
    assert json.loads((person.home / "mcp.json").read_text())["other"] == 1
    assert (person.home / "AGENTS.md").read_text() == "mine\n"
    assert "mine" in (person.home / "skills" / "release" / "SKILL.md").read_text()
    for reason in ("is set here", "mcp.json has another server of that name", "is there already"):
        assert reason in said


def test_a_failure_takes_everything_back(person: Program) -> None:
    """A folder stands where mcp.json is to be replaced through a link: its write is among the last."""
    person.home.mkdir()
    (person.home / "mcp.json").symlink_to(person.folder / "missing" / "mcp.json")
    before = contents(person.folder)
    said = migrate(person, "-y", code=2)
    assert "Nothing was brought over" in said
    assert contents(person.folder) == before
    assert sorted(path.name for path in person.home.iterdir()) == ["mcp.json"]


@pytest.mark.parametrize("name", ["config.toml", "mcp.json"])
def test_a_broken_file_of_ours_stops_it(person: Program, name: str) -> None:
    person.home.mkdir()
    (person.home / name).write_text("{ not valid")
    assert name in migrate(person, "-y", code=2)
    assert [path.name for path in person.home.iterdir()] == [name]


def test_broken_files_of_others_are_passed_over(person: Program) -> None:
    for name in (
        ".claude/settings.json",
        ".claude.json",
        ".kimi-code/config.toml",
        ".codex/config.toml",
        ".kimi/mcp.json",
    ):
        (person.folder / name).write_text("{ not valid")
    (person.folder / ".kimi-code/session_index.jsonl").write_bytes(b"\xff\n")
    said = migrate(person, "-y")
    assert said.count("not valid") >= 5
    assert "neither its state.json nor session_index.jsonl names its folder" in said
    assert len(list((person.home / "sessions").glob("*.jsonl"))) == len(SESSIONS) - 1


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that cannot be read, as root too")
def test_a_file_that_cannot_be_read_is_passed_over(person: Program) -> None:
    (person.folder / ".codex" / "prompts" / "bad.md").symlink_to("/proc/self/mem")
    said = " ".join(migrate(person, "--from", "codex", "-y").split())
    assert "it cannot be read" in said.partition("bad.md")[2][:300]
    assert [path.name for path in (person.home / "commands").iterdir()] == ["review.md"]


def test_records_and_settings_of_no_sense_do_no_harm(person: Program) -> None:
    session = next((person.folder / ".claude" / "projects").glob("*/7777*.jsonl"))
    odd = '{"type": "user", "cwd": 1, "uuid": [], "timestamp": 1e400, "message": {"role": "user", "content": [null, {}]}}\n'
    session.write_text(odd + session.read_text())
    odd = '[mcp_servers.odd]\ncommand = "x"\nstartup_timeout_sec = inf\nenv = { DAY = 2026-01-01 }\n'
    (person.folder / ".codex" / "config.toml").write_text(odd)
    migrate(person, "-y")
    assert servers(person)["odd"] == {"command": "x", "env": {"DAY": "2026-01-01"}}
    assert events(person, SESSIONS["claude"])


def test_names_with_control_sequences_are_shown_harmless(person: Program) -> None:
    (person.folder / ".claude.json").write_text(json.dumps({"mcpServers": {"a\x1b]0;x\x07\nb": {"command": "x"}}}))
    said = migrate(person, "--from", "claude", "--dry-run")
    assert "\x1b" not in said
    assert "\x07" not in said


# --- sessions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("session", SESSIONS.values(), ids=SESSIONS)
def test_an_imported_session_is_well_formed(moved: Program, session: str) -> None:
    history = fold(events(moved, session), moved.home)
    waiting: list[str] = []
    for message in history.messages:
        if message.result is not None:
            assert waiting.pop(0) == message.result.call_id
            continue
        assert not waiting
        waiting = [call.id for call in message.calls]
    assert not waiting
    assert history.repairs() == []
    assert history.messages[0].role == "user"


@pytest.mark.parametrize("session", SESSIONS.values(), ids=SESSIONS)
def test_an_imported_session_goes_on(moved: Program, session: str) -> None:
    scenario = moved.folder / f"{session}.json"
    scenario.write_text('[{"text": "Here we go on."}]')
    copy = scenario.with_suffix("")  # the others look at the home itself
    shutil.copytree(moved.home, copy)
    done = moved.run("--provider", f"scripted:{scenario}", "-r", session, "-p", "go on", "--quiet", KIMI_HOME=str(copy))
    assert (done.returncode, done.stdout.strip()) == (0, "Here we go on."), done.stderr
    found, damaged = read_events(copy / "sessions" / f"{session}.jsonl")
    assert not damaged
    assert [event.message.text for event in found if isinstance(event, ev.MessageAdded)][-1] == "Here we go on."


def test_sessions_are_listed_with_their_titles_and_folders(moved: Program) -> None:
    listed = json.loads(moved.run("sessions", "list", "--all", "--json").stdout)
    found = {entry["id"]: (entry["title"], entry["cwd"], entry["first_prompt"]) for entry in listed}
    assert found[SESSIONS["kimi-cli"]] == ("The port", "/home/ada/app", "Which port does the app use?")
    assert found[SESSIONS["kimi-code"]] == ("Rename it", "/home/ada/app", "Rename main to start")
    assert found[SESSIONS["claude"]] == ("Fixing the test", "/home/ada/app", "Fix the failing test")
    assert found[SESSIONS["codex"]] == ("List the files", "/home/ada/app", "List the files")
    assert found[SESSIONS["old codex"]] == ("Hello, old Codex", "/home/ada/old", "Hello, old Codex")
    times = {entry["id"]: entry["updated"] for entry in listed}
    assert times[SESSIONS["old codex"]] < times[SESSIONS["codex"]] < times[SESSIONS["claude"]]


def test_calls_are_those_of_our_tools(moved: Program) -> None:
    calls = {
        name: [(c.name, json.loads(c.arguments)) for e in events(moved, SESSIONS[name]) for c in _calls(e)]
        for name in ("claude", "codex", "kimi-code")
    }
    test = "/home/ada/app/test_app.py"
    assert calls["claude"] == [
        ("ReadFile", {"path": test, "n_lines": 20}),
        ("Shell", {"command": "pytest"}),
        ("StrReplaceFile", {"path": test, "edit": {"old": "3", "new": "2"}}),
    ]
    assert calls["codex"] == [("Shell", {"command": "ls -la"}), ("apply_patch", {"input": "*** Begin Patch"})]
    assert calls["kimi-code"][0] == ("StrReplaceFile", {"path": "app.py", "edit": {"old": "main", "new": "start"}})


def _calls(event: ev.Event) -> Any:
    return event.message.calls if isinstance(event, ev.MessageAdded) else ()


def test_thoughts_pictures_and_huge_outputs(moved: Program) -> None:
    parts = [part for event in events(moved, SESSIONS["kimi-cli"]) for part in _parts(event)]
    assert Think("Look at the settings.", "reasoning_content") in parts
    assert [part.media_type for part in parts if isinstance(part, Image)] == ["image/png"]
    outputs = [
        event.message.result for event in events(moved, SESSIONS["claude"]) if isinstance(event, ev.MessageAdded)
    ]
    long = next(output for output in outputs if output is not None and output.call_id == "toolu_2")
    assert long.is_error
    text = "".join(part.text for part in long.content if not isinstance(part, Image))
    assert len(text) < 25_000
    assert "6,000 characters left out" in text


def _parts(event: ev.Event) -> Any:
    return event.message.parts if isinstance(event, ev.MessageAdded) else ()


def test_claude_s_last_branch_and_its_summary_hold(moved: Program) -> None:
    found = events(moved, SESSIONS["claude"])
    assert "The wrong way it is." not in json.dumps(
        [m.text for e in found if isinstance(e, ev.MessageAdded) for m in [e.message]]
    )
    texts = [message.text for message in fold(found, moved.home).messages]
    assert texts[0].startswith("This session is continued")
    assert texts[1:] == ["And now commit", "Committed. 🚀"]


# --- the command ------------------------------------------------------------------------------------------------------


def test_it_asks_before_it_does_anything(person: Program) -> None:
    terminal = Terminal(person, "migrate", "--from", "codex")
    terminal.expect("Bring these over? [y/N]")
    terminal.type("n\n")
    assert terminal.wait() == 0
    assert not person.home.exists()
    terminal = Terminal(person, "migrate", "--from", "codex")
    terminal.expect("Bring these over? [y/N]")
    terminal.type("y\n")
    assert terminal.wait() == 0
    assert "Done: 6 brought over" in terminal.seen
    assert set(servers(person)) == {"docs", "figma"}


def test_without_anybody_to_ask_it_needs_yes(person: Program) -> None:
    assert "needs --yes" in migrate(person, code=2)
    assert not person.home.exists()


def test_wrong_use_is_told_in_a_line(person: Program) -> None:
    assert "invalid choice" in migrate(person, "--from", "vim", code=2)
    assert "usage: kimi migrate" in migrate(person, "--help")


def test_nothing_to_bring_over(tmp_path: Path) -> None:
    empty = Program(tmp_path)
    assert "Nothing was found" in migrate(empty, "-y")
    assert "has nothing in ~/.codex" in migrate(empty, "--from", "codex", code=2)


def test_other_homes_by_their_variables(person: Program) -> None:
    elsewhere = person.folder / "elsewhere"
    (person.folder / ".claude").rename(elsewhere)
    person.env["CLAUDE_CONFIG_DIR"] = str(elsewhere)
    migrate(person, "--from", "claude", "-y")
    assert (person.home / "skills" / "pdf" / "SKILL.md").exists()
    assert (person.home / "commands" / "explain.md").exists()
    assert (person.home / "agents" / "tester.md").exists()


def test_servers_of_a_project_are_marked_as_such(person: Program) -> None:
    (person.work / ".mcp.json").write_text('{"mcpServers": {"local": {"command": "serve"}}}')
    said = migrate(person, "--from", "claude", "-y")
    assert f"was for {person.work} only" in " ".join(said.split())
    assert servers(person)["local"] == {"command": "serve"}


def test_loading_the_plugin_loads_nothing_else() -> None:
    code = "import kimi_migrate, sys; print([n for n in sys.modules if n.startswith(('kimi_migrate.', 'tomlkit'))])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env={**os.environ})
    assert done.stdout.strip() == "[]"
