"""Agents of the Agent Client Protocol to be timed: ours, and those that the npm registry has. Each speaks to one fake API on
loopback, as far as it can be told to."""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from measure import cpu_seconds, resident_mb

Message = dict[str, Any]
KIMI = "kimi"
CAPABILITIES: Message = {"fs": {"readTextFile": False, "writeTextFile": False}}


class NotAnswered(Exception):
    """The agent refused, ended or stayed silent; the text says which."""


@dataclass(frozen=True)
class Agent:
    """`command` starts it; `configure` writes what it reads under HOME for an API at the given URL (which ends in /v1) and
    answers variables of its environment. `read` is its call that reads a file, by its path; None where none is timed.
    `streams`: the fake API speaks its language."""

    name: str
    command: Sequence[str]
    configure: Callable[[Path, str], dict[str, str]]
    read: Callable[[str], Message] | None = None
    streams: bool = True


def kimi_config(home: Path, url: str) -> dict[str, str]:
    home.mkdir(parents=True, exist_ok=True)
    (home / "config.toml").write_text(
        f'default_model = "m"\n[providers.p]\ntype = "kimi"\nbase_url = "{url}"\napi_key = "sk-bench"\n'
        '[models.m]\nprovider = "p"\nmodel = "fake-model"\nmax_context_size = 1000000\n'
    )
    return {"KIMI_HOME": str(home), "KIMI_CODE_HOME": str(home)}


def codex_config(home: Path, url: str) -> dict[str, str]:
    home.mkdir(parents=True, exist_ok=True)
    (home / "config.toml").write_text(
        'model = "fake-model"\nmodel_provider = "fake"\n'
        f'[model_providers.fake]\nname = "fake"\nbase_url = "{url}"\nenv_key = "FAKE_KEY"\nwire_api = "responses"\n'
    )
    return {"CODEX_HOME": str(home), "FAKE_KEY": "sk-bench"}


def claude_config(home: Path, url: str) -> dict[str, str]:
    return {"ANTHROPIC_BASE_URL": url.removesuffix("/v1"), "ANTHROPIC_API_KEY": "sk-bench", "DISABLE_TELEMETRY": "1",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "CLAUDE_CONFIG_DIR": str(home)}  # fmt: skip


def gemini_config(home: Path, url: str) -> dict[str, str]:
    return {"GOOGLE_GEMINI_BASE_URL": url.removesuffix("/v1"), "GEMINI_API_KEY": "sk-bench"}


def ours() -> Agent:
    read = lambda path: {"call": {"name": "ReadFile", "arguments": {"path": path}}}  # noqa: E731
    return Agent(KIMI, [sys.executable, "-m", "kimi_agent", "acp", "--yolo"], kimi_config, read)


RIVALS: dict[str, tuple[str, Sequence[str], Callable[[Path, str], dict[str, str]]]] = {
    "kimi-code": ("@moonshot-ai/kimi-code@2.1.0", ["acp"], kimi_config),
    "claude-agent-acp": ("@agentclientprotocol/claude-agent-acp@0.101.0", [], claude_config),
    "codex-acp": ("@agentclientprotocol/codex-acp@2.6.0", [], codex_config),
    "gemini-cli": ("@google/gemini-cli@0.61.0", ["--acp"], gemini_config),
}


def rival(name: str) -> Agent:
    """Raises what `node_house` raises where it cannot be had."""
    import node_house

    spec, arguments, configure = RIVALS[name]
    folder = node_house.package(spec)
    programs = json.loads((folder / "package.json").read_text())["bin"]
    program = programs if isinstance(programs, str) else next(iter(programs.values()))
    read = (lambda path: {"call": {"name": "Read", "arguments": {"path": path}}}) if name == "kimi-code" else None
    return Agent(
        name, [str(node_house.node()), str(folder / program), *arguments], configure, read, name != "gemini-cli"
    )


