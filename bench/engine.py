"""The local engine on the CPU: beside transformers, over long contexts, second turns, restored sessions, and guessing.

Everything runs in this one process, in turns, with as many threads as there are cores; medians. The model is small and random,
with K2's architecture. Where guessing is measured, the model is really run, and its answer is then replaced by the text that a
person would expect (a real edit, a rewrite): a random model writes nothing that could be guessed.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import numpy as np
import torch
from inference_house import oracle, random_tokens, random_weights, raw_config, tiny_config

from inference_backend.engine.engine import Engine
from inference_backend.engine.request import Request, SamplingParams
from inference_backend.engine.runner import Chunk
from inference_backend.engine.snapshots import SnapshotStore
from inference_backend.engine.torch_runner import TorchRunner
from inference_backend.model.model import Model

SIZE = {
    "vocab_size": 8192, "hidden_size": 512, "intermediate_size": 1024, "moe_intermediate_size": 256, "num_hidden_layers": 6,
    "num_attention_heads": 8, "q_lora_rank": 192, "kv_lora_rank": 128, "qk_nope_head_dim": 64, "v_head_dim": 64,
    "n_routed_experts": 32, "num_experts_per_tok": 8,
}  # fmt: skip
LONG = 20_000
SMALL = SIZE | {
    "hidden_size": 256,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
}
"""For what reads a long history several times."""
GREEDY = {"temperature": 0.0, "ignore_end": True}


def clock(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def in_turns(times: int, **calls: Callable[[], object]) -> dict[str, float]:
    """Median seconds of each call, taken in turns after one turn that does not count."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(times + 1):
        for name, call in calls.items():
            seconds = clock(call)
            if turn:
                found[name].append(seconds)
    return {name: statistics.median(each) for name, each in found.items()}


def run(engine: Engine, request: Request) -> float:
    """Seconds to the first token."""
    started = time.perf_counter()
    engine.add(request)
    first = 0.0
    while not engine.is_idle or engine.has_jobs:
        for output in engine.step():
            if output.tokens and not first:
                first = time.perf_counter() - started
    return first


def beside_transformers(config: Any, theirs: Any, runner: TorchRunner) -> None:
    print("beside transformers (float32, grouped experts, sdpa)      ours        transformers   ratio")
    for batch, length in ((1, 512), (8, 128), (32, 64)):
        prompts = [random_tokens(config, length, seed=n) for n in range(batch)]
        blocks = [list(range(4 * n, 4 * n + 12)) if batch > 1 else list(range(16)) for n in range(batch)]
        both = torch.tensor(prompts)
        at = [length]

        def decode(blocks: Any = blocks, at: Any = at) -> None:
            runner.forward([Chunk([7], at[0], table, 1) for table in blocks])
            at[0] += 1

        with torch.inference_mode():
            state = [theirs(both, use_cache=True, logits_to_keep=1).past_key_values]
            one = torch.full((batch, 1), 7)
            found = in_turns(
                5,
                prefill=lambda p=prompts, b=blocks: runner.forward(
                    [Chunk(x, 0, y, 1) for x, y in zip(p, b, strict=True)]
                ),
                prefill_hf=lambda x=both: theirs(x, use_cache=True, logits_to_keep=1),
            )
            found |= in_turns(
                9, decode=decode, decode_hf=lambda s=state, o=one: theirs(o, past_key_values=s[0], use_cache=True)
            )
        for what, tokens in (("prefill", batch * length), ("decode", batch)):
            mine, other = tokens / found[what], tokens / found[what + "_hf"]
            print(
                f"  {what:8} batch {batch:2}, {length:4} tokens each   {mine:10.0f} t/s {other:12.0f} t/s   {mine / other:6.2f} x"
            )


