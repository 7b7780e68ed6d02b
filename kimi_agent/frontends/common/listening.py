"""A session's `Listener` made of two functions."""

from collections.abc import Callable

from msgspec import Struct

from kimi_agent.core.event import Event


class Listening(Struct, frozen=True):
    """`show` draws an event of an idle session; `wake` is called when `Session.go_on` has something to do."""

    show: Callable[[Event], None]
    wake: Callable[[], None]
