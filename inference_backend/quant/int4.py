"""int4: four bits per weight and a bfloat16 scale per 32 along the input: compressed-tensors' `pack-quantized`, as K2-Thinking.

weight_packed I32 [N, ceil(K / 8)]: word j of a row holds columns 8 j to 8 j + 7, column 8 j + i in bits 4 i to 4 i + 3, as
code + 8. weight_scale BF16 [N, K / 32]. weight_shape I32 [2]: N and K. w = code * scale.

The scale is the largest magnitude of the group / 7, as in K2's quantisation-aware training: codes are -7 to 7, and no weight is
off by more than half a scale. Files with code -8 are read as well.
"""

from inference_backend.errors import CheckpointError
from inference_backend.quant.arrays import Array, ops_of
from inference_backend.quant.scheme import TINY, Param, Params

GROUP = 32
PER_WORD = 8
LARGEST = 7.0


class Int4:
    name = "int4"

    def params(self, shape: tuple[int, int]) -> dict[str, Param]:
        rows, columns = shape
        if columns % GROUP:
            raise CheckpointError(
                f"int4 stores groups of {GROUP} inputs, and {columns} inputs are no multiple of that",
                "fp8 and bf16 store any size.",
            )
        return {
            "weight_packed": Param(("I32",), (rows, columns // PER_WORD)),
            "weight_scale": Param(("BF16",), (rows, columns // GROUP)),
            "weight_shape": Param(("I32", "I64"), (2,)),
        }

    def quantise(self, w_nk: Array) -> dict[str, Array]:
        ops = ops_of(w_nk)
        rows, columns = w_nk.shape
        self.params((rows, columns))
        w = ops.cast(w_nk, "F32").reshape(rows, columns // GROUP, GROUP)
        scale = ops.cast(ops.divide(ops.largest(w, (2,)), LARGEST).clip(TINY), "BF16")
        codes = (w / ops.cast(scale, "F32")[..., None]).round().clip(-8, 7).reshape(rows, columns)
        return {
            "weight_packed": pack(ops.cast(codes, "I8")),
            "weight_scale": scale,
            "weight_shape": ops.whole_numbers((rows, columns), w_nk),
        }

    def dequantise(self, params: Params, *, rounded: bool = False) -> Array:
        packed, scale = params["weight_packed"], params["weight_scale"]
        ops = ops_of(packed)
        rows, groups = scale.shape
        codes = ops.cast(unpack(packed, groups * GROUP), "F32").reshape(rows, groups, GROUP)
        w = (codes * ops.cast(scale, "F32")[..., None]).reshape(rows, groups * GROUP)
        return ops.cast(ops.cast(w, "BF16"), "F32") if rounded else w

    def matmul(self, x: Array, params: Params) -> Array:
        return x @ ops_of(x).like(self.dequantise(params), x).T


def pack(codes_nk: Array) -> Array:
    """int8 codes -8 to 7, [N, K], to words [N, ceil(K / 8)]; what is left of the last word is zero bits."""
    ops = ops_of(codes_nk)
    rows, columns = codes_nk.shape
    nibbles = ops.pad(ops.view(codes_nk + 8, "U8"), (rows, -(-columns // PER_WORD) * PER_WORD))
    return ops.view(nibbles[:, 0::2] | (nibbles[:, 1::2] << 4), "I32")


def unpack(packed: Array, columns: int) -> Array:
    """The int8 codes of the first `columns` columns, [N, columns]."""
    ops = ops_of(packed)
    pairs = ops.view(packed, "U8")
    return ops.view(ops.interleave(pairs & 15, pairs >> 4), "I8")[:, :columns] - 8
