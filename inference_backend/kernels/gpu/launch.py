"""What every launch needs: types of products, configurations to try, the right device, how far to split."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

INTERPRETED: bool = triton.knobs.runtime.interpret
WAVE = 264  # programs that fill a large GPU twice over: 132 processors
_TYPES = {torch.float32: tl.float32, torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}


def product_type(dtype: torch.dtype) -> Any:
    """The type of what is multiplied: that of the activations. The interpreter knows no arithmetic on bfloat16: float32 there."""
    return tl.float32 if INTERPRETED and dtype == torch.bfloat16 else _TYPES[dtype]


def tuned(configs: Sequence[Any], key: Sequence[str]) -> Callable[[Any], Any]:
    """`triton.autotune`; the interpreter has nothing to time and takes the first."""
    return triton.autotune(configs=list(configs[:1] if INTERPRETED else configs), key=list(key), cache_results=True)


def on_device(x: Tensor) -> AbstractContextManager[Any]:
    """Kernels start on the current device, which need not be that of the tensors."""
    return torch.cuda.device_of(x) if x.is_cuda else nullcontext()


def splits(programs: int, steps: int) -> int:
    """How many parts, a power of two up to 64, to cut `steps` into, so that `programs` times that fills the GPU."""
    parts = 1
    while parts < 64 and parts * 2 * programs <= WAVE and parts * 2 <= steps:
        parts *= 2
    return parts


def power(size: int, least: int = 16) -> int:
    """The next power of two, as blocks are; products want at least 16."""
    return max(least, triton.next_power_of_2(size))
