"""The box as the model and the person meet it: Shell, permissions, the command line, hooks."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from boxes import box as box_of
from boxes import offered
from kimi_program import Program
from tool_context import call, make_context, text_of

from kimi_agent.agent.permissions import Permissions, session_scope
from kimi_agent.core.ask import Allow, Deny
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ToolError
from kimi_agent.core.message import ToolCall
from kimi_agent.core.schema import validate
from kimi_agent.tools.plain_git import is_git_alone
from kimi_agent.tools.shell import Shell
from kimi_agent.workspaces.local import LocalWorkspace
from kimi_agent.workspaces.sandbox.box import Box
from kimi_agent.workspaces.sandbox.policy import Places
from kimi_agent.workspaces.sandbox.profile import Profile
from kimi_agent.workspaces.sandbox.seatbelt import seatbelt_profile

pytestmark = pytest.mark.usefixtures("a_box")
NOBODY = Places("/nonexistent/k", "/nonexistent")


def shell_in(folder: Path, rung: str = "") -> tuple[Shell, Any]:
    box = box_of(rung or offered()[0])
    root = folder / "work"
    root.mkdir(exist_ok=True)
    return Shell(box=box), make_context(root, workspace=LocalWorkspace(root, box=box))


# --- what the model is told -------------------------------------------------------------------------------------------


def test_the_description_says_what_holds() -> None:
    assert "`access`: the user decides" in Shell(box=Box(NOBODY)).description
    assert "localhost" in Shell(box=Box(NOBODY)).description
    assert "only pypi.org" in Shell(box=Box(NOBODY, hosts=["pypi.org"])).description
    assert "box" not in Shell(box=Box(NOBODY, off="for this test")).description
    assert "box" not in Shell().description


async def test_a_path_that_was_refused_is_named_with_the_way_to_ask(tmp_path: Path) -> None:
    shell, ctx = shell_in(tmp_path)
    said = text_of(await call(shell, ctx, command=f"echo x > {tmp_path}/other"))
    if str(tmp_path).startswith("/tmp/"):
        assert f"{tmp_path}/other cannot be written; temporary files go to $TMPDIR]" in said
    else:
        assert f'call again with `access`: write ["{tmp_path}/other"]' in said
    said = text_of(await call(shell, ctx, command="touch /opt/new"))
    assert 'call again with `access`: write ["/opt/new"] and the reason; the user decides]' in said
    said = text_of(await call(shell, ctx, command="mkdir -p a; chmod 0 a; cat /nowhere; false"))
    assert "[box" not in said


async def test_what_the_box_puts_there_is_named_when_it_cannot_be_removed(tmp_path: Path) -> None:
    shell, ctx = shell_in(tmp_path)
    said = text_of(await call(shell, ctx, command="git init -q && touch a && git clean -fd"))
    if "Device or resource busy" in said:  # R1 puts nothing there
        assert "an empty .kimi stands there while a command runs; all else was done]" in said
    assert not (ctx.workspace.root / "a").exists()


async def test_a_host_that_was_refused_is_named(tmp_path: Path) -> None:
    shell, ctx = shell_in(tmp_path)
    said = text_of(await call(shell, ctx, command="echo 'curl: (6) Could not resolve host: pypi.org'; exit 6"))
    assert 'call again with `access`: hosts ["pypi.org"] and the reason; the user decides]' in said


async def test_a_pipe_hides_no_refusal(tmp_path: Path) -> None:
    """The code of `npm install 2>&1 | tail` is that of `tail`."""
    shell, ctx = shell_in(tmp_path)
    lost = "echo 'npm error reason: getaddrinfo EAI_AGAIN registry.npmjs.org'"
    assert 'hosts ["registry.npmjs.org"]' in text_of(await call(shell, ctx, command=f"{lost} 2>&1 | tail -3"))
    assert "[box" not in text_of(await call(shell, ctx, command=lost)), "it has done what it was to do"
    assert 'write ["/opt/new"]' in text_of(await call(shell, ctx, command="touch /opt/new 2>&1 | tail -3"))
    assert "[box" not in text_of(await call(shell, ctx, command="echo '/etc/x: Permission denied' | tail -3"))


async def test_who_can_reach_nobody_does_not_try_again(tmp_path: Path) -> None:
    """A package manager that waits and tries again outlives the call, and the model never reads what was refused."""
    retries = "echo $PIP_RETRIES $npm_config_fetch_retries $UV_HTTP_RETRIES $CARGO_NET_RETRY"
    shell, ctx = shell_in(tmp_path)
    assert "1 0 0 0" in text_of(await call(shell, ctx, command=retries))


async def test_a_socket_that_was_refused_is_explained(tmp_path: Path) -> None:
    shell, ctx = shell_in(tmp_path)
    python = f"{sys.executable} -I -c 'import socket; socket.socket(socket.AF_UNIX)'"
    assert "Unix and raw sockets are refused here" in text_of(await call(shell, ctx, command=python))
    node = "echo 'Error: listen EPERM: operation not permitted /x/a.pipe'; exit 1"
    assert "Unix and raw sockets are refused here" in text_of(await call(shell, ctx, command=node))


async def test_the_repository_has_its_own_words(tmp_path: Path) -> None:
    shell, ctx = shell_in(tmp_path)
    said = text_of(await call(shell, ctx, command="echo 'bash: .git/config: Read-only file system'; exit 1"))
    assert "a repository changes only by a command of git alone" in said
    said = text_of(await call(shell, ctx, command="echo >x && git stash 2>/dev/null || exit 1"))
    assert "a repository changes only by a command of git alone" in said, "it says nothing when it may not write"
    assert "git alone" not in text_of(await call(shell, ctx, command="git diff --quiet 2>/dev/null >&2 || exit 1"))


async def test_where_nothing_holds_every_result_says_so(tmp_path: Path) -> None:
    box = Box(NOBODY, off="for this test")
    box.prove()
    ctx = make_context(tmp_path, workspace=LocalWorkspace(tmp_path, box=box))
    output = await call(Shell(box=box), ctx, command="echo hi")
    assert text_of(output) == "hi\n[this ran without a box, with all rights of the user]"
    assert output.for_user.box == "NO BOX"  # type: ignore[union-attr]


# --- what the model may ask for ---------------------------------------------------------------------------------------


async def test_what_is_asked_for_is_an_effect_of_its_own(tmp_path: Path) -> None:
    shell, ctx = shell_in(tmp_path)
    params = validate(
        shell.Params,
        {"command": "x", "access": {"reason": "why", "write": ["../y"], "hosts": ["PyPI.org."], "outside": True}},
    )
    assert [(e.kind, e.target) for e in shell.effects(params, ctx)] == [
        ("run", "x"), ("widen", "host"), ("widen", f"write:{tmp_path / 'y'}"), ("widen", "net:pypi.org"),
    ]  # fmt: skip
    assert (await shell.preview(params, ctx)).reason == "why"
    for wrong in ({"reason": "why"}, {"reason": " ", "outside": True}, {"reason": "x", "hosts": ["1.2.3.4"]}):
        with pytest.raises(ToolError, match="access"):
            shell.effects(validate(shell.Params, {"command": "x", "access": wrong}), ctx)


async def test_a_granted_path_is_written(tmp_path: Path) -> None:
    shell, ctx = shell_in(tmp_path)
    (tmp_path / "other").mkdir()
    wanted = {"reason": "the task", "write": [str(tmp_path / "other")]}
    assert text_of(await call(shell, ctx, command=f"echo a > {tmp_path}/other/a", access=wanted)) == "[no output]"
    output = await call(shell, ctx, command="echo $TMPDIR", access={"reason": "the task", "outside": True})
    assert "kimi-box" not in text_of(output)
    assert output.for_user.box == "NO BOX"  # type: ignore[union-attr]


WIDER = (Effect("run", "x"), Effect("widen", "host"))


async def verdict(permissions: Permissions, effects: Sequence[Effect], others: Sequence[Any] = ()) -> Any:
    call = ToolCall("1", "Shell", "{}")
    insists = permissions.insists(call, effects)
    for gate in permissions.gates(others):
        found = await gate(call, effects)
        if found is not None and not (insists and isinstance(found, Allow)):
            return found
    return None


@pytest.mark.parametrize("mode", ["default", "yolo", "afk", "plan"])
async def test_no_mode_no_grant_and_no_plugin_widens_the_box(mode: Any) -> None:
    async def lenient(call: ToolCall, effects: Sequence[Effect]) -> Allow:
        return Allow()

    permissions = Permissions(mode)
    permissions.grant(WIDER)
    found = await verdict(permissions, WIDER, [lenient])
    assert found == "ask" if mode in ("default", "yolo") else isinstance(found, Deny)
    assert session_scope(WIDER) == ""


@pytest.mark.parametrize(("mode", "expected"), [("default", "ask"), ("yolo", "ask"), ("afk", Deny)])
async def test_without_a_box_every_command_is_asked_for(mode: Any, expected: Any) -> None:
    box = Box(NOBODY, off="for this test")
    run = (Effect("run", "x"),)
    found = await verdict(Permissions(mode, box=box), run)
    assert found == expected if expected == "ask" else isinstance(found, expected)
    assert await verdict(Permissions(mode, box=box), (Effect("read", "/x"),)) == Allow()
    if mode == "yolo":
        assert await verdict(Permissions(mode), run) == Allow()
        assert await verdict(Permissions(mode, box=box_of(offered()[0])), run) == Allow()


GIT_ALONE = [
    "git add -A && git commit -qm x && git log --oneline | head -3", "git status 2>&1 | grep -c M || true; git tag v1 >/dev/null",
    "git commit -m 'a b'", "git add -A && git commit -m x", "cd sub && git status; git log -3",
    'git commit -m "two words"', "git push;", "git add -A\ngit commit -m x\n", "git add -A &&\n  git commit -m x",
    "git commit -m \"$(cat <<'EOF'\nfeat: it's `x` (a \"b\") $y\n\nbody\nEOF\n)\" && git status",
    'git commit -m "feat!: \\"x\\" \\$5"',
    "git commit -F - <<'EOF' && git log -1\n$x; id\nEOF\ngit status", "cat <<\"E\" | git commit -F -\nx\nE",
    "git commit -m 'it'\\''s'", "GIT_EDITOR=true git rebase --continue",
]  # fmt: skip
NOT_GIT_ALONE = [
    "git log | sort -o .git/HEAD", "git log | tee x", "git log > x", "git log >/dev/null2", "git log |& cat", "git log |",
    "| git log",
    "git log & id", "git log\nid", "git log | xargs rm", "ls | head",
    "", "ls", "cd x", "git", "git commit -m x | sh", "git commit -m $(id)", "git -c core.hooksPath=x commit",
    "git -C x commit", "git commit -m x & id", "git commit -m x\nid", "GIT_DIR=x git commit", "git x",
    "git rebase --exec id", "git rebase -x id HEAD", "git submodule foreach id", "git bisect run id",
    "git fetch --upload-pack=id", "make && git commit", "git log > .git/config", "git commit -m \"`id`\"",
    "git 'commit", "\\git commit", "/tmp/git commit", "git commit -m x || id", "git commit -m x;;id", "&& git add",
    'git commit -m "$(cat <<EOF\n$(id)\nEOF\n)"', "git commit -F - <<EOF\n$(id)\nEOF", "git commit -F - <<'EOF'\nm\nEOF\nid",
    "git commit -m \"$(cat <<'EOF'\nx\nEOF)\nid\nEOF\n)\"", "git commit -m \"$(cat <<'EOF'\nx\nEOF\nid)\"",
    "git commit -m \"$(cat <<'EOF' ; id\nx\nEOF\n)\"", "git commit -F - <<'EOF' ; id\nx\nEOF",
    "git commit -F - <<'EOF'\nx\n EOF\nEOF",
    "git rebase \"$(cat <<'E'\n--exec=id\nE\n)\"", "git commit $(cat <<'EOF'\n--exec\nEOF\n)", "GIT_EDITOR=id git rebase -i x",
    "git commit -F - <<'A'B\nx\nA\ngit log\nAB",
    "git log '--out'put=x", 'git log "--out"put=x', "git log \\\nid", "git log\n&& id", "git commit <<'A' <<'B'\nx\nA\ny\nB",
    "git commit -m \"$(cat <<'EOF'\nx\nEOF\n)$(id)\"",
]  # fmt: skip


@pytest.mark.parametrize("command", GIT_ALONE)
def test_git_alone(command: str) -> None:
    assert is_git_alone(command)


@pytest.mark.parametrize("command", NOT_GIT_ALONE)
def test_not_git_alone(command: str) -> None:
    assert not is_git_alone(command)


# --- the command line -------------------------------------------------------------------------------------------------


@pytest.fixture
def kimi(tmp_path: Path) -> Program:
    return Program(tmp_path)


def playing(kimi: Program, command: str, *flags: str, **env: str) -> dict[str, Any]:
    """The end of a headless run whose model runs one command, and what that answered."""
    scenario = kimi.scenario([{"call": {"name": "Shell", "arguments": {"command": command}}}], [{"text": "done"}])
    done = kimi.run("-p", "go", "--provider", scenario, "--output-format", "stream-json", *flags, **env)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    added = [part for line in lines if line["type"] == "message_added" for part in line["message"]["parts"]]
    results = [part for part in added if part["type"] == "tool_result"]
    return {"code": done.returncode, "stderr": done.stderr, "said": results[0]["content"][0]["text"] if results else ""}


def test_commands_of_a_run_are_in_the_box(kimi: Program) -> None:
    found = playing(kimi, "echo in > here; cat ../home/config.toml; echo out > ../there", "--yolo")
    assert (kimi.work / "here").read_text() == "in\n"
    assert not (kimi.folder / "there").exists()
    assert found["code"] == 0


def test_yolo_without_a_box_needs_a_second_flag(kimi: Program) -> None:
    found = playing(kimi, "touch ran", "--yolo", "--no-sandbox")
    assert "Not allowed" in found["said"]
    assert not (kimi.work / "ran").exists()
    found = playing(kimi, "touch ran", "--yolo", "--no-sandbox", "--i-accept-no-sandbox")
    assert (kimi.work / "ran").exists()
    assert "without a box" in found["said"]


@pytest.mark.parametrize(("flags", "env"), [(["--require-sandbox"], {}), ([], {"CI": "true"})])
def test_where_a_box_is_required_nothing_starts_without_one(
    kimi: Program, flags: list[str], env: dict[str, str]
) -> None:
    kimi.write_config('[box]\nmode = "off"\n' if flags else '[box]\nrung = "R1"\n')
    if flags:
        found = playing(kimi, "touch ran", "--yolo", *flags, **env)
        assert found["code"] == 2
        assert "no box for commands holds on this machine: it is turned off in config.toml" in found["stderr"]
        assert not (kimi.work / "ran").exists()
    else:
        assert playing(kimi, "touch ran", "--yolo", **env)["code"] == 0


def test_doctor_proves_each_rung(kimi: Program) -> None:
    done = kimi.run("doctor", "--trust", "--json")
    findings = json.loads(done.stdout)
    checked = [f for f in findings if f["check"] == f"box {offered()[0]}"]
    assert len(checked) == 12
    assert {f["level"] for f in checked} == {"ok"}
    at = next(n for n, f in enumerate(findings) if f["check"] == "box")
    assert findings[at]["text"].startswith(f"commands run in {offered()[0]}")
    proofs = findings[at + 1 :]
    assert {f["check"] for f in proofs} == {"folder", "keys", "commands", "rules", "rewind"}
    assert {f["level"] for f in proofs} == {"ok"}, proofs
    assert done.returncode == 0


def test_doctor_says_so_where_no_box_holds(kimi: Program) -> None:
    kimi.write_config('[box]\nmode = "off"\n')
    done = kimi.run("doctor", "--trust")
    assert "commands run in no box: it is turned off in config.toml" in done.stdout
    assert done.returncode == 1


def test_hooks_are_in_the_box_unless_the_person_lets_them_out(kimi: Program) -> None:
    out = kimi.folder / "out"
    hook = '[[hooks]]\nevent = "PreToolUse"\ncommand = "echo x >> {}"\n{}'
    kimi.write_config(hook.format(out, ""))
    playing(kimi, "true", "--yolo")
    assert not out.exists()
    kimi.write_config(hook.format(out, "outside = true\n"))
    playing(kimi, "true", "--yolo")
    assert out.read_text() == "x\n"


def test_a_wrong_host_in_the_settings_is_told(kimi: Program) -> None:
    kimi.write_config('[box]\nhosts = ["10.0.0.1"]\n')
    found = playing(kimi, "true")
    assert found["code"] == 2
    assert "box.hosts: '10.0.0.1' is an address, not a name\n" in found["stderr"]


# --- what is not tried on hardware ------------------------------------------------------------------------------------


def test_the_text_of_a_seatbelt_profile() -> None:
    text = seatbelt_profile(
        Profile(
            writable=["/project", '/odd"\\'],
            readonly=["/project/a/.git"],
            placeholders=["/project/.kimi"],
            hidden=["/home/me/.ssh"],
        )
    )
    lines = text.splitlines()
    assert lines[:2] == ["(version 1)", "(deny default)"]
    assert '  (subpath "/odd\\"\\\\"))' in lines
    assert lines.index("(allow file-write*") < lines.index("(deny file-write*")
    assert text.index('(deny file-read* file-write*\n  (subpath "/home/me/.ssh"))') > text.index("(allow file-read*)")
    assert '(deny file-write-unlink\n  (literal "/project/a"))' in text
    assert text.count("(") == text.count(")")
    assert "network-outbound" not in seatbelt_profile(Profile(sockets=False))
    with pytest.raises(ValueError):
        seatbelt_profile(Profile(writable=["/a\nb"]))
