"""The GPU's tables: experts against the roofline, torch's bf16 and torch's INT4; attention; the small operations.

Bounds: reading at the speed of a copy on the same card in the same run, and bf16 products at that of a large one. Every call
takes other experts than the last, so that the cache holds none. Everything is timed in turn, several times; figures are medians.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from engine_kernels import TOP, Layer, error, exact, random_int4, random_layer
from torch import Tensor
from torch.nn import functional

from inference_backend.kernels.gpu.int4 import int4_matmul_triton
from inference_backend.kernels.gpu.mla import mla_decode_triton, mla_prefill_triton
from inference_backend.kernels.gpu.moe import moe_triton
from inference_backend.kernels.gpu.rmsnorm import rms_norm_triton
from inference_backend.kernels.gpu.rope import rope_triton
from inference_backend.kernels.gpu.router import route_triton
from inference_backend.kernels.int4 import Int4, int4_dequantise
from inference_backend.kernels.mla import mla_decode_plain, mla_prefill_plain
from inference_backend.kernels.rmsnorm import rms_norm_plain
from inference_backend.kernels.rope import rope_plain
from inference_backend.kernels.router import route_plain

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
Run = Callable[[int], object]
"""One call; its number chooses the inputs."""


def milliseconds(runs: dict[str, Run], rounds: int) -> dict[str, float]:
    """Medians, each in turn, after two calls that compile and tune."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(-2, rounds):
        for name, run in runs.items():
            taken = _one(lambda run=run, number=number: run(number))
            if number >= 0:
                times[name].append(taken)
    return {name: statistics.median(found) for name, found in times.items()}


def _one(work: Callable[[], object]) -> float:
    if DEVICE == "cpu":
        start = time.perf_counter()
        work()
        return (time.perf_counter() - start) * 1e3
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    torch.cuda._sleep(200_000)  # the host is ahead when the first kernel starts: launches are not part of what is timed
    begin.record()
    work()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end)


def bounds(size: argparse.Namespace) -> tuple[float, float]:
    """Bytes per second read and written by a copy, and bf16 operations per second of a large product."""
    side = 64 if size.small else 8192
    a = torch.randn(side, side, device=DEVICE, dtype=torch.bfloat16)
    source = torch.empty(side * side * 8, dtype=torch.uint8, device=DEVICE)
    target = torch.empty_like(source)
    found = milliseconds({"copy": lambda _: target.copy_(source), "product": lambda _: a @ a}, 10)
    return 2 * len(source) / found["copy"] * 1e3, 2 * side**3 / found["product"] * 1e3


def torch_int4(w: Int4) -> Callable[[Tensor, int], Tensor]:
    """torch's own product with expert e of `w`."""
    codes = ((w.packed[..., None] >> torch.arange(0, 32, 4, device=DEVICE)) & 15).flatten(-2)
    scales = torch.stack([w.scale, torch.zeros_like(w.scale)], -1).transpose(1, 2).contiguous()
    aten = torch.ops.aten
    if DEVICE == "cpu":
        packed = [aten._convert_weight_to_int4pack_for_cpu(each.int(), 2) for each in codes]
        return lambda x, e: aten._weight_int4pack_mm_for_cpu(x, packed[e], 32, scales[e])
    bytes_ = (codes[..., ::2] << 4 | codes[..., 1::2]).to(torch.uint8)
    packed = [aten._convert_weight_to_int4pack(each, 8) for each in bytes_]
    return lambda x, e: aten._weight_int4pack_mm(x, packed[e], 32, scales[e])


