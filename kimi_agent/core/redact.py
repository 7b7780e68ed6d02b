"""Keys are replaced, in every form that they usually take, before an event is kept, shown or sent.

Only values that this program knows are found (the keys of its configuration, and variables whose names say that they hold a
secret); a key that it has never seen is text like any other. What is no event passes here, too, before it is written: whole
outputs in files of their own, piece by piece (`Redactor.stream`), and the history of prompts.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

SHORTEST = 8
"""Characters. What is shorter ("none", "test", "1") is a word of many harmless texts."""

_WORDS = r"(?:API)?KEYS?|SECRETS?|[A-Z]*TOKENS?|PASS|[A-Z]*PASSW(?:OR)?D|PASSPHRASE|CRED(?:ENTIAL)?S?|AUTH"
_NAME = re.compile(rf"(?!SSH_AUTH_SOCK$)(?:.*_)?(?:{_WORDS})(?:_.*)?|.+_(?:PWD|PAT)", re.IGNORECASE)


def is_secret_name(name: str) -> bool:
    """Whether a variable holds a secret, as far as names tell. The agent's socket of ssh is none: it only leads to one."""
    return _NAME.fullmatch(name) is not None


def secret_variables(env: Mapping[str, str]) -> dict[str, str]:
    """Variables that hold a secret. A path to one is none: commands need it."""
    return {name: value for name, value in env.items() if is_secret_name(name) and not value.startswith(("/", "~"))}


class Redactor:
    """Knows secrets by name. Cheap where there is none: a look for each form, and no change."""

    def __init__(self, secrets: Mapping[str, str] | None = None) -> None:
        self._forms: dict[str, str] = {}
        self._encoded: tuple[bytes, ...] = ()
        self.raw: Mapping[bytes, bytes] = {}
        """What is to be replaced in the bytes of an output, and by what; the longest first."""
        for name, value in (secrets or {}).items():
            self.add(name, value)

    def add(self, name: str, value: str) -> None:
        if len(value) < SHORTEST:
            return
        import json

        for form in sorted(set(_forms(value)), key=len, reverse=True):
            self._forms.setdefault(form, f"[redacted: {name}]")
        self._forms = dict(sorted(self._forms.items(), key=lambda item: -len(item[0])))  # a key may hold another
        self._encoded = tuple(
            json.dumps(form, ensure_ascii=False)[1:-1].encode(errors="surrogatepass") for form in self._forms
        )

        self.raw = {
            form.encode("utf-8", "surrogatepass"): mark.encode("utf-8", "replace") for form, mark in self._forms.items()
        }

    def stream(self) -> "RedactedStream":
        """For bytes that come in pieces."""
        return RedactedStream(self)

    def finds(self, encoded: bytes) -> bool:
        """Whether JSON holds a secret."""
        return any(form in encoded for form in self._encoded)

    def text(self, text: str) -> str:
        for form, mark in self._forms.items():
            if form in text:
                text = text.replace(form, mark)
        return text

    def value(self, value: Any) -> Any:
        """JSON-like data with every text in it redacted."""
        match value:
            case str():
                return self.text(value)
            case dict():
                return {self.value(key): self.value(item) for key, item in value.items()}
            case list() | tuple():
                return [self.value(item) for item in value]
            case _:
                return value


class RedactedStream:
    """Bytes with every secret replaced, wherever they are cut. What may be the begin of one is held back until more comes."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        raw = self._redactor.raw
        if not raw:
            return data
        data = self._held + data
        end = _safe_end(data, raw)
        self._held = data[end:]
        return _replaced(data[:end], raw)

    def end(self) -> bytes:
        """What was held back."""
        held, self._held = self._held, b""
        return _replaced(held, self._redactor.raw)


def _replaced(data: bytes, raw: Mapping[bytes, bytes]) -> bytes:
    for form, mark in raw.items():
        if form in data:
            data = data.replace(form, mark)
    return data


def _safe_end(data: bytes, raw: Mapping[bytes, bytes]) -> int:
    """How much of `data` can be looked at by itself: no secret begins before and ends, or may yet end, behind it.

    Bounded: not more than some lengths of the longest secret are held back.
    """
    longest = max(map(len, raw))
    first = frozenset(form[0] for form in raw)
    lowest = max(0, len(data) - longest + 1)
    begun = (at for at in range(lowest, len(data)) if data[at] in first)
    end = next((at for at in begun if any(form.startswith(data[at:]) for form in raw)), len(data))
    lowest = max(0, len(data) - 4 * longest)
    while (cut := min((at for form in raw if (at := _across(data, form, end)) >= 0), default=end)) < end:
        if cut < lowest:
            return end
        end = cut
    return end


def _across(data: bytes, form: bytes, end: int) -> int:
    """Where `form` lies across `end`; -1 where it does not."""
    return data.find(form, max(0, end - len(form) + 1), end + len(form) - 1)


def _forms(secret: str) -> Iterator[str]:
    """As it is, quoted for addresses and for JSON, in hexadecimal, and inside of Base64 at each of its three places."""
    import base64
    import json
    from urllib.parse import quote, quote_plus

    data = secret.encode("utf-8", "surrogateescape")
    yield secret
    yield quote(data, safe="")
    yield quote_plus(data)
    yield json.dumps(secret)[1:-1]
    yield data.hex()
    for before in range(3):
        first, last = -(-before * 8 // 6), (before + len(data)) * 8 // 6  # letters that this secret alone decides
        yield base64.b64encode(bytes(before) + data).decode()[first:last]
        yield base64.urlsafe_b64encode(bytes(before) + data).decode()[first:last]
