"""GPUs and memory to plan for: named by a person, or found in this machine."""

import os
import re
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from inference_backend.errors import RequestError


@dataclass(frozen=True, slots=True)
class Gpu:
    """Memory in bytes, as the driver reports it; memory bandwidth in bytes per second, 0 where it is not known."""

    name: str
    memory: float
    bandwidth: float = 0.0


KNOWN = {
    gpu.name.lower(): gpu
    for gpu in (
        Gpu("A100", 85.9e9, 2.04e12),
        Gpu("H100", 85.5e9, 3.35e12),
        Gpu("H20", 102.6e9, 4.0e12),
        Gpu("H200", 150.7e9, 4.8e12),
        Gpu("B200", 192.3e9, 8.0e12),
    )
}
"""Data-centre GPUs by name, bandwidth from their data sheets."""
MAX_GPUS = 4096
_GIVEN = re.compile(
    r"(?:(\d{1,5}) ?x ?)?(?:(\d{1,4}(?:\.\d+)?) ?gb(?: ?@ ?(\d{1,3}(?:\.\d+)?) ?tb(?:/s)?)?|([\w-]+))", re.I
)


@dataclass(frozen=True, slots=True)
class Machine:
    """What weights and caches can lie in: `gpus` all alike, and main memory in bytes."""

    gpus: tuple[Gpu, ...]
    memory: float


def read_gpus(text: str) -> tuple[Gpu, ...]:
    """`8xH200`, `2x96GB` or `4x141GB@4.8TB/s`. Raises RequestError."""
    match = _GIVEN.fullmatch(text.strip())
    gpu = None
    if match and match[2]:
        gpu = Gpu(f"{match[2]} GB", float(match[2]) * 1e9, float(match[3] or 0) * 1e12)
    elif match:
        gpu = KNOWN.get(match[4].lower())
    count = int(match[1] or 1) if match else 0
    if gpu is None or not 1 <= count <= MAX_GPUS:
        raise RequestError(
            f"{text[:40]!r} names no GPUs",
            f"Write 8xH200, 2x96GB or 4x141GB@4.8TB; known: {', '.join(each.name for each in KNOWN.values())}.",
        )
    return (gpu,) * count


def this_machine() -> Machine:
    """The GPUs that nvidia-smi sees, if it is there, and the main memory that this process may use."""
    memory = float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with suppress(OSError, ValueError):
        memory = min(memory, float(Path("/sys/fs/cgroup/memory.max").read_text().strip()))
    return Machine(_seen(), memory)


def _seen() -> tuple[Gpu, ...]:
    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"],
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ()
    gpus = []
    for line in done.stdout.splitlines():
        name, _, mebibytes = line.rpartition(",")
        with suppress(ValueError):
            gpus.append(Gpu(name.strip(), float(mebibytes) * (1 << 20), _bandwidth(name)))
    return tuple(gpus)


def _bandwidth(name: str) -> float:
    words = set(re.split(r"[^a-z0-9]+", name.lower()))
    return next((gpu.bandwidth for key, gpu in KNOWN.items() if key in words), 0.0)
