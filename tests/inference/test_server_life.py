"""How a server begins and ends: its address, its token, what it says, signals; and the agent as its client."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest
from inference_server_house import ROOT, Server, make_model, open_stream, serving
from kimi_program import Program
from typer.testing import CliRunner

from inference_backend.__main__ import app
from inference_backend.chat.tokenizer import Tokenizer
from inference_backend.config import load_config
from inference_backend.errors import EngineError

HELLO = {"messages": [{"role": "user", "content": "hi"}], "seed": 1}
ENDLESS = {**HELLO, "logit_bias": {str(token): -100 for token in range(376, 392)}}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("life") / "tiny-k2", context=65536)


def run(*arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    """`serve` where it does not come to serve."""
    argv = [sys.executable, "-m", "inference_backend", "serve", *map(str, arguments)]
    return subprocess.run(argv, capture_output=True, text=True, env={**os.environ, **env}, cwd=ROOT, timeout=60)


def listeners(port: int) -> set[str]:
    """Addresses, in the kernel's own writing, where something listens on `port`."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            address, state = line.split()[1], line.split()[3]
            host, _, number = address.partition(":")
            if state == "0A" and int(number, 16) == port:
                found.add(host)
    return found


def test_a_whole_life(model: Path, tmp_path: Path):
    with serving(model, tmp_path, "--drain-seconds", "20") as server:
        token_file = Path(server.told("ready")["token_file"])
        assert token_file.stat().st_mode & 0o777 == 0o600
        assert token_file.parent.stat().st_mode & 0o077 == 0
        assert len(server.token) >= 43
        command = Path(f"/proc/{server.process.pid}/cmdline").read_bytes().decode()
        assert server.token not in command + json.dumps(server.events)
        assert listeners(server.port) <= {"0100007F", "00000000000000000000000001000000"}  # 127.0.0.1 and ::1
        assert server.told("ready")["model"] == "tiny-k2"
        assert [event["event"] for event in server.events if event["event"] != "loading"] == ["listening", "ready"]

        second = run(model, "--port", server.port)
        assert second.returncode == 1
        assert f"port {server.port} already" in second.stderr

        with closing(open_stream(server, {**HELLO, "max_tokens": 400, "logit_bias": ENDLESS["logit_bias"]})) as wire:
            server.process.send_signal(signal.SIGTERM)
            assert server.wait_for("draining")["answers"] == 1
            with pytest.raises(OSError, match="refused"):
                server.connect()
            rest = b"".join(iter(lambda: wire.recv(65536), b""))
        assert b'"finish_reason":"length"' in rest
        assert rest.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        assert server.end() == 0
        assert not token_file.exists()
        assert server.errors == ""


@pytest.mark.parametrize("how", ["deadline", "second signal"])
def test_an_end_that_does_not_wait_for_ever(model: Path, tmp_path: Path, how: str):
    with serving(model, tmp_path, "--drain-seconds", "0.2" if how == "deadline" else "600") as server:
        with closing(open_stream(server, ENDLESS)) as wire:
            server.process.send_signal(signal.SIGTERM)
            server.wait_for("draining")
            if how == "second signal":
                server.process.send_signal(signal.SIGTERM)
            rest = b"".join(iter(lambda: wire.recv(65536), b""))
        assert b"[DONE]" not in rest
        assert server.end() == 0


def test_a_queue_that_is_full_says_when_to_come_back(model: Path, tmp_path: Path):
    with serving(model, tmp_path, "--queue", "1") as server:
        with closing(open_stream(server, ENDLESS)):
            refused = server.post("/v1/chat/completions", HELLO)
            assert refused.status == 429
            assert refused.json()["error"]["code"] == "queue_full"
            assert 1 <= int(refused.head["retry-after"]) <= 60
            assert server.request("GET", "/health").json()["running"] == 1
        waiter = threading.Event()
        while (answer := server.post("/v1/chat/completions", {**HELLO, "max_tokens": 2})).status == 429:
            waiter.wait(0.02)
        assert answer.status == 200


def test_a_unix_socket_and_a_chosen_token(model: Path, tmp_path: Path):
    chosen = tmp_path / "token"
    chosen.write_text("k" * 40 + "\n")
    chosen.chmod(0o600)
    path = tmp_path / "kimi.sock"
    with serving(model, tmp_path, "--socket", str(path), "--token-file", str(chosen), "--name", "k2") as server:
        assert path.stat().st_mode & 0o777 == 0o600
        assert server.told("ready")["socket"] == str(path)
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url=server.url) as web:
            assert web.get("models").status_code == 401
            answer = web.get("models", headers={"Authorization": "Bearer " + "k" * 40})
            assert answer.json()["data"][0]["id"] == "k2"
    assert chosen.exists(), "a person's own token is not removed"
    assert not path.exists()


