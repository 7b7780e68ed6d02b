"""From a folder with a checkpoint to a model that answers: files, runner, memory for its cache, engine."""

import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from inference_backend.chat.grammar import GrammarCompiler
from inference_backend.chat.template import Template, choose_template
from inference_backend.chat.tokenizer import Tokenizer
from inference_backend.checkpoint.folder import Progress
from inference_backend.config import ModelConfig, load_config
from inference_backend.engine.async_engine import AsyncEngine
from inference_backend.engine.engine import Engine
from inference_backend.engine.runner import BLOCK_TOKENS, Runner
from inference_backend.engine.scheduler import Limits
from inference_backend.engine.snapshots import SnapshotStore
from inference_backend.errors import CapacityError, ModelConfigError, RequestError
from inference_backend.gpus import this_machine
from inference_backend.load import StoredWeights, load_weights, open_weights
from inference_backend.server.served import Served

RUNNERS = ("auto", "numpy", "torch")
CPU_LIMITS = Limits(step_tokens=512, running=64)
"""Steps short enough that a long prompt shows progress, and lets others in."""
NUMPY_LIMITS = Limits(step_tokens=128, running=64)
"""Shorter ones yet: the scores of a step over a long context are the most memory that NumPy takes, and longer are no quicker."""
SEQUENCES = 8
"""Full contexts that the cache has room for where memory allows more."""
GENERATION_BYTES = 1 << 20


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
        return _numpy_runner(options, config, progress), "numpy float32", NUMPY_LIMITS
    return _torch_runner(options, config, progress)


def _numpy_runner(options: ModelOptions, config: ModelConfig, progress: Progress) -> Runner:
    from inference_backend.engine.reference_runner import ReferenceRunner

    free = this_machine().memory / 2
    weights = load_weights(options.folder, config, cache_bytes=int(free / 2), progress=progress)
    return ReferenceRunner(config, weights, _blocks(options, config, 4, free / 2))


def _torch_runner(options: ModelOptions, config: ModelConfig, progress: Progress) -> tuple[Runner, str, Limits]:
    import torch

    from inference_backend.engine.torch_runner import TorchRunner
    from inference_backend.model.model import Model

    try:
        device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError):
        raise RequestError(
            f"torch has no device {options.device[:40]!r} here", "--device is cpu, cuda or cuda:N."
        ) from None
    stored = open_weights(options.folder, config, progress=progress)
    size = sum(entry.end - entry.begin for entry in stored.checkpoint.values())
    memory = this_machine().memory
    # without a GPU float32 is the quicker type, where it fits
    dtype = torch.bfloat16 if device.type != "cpu" or size * 4 > memory else torch.float32

    def layer(number: int) -> None:
        progress("loading layers", number + 1, config.num_hidden_layers)

    model = Model.load(config, Unprefixed(stored, config.prefix), dtype=dtype, device=device, progress=layer)
    item = 2 if dtype is torch.bfloat16 else 4
    free = torch.cuda.mem_get_info(device)[0] * 0.9 - 2e9 if device.type == "cuda" else (memory - size * 2) / 2
    limits = CPU_LIMITS if device.type == "cpu" else Limits()
    return TorchRunner(model, _blocks(options, config, item, free)), f"torch {dtype}", limits


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


class Unprefixed(Mapping[str, Any]):
    """The stored tensors of a checkpoint by their names without the prefix of models with vision."""

    def __init__(self, stored: StoredWeights, prefix: str) -> None:
        self._checkpoint, self._prefix = stored.checkpoint, prefix
        self._names = {short for weight in stored.weights.values() for short in weight.stored()}

    def __getitem__(self, name: str) -> Any:
        return self._checkpoint.array(self._prefix + name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _blocks(options: ModelOptions, config: ModelConfig, item: int, free: float) -> int:
    """How many blocks of the cache fit into `free` bytes, where each cached value has `item` bytes. Raises CapacityError."""
    block = BLOCK_TOKENS * config.num_hidden_layers * config.latent_dim * item
    room = int((options.cache_gb * 1e9 or free) // block)
    wanted = -(-config.max_position_embeddings // BLOCK_TOKENS)
    if room < 2:
        raise CapacityError(
            "there is no memory left for the cache of a conversation",
            f"64 tokens need {block / 1e6:.1f} MB. Give it more with --cache-gb, or choose a smaller model.",
        )
    return room if options.cache_gb else min(room, wanted * SEQUENCES)


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
