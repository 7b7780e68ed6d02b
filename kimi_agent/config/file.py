"""Reading a configuration file: TOML or JSON text to dataclasses, every problem told with its file and line.

Knows nothing of what is configured. Writing is in `configedit.py`, so that reading never pays for it.
"""

import dataclasses
import difflib
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from kimi_agent.core.errors import ConfigError

T = TypeVar("T")
KeyPath = tuple[str, ...]

_KEY = re.compile(r"""^\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "object": "a table",
    "array": "a list",
}
_AT_LINE = re.compile(r"^(?P<what>.*) \(at line (?P<line>\d+), column (?P<column>\d+)\)$", re.DOTALL)


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong at `where`, worded without the place. Only a `fatal` one stops the program."""

    where: KeyPath
    text: str
    fatal: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """A parsed configuration text. `name` is what messages call it, such as `~/.kimi/config.toml`."""

    name: str
    text: str = ""
    data: dict[str, Any] = dataclasses.field(default_factory=dict)

    def describe(self, problem: Problem) -> str:
        return f"{self.place(problem.where)}: {problem.text}"

    def place(self, where: KeyPath) -> str:
        """File and line of a key."""
        line = self._line(where)
        return f"{self.name}:{line}" if line else self.name

    def _line(self, where: KeyPath) -> int:
        """Line of the key, else of the nearest table around it; 0 when unknown (no file at all)."""
        lines = dict(_json_lines(self.text) if self.text.lstrip().startswith("{") else _key_lines(self.text))
        return next((lines[where[:end]] for end in range(len(where), 0, -1) if where[:end] in lines), 0)


def read_source(path: Path) -> Source:
    """The file at `path`; empty when there is none. Raises ConfigError when it cannot be read or parsed."""
    name = short_path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return Source(name)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise ConfigError(f"{name}: {error.strerror or error}") from None
    return parse_source(text, name)


def parse_source(text: str, name: str) -> Source:
    """TOML, or JSON when the text begins with `{`. Raises ConfigError that names the line."""
    try:
        data = _given(json.loads(text)) if text.lstrip().startswith("{") else tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = _AT_LINE.match(str(error))
        line, what = (match["line"], match["what"]) if match else (str(text.count("\n") + 1), str(error))
        raise ConfigError(
            f"{name}:{line}: not valid TOML: {what}", "Fix that line; the file is left as it is."
        ) from None
    except json.JSONDecodeError as error:
        message = f"{name}:{error.lineno}: not valid JSON: {error.msg}"
        raise ConfigError(message, "Fix that line; the file is left as it is.") from None
    except RecursionError:
        raise ConfigError(f"{name}: nested too deeply") from None
    return Source(name, text, data)


def _given(value: Any) -> Any:
    """A JSON value without the keys that are null: kimi-cli writes so what is not set."""
    if isinstance(value, dict):
        return {key: _given(entry) for key, entry in value.items() if entry is not None}
    return value


def short_path(path: Path) -> str:
    """`path` with the home directory written as `~`."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except (ValueError, RuntimeError):
        return str(path)


def fill(cls: type[T], data: Any, problems: list[Problem], where: KeyPath = ()) -> T:
    """An instance of the dataclass `cls` from a table; what is wrong joins `problems` and keeps its default.

    Every field has a default. `metadata={"internal": True}` marks a field that is not read from the file,
    `{"required": True}` one that must be there. `cls.IGNORED`, if any, names keys that are accepted without a word.
    """
    if not isinstance(data, dict):
        problems.append(Problem(where, f'"{_dotted(where)}" must be a table'))
        data = {}
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    known = {field.name for field in fields if not field.metadata.get("internal")}
    required = {field.name for field in fields if field.metadata.get("required")}
    ignored: frozenset[str] = getattr(cls, "IGNORED", frozenset())
    types = get_type_hints(cls, include_extras=True)
    values: dict[str, Any] = {}
    for key, value in data.items():
        at = (*where, str(key))
        if key in known:
            before = len(problems)
            filled = _convert(types[key], value, problems, at)
            if not any(p.fatal and p.where == at for p in problems[before:]):
                values[key] = filled
        elif key not in ignored:
            near = difflib.get_close_matches(str(key), known | ignored, n=1)
            hint = f' (did you mean "{near[0]}"?)' if near else ""
            problems.append(Problem(at, f'unknown key "{_dotted(at)}"{hint}', fatal=False))
    for name in sorted(required - data.keys()):
        problems.append(Problem(where, f'"{_dotted(where)}" needs a key "{name}"'))
    return cls(**values)


def _convert(kind: Any, value: Any, problems: list[Problem], where: KeyPath) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return fill(kind, value, problems, where)
    if origin is dict and dataclasses.is_dataclass(arguments[1]) and isinstance(value, dict):
        return {
            str(name): _convert(arguments[1], entry, problems, (*where, str(name))) for name, entry in value.items()
        }
    if origin is tuple and dataclasses.is_dataclass(arguments[0]) and isinstance(value, list):
        return tuple(_convert(arguments[0], entry, problems, (*where, str(index))) for index, entry in enumerate(value))
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        if origin is Literal:
            *others, last = arguments
            problems.append(Problem(where, f'"{_dotted(where)}": expected {", ".join(others)} or {last}'))
            return None
        problems.append(Problem(where, f'"{_dotted(where)}": {_reworded(str(error))}'))
        return None


def _reworded(message: str) -> str:
    """msgspec's message in a person's words. The value is not repeated: it may be a secret."""
    message = message.replace("`", "").replace("Expected", "expected", 1).replace("Invalid", "invalid", 1)
    return re.sub(r"\b(int|float|str|bool|object|array)\b", lambda match: _WORDS[match[1]], message)


def _dotted(where: KeyPath) -> str:
    return ".".join(part if re.fullmatch(r"[\w-]+", part) else json.dumps(part) for part in where)


def _key_lines(text: str) -> Iterator[tuple[KeyPath, int]]:
    """Where each key of a TOML text stands, first lines last so that `dict` keeps them. Inline tables count as one key."""
    table: KeyPath = ()
    found: list[tuple[KeyPath, int]] = []
    arrays: dict[KeyPath, int] = {}
    fence = ""
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        if fence:
            fence = "" if fence in line else fence
            continue
        if line.lstrip().startswith("["):
            table = _header_path(line, arrays) or table
            found.append((table, number))
        elif match := _KEY.match(line):
            found.append(((*table, *_leaf_path(match[1] + " = 0")), number))
            fence = next((f for f in ('"""', "'''") if line.count(f) == 1), "")
    return reversed(found)


def _json_lines(text: str) -> Iterator[tuple[KeyPath, int]]:
    """Where each key of a JSON text stands; entries of a list carry their index, as the data does."""
    path: list[str] = []  # the key of each open object or list
    lists: list[int | None] = []  # the index in each open list, None for an object
    key = ""
    line, end = 1, 0
    for token in re.finditer(r'"(?:[^"\\]|\\.)*"(\s*:)?|[{}\[\],]', text):
        line, end = line + text.count("\n", end, token.start()), token.start()
        mark = token[0]
        if mark in "{[":
            if lists:
                path.append(key if lists[-1] is None else str(lists[-1]))
            lists.append(0 if mark == "[" else None)
            if lists[-1] is None and lists[:-1] and lists[-2] is not None:
                yield tuple(path), line
        elif mark in "}]":
            lists.pop()
            path = path[: max(0, len(lists) - 1)]
        elif mark == "," and (index := lists[-1]) is not None:
            lists[-1] = index + 1
        elif token[1]:
            key = json.loads(mark[: -len(token[1])])
            yield (*path, key), line


def _header_path(line: str, arrays: dict[KeyPath, int]) -> KeyPath:
    """Path of `[a.b]` or `[[a.b]]`; an entry of an array carries its index, as the data does."""
    try:
        parsed = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return ()
    path = _leaf_path(line)
    if not _is_array(parsed):
        return path
    arrays[path] = arrays.get(path, -1) + 1
    return (*path, str(arrays[path]))


def _is_array(value: Any) -> bool:
    while isinstance(value, dict) and value:
        value = next(iter(value.values()))
    return isinstance(value, list)


def _leaf_path(toml: str) -> KeyPath:
    value: Any = tomllib.loads(toml)
    path: list[str] = []
    while isinstance(value, dict) and value:
        key, value = next(iter(value.items()))
        path.append(key)
    return tuple(path)
