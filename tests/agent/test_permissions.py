"""Gates: what needs no question, what always does, and what a grant covers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimi_agent.agent.permissions import Permissions, is_secret, session_scope
from kimi_agent.agent.traffic import conflict
from kimi_agent.core.ask import Allow, Deny
from kimi_agent.core.effect import Effect
from kimi_agent.core.event import Mode
from kimi_agent.core.message import ToolCall

CALL = ToolCall("1", "Tool", "{}")
kinds = st.sampled_from(["read", "write", "run", "fetch", "mcp"])
effects = st.lists(st.builds(Effect, kinds, st.sampled_from(["/a", "/a/b", "/c", "ls", "/w/.env"])), max_size=4).map(
    tuple
)


async def decide(permissions: Permissions, *found: Effect) -> Allow | Deny | str | None:
    for gate in permissions.gates():
        verdict = await gate(CALL, found)
        if verdict is not None:
            return verdict
    return None


@pytest.mark.parametrize(
    ("mode", "effect", "expected"),
    [
        ("default", Effect("read", "/w/a.py"), Allow()),
        ("default", Effect("fetch", "https://example.org"), Allow()),
        ("default", Effect("write", "/w/a.py"), None),
        ("default", Effect("run", "ls"), None),
        ("default", Effect("mcp", "server/tool"), None),
        ("default", Effect("read", "/w/.env"), "ask"),
        ("plan", Effect("read", "/w/a.py"), Allow()),
        ("plan", Effect("read", "/w/.env"), "ask"),
        ("yolo", Effect("run", "ls"), Allow()),
        ("afk", Effect("write", "/w/a.py"), Allow()),
    ],
)
async def test_modes(mode: Mode, effect: Effect, expected):
    assert await decide(Permissions(mode), effect) == expected


@pytest.mark.parametrize("kind", ["write", "run", "mcp"])
async def test_plan_mode_denies_even_what_was_granted(kind):
    permissions = Permissions("default")
    permissions.grant([Effect(kind, "x")])
    permissions.mode = "plan"
    verdict = await decide(permissions, Effect(kind, "x"))
    assert isinstance(verdict, Deny)
    assert "Plan mode" in verdict.feedback


async def test_calls_without_effects_are_free():
    assert await decide(Permissions()) == Allow()


async def test_a_grant_covers_its_very_targets():
    permissions = Permissions()
    permissions.grant([Effect("run", "git status"), Effect("write", "/w/a")])
    assert await decide(permissions, Effect("run", "git status")) == Allow("session")
    for other in ("git status; rm -rf /", "git statu", "git status "):
        assert await decide(permissions, Effect("run", other)) is None
    assert await decide(permissions, Effect("write", "/w/a"), Effect("write", "/w/b")) is None
    assert await decide(permissions, Effect("write", "git status")) is None
    assert await decide(permissions, Effect("run", "git status", "/elsewhere")) is None


@pytest.mark.parametrize(
    "path",
    [
        "/w/.env",
        "/w/.env.local",
        "/h/.ssh/config",
        "/h/.ssh/id_ed25519",
        "/h/.aws/credentials",
        "/w/server.pem",
        "/w/ID_RSA",
    ],
)
def test_secret_files(path):
    assert is_secret(Effect("read", path))


@pytest.mark.parametrize(
    "path", ["/w/.env.example", "/h/.ssh/id_ed25519.pub", "/w/credentials.py", "/w/environment.py", "/w/src/secrets.md"]
)
def test_not_secret_files(path):
    assert not is_secret(Effect("read", path))


def test_scopes_are_said_in_words():
    assert session_scope([Effect("run", "make")]) == "this exact command"
    assert session_scope([Effect("write", "/a"), Effect("write", "/b")]) == "edits of /a, edits of /b"


@given(effects, effects)
def test_conflicts_are_symmetric(first, second):
    assert conflict(first, second) == conflict(second, first)


def test_what_conflicts():
    def pair(a, b):
        return conflict([Effect(*a)], [Effect(*b)])

    assert not pair(("read", "/a"), ("read", "/a"))
    assert pair(("read", "/a"), ("write", "/a"))
    assert pair(("write", "/a/b"), ("read", "/a"))
    assert not pair(("write", "/a"), ("write", "/ab"))
    assert pair(("run", "ls"), ("read", "/a"))
    assert pair(("run", "ls"), ("run", "ls"))
    assert not pair(("run", "ls"), ("fetch", "https://x"))
    assert not conflict((), [Effect("run", "ls")])


@pytest.mark.parametrize(
    "path",
    ["/h/.kimi/config.toml", "/h/.kimi/config.toml.bak", "/h/.kimi/mcp.json", "/h/.kimi/credentials/x", "/h/.claude.json",
     "/w/.mcp.json", "/h/.codex/auth.json", "/h/.config/gh/hosts.yml", "/h/.kimi/mcp-oauth/token"],
)  # fmt: skip
async def test_the_keys_of_agents_are_secrets_too(path: str):
    assert is_secret(Effect("read", path))


@pytest.mark.parametrize(
    "path", ["/w/config.toml", "/w/.kimi/skills/x/SKILL.md", "/h/.kimi/plans/p.md", "/w/docs/mcp.md"]
)
async def test_what_holds_no_keys_is_read_unasked(path: str):
    assert not is_secret(Effect("read", path))


async def test_our_own_home_is_guarded_wherever_it_is():
    permissions = Permissions(home="/data/k")
    for path, guarded in (("/data/k/config.toml", True), ("/data/k/config.toml.bak", True), ("/data/k", True),
                          ("/data/k/sessions/1/out.txt", False), ("/data/kk/config.toml", False)):  # fmt: skip
        verdict = await permissions.secrets(CALL, [Effect("read", path)])
        assert (verdict == "ask") == guarded, path


@pytest.mark.parametrize(("mode", "expected"), [("default", "ask"), ("yolo", "ask"), ("afk", Deny)])
async def test_a_server_that_changed_its_tools_is_asked_about_again(mode: Mode, expected: object) -> None:
    permissions, doubts, effect = Permissions(mode), set[str](), Effect("mcp", "files/write")
    permissions.doubts = lambda: doubts
    permissions.grant([effect])
    assert isinstance(await decide(permissions, effect), Allow)
    doubts.add("files")
    found = await decide(permissions, effect)
    assert found == expected or (isinstance(expected, type) and isinstance(found, expected))
    assert isinstance(await decide(permissions, Effect("read", "/w/a.py")), Allow), "nothing else is"
    doubts.clear()  # the person has looked at the change
    if mode == "default":
        assert await decide(permissions, effect) is None, "what was granted before is not granted any more"


async def test_calls_of_tools_that_say_they_only_read_need_no_order_among_themselves() -> None:
    """It decides nothing but that: a grant holds for the tool, whatever it says."""
    reads, writes = Effect("mcp", "s/read", beside=True), Effect("mcp", "s/write")
    assert not conflict([reads], [reads])
    assert conflict([reads], [writes])
    assert conflict([writes], [writes])
    permissions = Permissions("default")
    permissions.grant([reads])
    assert isinstance(await decide(permissions, Effect("mcp", "s/read")), Allow)
    assert isinstance(await decide(permissions, reads), Allow)
