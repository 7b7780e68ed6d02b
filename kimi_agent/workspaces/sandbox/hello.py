"""The name that a TLS client asks for, out of its greeting (RFC 8446, 4.1.2; RFC 6066, 3)."""

_HELLO, _SERVER_NAME, _HOST = 1, 0, 0


def server_name(record: bytes) -> str:
    """The server name of a ClientHello that is whole in one record. Raises ValueError when there is none."""
    try:
        return _name(_Reader(record[5:]))
    except IndexError:
        raise ValueError("a TLS greeting that is cut off") from None


def _name(reader: "_Reader") -> str:
    if reader.number(1) != _HELLO:
        raise ValueError("no TLS greeting")
    hello = _Reader(reader.block(3))
    hello.take(2 + 32)  # version, random
    hello.block(1)  # session
    hello.block(2)  # ciphers
    hello.block(1)  # compressions
    extensions = _Reader(hello.block(2))
    found: list[str] = []
    while extensions.more:
        kind, content = extensions.number(2), extensions.block(2)
        if kind != _SERVER_NAME:
            continue
        names = _Reader(_Reader(content).block(2))
        while names.more:
            what, name = names.number(1), names.block(2)
            if what == _HOST:
                found.append(name.decode("ascii"))
    if len(found) != 1:
        raise ValueError("a TLS greeting that does not name one host")
    return found[0]


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def more(self) -> bool:
        return self._at < len(self._data)

    def take(self, size: int) -> bytes:
        """Raises IndexError when there is not so much."""
        if self._at + size > len(self._data):
            raise IndexError
        self._at += size
        return self._data[self._at - size : self._at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def block(self, size: int) -> bytes:
        """Bytes that are preceded by their count, of `size` bytes."""
        return self.take(self.number(size))
