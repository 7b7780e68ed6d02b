"""Before torch and Triton are imported: what they read only once.

One thread per test process: xdist fills the cores, and OpenMP threads of several processes would spin in each other's way.
Triton's kernels run in its interpreter where there is no GPU.
"""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")