def long_contexts(theirs: Any, runner: TorchRunner) -> None:
    print("decode over long contexts                         ms: ours    transformers   ratio")
    for context in (1024, 8192, 32_768):
        table = list(range(context // 64 + 1))
        with torch.inference_mode():
            state = theirs(torch.tensor([[7, 7]]), use_cache=True).past_key_values
            for layer in state.layers:  # what stands in a cache does not change what reading it takes
                layer.keys = torch.randn(1, 1, context - 1, layer.keys.shape[-1])
                layer.values = torch.randn(1, 1, context - 1, layer.values.shape[-1])
            found = in_turns(
                7,
                ours=lambda c=context, t=table: runner.forward([Chunk([7], c - 1, t, 1)]),
                theirs=lambda s=state: theirs(torch.tensor([[7]]), past_key_values=s, use_cache=True),
            )
        mine, other = (found[each] * 1e3 for each in ("ours", "theirs"))
        print(f"  {context:6} tokens {mine:42.2f} {other:15.2f} {other / mine:6.1f} x")


def second_turns() -> None:
    config = tiny_config(**SMALL)
    model = Model.load(config, random_weights(config), dtype=torch.float32)
    history = random_tokens(config, LONG)
    more = random_tokens(config, 100, seed=5)
    with tempfile.TemporaryDirectory() as name:
        store = SnapshotStore(Path(name) / "kv", "bench", quota=1 << 33)
        engine = Engine(TorchRunner(model, 800), snapshots=store)
        params = SamplingParams(max_tokens=2, **GREEDY)
        first = run(engine, Request("first", history, params, session="s"))
        second = run(engine, Request("second", [*history, *more], params, session="s"))
        engine.close()
        engine = Engine(TorchRunner(model, 800), snapshots=store)
        restored = run(engine, Request("third", [*history, *more], params, session="s"))
        engine.close()
    print(f"to the first token after {LONG:,} tokens of history              seconds")
    print(f"  computed                                           {first:10.2f}")
    print(f"  second turn, 100 tokens more                       {second:10.3f}   {first / second:6.0f} x")
    print(f"  restored from disk in a new engine                 {restored:10.3f}   {first / restored:6.0f} x")


class Told:
    """A runner whose model is run, and whose answer is then `text`: what follows token by token, from `start` on."""

    def __init__(self, inner: TorchRunner, text: Sequence[int], start: int) -> None:
        self.config, self.block_count = inner.config, inner.block_count
        self._inner, self._text, self._start = inner, list(text), start

    def forward(self, chunks: Sequence[Chunk]) -> Any:
        logits = self._inner.forward(chunks).copy()
        row = 0
        for chunk in chunks:
            for place in range(len(chunk.tokens) - chunk.logits, len(chunk.tokens)):
                at = chunk.start + place + 1 - self._start
                if 0 <= at < len(self._text):
                    logits[row, self._text[at]] = 1e9
                row += 1
        return logits

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def guessing(config: Any, model: Model) -> None:
    """An edit writes some lines of a file with a change in each; a rewrite writes the whole file with a few changes."""
    rng = np.random.default_rng(3)
    file = random_tokens(config, 1200, seed=8)

    def changed(text: list[int], every: int) -> list[int]:
        return [
            int(rng.integers(4, config.vocab_size)) if n % every == every // 2 else token
            for n, token in enumerate(text)
        ]

    cases = {
        "an edit": [
            *random_tokens(config, 12, seed=1),
            *file[300:380],
            *random_tokens(config, 6, seed=2),
            *changed(file[300:380], 40),
        ],
        "a rewrite": changed(file[:800], 90),
        "new text": random_tokens(config, 200, seed=11),
    }
    print("guessing from files in play                               t/s off       t/s on   ratio")
    for what, text in cases.items():
        prompt = random_tokens(config, 300, seed=4)
        inner = TorchRunner(model, 64)

        def answer(speculate: bool, text: Any = text, prompt: Any = prompt, inner: Any = inner) -> None:
            engine = Engine(Told(inner, text, len(prompt)), speculate=speculate)
            params = SamplingParams(max_tokens=len(text), **GREEDY)
            request = Request("r", prompt, params, drafts=[file] if speculate else ())
            run(engine, request)
            assert request.output == text

        found = in_turns(3, off=lambda: answer(False), on=lambda: answer(True))
        off, on = (len(text) / found[each] for each in ("off", "on"))
        print(f"  {what:50} {off:12.1f} {on:12.1f}   {on / off:5.2f} x")


def main() -> None:
    torch.set_num_threads(os.cpu_count() or 1)
    config = tiny_config(**SIZE)
    weights = random_weights(config)
    model = Model.load(config, weights, dtype=torch.float32)
    runner = TorchRunner(model, 600)
    print(f"{os.cpu_count()} cores; a random K2 of {sum(w.size for w in weights.values()) / 1e6:.0f} M parameters")
    theirs = oracle(config, weights, raw_config(**SIZE), torch.float32)
    theirs.config._experts_implementation, theirs.config._attn_implementation = "grouped_mm", "sdpa"
    beside_transformers(config, theirs, runner)
    long_contexts(theirs, runner)
    second_turns()
    config = tiny_config(**SIZE | {"num_hidden_layers": 3})
    guessing(config, Model.load(config, random_weights(config), dtype=torch.float32))


if __name__ == "__main__":
    main()
