"""What a server gets and may do: the environment of a list, its own folder, the net; no keys, nothing of kimi's (T11)."""

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from boxes import offered
from mcp_fakes import fake
from mcp_house import call, hosting, state
from processes import living_with
from tool_context import make_context, text_of

from kimi_agent.core.access import Rung
from kimi_agent.core.environment import child_environment
from kimi_agent.mcp.host import McpHost
from kimi_agent.mcp.link import CACHES

OF_THE_BOX = {"TMPDIR", "GOCACHE", "YARN_CACHE_FOLDER", "KIMI_RUN"}
KEYS = {
    "KIMI_API_KEY": "sk-kimi-0123456789abcdef", "MOONSHOT_API_KEY": "sk-0123456789abcdef", "KIMI_MCP_TOKEN": "abcdefghijkl",
    "OPENAI_API_KEY": "sk-0123456789abcdef", "GH_TOKEN": "ghp_0123456789012345678901234567", "SSH_AUTH_SOCK": "/run/agent",
    "NODE_OPTIONS": "--require x", "LD_PRELOAD": "/nonexistent.so", "WHATEVER": "1",
}  # fmt: skip
RUNGS = offered()


def entry(*behaviour: Any, **more: Any) -> dict[str, Any]:
    command, *args = fake(*behaviour)
    return {"command": command, "args": args, **more}


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with keys in it, and variables with more."""
    home = tmp_path / "person"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "id_rsa").write_text("PRIVATE")
    (home / "notes").write_text("NOTES")
    monkeypatch.setenv("HOME", str(home))
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value) if name != "LD_PRELOAD" else None
    return home


async def ask(host: McpHost, tmp_path: Path, tool: str, what: object = "", server: str = "s") -> str:
    return text_of(await call(host, f"mcp__{server}__{tool}", make_context(tmp_path), what=str(what)))


async def test_its_environment_is_the_list_and_what_its_entry_says(tmp_path: Path, person: Path) -> None:
    more = {"env": {"OWN": "1", "GH_TOKEN": "given"}, "passEnv": ["WHATEVER", "NOT_SET"]}
    servers = {"s": entry("probes", **more), "plain": entry("probes", box=False)}
    async with hosting(tmp_path, servers, boxed=True) as host:
        expected = child_environment({"OWN": "1", "GH_TOKEN": "given", "WHATEVER": "1"})
        for server, own in (("s", expected), ("plain", child_environment({}))):
            found = json.loads(await ask(host, tmp_path, "env", server=server))
            found.pop("LC_CTYPE", None)  # Python's own
            boxed = server == "s"
            extra = {*OF_THE_BOX, *CACHES} if boxed else {"KIMI_RUN"}
            assert set(found) - extra == set(own) - extra
            assert {name: found[name] for name in own if name not in extra} == {
                name: value for name, value in own.items() if name not in extra
            }
            cache = str(tmp_path / "cache")
            assert all(found.get(name, "").startswith(cache) for name in CACHES) == boxed


@pytest.mark.parametrize("rung", RUNGS)
async def test_what_it_can_reach(tmp_path: Path, person: Path, rung: Rung) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / ".env").write_text("SECRET=1")
    (tmp_path / "work" / "code.py").write_text("CODE")
    outside = Path.home().parent / "outside"
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket(socket.AF_UNIX) as door:
        door.bind(str(tmp_path / "door"))
        door.listen()
        async with hosting(tmp_path, {"s": entry("probes"), "other": entry("probes")}, boxed=rung) as host:
            assert state(host, "s").box.startswith(f"box {rung} · net open")
            env = json.loads(await ask(host, tmp_path, "env"))

            async def tried(tool: str, what: object) -> bool:
                found = await ask(host, tmp_path, tool, what)
                return found == "done" if tool != "read" else found != "(no output)" and "Error" not in found

            for tool, what, allowed in (
                ("connect", listening.getsockname()[1], True),
                ("unix", tmp_path / "door", False),
                ("read", tmp_path / "work" / "code.py", True),
                ("read", tmp_path / "work" / ".env", rung == "R1"),  # in what it may write, R1 hides nothing
                ("read", person / "notes", True),
                ("read", person / ".ssh" / "id_rsa", False),
                ("read", tmp_path / "kimi-home" / "mcp.json", False),
                ("read", tmp_path / "kimi-home" / "mcp-tools", False),
                ("write", tmp_path / "work" / "new", True),
                ("write", tmp_path / "work" / ".git" / "hooks", False),
                ("write", outside, False),
                ("write", person / ".bashrc", False),
                ("write", tmp_path / "kimi-home" / "mcp.json", False),
                ("write", Path(env["TMPDIR"]) / "new", True),
                ("write", Path(env["XDG_CACHE_HOME"]).parent / "new", True),
                ("write", Path(next((tmp_path / "cache").glob("other-*"))) / "new", False),
            ):
                assert await tried(tool, what) == allowed, (tool, what)
    assert not outside.exists()
    assert (tmp_path / "work" / "new").read_text() == "written"


async def test_without_a_box_by_its_entry(tmp_path: Path, person: Path) -> None:
    outside = tmp_path / "outside"
    async with hosting(tmp_path, {"s": entry("probes", box=False), "boxed": entry("good")}, boxed=True) as host:
        assert state(host, "s").box == "no box"
        assert state(host, "boxed").box != "no box" or not RUNGS
        assert await ask(host, tmp_path, "write", outside) == "done"
    assert outside.read_text() == "written"


@pytest.mark.parametrize("rung", RUNGS)
async def test_nothing_of_it_outlives_the_host(tmp_path: Path, rung: Rung) -> None:
    mark = f"mark-{tmp_path.name}-{os.getpid()}"
    (tmp_path / "work").mkdir()
    servers = {
        "forks": entry("double_forks", tmp_path / "work" / "pid", env={"OWN": mark}),
        "stubborn": entry("stubborn", env={"OWN": mark}),
    }
    async with hosting(tmp_path, servers, boxed=rung) as host:
        for name in servers:
            assert text_of(await call(host, f"mcp__{name}__echo", make_context(tmp_path), text="a")) == "a"
        assert len(living_with(mark)) >= 2
    assert living_with(mark) == []
