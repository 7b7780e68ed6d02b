"""From a folder with a checkpoint to a model that answers: files, runner, memory for its cache, engine."""

import hashlib
import importlib.util
import json
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from inference_backend.chat.grammar import GrammarCompiler
from inference_backend.chat.template import Template, choose_template
from inference_backend.chat.tokenizer import Tokenizer
from inference_backend.checkpoint.folder import Progress
from inference_backend.config import ModelConfig, load_config
from inference_backend.engine.async_engine import AsyncEngine
from inference_backend.engine.engine import Engine
from inference_backend.engine.runner import Runner
from inference_backend.engine.scheduler import Limits
from inference_backend.engine.snapshots import SnapshotStore
from inference_backend.errors import ModelConfigError, RequestError
from inference_backend.gpus import this_machine
from inference_backend.load import load_weights
from inference_backend.server.memory import cache_blocks
from inference_backend.server.served import Served

RUNNERS = ("auto", "numpy", "torch")
CPU_LIMITS = Limits(step_tokens=512, running=64)
"""Steps short enough that a long prompt shows progress, and lets others in."""
NUMPY_LIMITS = Limits(step_tokens=128, running=64)
"""Shorter ones yet: the scores of a step over a long context are the most memory that NumPy takes, and longer are no quicker."""
GENERATION_BYTES = 1 << 20
LEAST_CONTEXT = 1024
"""The names and schemas of a few tools, and a short answer."""


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """What a person chooses of a model. Zero or empty: the server finds it out."""

    folder: Path
    name: str = ""
    runner: Literal["auto", "numpy", "torch"] = "auto"
    device: str = ""
    """torch's name of where to run: cpu, cuda, cuda:1."""
    template: str = ""
    context: int = 0
    """Tokens of prompt and answer at most."""
    cache_gb: float = 0.0
    """Memory for the cache, in 10^9 bytes."""
    snapshots: Path | None = None
    snapshot_gb: float = 20.0
    speculate: bool = True
    ranks: int = 0
    """Processes that share the model, one per GPU."""
    split_context: bool = False
    """The cache is spread over the ranks, so that together they hold more."""

    @property
    def served_name(self) -> str:
        return self.name or self.folder.resolve().name


def open_model(options: ModelOptions, progress: Progress) -> Served:
    """The model in `options.folder`, its engine started. Raises EngineError."""
    folder = options.folder
    config = load_config(folder)
    tokenizer = Tokenizer.load(folder)
    if tokenizer.vocab_size > config.vocab_size:
        raise ModelConfigError(
            f"{folder}: the tokenizer has {tokenizer.vocab_size:,} tokens, config.json {config.vocab_size:,}",
            "They do not belong together.",
        )
    template = choose_template(folder, options.template or None)
    if 0 < options.context < LEAST_CONTEXT:
        raise RequestError(
            f"--context {options.context:,} leaves no room for a conversation",
            f"Give it {LEAST_CONTEXT:,} tokens or more; without it the model has {config.max_position_embeddings:,}.",
        )
    if options.context > config.max_position_embeddings:
        raise RequestError(
            f"--context {options.context:,} is more than the model's {config.max_position_embeddings:,} tokens",
        )
    config = replace(config, max_position_embeddings=options.context or config.max_position_embeddings)
    progress("compiling grammars", 0, 1)
    compiler = GrammarCompiler(tokenizer, end_ids=config.eos_token_ids, vocab_size=config.vocab_size)
    runner, kind, limits = _runner(options, config, progress)
    store = None
    if options.snapshots is not None:
        quota = int(options.snapshot_gb * 1e9)
        store = SnapshotStore(options.snapshots, _fingerprint(folder, template, kind), quota=quota, say=_Log().say)
    engine = Engine(runner, limits, snapshots=store, speculate=options.speculate)
    serving = AsyncEngine(engine)
    serving.start()
    return Served(
        options.served_name, engine.scheduler.max_context, tokenizer, template, compiler, serving, recommended(folder)
    )


def _runner(options: ModelOptions, config: ModelConfig, progress: Progress) -> tuple[Runner, str, Limits]:
    """The runner, a text that says how exact its numbers are, and how large its steps are."""
    if options.runner not in RUNNERS:
        raise RequestError(f"--runner is one of {', '.join(RUNNERS)}")
    has_torch = importlib.util.find_spec("torch") is not None
    if options.runner == "torch" and not has_torch:
        raise RequestError("torch is not installed", "pip install 'kimi-agent[torch]', or use --runner numpy.")
    if options.runner == "numpy" or not has_torch:
        if options.ranks > 1:
            raise RequestError("several ranks need torch", "pip install 'kimi-agent[torch]', and no --runner numpy.")
        return _numpy_runner(options, config, progress), "numpy float32", NUMPY_LIMITS
    from inference_backend.server.torch_model import torch_runner

    runner, kind, on_gpu = torch_runner(options, config, progress)
    return runner, kind, Limits() if on_gpu else CPU_LIMITS


def _numpy_runner(options: ModelOptions, config: ModelConfig, progress: Progress) -> Runner:
    from inference_backend.engine.reference_runner import ReferenceRunner

    free = this_machine().memory / 2
    weights = load_weights(options.folder, config, cache_bytes=int(free / 2), progress=progress)
    return ReferenceRunner(config, weights, cache_blocks(config, 4, free / 2, options.cache_gb * 1e9))


class _Log:
    """Warnings on standard error; what is said again and again, once."""

    def __init__(self) -> None:
        self._last = ""

    def say(self, text: str) -> None:
        if text != self._last:
            self._last = text
            with suppress(OSError):  # the disk that is full may be the log's too
                sys.stderr.write(f"warning: {text}\n")
                sys.stderr.flush()


def _fingerprint(folder: Path, template: Template, kind: str) -> str:
    """Of all that the latents of a prompt depend on; files of weights by name, size and time."""
    parts = [kind, template.name, hashlib.sha256((folder / "config.json").read_bytes()).hexdigest()]
    for path in sorted([*folder.glob("*.safetensors"), folder / "tiktoken.model"]):
        status = path.stat()
        parts.append(f"{path.name} {status.st_size} {status.st_mtime_ns}")
    return "\n".join(parts)


def recommended(folder: Path) -> dict[str, float]:
    """`temperature` and `top_p` of generation_config.json, where they make sense."""
    path = folder / "generation_config.json"
    if not path.exists() or path.stat().st_size > GENERATION_BYTES:
        return {}
    raw = json.loads(path.read_bytes())  # load_config has read it before
    found = {}
    for name, most in (("temperature", 2.0), ("top_p", 1.0)):
        value = raw.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most:
            found[name] = float(value)
    return found
