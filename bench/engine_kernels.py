"""Kernels of the local engine at the sizes of Kimi K2, side by side in one run: `--help` says how.

On the CPU: one layer's routed experts for one token and more, each engine in turn and then again, with what the same memory gives
to who only reads it. On a GPU (or with `--gpu`): `engine_kernels_gpu.py`.
"""

import argparse
import ctypes
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inference_backend.kernels.cpu.aten import AtenInt4, aten_pack
from inference_backend.kernels.cpu.build import BuildError, load_library
from inference_backend.kernels.cpu.tiles import Kernel, empty_pages
from inference_backend.kernels.int4 import Int4, int4_dequantise
from inference_backend.kernels.moe import moe_plain

TOP = 8
Layer = tuple[Tensor, Tensor, Tensor]
"""x [T, D], experts [T, 8], weights [T, 8]."""
Runs = dict[str, Callable[[Layer], Any]]


def random_int4(count: int, rows: int, columns: int) -> Int4:
    """Weights of about 1 / sqrt(columns)."""
    packed = torch.empty(count, rows, columns // 8, dtype=torch.int32)
    for each in packed:
        each.random_(-(2**31), 2**31)
    scale = (torch.rand(count, rows, columns // 32) + 0.5) / (4.6 * columns**0.5)
    return Int4(packed, scale.bfloat16())


def random_layer(tokens: int, wide: int, experts: int) -> Layer:
    chosen = torch.stack([torch.randperm(experts)[:TOP] for _ in range(tokens)])
    return torch.randn(tokens, wide).bfloat16(), chosen, torch.rand(tokens, TOP) / 4


def exact(layer: Layer, w13: Int4, w2: Int4) -> Tensor:
    """In float64, expert by expert."""
    x, experts, weights = layer
    out = torch.zeros(x.shape, dtype=torch.float64)
    for expert in experts.unique().tolist():
        token, slot = torch.nonzero(experts == expert, as_tuple=True)
        gate, up = (x[token].double() @ int4_dequantise(w13[expert], torch.float64).T).chunk(2, -1)
        y = (gate * gate.sigmoid() * up) @ int4_dequantise(w2[expert], torch.float64).T
        out.index_add_(0, token, y * weights[token, slot, None].double())
    return out


def error(found: Tensor, wanted: Tensor) -> float:
    return float((found.double().cpu() - wanted).norm() / wanted.norm())


def tiled(kernel: Kernel, w: Int4) -> Tensor:
    first = kernel.pack(*(part[0] for part in (w.packed, w.scale)))
    whole = empty_pages((len(w.packed), *first.shape), first)
    for number in range(len(whole)):
        whole[number] = kernel.pack(w.packed[number], w.scale[number])
    return whole


def aten(w: Int4, dtype: torch.dtype) -> AtenInt4:
    parts = [aten_pack(w.packed[e], w.scale[e], dtype) for e in range(len(w.packed))]
    return AtenInt4(torch.stack([p.data for p in parts]), torch.stack([p.scale for p in parts]))


def engines(w13: Int4, w2: Int4) -> Runs:
    found: Runs = {}
    native, avx2 = Kernel(), Kernel("KIMI_AVX2")
    tiles = tiled(native, w13), tiled(native, w2)
    found["reading alone"] = reader(tiles)
    found["C kernel, as this machine builds it"] = lambda layer: native.moe(*layer, *tiles, 0)
    found["C kernel, AVX2 variant"] = lambda layer: avx2.moe(*layer, *tiles, 0)
    for dtype in (torch.bfloat16, torch.float32):
        packed = aten(w13, dtype), aten(w2, dtype)
        found[f"torch's INT4 operation, {str(dtype)[6:]}"] = lambda layer, packed=packed, dtype=dtype: moe_plain(
            layer[0].to(dtype), *layer[1:], *packed
        )
    found["plain (dequantise, then multiply)"] = lambda layer: moe_plain(*layer, w13, w2)
    return found


def reader(tiles: tuple[Tensor, Tensor]) -> Callable[[Layer], None]:
    """Reads the memory of a layer's experts, and does nothing with it."""
    function = load_library(Path(__file__).with_name("stream_read.c")).stream_read
    function.restype = ctypes.c_uint64

    def read(layer: Layer) -> None:
        pieces = [part[expert] for expert in layer[1].unique().tolist() for part in tiles]
        starts = (ctypes.c_void_p * len(pieces))(*(piece.data_ptr() for piece in pieces))
        words = (ctypes.c_long * len(pieces))(*(piece.numel() // 8 for piece in pieces))
        function(starts, words, ctypes.c_long(len(pieces)), ctypes.c_int(torch.get_num_threads()))

    return read


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Of the wall, and of the CPU per thread: on a machine that others use too, the second says more."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, (time.process_time() - cpu) / torch.get_num_threads()


def table(tokens: int, size: argparse.Namespace, w13: Int4, w2: Int4, runs: Runs) -> None:
    some = random_layer(tokens, size.wide, size.experts)
    wanted = exact(some, w13, w2)
    errors = {name: error(run(some), wanted) for name, run in runs.items() if name != "reading alone"}
    walls: dict[str, list[float]] = {name: [] for name in runs}
    rates: dict[str, list[float]] = {name: [] for name in runs}
    turn = 0
    for number in range(size.rounds):
        for name, run in runs.items():
            if "plain" in name and number >= 2:
                continue
            layer = random_layer(tokens, size.wide, size.experts)
            if tokens == 1:  # the experts that were used longest ago: a large cache holds the last ones
                layer = (layer[0], (torch.arange(TOP)[None] + TOP * turn) % size.experts, layer[2])
            turn += 1
            read = layer[1].unique().numel() * 3 * size.wide * size.inner * 9 // 16
            wall, cpu = seconds(lambda run=run, layer=layer: run(layer))
            walls[name].append(wall / read)
            rates[name].append(read / cpu)
    best, best_cpu = statistics.median(walls["reading alone"]), statistics.median(rates["reading alone"])
    used = some[1].unique().numel()
    print(
        f"\n{tokens} token{'s' if tokens > 1 else ''}, {used} of {size.experts} experts of {size.wide} x {size.inner}, ",
        end="",
    )
    print(f"{torch.get_num_threads()} threads, medians of {size.rounds} rounds")
    print(f"{'':40}{'ms':>9}{'GB/s':>8}{'of reading':>12}{'by CPU time':>13}{'error':>10}")
    for name, times in walls.items():
        wall, cpu = statistics.median(times), statistics.median(rates[name])
        wrong = f"{errors[name]:10.1e}" if name in errors else ""
        ms = wall * used * 3 * size.wide * size.inner * 9 / 16 * 1e3
        print(f"{name:40}{ms:9.1f}{1e-9 / wall:8.1f}{best / wall:12.0%}{cpu / best_cpu:13.0%}{wrong}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--gpu", action="store_true", help="the GPU's tables; on the CPU with TRITON_INTERPRET=1 --small"
    )
    parser.add_argument("--small", action="store_true", help="sizes that prove nothing, quickly")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--experts", type=int, default=48, help="in memory, of which each token takes 8")
    parser.add_argument("--tokens", default="", help="separated by commas")
    size = parser.parse_args()
    size.wide, size.inner = (256, 64) if size.small else (7168, 2048)
    torch.set_num_threads(size.threads)
    if size.gpu or torch.cuda.is_available():
        from engine_kernels_gpu import tables

        tables(size)
        return
    w13, w2 = random_int4(size.experts, 2 * size.inner, size.wide), random_int4(size.experts, size.wide, size.inner)
    try:
        runs = engines(w13, w2)
    except BuildError as why:
        raise SystemExit(f"no C kernel here: {why}") from None
    for tokens in map(int, (size.tokens or "1,4,16").split(",")):
        table(tokens, size, w13, w2, runs)


if __name__ == "__main__":
    main()