def by_expert(
    product13: Callable[[Tensor, int], Tensor], product2: Callable[[Tensor, int], Tensor]
) -> Callable[[Layer], Tensor]:
    """The layer as a loop over the experts chosen, which the host knows beforehand: a lower bound of what such a loop takes."""

    def run(layer: Layer) -> Tensor:
        x, _, weights = layer
        out = torch.zeros(x.shape, dtype=torch.float32, device=x.device)
        for expert, token, slot in plans[id(layer)]:
            gate, up = product13(x[token], expert).chunk(2, -1)
            out.index_add_(0, token, product2(functional.silu(gate) * up, expert).float() * weights[token, slot, None])
        return out

    plans: dict[int, list[tuple[int, Tensor, Tensor]]] = {}

    def planned(layer: Layer) -> Tensor:
        if id(layer) not in plans:
            used = layer[1].unique().tolist()
            plans[id(layer)] = [(e, *torch.nonzero(layer[1] == e, as_tuple=True)) for e in used]
        return run(layer)

    return planned


def experts(size: argparse.Namespace, copy: float, peak: float) -> None:
    w13, w2 = (
        Int4(w.packed.to(DEVICE), w.scale.to(DEVICE))
        for w in (
            random_int4(size.experts, 2 * size.inner, size.wide),
            random_int4(size.experts, size.wide, size.inner),
        )
    )
    wide13, wide2 = (
        torch.stack([int4_dequantise(w[e], torch.bfloat16) for e in range(size.experts)]) for w in (w13, w2)
    )
    int4_13, int4_2 = torch_int4(w13), torch_int4(w2)
    packed = (w13.packed, w13.scale), (w2.packed, w2.scale)
    each = 3 * size.wide * size.inner * 9 // 16
    print(
        f"\nExperts of {size.wide} x {size.inner}, {TOP} of {size.experts}; parts of the bound (reading, or operations)"
    )
    print(f"{'tokens':>6}  {'':32}{'ms':>9}{'GB/s':>8}{'TFLOP/s':>9}{'of bound':>10}{'error':>10}")
    for tokens in map(int, (size.tokens or "1,2,4,8,16,64,1024").split(",")):
        layers = [tuple(t.to(DEVICE) for t in random_layer(tokens, size.wide, size.experts)) for _ in range(4)]
        runs: dict[str, Callable[[Layer], Tensor]] = {
            "ours, INT4": lambda layer: moe_triton(*layer, *packed, 0),
            "ours, bf16": lambda layer: moe_triton(*layer, (wide13, None), (wide2, None), 0),
            "torch's INT4, by expert": by_expert(int4_13, int4_2),
            "torch's bf16, by expert": by_expert(lambda x, e: x @ wide13[e].T, lambda x, e: x @ wide2[e].T),
        }
        wanted = exact(layers[0], w13, w2).cpu()
        errors = {name: error(run(layers[0]), wanted) for name, run in runs.items()}
        times = milliseconds(
            {n: lambda i, run=run, layers=layers: run(layers[i % 4]) for n, run in runs.items()}, size.rounds
        )
        used = statistics.mean(layer[1].unique().numel() for layer in layers)
        for name, ms in times.items():
            read = used * each * (1 if "INT4" in name else 32 / 9)
            work = 6 * tokens * TOP * size.wide * size.inner
            bound = max(read / copy, work / peak) * 1e3
            print(f"{tokens:6}  {name:32}{ms:9.3f}{read / ms / 1e6:8.0f}{work / ms / 1e9:9.1f}", end="")
            print(f"{bound / ms:10.0%}{errors[name]:10.1e}", flush=True)


