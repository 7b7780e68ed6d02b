"""`int4_moe.c` on torch tensors: weights as tiles, products with them, a layer of experts."""

import ctypes
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inference_backend.kernels.cpu.build import BuildError, load_library

ROWS, GROUP, TILE = 16, 32, 288  # rows and columns of a tile; its bytes
SOURCE = Path(__file__).with_name("int4_moe.c")
_HUGE_PAGE, _MADV_HUGEPAGE, _LARGE = 1 << 21, 14, 1 << 23
_log = logging.getLogger(__name__)


class Kernel:
    """The functions of one built library. `Kernel("KIMI_AVX2")` is the variant of narrower machines, for tests."""

    def __init__(self, *defines: str) -> None:
        """Raises BuildError."""
        library = load_library(SOURCE, *defines)
        self._pack = _function(library.kimi_int4_pack, "pppllt")
        self._unpack = _function(library.kimi_int4_unpack, "pppllt")
        self._matmul = _function(library.kimi_int4_matmul, "ppplllt")
        self._moe = _function(library.kimi_int4_moe, "ppppppllllllt")

    def pack(self, packed: Tensor, scale: Tensor) -> Tensor:
        """`packed` [N, K / 8] int32 and `scale` [N, K / 32] bfloat16 as tiles, [ceil(N / 16), K / 32, 288] uint8."""
        packed, scale = packed.contiguous(), scale.contiguous()
        rows, groups = scale.shape
        _fits(packed.shape == (rows, groups * 4) and packed.dtype == torch.int32 and scale.dtype == torch.bfloat16)
        tiles = packed.new_empty(-(-rows // ROWS), groups, TILE, dtype=torch.uint8)
        pointers = packed.data_ptr(), scale.data_ptr(), tiles.data_ptr()
        self._pack(*pointers, rows, groups * GROUP, torch.get_num_threads())
        return tiles

    def unpack(self, tiles: Tensor, rows: int) -> tuple[Tensor, Tensor]:
        groups = tiles.shape[1]
        packed = torch.empty(rows, groups * 4, dtype=torch.int32)
        scale = torch.empty(rows, groups, dtype=torch.bfloat16)
        pointers = tiles.data_ptr(), packed.data_ptr(), scale.data_ptr()
        self._unpack(*pointers, rows, groups * GROUP, torch.get_num_threads())
        return packed, scale

    def matmul(self, x: Tensor, tiles: Tensor, rows: int) -> Tensor:
        """`x` [T, K] times the transposed matrix of `rows` rows: float32 [T, rows]."""
        x = x.float().contiguous()
        _fits(x.shape[1] == tiles.shape[1] * GROUP and tiles.is_contiguous())
        y = torch.empty(len(x), rows)
        pointers = x.data_ptr(), tiles.data_ptr(), y.data_ptr()
        _done(self._matmul(*pointers, *x.shape[:1], rows, x.shape[1], torch.get_num_threads()))
        return y

    def moe(self, x: Tensor, experts: Tensor, weights: Tensor, w13: Tensor, w2: Tensor, first: int) -> Tensor:
        """`kernels.moe.moe` on tiles: `w13` [E, 2 I / 16, D / 32, 288], `w2` [E, ceil(D / 16), I / 32, 288]."""
        x, experts, weights = x.float().contiguous(), experts.long().contiguous(), weights.float().contiguous()
        tokens, wide, inner = len(x), x.shape[1], w2.shape[2] * GROUP
        _fits(
            w13.shape[1:] == (2 * inner // ROWS, wide // GROUP, TILE) and w2.shape[:2] == (len(w13), -(-wide // ROWS))
        )
        _fits(
            experts.shape == weights.shape == (tokens, experts.shape[1]) and w13.is_contiguous() and w2.is_contiguous()
        )
        y = torch.empty(tokens, wide)
        pointers = [each.data_ptr() for each in (x, experts, weights, w13, w2, y)]
        sizes = tokens, experts.shape[1], len(w13), first, wide, inner
        _done(self._moe(*pointers, *sizes, torch.get_num_threads()))
        return y


@dataclass(frozen=True, slots=True)
class Tiles:
    """One matrix [N, K], or E of them stacked: `data` [(E,) ceil(N / 16), K / 32, 288] uint8; `rows` is N."""

    data: Tensor
    rows: int

    def __getitem__(self, index: int) -> "Tiles":
        return Tiles(self.data[index], self.rows)


@cache
def kernel() -> Kernel | None:
    """The kernel of this machine, proved once per process; None where it cannot be built or errs. Why is logged."""
    try:
        found = Kernel()
    except BuildError as error:
        _log.info("INT4 runs on torch's own operation, which is slower: %s", error)
        return None
    wrong = self_test(found)
    if wrong:
        _log.warning("INT4 runs on torch's own operation, which is slower: the compiled kernel errs by %.2g", wrong)
        return None
    return found


def built() -> Kernel:
    """The kernel, for tiles that it made."""
    found = kernel()
    assert found is not None
    return found


def self_test(found: Kernel) -> float:
    """0.0 where the kernel agrees with the plain product on a small matrix, else its relative error."""
    rows, groups = 40, 5
    some = torch.Generator().manual_seed(1)
    packed = torch.randint(-(2**31), 2**31, (rows, groups * 4), generator=some).int()
    scale = (torch.rand(rows, groups, generator=some) + 0.5).bfloat16()
    x = torch.randn(9, groups * GROUP, generator=some)
    tiles = found.pack(packed, scale)
    codes = ((packed[..., None] >> torch.arange(0, 32, 4)) & 15).flatten(-2).double() - 8
    exact = x.double() @ (codes * scale.double().repeat_interleave(GROUP, -1)).T
    error = float((found.matmul(x, tiles, rows) - exact).norm() / exact.norm())
    return 0.0 if error < 1e-4 else error


def empty_pages(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Room of the type and on the device of `like`; if large and on the CPU, in huge pages: reading misses the TLB less."""
    data = like.new_empty(shape)
    size = data.numel() * data.element_size()
    if data.device.type == "cpu" and size > _LARGE and sys.platform == "linux":
        start = -(-data.data_ptr() // _HUGE_PAGE) * _HUGE_PAGE
        whole = (data.data_ptr() + size - start) // _HUGE_PAGE * _HUGE_PAGE
        # advice: what it answers does not matter
        ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(whole), _MADV_HUGEPAGE)
    return data


_KINDS: dict[str, Any] = {"p": ctypes.c_void_p, "l": ctypes.c_long, "t": ctypes.c_int}


def _function(function: Any, arguments: str) -> Callable[..., int]:
    function.argtypes = [_KINDS[each] for each in arguments]
    function.restype = ctypes.c_int
    return function


def _fits(condition: bool) -> None:
    if not condition:
        raise ValueError("the shapes of tiles, activations and experts do not fit one another")


def _done(status: int) -> None:
    if status:
        raise MemoryError("no memory for the activations of this step")