def test_what_cannot_be_served_is_said_in_a_line(model: Path, tmp_path: Path):
    open_to_all = tmp_path / "open"
    open_to_all.write_text("k" * 40)
    open_to_all.chmod(0o644)
    short = tmp_path / "short"
    short.write_text("secret")
    short.chmod(0o600)
    state = {"XDG_STATE_HOME": str(tmp_path)}
    cases = {
        "config.json": run(tmp_path / "nowhere", "--port", "0", **state),
        "reached from other machines": run(model, "--host", "0.0.0.0", "--port", "0", **state),
        "read by others": run(model, "--port", "0", "--token-file", open_to_all, **state),
        "holds no token": run(model, "--port", "0", "--token-file", short, **state),
        "--context 999,999 is more": run(model, "--port", "0", "--context", "999999", **state),
        "--context 1 leaves no room": run(model, "--port", "0", "--context", "1", **state),
        "chat template": run(model, "--port", "0", "--template", "gpt", **state),
        "not enough memory": run(model, "--port", "0", "--runner", "numpy", "--cache-gb", "1e9", **state),
        "no device 'tpu'": run(model, "--port", "0", "--runner", "torch", "--device", "tpu", **state),
    }
    for words, ended in cases.items():
        assert ended.returncode == 1, words
        assert words in ended.stderr
        assert "Traceback" not in ended.stderr
        assert "secret" not in ended.stderr
    assert not list(tmp_path.rglob("*.token"))


@pytest.fixture(scope="module")
def for_agents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A model in a hurry to end, with a context for the agent's instructions."""
    folder = tmp_path_factory.mktemp("agent")
    with serving(make_model(folder / "tiny-k2", eager=6, context=65536), folder / "state") as server:
        yield server


@pytest.mark.parametrize("kind", ["kimi", "openai_legacy"])
def test_our_agent_completes_a_turn(for_agents: Server, tmp_path: Path, kind: str):
    program = Program(tmp_path)
    program.write_config(
        f'default_model = "m"\n[providers.p]\ntype = "{kind}"\nbase_url = "{for_agents.url}"\napi_key = "{for_agents.token}"\n'
        '[models.m]\nprovider = "p"\nmodel = "tiny-k2"\nmax_context_size = 65536\n[tools]\nenabled = ["Read"]\n'
    )
    done = program.run("-p", "hi", "--output-format", "stream-json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["stop"], result["error"]) == ("done", "")
    assert result["usage"]["input"] > 100
    assert result["usage"]["output"] > 0


def test_sessions_go_on_after_a_restart(model: Path, tmp_path: Path):
    body = {"messages": [{"role": "user", "content": "0123456789" * 20}], "max_tokens": 2, "prompt_cache_key": "one"}
    with serving(model, tmp_path, "--snapshots", str(tmp_path / "kept")) as server:
        for cached in (False, True):
            usage = server.post("/v1/chat/completions", body).json()["usage"]
            assert (usage["prompt_tokens_details"]["cached_tokens"] > 100) is cached
    assert server.events[-1] == {"event": "draining", "seconds": 30.0, "answers": 0}
    with serving(model, tmp_path, "--snapshots", str(tmp_path / "kept")) as server:
        usage = server.post("/v1/chat/completions", body).json()["usage"]
        assert usage["prompt_tokens_details"]["cached_tokens"] > 100


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_a_stop_string_ends_stays_with_its_session(model: Path, tmp_path: Path, path: str, stream: bool):
    """It is pinned, and goes to the disk, as one that the model ended."""
    asked = {"messages": [{"role": "user", "content": "0" * 200}]} if "chat" in path else {"prompt": "0" * 200}
    stops = ["a", "e", "i", "o", "u", " ", "\n", "0", "1"]
    body = {**asked, "logit_bias": ENDLESS["logit_bias"], "stop": stops, "prompt_cache_key": "s", "stream": stream}
    with serving(model, tmp_path, "--snapshots", str(tmp_path / "kept")) as server:
        assert b'"finish_reason":"stop"' in server.post(path, body).body
        metrics = server.request("GET", "/metrics").body
        while b"kimi_saved_blocks_total 0.0" in metrics:
            metrics = server.request("GET", "/metrics").body
        assert b"kimi_pinned_sessions 1.0" in metrics


def test_thinking_can_be_switched_where_the_template_lets_it(model: Path, tmp_path: Path):
    """K2.6 writes `<think>` into the prompt: the answer begins with thoughts, or has none."""
    with serving(model, tmp_path, "--template", "k2.6") as server:
        for thinking in (True, False):
            for switch in (
                {"thinking": {"type": "enabled" if thinking else "disabled"}},
                {"chat_template_kwargs": {"thinking": thinking}},
            ):
                body = {**HELLO, **switch, "max_tokens": 20}
                message = server.post("/v1/chat/completions", body).json()["choices"][0]["message"]
                assert bool(message.get("reasoning_content")) is thinking


@pytest.mark.skipif(not find_spec("torch"), reason="torch is not installed")
def test_torch_serves_the_same_answers(model: Path, tmp_path: Path):
    """float32 on the CPU: greedy tokens are those of NumPy."""
    answers = []
    for runner in ("numpy", "torch"):
        with serving(model, tmp_path, "--runner", runner, "--device", "cpu") as server:
            body = {**HELLO, "temperature": 0, "max_tokens": 20}
            answers.append(server.post("/v1/chat/completions", body).json()["choices"])
    assert answers[0] == answers[1]


def test_it_ends_by_itself_when_nobody_uses_it(model: Path, tmp_path: Path):
    users = tmp_path / "users"
    with users.open("w") as held, serving(model, tmp_path, "--idle-exit", "0.4", "--users", str(users)) as server:
        fcntl.flock(held, fcntl.LOCK_SH)
        with pytest.raises(subprocess.TimeoutExpired):
            server.process.wait(2)
        held.close()  # as the system does for a program that is killed
        assert server.process.wait(30) == 0


@pytest.mark.parametrize("option", ["--cache-gb", "--snapshot-gb", "--idle-exit", "--drain-seconds"])
def test_numbers_without_end_are_refused(option: str, tmp_path: Path):
    ended = CliRunner().invoke(app, ["serve", str(tmp_path), option, "inf"])
    assert ended.exit_code == 2
    assert "finite" in ended.output


def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path: Path):
    for name, read in (("config.json", load_config), ("tiktoken.model", Tokenizer.load)):
        os.mkfifo(tmp_path / name)
        with pytest.raises(EngineError, match="no regular file"):
            read(tmp_path)


