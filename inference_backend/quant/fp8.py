"""fp8: E4M3 codes with one float32 scale per block of 128x128, as DeepSeek-V3 and K2-Instruct are stored.

weight F8_E4M3 [N, K]; weight_scale_inv F32 [ceil(N / 128), ceil(K / 128)]; w = code * scale_inv. Blocks at the lower and the
right edge are as small as what is left. The scale maps the largest magnitude of a block to 448, E4M3's largest.
"""

from inference_backend.quant.arrays import Array, Ops, ops_of
from inference_backend.quant.scheme import TINY, Param, Params

BLOCK = 128
LARGEST = 448.0


class Fp8:
    name = "fp8"

    def params(self, shape: tuple[int, int]) -> dict[str, Param]:
        rows, columns = shape
        return {
            "weight": Param(("F8_E4M3",), shape),
            "weight_scale_inv": Param(("F32",), (-(-rows // BLOCK), -(-columns // BLOCK))),
        }

    def quantise(self, w_nk: Array) -> dict[str, Array]:
        ops = ops_of(w_nk)
        rows, columns = w_nk.shape
        w = _blocks(ops, ops.cast(w_nk, "F32"))
        scale = ops.divide(ops.largest(w, (1, 3)), LARGEST).clip(TINY)
        codes = (w / scale[:, None, :, None]).clip(-LARGEST, LARGEST)
        codes = codes.reshape(len(scale) * BLOCK, -1)[:rows, :columns]
        return {"weight": ops.cast(codes, "F8_E4M3"), "weight_scale_inv": scale}

    def dequantise(self, params: Params, *, rounded: bool = False) -> Array:
        codes, scale = params["weight"], params["weight_scale_inv"]
        ops = ops_of(codes)
        rows, columns = codes.shape
        w = _blocks(ops, ops.cast(codes, "F32")) * scale[:, None, :, None]
        w = w.reshape(len(scale) * BLOCK, -1)[:rows, :columns]
        return ops.cast(ops.cast(w, "BF16"), "F32") if rounded else w

    def matmul(self, x: Array, params: Params) -> Array:
        return x @ ops_of(x).like(self.dequantise(params), x).T


def _blocks(ops: Ops, w: Array) -> Array:
    """[N, K] as [row blocks, 128, column blocks, 128], with zeros behind the edges."""
    rows, columns = (-(-size // BLOCK) * BLOCK for size in w.shape)
    return ops.pad(w, (rows, columns)).reshape(rows // BLOCK, BLOCK, columns // BLOCK, BLOCK)
