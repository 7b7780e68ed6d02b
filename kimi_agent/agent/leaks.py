"""What a session has read must not leave it in an address: asking for a page may carry a file, or a key, away.

What is found is a longer piece of a tool's answer in an address that the model has made up, in any case, as it is,
percent-encoded, in Base64, Base32 or hexadecimal. A model that encodes it in another way, or piece by piece, is not found, nor
is one that has a command make the whole address and never sees the piece by itself: docs/security.md.
"""

import binascii
import re
from base64 import b32decode, urlsafe_b64decode
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import unquote, unquote_plus, urlsplit

from kimi_agent.core import event as ev
from kimi_agent.core.message import Message, Text, ToolResult

KEPT = 4_000_000
"""Characters of answers that are remembered, the newest."""
_VALUE, _SEGMENT = 16, 24
"""Characters of a value after `?` or `#`, and of one part of the path or of the name of the host, that are no accident."""
_LOOKED_AT = 8_000  # characters of an address
_CODED = re.compile(r"[A-Za-z0-9+/_-]{22,}={0,2}")


class Reads:
    """What tools have answered, and what the person has written, in one session."""

    def __init__(self) -> None:
        self._answers: deque[str] = deque()
        self._size = 0
        self._own: list[str] = []

    def follow(self, event: ev.Event) -> None:
        """Take in what a message says, a subagent's too. The model's own words are neither read nor given."""
        match event:
            case ev.Nested(event=inner):
                self.follow(inner)
            case ev.MessageAdded(Message(role="user", origin="person") as message):
                self._own.append(message.text.casefold())
            case ev.MessageAdded(Message(role="user" | "tool") as message):
                self._read(_text_of(message))
            case _:
                pass

    def _read(self, text: str) -> None:
        self._answers.append(text[-KEPT:].casefold())
        self._size += len(self._answers[-1])
        while self._size > KEPT and len(self._answers) > 1:
            self._size -= len(self._answers.popleft())

    def carried(self, url: str) -> str:
        """A piece of what was read that an address carries; nothing where it was given itself, or read with the piece."""
        known = url.casefold()
        if not self._answers or any(known in text for text in self._own):
            return ""
        if len(url) > _LOOKED_AT:
            return url[_LOOKED_AT:]
        host = (urlsplit(url).hostname or "") if any(known in text for text in self._answers) else ""
        for piece, shortest in _pieces(url):
            for form in (piece, *_decoded(piece)):
                if found := self._common(form.casefold(), shortest, host):
                    return found
        return ""

    def _common(self, text: str, length: int, host: str) -> str:
        """Windows at half their length from one another, and the last: what is one and a half times as long is found anywhere.

        `host` is that of an address that was read. A piece that was read before, where nothing led there, is no part of a link:
        the model may have had a command print the address.
        """
        last = len(text) - length
        for start in sorted({*range(0, last + 1, length // 2), last}) if last >= 0 else ():
            window = text[start : start + length]
            first = next((answer for answer in self._answers if window in answer), None)
            if first is None or (host and host in first) or any(window in own for own in self._own):
                continue
            return window
        return ""


def _text_of(message: Message) -> str:
    results = [part.content for part in message.parts if isinstance(part, ToolResult)]
    return message.text + "\n".join(part.text for content in results for part in content if isinstance(part, Text))


def _pieces(url: str) -> Iterator[tuple[str, int]]:
    """Parts of an address, each with how much of it is no accident."""
    parts = urlsplit(url)
    for label in parts.netloc.rpartition("@")[2].split("."):
        yield label, _SEGMENT
    for segment in parts.path.split("/"):
        yield _unquoted(segment), _SEGMENT
    for text in (parts.query, parts.fragment, parts.username or "", parts.password or ""):
        yield _unquoted(text), _VALUE
        for value in re.split("[&=;]", text):
            yield _unquoted(value), _VALUE


def _unquoted(text: str) -> str:
    """However often it was quoted, within reason."""
    return unquote(unquote(unquote_plus(text)))


def _decoded(piece: str) -> Iterator[str]:
    for match in _CODED.findall(piece):
        with suppress(binascii.Error, ValueError):
            yield urlsafe_b64decode(match.rstrip("=").translate({43: "-", 47: "_"}) + "==").decode("utf-8", "ignore")
        with suppress(ValueError):
            yield bytes.fromhex(match).decode("utf-8", "ignore")
        with suppress(ValueError):
            letters = match.rstrip("=").upper()
            yield b32decode(letters + "=" * (-len(letters) % 8)).decode("utf-8", "ignore")
