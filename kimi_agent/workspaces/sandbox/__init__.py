"""The box: what every child process runs in. `box.py` is the side of this program; the rest runs in the zygote, on the standard
library alone.

Rungs, best first, each proved by `canary.py` before it is used:

R3  own user, mount, pid, ipc, uts and network namespaces, a read-only root, Landlock and seccomp inside
R2  the same namespaces made by /usr/bin/bwrap, Landlock and seccomp inside
R1  Landlock and seccomp alone
R0  nothing
"""
