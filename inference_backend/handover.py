"""Handing a model over to vLLM or SGLang: the command that serves it, on one host or on each of several.

Both speak the API that our server speaks. What K2 needs of them is not their default: its tool-call and reasoning parsers, one
tensor-parallel group that holds the weights, and latents that are split over the ranks instead of copied to each.
"""

import importlib.util
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from inference_backend.errors import CapacityError, EngineError

ENGINES = ("vllm", "sglang")
INSTALL = {"vllm": "pip install vllm", "sglang": "pip install sglang"}


@dataclass(frozen=True, slots=True)
class Cluster:
    """`nodes` hosts of `gpus` GPUs each; this one is `node` (0: the head). `head` is its address and a free port, HOST:PORT."""

    gpus: int
    nodes: int = 1
    node: int = 0
    head: str = ""

    @property
    def total(self) -> int:
        return self.gpus * self.nodes


@dataclass(frozen=True, slots=True)
class Serving:
    """How the server is to be reached, and how much it may take."""

    model: Path
    name: str  # what the API calls the model
    host: str = "127.0.0.1"
    port: int = 8000
    token: str = ""  # clients must send it; empty: anyone may ask
    context: int = 0  # tokens; 0: all that the model has
    memory: float = 0.9  # share of each GPU's memory that the server may take
    thinks: bool = True  # the model writes its reasoning between markers


@dataclass(frozen=True, slots=True)
class Command:
    """A program to run: `environment` comes on top of what is there, and holds secrets where the program reads them there."""

    words: tuple[str, ...]
    environment: Mapping[str, str]
    why: str

    def __str__(self) -> str:
        """As a person would type it, secrets left out."""
        words = list(self.words)
        if "--api-key" in words:
            words[words.index("--api-key") + 1] = "TOKEN"
        return " ".join([*(f"{name}=TOKEN" for name in self.environment), shlex.join(words)])


def commands(engine: str, serving: Serving, cluster: Cluster) -> list[Command]:
    """What this host has to run, in order. Raises EngineError for an engine or a cluster that cannot be."""
    if engine not in ENGINES:
        raise EngineError(f"there is no engine {engine!r}", f"There are: {', '.join(ENGINES)}.")
    if cluster.nodes > 1 and not cluster.head:
        raise EngineError(
            f"{cluster.nodes} hosts need the address of the first one", "Such as --head 10.0.0.1:6379, on every host."
        )
    if not 0 <= cluster.node < cluster.nodes:
        raise EngineError(f"host {cluster.node} is none of 0 to {cluster.nodes - 1}")
    return _vllm(serving, cluster) if engine == "vllm" else _sglang(serving, cluster)


def _vllm(serving: Serving, cluster: Cluster) -> list[Command]:
    """Ray joins the hosts: each starts it, the first one serves. Within a host tensors are split, between hosts layers."""
    before = []
    if cluster.nodes > 1:
        host, _, port = cluster.head.rpartition(":")
        head = cluster.node == 0
        rest = ("--head", f"--port={port}") if head else (f"--address={cluster.head}", "--block")
        why = f"joins the hosts at {host}" if head else "lends this host's GPUs until it is ended"
        before = [Command(("ray", "start", *rest), {}, why)]
        if not head:
            return before
    words = [
        "vllm", "serve", str(serving.model), "--served-model-name", serving.name,
        "--host", serving.host, "--port", str(serving.port),
        "--tensor-parallel-size", str(cluster.gpus), "--gpu-memory-utilization", f"{serving.memory:g}",
        "--enable-auto-tool-choice", "--tool-call-parser", "kimi_k2", "--enable-prefix-caching", "--trust-remote-code",
    ]  # fmt: skip
    if serving.thinks:
        words += ["--reasoning-parser", "kimi_k2"]
    if serving.context:
        words += ["--max-model-len", str(serving.context)]
    if cluster.gpus > 1:
        words += ["--decode-context-parallel-size", str(cluster.gpus)]
    if cluster.nodes > 1:
        words += ["--pipeline-parallel-size", str(cluster.nodes), "--distributed-executor-backend", "ray"]
    environment = {"VLLM_API_KEY": serving.token} if serving.token else {}
    return [*before, Command(tuple(words), environment, "serves the model")]


def _sglang(serving: Serving, cluster: Cluster) -> list[Command]:
    """Every host runs the same command with its own number; torch.distributed joins them at the head's address."""
    words = [
        sys.executable, "-m", "sglang.launch_server", "--model-path", str(serving.model), "--served-model-name", serving.name,
        "--host", serving.host, "--port", str(serving.port), "--tp", str(cluster.total),
        "--mem-fraction-static", f"{serving.memory:g}", "--tool-call-parser", "kimi_k2", "--trust-remote-code",
    ]  # fmt: skip
    if serving.thinks:
        words += ["--reasoning-parser", "kimi_k2"]
    if serving.context:
        words += ["--context-length", str(serving.context)]
    if cluster.nodes > 1:
        words += ["--nnodes", str(cluster.nodes), "--node-rank", str(cluster.node), "--dist-init-addr", cluster.head]
    if serving.token:
        words += ["--api-key", serving.token]  # it reads no environment: other users of the host can see the token
    return [
        Command(
            tuple(words), {}, "serves the model" if cluster.node == 0 else "lends this host's GPUs until it is ended"
        )
    ]


def check_installed(engine: str, cluster: Cluster) -> None:
    """Raises EngineError where what the commands need is not installed."""
    if engine == "sglang" and importlib.util.find_spec("sglang") is None:
        raise EngineError("sglang is not installed in this Python", INSTALL["sglang"])
    if engine == "vllm" and shutil.which("vllm") is None:
        raise EngineError("vllm is not installed, or not on the PATH", INSTALL["vllm"])
    if engine == "vllm" and cluster.nodes > 1 and shutil.which("ray") is None:
        raise EngineError("several hosts need ray, which is not installed", "pip install 'ray[default]'")


def check_fits(weights: float, memory: float, share: float, cluster: Cluster) -> None:
    """Raises CapacityError where `weights` (bytes, all) do not fit `share` of the GPUs' `memory` (bytes each)."""
    room = memory * share * cluster.total
    if weights > room:
        need = -(-weights // (memory * share))
        raise CapacityError(
            f"the weights take {weights / 1e9:.0f} GB, but {cluster.total} GPUs of {memory / 1e9:.0f} GB hold "
            f"{room / 1e9:.0f} GB",
            f"It takes {need:.0f} such GPUs, and more for the context.",
        )
