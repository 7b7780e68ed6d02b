"""Schemes: how the weights of linear layers are stored. One file each, and a line in the table."""

from inference_backend.quant.bf16 import Bf16
from inference_backend.quant.fp8 import Fp8
from inference_backend.quant.int4 import Int4
from inference_backend.quant.scheme import Scheme

SCHEMES: dict[str, Scheme] = {scheme.name: scheme for scheme in (Bf16(), Fp8(), Int4())}
"""By the name that `Quantisation.scheme` and `convert --to` have for it."""
