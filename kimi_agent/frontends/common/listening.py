"""A session's `Listener` made of two functions."""

from collections.abc import Callable
from dataclasses import dataclass

from kimi_agent.core.event import Event


@dataclass(frozen=True, slots=True)
class Listening:
    """`show` draws an event of an idle session; `wake` is called when `Session.go_on` has something to do."""

    show: Callable[[Event], None]
    wake: Callable[[], None]
