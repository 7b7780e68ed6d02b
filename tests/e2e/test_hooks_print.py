"""Hooks of a real config.toml in the real program: `kimi -p` against a real HTTP server."""

import json
from pathlib import Path
from typing import Any

from fake_api import FakeAPI
from kimi_program import Program

GUARD = 'grep -q "rm -rf" || exit 0; echo "use trash-put" >&2; exit 2'


def hook(**keys: Any) -> str:
    lines = (f"{key} = {json.dumps(value)}" for key, value in keys.items())
    return "\n[[hooks]]\n" + "\n".join(lines) + "\n"


def shell(command: str) -> dict[str, Any]:
    return {"call": {"name": "Shell", "arguments": {"command": command}}}


def test_hooks_guard_rewrite_and_remark_in_print_mode(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    (kimi.work / "precious").write_text("data")
    rewrite = json.dumps({"hookSpecificOutput": {"updatedInput": {"command": "echo instead"}}})
    replies = [[shell("rm -rf precious")], [shell("echo first")], [{"text": "All done."}]]
    with FakeAPI(replies, strict=True) as api:
        kimi.use(api.url)
        kimi.write_config(
            kimi.config.read_text()
            + hook(event="PreToolUse", matcher="^Shell$", command=GUARD, strict=True)
            + hook(event="PreToolUse", command=f"grep -q 'echo first' && echo '{rewrite}'; exit 0")
            + hook(event="PostToolUse", matcher="Shell", command="echo 'mind the tests' >&2; exit 2")
            + hook(event="SessionStart", command="echo on branch main")
            + hook(event="Notification", command="exit 9")
            + hook(event="SessionEnd", command="cat > end.json")
        )
        done = kimi.run("-p", "clean up", "--yolo", "--verbose")
    assert (done.returncode, done.stdout) == (0, "All done.\n"), done.stderr
    assert (kimi.work / "precious").exists()
    messages = api.requests[-1].json["messages"]
    told = [message["content"] for message in messages if message["role"] == "tool"]
    assert "Blocked by a hook of the user: use trash-put" in str(told[0])
    assert "instead" in str(told[1])
    assert "first" not in str(told[1])
    assert "[A hook of the user objects: mind the tests]" in str(told[1])
    assert "on branch main" in str(messages[2])
    assert "objected: use trash-put" in done.stderr
    assert json.loads((kimi.work / "end.json").read_text())["hook_event_name"] == "SessionEnd"


def test_hooks_of_a_project_are_not_read_and_a_refused_prompt_fails(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    for folder in (".kimi", ".kimi-code", ".claude"):
        (kimi.work / folder).mkdir()
        (kimi.work / folder / "config.toml").write_text(hook(event="UserPromptSubmit", command="touch pwned"))
    with FakeAPI([], strict=True) as api:
        kimi.use(api.url)
        kimi.write_config(kimi.config.read_text() + hook(event="UserPromptSubmit", command="echo no >&2; exit 2"))
        done = kimi.run("-p", "hello")
    assert done.returncode == 1
    assert "A hook refused the prompt: no" in done.stderr
    assert not api.requests
    assert not (kimi.work / "pwned").exists()


def test_a_matcher_that_is_no_regular_expression_names_its_line(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    kimi.write_config(hook(event="PreToolUse", command="true", matcher="("))
    done = kimi.run("-p", "hello")
    assert done.returncode == 2
    assert "config.toml:5:" in done.stderr
