"""JSON as people write it by hand: the line of every key, keys that stand twice, and what is wrong in words."""

import json
import os
import re
import stat
from bisect import bisect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from kimi_agent.core.errors import ConfigError

LIMIT = 1_000_000
"""Bytes of a file that is read; a larger one is told. A stranger's file must not delay the start by more than a moment."""

_scalar = json.JSONDecoder(strict=False).raw_decode
_BLANK = " \t\r\n"
_TEXT = r'"(?:[^"\\]|\\.)*"'
_COMMENT = re.compile(rf"{_TEXT}|//[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_TRAILING = re.compile(rf"{_TEXT}|,(?=\s*[}}\]])", re.DOTALL)


class Table(dict[str, Any]):
    """An object of a document, from `begin` to `end`. `at` is where each key stands, `spans` where its value begins and ends;
    `again` are the places of keys that stood there before.
    """

    def __init__(self, begin: int = 0) -> None:
        super().__init__()
        self.begin, self.end = begin, begin
        self.at: dict[str, int] = {}
        self.spans: dict[str, tuple[int, int]] = {}
        self.again: list[tuple[str, int]] = []

    def put(self, key: str, value: Any, at: int, span: tuple[int, int]) -> None:
        if key in self:
            self.again.append((key, at))
        self[key], self.at[key], self.spans[key] = value, at, span


class Document(Struct, frozen=True):
    """A parsed text; `name` is what messages call it, `mark` the byte order mark that stands before it, if any.

    `breaks` are the places of all line breaks.
    """

    name: str
    text: str
    data: Table
    breaks: list[int]
    mark: str = ""

    def place(self, table: Any, key: str = "") -> str:
        """File and line of a key of a table of this document, else of the file alone."""
        at = table.at.get(key) if isinstance(table, Table) else None
        return self.name if at is None else f"{self.name}:{self._line(at)}"

    def repeated(self) -> Iterator[str]:
        """A sentence for every key that stands twice in one object: the last one holds."""
        for table in _tables(self.data):
            for key, at in table.again:
                yield f'{self.name}:{self._line(at)}: "{key}" stands here again; the last one holds'

    def _line(self, at: int) -> int:
        return bisect(self.breaks, at) + 1


def read_document(path: Path, *, only_regular: bool = True, comments: bool = False) -> Document | None:
    """The file at `path`, None when there is none. Raises ConfigError that names the file, and the line where there is one.

    A FIFO or device is not read, unless the person named it: `only_regular` is False. `comments` is as for `parse_document`.
    """
    name = str(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | (os.O_NONBLOCK if only_regular else 0))
        with os.fdopen(descriptor, "rb") as file:
            if only_regular and not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ConfigError(f"{name}: not a file")
            data = file.read(LIMIT + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{name}: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > LIMIT:
        raise ConfigError(f"{name}: larger than {LIMIT // 1_000_000} MB")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ConfigError(f"{name}: UTF-16 text", "Save it as UTF-8.")
    try:
        text = data.decode("utf-8")
        mark = "\ufeff" if text.startswith("\ufeff") else ""
        return replace(parse_document(text.removeprefix(mark), name, comments=comments), mark=mark)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{name}:{line}: not UTF-8 text", "Save it as UTF-8.") from None


def parse_document(text: str, name: str, *, comments: bool = False) -> Document:
    """Raises ConfigError that names the line and, for the usual slips, what to do.

    With `comments`, they and trailing commas are passed over, as in files of VS Code.
    """
    if comments:
        text = _blanked(_TRAILING, _blanked(_COMMENT, text))
    try:
        data, end = _value(text, _skip(text, 0))
        if (rest := _skip(text, end)) < len(text):
            raise json.JSONDecodeError("Extra data", text, rest)
    except json.JSONDecodeError as error:
        at, what = _slip(text, error)
        raise ConfigError(f"{name}:{_line(text, at)}: not valid JSON: {what}") from None
    except (ValueError, RecursionError):  # an integer of thousands of digits, or a nest
        raise ConfigError(f"{name}: not valid JSON: nested too deeply, or a number is too long") from None
    if not isinstance(data, Table):
        raise ConfigError(f'{name}:1: not an object: the file begins with {{"mcpServers": {{')
    return Document(name, text, data, [match.start() for match in re.finditer("\n", text)])


def _blanked(pattern: re.Pattern[str], text: str) -> str:
    """What the pattern finds outside of texts becomes blanks, so that every line stays where it is."""
    return pattern.sub(lambda match: match[0] if match[0][0] == '"' else re.sub(r"[^\n]", " ", match[0]), text)


def _value(text: str, at: int) -> tuple[Any, int]:
    match text[at : at + 1]:
        case "{":
            return _object(text, at + 1)
        case "[":
            return _array(text, at + 1)
    return _scalar(text, at)


def _object(text: str, at: int) -> tuple[Table, int]:
    found = Table(at - 1)
    at = _skip(text, at)
    if text[at : at + 1] == "}":
        found.end = at + 1
        return found, at + 1
    while True:
        if text[at : at + 1] != '"':
            raise json.JSONDecodeError("a name in double quotes is expected", text, at)
        begin = at
        key, at = _scalar(text, at)
        at = _skip(text, at)
        if text[at : at + 1] != ":":
            raise json.JSONDecodeError("a colon is expected after the name", text, at)
        first = _skip(text, at + 1)
        value, at = _value(text, first)
        found.put(key, value, begin, (first, at))
        at = _skip(text, at)
        if text[at : at + 1] == "}":
            found.end = at + 1
            return found, at + 1
        at = _comma(text, at)


def _array(text: str, at: int) -> tuple[list[Any], int]:
    found: list[Any] = []
    at = _skip(text, at)
    if text[at : at + 1] == "]":
        return found, at + 1
    while True:
        value, at = _value(text, at)
        found.append(value)
        at = _skip(text, at)
        if text[at : at + 1] == "]":
            return found, at + 1
        at = _comma(text, at)


def _comma(text: str, at: int) -> int:
    if text[at : at + 1] != ",":
        raise json.JSONDecodeError("a comma is missing before this", text, at)
    return _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _BLANK:
        at += 1
    return at


def _slip(text: str, error: json.JSONDecodeError) -> tuple[int, str]:
    """Where the mistake is, and what it is."""
    at = _skip(text, error.pos)
    begin = text[at : at + 2]
    before = text[:at].rstrip()
    if not begin:
        return (at, "the file is empty") if not before else (at, "it ends too early: a bracket or quote is not closed")
    if begin[0] == "#" or begin in ("//", "/*"):
        return at, "comments have no place in JSON; remove this one"
    if begin[0] in "}]" and before.endswith(","):
        return len(before) - 1, "remove the comma before the closing bracket"
    if begin[0] == "'":
        return at, "use double quotes"
    if error.msg == "Extra data":
        return at, "something stands behind the end of the object"
    if error.msg.startswith("Unterminated string"):
        return error.pos, "a quote is not closed"
    return at, "a value is expected" if error.msg == "Expecting value" else error.msg


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _tables(value: Any) -> Iterator[Table]:
    if isinstance(value, Table):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _tables(item)
