"""What a request may say next, told to the sampler token by token: a grammar, seen from the engine."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Constraint(Protocol):
    """One request's constraint. It starts behind the prompt and is told every token that the request takes."""

    def allowed(self) -> NDArray[np.bool_] | None:
        """Which tokens may come next, [vocab_size]; None where all may."""
        ...

    def accept(self, token: int) -> None:
        """The request took `token`, which was allowed."""
        ...

    def forced(self) -> Sequence[int]:
        """Tokens that must come next whatever the model says, may be empty; they are not accepted yet."""
        ...

    def rollback(self, count: int) -> None:
        """Takes the last `count` accepted tokens back: drafts that the model did not confirm."""
        ...

    @property
    def is_done(self) -> bool:
        """Nothing but an end token may come any more."""
        ...