def attention(size: argparse.Namespace, copy: float, peak: float) -> None:
    heads, rank, width = (4, 32, 48) if size.small else (64, 512, 576)
    contexts = (130,) if size.small else (4096, 32768)
    print(f"\nAttention over latents, {heads} heads: ms, and the part of the bound")
    for context in contexts:
        blocks = -(-context // 64)
        for count in (1,) if size.small else (1, 8, 32):
            cache = torch.randn(blocks * count, 64, width, device=DEVICE, dtype=torch.bfloat16)
            tables = torch.randperm(blocks * count, device=DEVICE).int().view(count, blocks)
            lengths = torch.full((count,), context, dtype=torch.int32, device=DEVICE)
            q = torch.randn(count, heads, width, device=DEVICE, dtype=torch.bfloat16)
            given = (q, cache, tables, lengths, 0.1, rank)
            work, read = 2 * count * heads * context * (width + rank), count * context * width * 2
            bound = max(work / peak, read / copy) * 1e3
            report(
                f"decode {count} x {context}",
                bound,
                size,
                lambda _, g=given: mla_decode_triton(*g),
                lambda _, g=given: mla_decode_plain(*g),
            )
        new = 16 if size.small else 1024
        q = torch.randn(new, heads, width, device=DEVICE, dtype=torch.bfloat16)
        given = (q, cache, tables[0], context - new, 0.1, rank)
        bound = 2 * new * heads * (context - new / 2) * (width + rank) / peak * 1e3
        report(
            f"prefill {new} at {context - new}",
            bound,
            size,
            lambda _, g=given: mla_prefill_triton(*g),
            lambda _, g=given: mla_prefill_plain(*g),
        )


def small_operations(size: argparse.Namespace, copy: float) -> None:
    print("\nSmall operations: ms, and the part of the bound (reading and writing)")
    for tokens in (1,) if size.small else (1, 64, 1024):
        x = torch.randn(tokens, size.wide, device=DEVICE, dtype=torch.bfloat16)
        weight = torch.ones(size.wide, device=DEVICE, dtype=torch.bfloat16)
        bound = 2 * x.numel() * 2 / copy * 1e3
        report(
            f"rmsnorm {tokens}",
            bound,
            size,
            lambda _, x=x, w=weight: rms_norm_triton(x, w, 1e-5),
            lambda _, x=x, w=weight: rms_norm_plain(x, w, 1e-5),
        )
        q, angle = torch.randn(tokens, 64, 64, device=DEVICE).bfloat16(), torch.randn(tokens, 32, device=DEVICE)
        report(
            f"rope {tokens}",
            2 * q.numel() * 2 / copy * 1e3,
            size,
            lambda _, q=q, a=angle: rope_triton(q, a, a),
            lambda _, q=q, a=angle: rope_plain(q, a, a),
        )
        logits, bias = torch.randn(tokens, 384, device=DEVICE), torch.zeros(384, device=DEVICE)
        report(
            f"router {tokens}",
            logits.numel() * 4 / copy * 1e3,
            size,
            lambda _, s=logits, b=bias: route_triton(s, b, 8, True, 1.0),
            lambda _, s=logits, b=bias: route_plain(s, b, 8),
        )
        w = random_int4(1, 2 * size.inner, size.wide)
        w = Int4(w.packed[0].to(DEVICE), w.scale[0].to(DEVICE))
        dense = int4_dequantise(w, torch.bfloat16)
        report(
            f"int4 matmul {tokens}",
            w.packed.numel() * 4.5 / copy * 1e3,
            size,
            lambda _, x=x, w=w: int4_matmul_triton(x, w.packed, w.scale),
            lambda _, x=x, d=dense: x @ d.T,
        )


def report(name: str, bound: float, size: argparse.Namespace, ours: Run, plain: Run) -> None:
    times = milliseconds({"ours": ours, "torch": plain}, size.rounds)
    shown = (f"{each} {ms:9.4f} {bound / ms:6.0%}" for each, ms in times.items())
    print(f"{name:28}", *shown, sep="   ", flush=True)


def tables(size: argparse.Namespace) -> None:
    copy, peak = bounds(size)
    where = torch.cuda.get_device_name() if DEVICE == "cuda" else "the CPU, interpreted: no figure means anything"
    print(f"{where}: copy {copy / 1e9:.0f} GB/s, bf16 product {peak / 1e12:.0f} TFLOP/s, torch {torch.__version__}")
    experts(size, copy, peak)
    attention(size, copy, peak)
    small_operations(size, copy)
