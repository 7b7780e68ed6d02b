"""`kimi --local MODEL` and `kimi serve`: the engine from the agent's own command line, as real processes."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from acp_editor import Editor
from inference_house import INT4, raw_config
from inference_server_house import make_model
from kimi_program import Program

from kimi_agent.local_engine import local_engine

SMALL_AGENT = "---\nname: small\ndescription: says little\noverride: true\ntools: Glob\n---\nAnswer.\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model") / "tiny", eager=9.0)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """A person with a key for a server on the net, which must not be asked."""
    person = Program(tmp_path, {"KIMI_API_KEY": "sk-of-the-net", "KIMI_BASE_URL": "http://127.0.0.1:9/v1"})
    yield person
    for state in engines(person):
        os.kill(state["pid"], signal.SIGTERM)


def engines(program: Program) -> list[dict[str, object]]:
    return [json.loads(path.read_text()) for path in (program.home / "engine").glob("*.json")]


def test_it_starts_is_shared_and_private(program: Program, model: Path) -> None:
    """Two sessions at once, then one more: one engine; its token is nowhere but in files of this user alone."""
    answers = []
    agent = program.folder / "small.md"
    agent.write_text(SMALL_AGENT)
    flags = ("--agent-file", str(agent), "--max-steps-per-turn", "2", "--output-format", "stream-json")

    def ask() -> None:
        answers.append(program.run("--local", str(model), "-p", "hi", *flags))

    both = [threading.Thread(target=ask) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    ask()
    for answer in answers:
        result = json.loads(answer.stdout.splitlines()[-1])
        said = answer.stdout + answer.stderr
        assert result["stop"] in ("done", "max_steps") or "an empty answer" in result["error"], said  # thoughts alone
        assert result["usage"]["output"] > 0
        assert "sk-of-the-net" not in said
    (state,) = engines(program)
    assert os.getpgid(int(str(state["pid"]))) == state["pid"]  # it outlives the session that started it
    token = Path(str(state["token_file"])).read_text().strip()
    said = "".join(answer.stdout + answer.stderr for answer in answers)
    assert token not in said
    assert "local engine" in said
    assert token not in Path(f"/proc/{state['pid']}/cmdline").read_text()
    assert "sk-of-the-net" not in Path(f"/proc/{state['pid']}/environ").read_text()
    for path in (program.home / "engine").iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


def test_what_cannot_be_started_is_said(program: Program, tmp_path: Path) -> None:
    (program.home / "models" / "k2").mkdir(parents=True)
    (program.home / "models" / "k2" / "config.json").write_text(json.dumps(raw_config(scoring_func="softmax")))
    gone = program.run("--local", "nowhere", "-p", "hi")
    assert gone.returncode == 2
    assert "there is no model in nowhere" in gone.stderr
    assert "There are: k2." in gone.stderr
    wrong = program.run("--local", "k2", "-p", "hi")
    assert wrong.returncode not in (0, 130)
    assert "scoring_func is 'softmax'" in wrong.stderr
    assert "Traceback" not in wrong.stderr
    assert not engines(program)
    clash = program.run("--local", "k2", "-m", "other", "-p", "hi")
    assert "exclude each other" in clash.stderr


def test_serve_plans(program: Program, tmp_path: Path) -> None:
    k2 = tmp_path / "k2"
    k2.mkdir()
    sizes = {
        "vocab_size": 163840, "hidden_size": 7168, "intermediate_size": 18432, "moe_intermediate_size": 2048,
        "num_hidden_layers": 61, "num_attention_heads": 64, "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128,
        "v_head_dim": 128, "n_routed_experts": 384, "num_experts_per_tok": 8, "quantization_config": INT4,
    }  # fmt: skip
    (k2 / "config.json").write_text(json.dumps(raw_config(**sizes)))
    (k2 / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": {"9": {"content": "<think>"}}}))
    plan = program.run("serve", str(k2), "--plan", "--gpus", "8xH200")
    assert plan.returncode == 0, plan.stderr
    assert "70,272 B per token" in plan.stdout
    assert "1,026,408,232,448" in plan.stdout
    there = program.run("serve", str(k2), "--engine", "vllm", "--gpus", "8xH200", "--print")
    assert there.returncode == 0, there.stderr
    assert "VLLM_API_KEY=TOKEN vllm serve" in there.stdout
    assert "--reasoning-parser kimi_k2" in there.stdout
    small = program.run("serve", str(k2), "--engine", "sglang", "--gpus", "4xH100", "--print")
    assert small.returncode == 1
    assert "594 GB, but 4 GPUs" in small.stderr
    absent = program.run("serve", str(k2), "--engine", "vllm", "--gpus", "8xH200", PATH=str(tmp_path))
    assert absent.returncode == 1
    assert "vllm is not installed" in absent.stderr


def test_an_editor_has_a_local_model_too(program: Program, model: Path) -> None:
    (program.folder / "small.md").write_text(SMALL_AGENT)
    program.write_config("")
    flags = (
        "--config-file",
        str(program.config),
        "--local",
        str(model),
        "--agent-file",
        str(program.folder / "small.md"),
    )
    editor = Editor(program, *flags, "--max-steps-per-turn", "1", capabilities={})
    session = editor.new()
    assert editor.prompt(session)["stopReason"] in ("end_turn", "max_turn_requests")
    assert editor.close() == 0
    assert editor.stderr == ""


def test_an_engine_that_was_killed_is_started_again_with_another_token(tmp_path: Path, model: Path) -> None:
    seen, said = [], list[str]()
    for _ in range(2):
        seen.append(local_engine(tmp_path, str(model), lambda what, share: said.append(what)))
        (state,) = (tmp_path / "engine").glob("*.json")
        os.kill(json.loads(state.read_text())["pid"], signal.SIGKILL)
    assert said.count("starting the local engine") == 2
    assert seen[0].token != seen[1].token
