"""Which implementation of an operation runs: the one switch.

`KIMI_KERNELS` is `auto` (unset means this), `plain` (the references alone), `triton` or `cpu`. `auto` is Triton for tensors on
CUDA; on the CPU the C kernel for INT4 where it can be built and agrees with the reference, else torch's own operation; torch's
blocked attention for long contexts; the reference for all else. Every operation asks `backend` by the device of its tensors, and
imports what it needs only then.
"""

import os
from functools import cache
from importlib.util import find_spec
from typing import Literal, TypeAlias

import torch

from inference_backend.errors import EngineError

Backend: TypeAlias = Literal["plain", "triton", "cpu"]
SETTING = "KIMI_KERNELS"
CHOICES = ("auto", "plain", "triton", "cpu")


def backend(device: torch.device) -> Backend:
    """Raises EngineError where the setting is none of the choices, or Triton is asked for and missing."""
    return _backend(device.type)


@cache
def _backend(device: str) -> Backend:
    wanted = os.environ.get(SETTING) or "auto"
    if wanted not in CHOICES:
        raise EngineError(f"{SETTING}={wanted!r} is none of {', '.join(CHOICES)}", f"unset {SETTING}")
    has_triton = find_spec("triton") is not None
    if wanted == "triton":
        if not has_triton:
            raise EngineError("Triton is not installed", f"pip install triton, or unset {SETTING}")
        return "triton"
    if wanted in ("auto", "cpu") and device == "cpu":
        return "cpu"
    return "triton" if wanted == "auto" and device == "cuda" and has_triton else "plain"
