"""One thread per test process: xdist fills the cores, and OpenMP threads of several processes would spin in each other's way."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
