"""What the next tokens of an answer may be: how a grammar speaks to the engine."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Constraint(Protocol):
    """The state of one answer in its grammar. One request owns it from `submit` on; only the engine's thread calls it.

    The engine asks `forced` at the start and after each `accept` of a sampled token, accepts what is forced without sampling it,
    and asks `allowed` for the token after that. Drafts are walked by `accept` and taken back by `rollback` before the model runs.
    """

    def allowed(self) -> NDArray[np.bool_] | None:
        """Which tokens may come next, [vocab_size]; None where all may. The array is not changed later."""
        ...

    def accept(self, token: int) -> None:
        """Goes on by one token, which is allowed or forced here."""
        ...

    def forced(self) -> Sequence[int]:
        """Tokens that must come next, in order; empty where there is a choice. Changes nothing."""
        ...

    def rollback(self, count: int) -> None:
        """Takes back the last `count` accepted tokens."""
        ...

    @property
    def is_done(self) -> bool:
        """Nothing can follow: the answer ends here, without an end token where the grammar has none."""
        ...
