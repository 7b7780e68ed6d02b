"""Compiles every Triton kernel for an sm90 GPU that need not be there, at the sizes of K2; prints the instructions that count.

Run by test_triton_kernels.py in a process of its own: the interpreter, which other tests use, is chosen as Triton is imported.
"""

import warnings
from typing import Any

warnings.simplefilter("ignore")
import triton  # noqa: E402
import triton.language as tl  # noqa: E402
from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from inference_backend.kernels.gpu import int4, mla, moe, rmsnorm, rope, router  # noqa: E402

TYPES = {
    "x": "*bf16", "q": "*bf16", "h": "*bf16", "cache": "*bf16", "weight": "*bf16", "w": "*i32", "packed": "*i32",
    "scale": "*bf16", "cos": "*fp32", "sin": "*fp32", "logits": "*fp32", "bias": "*fp32", "weights": "*fp32",
    "out": "*fp32", "sums": "*fp32", "parts_out": "*fp32", "lse": "*fp32", "tables": "*i32", "seen": "*i32", "experts": "*i64",
    "block_pairs": "*i64", "block_experts": "*i64", "eps": "fp32",
}  # fmt: skip
"""By the name of a parameter; others are int32."""
ALIGNED = {"wide", "inner", "columns", "rows", "per_split", "words", "groups", "width"}
BF16 = tl.bfloat16
KERNELS: list[tuple[Any, dict[str, Any], dict[str, str]]] = [
    (int4._int4_matmul, {"PRODUCT": BF16, "BLOCK_M": 16}, {}),
    (moe._gate_up_one, {"TOP": 8, "INT4": True}, {}),
    (moe._down_one, {"INT4": True}, {}),
    (moe._gate_up, {"TOP": 8, "INT4": True, "PRODUCT": BF16, "BLOCK_M": 64}, {}),
    (moe._down, {"INT4": True, "PRODUCT": BF16, "BLOCK_M": 64}, {}),
    (moe._gate_up_one, {"TOP": 8, "INT4": False}, {"w": "*bf16"}),
    (moe._gate_up, {"TOP": 8, "INT4": False, "PRODUCT": BF16, "BLOCK_M": 64}, {"w": "*bf16"}),
    (mla._attend, {"SIZE": 64, "RANK": 512, "WIDTH": 576, "PRODUCT": BF16, "WHOLE": False, "BLOCK_C": 512, "BLOCK_R": 64,
                   "BLOCK_M": 64}, {"scale": "fp32"}),
    (mla._join, {"PARTS": 16, "RANK": 512, "BLOCK_C": 512}, {}),
    (rmsnorm._rms_norm, {"BLOCK": 8192}, {}),
    (rope._rope, {"HEADS": 16, "HALF": 32}, {}),
    (router._route, {"TOP": 8, "NORMALISE": True, "COUNT": 512, "SLOTS": 8}, {"scale": "fp32"}),
]  # fmt: skip


def compiled(kernel: Any, constants: dict[str, Any], types: dict[str, str]) -> Any:
    config = kernel.configs[0] if hasattr(kernel, "configs") else triton.Config({})
    function = kernel
    while not isinstance(function, triton.JITFunction):
        function = function.fn
    constants = {**constants, **config.kwargs}
    names = function.arg_names
    signature = {n: "constexpr" if n in constants else {**TYPES, **types}.get(n, "i32") for n in names}
    aligned = {(i,): [["tt.divisibility", 16]] for i, n in enumerate(names) if "*" in signature[n] or n in ALIGNED}
    source = ASTSource(function, signature, {(names.index(n),): value for n, value in constants.items()}, aligned)
    options = {"num_warps": config.num_warps, "num_stages": config.num_stages}
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)


if __name__ == "__main__":
    for kernel, constants, types in KERNELS:
        built = compiled(kernel, constants, types)
        tensor_cores = "wgmma" if "wgmma.mma_async" in built.asm["ptx"] else "-"
        print(built.metadata.name, constants.get("INT4", "-"), tensor_cores, built.metadata.shared)
