"""bf16: the weight itself. Checkpoints in float32 or float16 are read as well; bfloat16 is what is written."""

from inference_backend.quant.arrays import Array, ops_of
from inference_backend.quant.scheme import Param, Params

PLAIN = ("BF16", "F32", "F16")


class Bf16:
    name = "bf16"

    def params(self, shape: tuple[int, int]) -> dict[str, Param]:
        return {"weight": Param(PLAIN, shape)}

    def quantise(self, w_nk: Array) -> dict[str, Array]:
        return {"weight": ops_of(w_nk).cast(w_nk, "BF16")}

    def dequantise(self, params: Params, *, rounded: bool = False) -> Array:
        weight = params["weight"]
        ops = ops_of(weight)
        return ops.cast(ops.cast(weight, "BF16") if rounded else weight, "F32")

    def matmul(self, x: Array, params: Params) -> Array:
        return x @ ops_of(x).like(params["weight"], x).T
