"""What is this machine's own (its temporary folder, a free port, how long something took), and what stands in a dataset for it.

Data is the same bytes wherever and whenever it is made, and a model sees folders of many names.
"""

import random
import re
from collections.abc import Mapping

_HOMES = (
    "/home/{}",
    "/home/{}/src",
    "/home/{}/work",
    "/Users/{}",
    "/Users/{}/code",
    "/srv/{}",
    "/workspace/{}",
    "/data/{}",
)
_TOOK = re.compile(r"\bin \d+\.\d\ds\b")


class Masks:
    """Puts the shown in the place of the real, and back. `pairs` are texts: real, shown."""

    def __init__(self, pairs: Mapping[str, str], took: str = "0.01") -> None:
        self._pairs = sorted(pairs.items(), key=lambda pair: -len(pair[0]))
        self._took = f"in {took}s"

    def shown(self, text: str) -> str:
        for real, shown in self._pairs:
            text = text.replace(real, shown)
        return _TOOK.sub(self._took, text)

    def real(self, text: str) -> str:
        for real, shown in self._pairs:
            text = text.replace(shown, real)
        return text


def masks_for(seed: int, root: str, port: int, real_port: int) -> Masks:
    """Of a task whose world lies in `root` and whose pages, if it has any, are served at `real_port` for `port`."""
    rng = random.Random(f"{seed}/masks")
    name = "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(3, 7)))
    pairs = {root: rng.choice(_HOMES).format(name)}
    if port:
        pairs[f"127.0.0.1:{real_port}"] = f"127.0.0.1:{port}"
    return Masks(pairs, f"{rng.randint(1, 60) / 100:.2f}")
