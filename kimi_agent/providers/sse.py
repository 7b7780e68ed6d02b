"""Server-sent events from a stream of bytes, by the WHATWG rules and with the faults that real servers have."""

from kimi_agent.core.errors import ConnectionFailed

MAX_EVENT = 32 * 1024 * 1024  # bytes; a reply never needs more, a broken server may send it
BOM = b"\xef\xbb\xbf"


class SSEReader:
    """Feed bytes in any pieces, get the `data` of each finished event.

    Lines end with LF, CRLF or CR, nothing else (U+2028 is data). Comments and unknown fields are skipped, several `data`
    lines of one event are joined with LF. Bytes are never decoded here, so a piece may end inside a character.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0  # bytes of the buffer known to hold no line end
        self._size = 0  # bytes of the event being read
        self._data: list[bytes] = []
        self._started = False
        self._after_cr = False  # the last line ended with CR at the end of a piece: a LF that follows belongs to it

    def feed(self, piece: bytes) -> list[bytes]:
        """Raises ConnectionFailed when one event grows over `MAX_EVENT`."""
        if self._after_cr and piece:
            self._after_cr = False
            piece = piece[1:] if piece[:1] == b"\n" else piece
        self._buffer += piece
        if not self._started:
            if BOM.startswith(self._buffer):
                return []  # nothing but (a part of) a BOM so far
            if self._buffer.startswith(BOM):
                del self._buffer[: len(BOM)]
            self._started = True
        events = [event for line in self._lines() if (event := self._take(line)) is not None]
        if len(self._buffer) + self._size > MAX_EVENT:
            raise ConnectionFailed("The server sent an event of more than 32 MiB.")
        return events

    def close(self) -> bytes | None:
        """The event that the end of the stream cut off, if it had data: many servers leave out the last blank line."""
        rest, self._buffer = bytes(self._buffer), bytearray()
        return self._take(rest) or self._take(b"")

    def _lines(self) -> list[bytes]:
        """The finished lines of the buffer, which keeps the rest."""
        buffer, start = self._buffer, self._scanned
        if buffer.find(b"\r", start) >= 0:
            self._after_cr = buffer.endswith(b"\r")
            buffer = bytearray(buffer.replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
        elif buffer.find(b"\n", start) < 0:
            self._scanned = len(buffer)
            return []
        *lines, rest = bytes(buffer).split(b"\n")
        self._buffer, self._scanned = bytearray(rest), len(rest)
        return lines

    def _take(self, line: bytes) -> bytes | None:
        """Handle one line; the data of the event that it ends, if any."""
        if not line:
            data, self._data, self._size = self._data, [], 0
            return b"\n".join(data) if data else None
        if line.startswith(b"data:"):
            value = line[6:] if line[5:6] == b" " else line[5:]
            self._data.append(value)
            self._size += len(value)
        elif line == b"data":
            self._data.append(b"")
        elif line.startswith(b"error:"):  # llama.cpp has used this field for failures during a stream
            self._data.append(b'{"error":' + line[6:] + b"}")
        elif line.startswith(
            b": kimi {"
        ):  # our engine tells in comments, which others skip, how far the prompt is read
            self._data.append(b'{"kimi":' + line[7:] + b"}")
        return None