class Running:
    """One agent at work in folders under `folder`. Use it as a context manager: it is ended with it."""

    def __init__(self, agent: Agent, folder: Path, url: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        kept = {key: os.environ[key] for key in ("PATH", "LANG", "TMPDIR") if key in os.environ}
        own = agent.configure(folder / "home", url)
        env = kept | {"HOME": str(folder), "TERM": "dumb", "NO_PROXY": "*"} | own
        self.began = time.perf_counter()
        self.process = subprocess.Popen(
            agent.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=folder, env=env
        )
        self.updates: dict[str, int] = {}
        """Chunks of the answer that came, by session."""
        self._ids = 0
        self._answers: dict[int, queue.SimpleQueue[tuple[float, Message]]] = {}
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            now = time.perf_counter()
            try:
                message = json.loads(line)
            except ValueError:
                continue
            if "method" not in message:
                self._answers[message["id"]].put((now, message))
            elif message["method"] == "session/update":
                if message["params"]["update"]["sessionUpdate"] == "agent_message_chunk":
                    session = message["params"]["sessionId"]
                    self.updates[session] = self.updates.get(session, 0) + 1
            elif "id" in message:
                self._allow(message)
        for waiting in self._answers.values():
            waiting.put((time.perf_counter(), {"error": {"message": "it ended"}}))

    def _allow(self, message: Message) -> None:
        options = message["params"].get("options", [])
        allowing = [option["optionId"] for option in options if option["kind"].startswith("allow")]
        outcome = {"outcome": "selected", "optionId": allowing[0]} if allowing else {"outcome": "cancelled"}
        self._send({"jsonrpc": "2.0", "id": message["id"], "result": {"outcome": outcome}})

    def _send(self, message: Message) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            raise NotAnswered("it ended") from None

    def begin(self, method: str, **params: Any) -> int:
        self._ids += 1
        self._answers[self._ids] = queue.SimpleQueue()
        self._send({"jsonrpc": "2.0", "id": self._ids, "method": method, "params": params})
        return self._ids

    def answer(self, request: int, timeout: float = 60) -> tuple[float, Any]:
        """When it came, by `time.perf_counter`, and its result. Raises NotAnswered."""
        try:
            when, message = self._answers[request].get(timeout=timeout)
        except queue.Empty:
            raise NotAnswered(f"silent for {timeout:g} s") from None
        if "error" in message:
            raise NotAnswered(" ".join(str(message["error"].get("message")).split())[:60])
        return when, message["result"]

    def initialize(self) -> float:
        """Seconds from the start of the process to the answer. Raises NotAnswered."""
        info = {"name": "bench", "version": "1"}
        request = self.begin("initialize", protocolVersion=1, clientCapabilities=CAPABILITIES, clientInfo=info)
        return self.answer(request)[0] - self.began

    def new(self, cwd: Path, servers: Sequence[Message] = ()) -> tuple[float, str]:
        """Seconds from the request to the answer, and the session. Raises NotAnswered."""
        cwd.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        when, result = self.answer(self.begin("session/new", cwd=str(cwd), mcpServers=list(servers)))
        return when - began, result["sessionId"]

    def begin_prompt(self, session: str) -> int:
        return self.begin("session/prompt", sessionId=session, prompt=[{"type": "text", "text": "Go."}])

    def prompt(self, session: str) -> float:
        """Seconds until it is answered. Raises NotAnswered."""
        began = time.perf_counter()
        return self.answer(self.begin_prompt(session), timeout=300)[0] - began

    def family(self) -> list[int]:
        """The process and all that it has started."""
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").glob("[0-9]*/stat"):
            try:
                text = entry.read_text()
            except OSError:
                continue
            parent = int(text[text.rindex(")") + 2 :].split()[1])
            children.setdefault(parent, []).append(int(entry.parent.name))
        found = [self.process.pid]
        for process in found:
            found += children.get(process, [])
        return found

    def memory(self) -> float:
        """Resident MB of the whole family."""
        return sum(_tolerant(resident_mb, process) for process in self.family())

    def cpu(self) -> float:
        """CPU seconds of the whole family as it is now."""
        return sum(_tolerant(cpu_seconds, process) for process in self.family())

    def end(self) -> float:
        """Seconds from the end of the input to that of the process. Raises NotAnswered."""
        assert self.process.stdin is not None
        began = time.perf_counter()
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            raise NotAnswered("runs on") from None
        return time.perf_counter() - began


def _tolerant(measure: Callable[[int], float], process: int) -> float:
    try:
        return measure(process)
    except (OSError, IndexError):  # it has just ended
        return 0.0