def test_servers_that_share_a_token_file(model: Path, tmp_path: Path):
    """The second takes the first one's token, and has it for as long as it lives."""
    token = tmp_path / "token"
    with serving(model, tmp_path, "--token-file", str(token)) as first:
        with serving(model, tmp_path, "--token-file", str(token)) as second:
            assert first.token == second.token
            assert first.end() == 0
            assert second.request(path="/v1/models").status == 200
        assert token.stat().st_mode & 0o777 == 0o600
    token.unlink()
    with serving(model, tmp_path, "--token-file", str(token)) as alone:
        token.unlink()
        token.write_text("another's by now")
        assert alone.end() == 0
    assert token.read_text() == "another's by now"


def test_snapshots_that_cannot_be_written_are_said(model: Path, tmp_path: Path):
    kept = tmp_path / "kept"
    body = {"messages": [{"role": "user", "content": "0123456789" * 20}], "max_tokens": 2, "prompt_cache_key": "one"}
    with serving(model, tmp_path, "--snapshots", str(kept)) as server:
        kept.rmdir()
        kept.write_text("no folder")
        assert server.post("/v1/chat/completions", body).status == 200
        server.end()
        assert server.errors.count("a snapshot was not written") == 1
        assert "Traceback" not in server.errors


def test_a_model_is_found_by_a_name_with_slashes_and_blanks(model: Path, tmp_path: Path):
    with serving(model, tmp_path, "--name", "moonshotai/Kimi K2") as server:
        for path in ("moonshotai%2FKimi%20K2", "moonshotai/Kimi%20K2"):
            assert server.request(path=f"/v1/models/{path}").json()["id"] == "moonshotai/Kimi K2"
        assert server.request("HEAD", "/health").status == 405
        answer = server.post("/v1/chat/completions", {"messages": HISTORY, "max_tokens": 2, "temperature": 1e-50})
        assert answer.status == 200
        assert server.post("/v1/completions", {"prompt": "a", "logit_bias": {"5": 10**400}}).status == 400


HISTORY = [
    {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
    {"role": "user", "content": "Please"},
]
