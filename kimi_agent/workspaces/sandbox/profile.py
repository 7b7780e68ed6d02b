"""What one boxed process may do, as plain data: made by `policy.py`, carried out in the zygote. Standard library alone."""

import json
from collections.abc import Iterable


class Profile:
    """Real absolute paths. What is nowhere named can be read and not written.

    `writable` trees may be written, `readonly` parts of them not. `placeholders` are such parts that need not exist: something
    empty is there while a command runs, so that none can come to be. `hidden` can neither be read nor written, except `shown`
    and `writable` parts of it. `sockets`: those of the internet can be made; they reach this box's own loopback, or, with
    `net`, whatever this machine reaches.
    """

    __slots__ = ("hidden", "net", "placeholders", "readonly", "shown", "sockets", "writable")

    def __init__(
        self,
        writable: Iterable[str] = (),
        readonly: Iterable[str] = (),
        placeholders: Iterable[str] = (),
        hidden: Iterable[str] = (),
        shown: Iterable[str] = (),
        sockets: bool = True,
        net: bool = False,
    ) -> None:
        self.writable = tuple(writable)
        self.readonly = tuple(readonly)
        self.placeholders = tuple(placeholders)
        self.hidden = tuple(hidden)
        self.shown = tuple(shown)
        self.sockets = sockets
        self.net = net

    def encoded(self) -> str:
        """As JSON; equal profiles have equal texts."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__}, sort_keys=True)

    @classmethod
    def decoded(cls, text: str) -> "Profile":
        return cls(**json.loads(text))


def inside(path: str, folder: str) -> bool:
    """Whether `path` lies in `folder`, or is it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")
