"""The commands that hand a model over to vLLM and SGLang, on one host and on several."""

from pathlib import Path

import pytest

from inference_backend.errors import CapacityError, EngineError
from inference_backend.handover import ENGINES, Cluster, Serving, check_fits, check_installed, commands

K2 = Serving(Path("/models/k2"), "kimi-k2", port=8123, token="s3cret", context=262144)


def after(words: tuple[str, ...], flag: str) -> str:
    return words[words.index(flag) + 1]


def test_vllm_on_one_host() -> None:
    (serve,) = commands("vllm", K2, Cluster(8))
    assert serve.words[:3] == ("vllm", "serve", "/models/k2")
    for flag, value in {
        "--tensor-parallel-size": "8",
        "--decode-context-parallel-size": "8",
        "--tool-call-parser": "kimi_k2",
        "--reasoning-parser": "kimi_k2",
        "--max-model-len": "262144",
        "--host": "127.0.0.1",
        "--port": "8123",
    }.items():
        assert after(serve.words, flag) == value
    assert "--enable-auto-tool-choice" in serve.words
    assert "--distributed-executor-backend" not in serve.words
    assert serve.environment == {"VLLM_API_KEY": "s3cret"}
    assert "s3cret" not in str(serve)


def test_vllm_on_two_hosts_is_joined_by_ray() -> None:
    start, serve = commands("vllm", K2, Cluster(8, 2, 0, "10.0.0.1:6379"))
    assert start.words == ("ray", "start", "--head", "--port=6379")
    assert (after(serve.words, "--tensor-parallel-size"), after(serve.words, "--pipeline-parallel-size")) == ("8", "2")
    assert after(serve.words, "--distributed-executor-backend") == "ray"
    (lend,) = commands("vllm", K2, Cluster(8, 2, 1, "10.0.0.1:6379"))
    assert lend.words == ("ray", "start", "--address=10.0.0.1:6379", "--block")


@pytest.mark.parametrize("node", [0, 1])
def test_sglang_runs_the_same_on_every_host(node: int) -> None:
    (serve,) = commands("sglang", K2, Cluster(8, 2, node, "10.0.0.1:5000"))
    assert (after(serve.words, "--tp"), after(serve.words, "--nnodes"), after(serve.words, "--node-rank")) == (
        "16",
        "2",
        str(node),
    )
    assert after(serve.words, "--dist-init-addr") == "10.0.0.1:5000"
    assert after(serve.words, "--context-length") == "262144"
    assert "s3cret" in serve.words
    assert "s3cret" not in str(serve)


@pytest.mark.parametrize("engine", ENGINES)
def test_models_that_do_not_think(engine: str) -> None:
    (serve,) = commands(engine, Serving(Path("m"), "m", thinks=False), Cluster(1))
    assert "--reasoning-parser" not in serve.words
    assert "--decode-context-parallel-size" not in serve.words


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(EngineError, match="no engine 'tgi'"):
        commands("tgi", K2, Cluster(8))
    with pytest.raises(EngineError, match="2 hosts need the address"):
        commands("vllm", K2, Cluster(8, 2))
    with pytest.raises(EngineError, match="host 2 is none of 0 to 1"):
        commands("sglang", K2, Cluster(8, 2, 2, "a:1"))
    with pytest.raises(CapacityError, match=r"594 GB, but 4 GPUs of 141 GB hold 508 GB") as caught:
        check_fits(594.21e9, 141e9, 0.9, Cluster(4))
    assert "5 such GPUs" in caught.value.hint
    check_fits(594.21e9, 141e9, 0.9, Cluster(8))


def test_an_engine_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    for engine in ENGINES:
        with pytest.raises(EngineError, match="not installed") as caught:
            check_installed(engine, Cluster(1))
        assert caught.value.hint == f"pip install {engine}"
