"""The fields of a form that a server wants filled in: how each is asked for, and what an answer to it is worth."""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from kimi_agent.core.ask import Item, Option
from kimi_agent.core.sanitize import plain, visible

Value: TypeAlias = str | int | float | bool | list[str]

YES, NO, LEAVE_OUT = "Yes", "No", "(leave it out)"
_LONGEST, _PATTERN = 10_000, 200  # characters of an answer; of a pattern, and of what is held against it
_NESTED = re.compile(r"\([^)]*[*+{][^)]*\)\s*[*+{]")
"""Patterns that could take for ever."""
_SECRET = re.compile(
    r"pass(?:word|phrase|wd|code)|secret|credential|\btoken\b|api[ _-]?key|(?:private|access|ssh)[ _-]?key|\bpin\b|\botp\b"
    r"|\bcvv\b|card[ _-]?number|seed[ _-]?phrase",
    re.IGNORECASE,
)
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|_")


class Field:
    """One property of a requested schema. All words of it that are shown are made safe."""

    def __init__(self, name: str, schema: Any, *, required: bool) -> None:
        self.name, self.required = name, required
        self._schema: Mapping[str, Any] = schema if isinstance(schema, dict) else {}
        self._kind = str(self._schema.get("type", "string"))
        self.title = line(self._schema.get("title") or name, 80)
        self._about = line(self._schema.get("description") or "", 300)
        self._choices = _labelled(_choices(self._schema))

    @property
    def is_secret(self) -> bool:
        """Whether it looks like what only a server's own page may ask for."""
        if self._kind not in ("string", "number", "integer") or self._choices:
            return False
        words = (self.name, _WORDS.sub(" ", self.name), self.title, self._about)
        return any(_SECRET.search(word) for word in words)

    def item(self, server: str, wrong: str = "") -> Item:
        """The question for a server of that name; `wrong` says what was wrong with the answer before."""
        about = f": {self._about}" if self._about else ""
        hints = [*self._limits(), *([] if self.required else ["optional"])]
        question = f"For {server}: {self.title}{about}" + (f" ({', '.join(hints)})" if hints else "")
        question = f"{wrong} {question}" if wrong else question
        default = self._default()
        labels = [*default, *(label for label in self._labels() if label not in default)]
        if self._many:
            labels = self._labels()
        options = [Option(label, "the server's default" if label in default else "") for label in labels]
        if not self.required:
            options.append(Option(LEAVE_OUT))
        return Item(question, tuple(options), header=self.title[:20], multiple=self._many, other=not self._labels())

    def value(self, answer: Sequence[str]) -> Value | None:
        """What is sent for it; None where it is left out. Raises ValueError in words."""
        if not answer or (LEAVE_OUT in answer and not self.required):
            if self.required:
                raise ValueError("It is needed.")
            return None
        if self._many:
            return self._several(answer)
        if self._choices:
            return self._choices[answer[0]] if answer[0] in self._choices else _wrong("That is none of the options.")
        if self._kind == "boolean":
            return answer[0] == YES
        if self._kind in ("integer", "number"):
            return self._number(answer[0].strip())
        return self._text(answer[0])

    # ------------------------------------------------------------------------------------------------------------------

    @property
    def _many(self) -> bool:
        return self._kind == "array"

    def _labels(self) -> list[str]:
        return [YES, NO] if self._kind == "boolean" else list(self._choices)

    def _default(self) -> list[str]:
        """Labels, or the text of it."""
        given = self._schema.get("default")
        if self._kind == "boolean":
            return [YES if given else NO] if isinstance(given, bool) else []
        if self._choices:
            wanted = given if isinstance(given, list) else [given]
            return [label for label, value in self._choices.items() if value in wanted]
        return [str(given)] if isinstance(given, str | int | float) and str(given) == line(str(given), 200) else []

    def _limits(self) -> list[str]:
        words = {"integer": "a whole number", "number": "a number", "array": "several may be chosen"}
        found = [words[self._kind]] if self._kind in words else []
        for key, word in (("minimum", "at least"), ("maximum", "at most")):
            if _is_number(self._schema.get(key)):
                found.append(f"{word} {self._schema[key]}")
        return [*found, *([line(self._schema["format"], 20)] if isinstance(self._schema.get("format"), str) else [])]

    def _several(self, answer: Sequence[str]) -> list[str]:
        chosen = [self._choices[label] for label in answer if label in self._choices]
        least, most = self._schema.get("minItems"), self._schema.get("maxItems")
        if isinstance(least, int) and len(chosen) < least:
            raise ValueError(f"Choose at least {least}.")
        if isinstance(most, int) and len(chosen) > most:
            raise ValueError(f"Choose at most {most}.")
        return chosen

    def _number(self, text: str) -> int | float:
        try:
            number: int | float = int(text) if self._kind == "integer" else float(text)
        except ValueError:
            raise ValueError(f"{line(text, 40)!r} is no {'whole ' * (self._kind == 'integer')}number.") from None
        if not math.isfinite(number):
            raise ValueError("That is no number.")
        least, most = self._schema.get("minimum"), self._schema.get("maximum")
        if least is not None and _is_number(least) and number < least:
            raise ValueError(f"It must be at least {least}.")
        if most is not None and _is_number(most) and number > most:
            raise ValueError(f"It must be at most {most}.")
        return number

    def _text(self, text: str) -> str:
        least, most = self._schema.get("minLength"), self._schema.get("maxLength")
        if isinstance(least, int) and len(text) < least:
            raise ValueError(f"It must have at least {least} characters.")
        if len(text) > (most if isinstance(most, int) else _LONGEST):
            raise ValueError(f"It must have at most {most if isinstance(most, int) else _LONGEST} characters.")
        if (why := _misfit(text, self._schema.get("format"))) is not None:
            raise ValueError(f"{line(text, 40)!r} is no {why}.")
        pattern = self._schema.get("pattern")
        if isinstance(pattern, str) and len(pattern) <= _PATTERN >= len(text) and not _NESTED.search(pattern):
            try:
                fits = re.search(pattern, text)
            except re.error:
                return text
            if fits is None:
                raise ValueError(f"It does not match {line(pattern, _PATTERN)}.")
        return text


def fields_of(schema: Mapping[str, Any]) -> list[Field]:
    properties = schema.get("properties")
    required = schema.get("required")
    needed = required if isinstance(required, list) else []
    if not isinstance(properties, dict):
        return []
    return [Field(str(name), about, required=name in needed) for name, about in properties.items()]


def line(text: Any, most: int) -> str:
    """A stranger's words on one line, nothing in them hidden."""
    return visible(" ".join(plain(str(text)).split()))[:most]


def _wrong(why: str) -> Any:
    raise ValueError(why)


def _choices(schema: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Value and title of each option, of the two ways to write them and the older one."""
    if schema.get("type") == "array":
        items = schema.get("items")
        return (
            _choices({"enum": items.get("enum"), "oneOf": items.get("anyOf") or items.get("oneOf")})
            if isinstance(items, dict)
            else []
        )
    if isinstance(titled := schema.get("oneOf"), list):
        return [
            (str(o["const"]), str(o.get("title") or o["const"])) for o in titled if isinstance(o, dict) and "const" in o
        ]
    values, names = schema.get("enum"), schema.get("enumNames")
    if not isinstance(values, list):
        return []
    titles = names if isinstance(names, list) and len(names) == len(values) else values
    return [(str(value), str(title)) for value, title in zip(values, titles, strict=True)]


def _labelled(choices: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Values by what a person picks; no two look the same, and none as an option of ours."""
    labels: dict[str, str] = {}
    for value, title in choices:
        label = line(title, 100) or line(value, 100)
        if label in labels or label == LEAVE_OUT:
            label = f"{label} ({line(value, 100)})"
        labels[label] = value
    return labels


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _misfit(text: str, form: Any) -> str | None:
    """What a text is not that it should be; None where it fits, or nobody knows the format."""
    try:
        match form:
            case "email":
                return None if re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s.]+", text) else "e-mail address"
            case "uri":
                return None if urlsplit(text).scheme and not re.search(r"\s", text) else "address"
            case "date":
                date.fromisoformat(text)
            case "date-time":
                datetime.fromisoformat(text)
            case _:
                return None
    except ValueError:
        return {"date": "date (2026-01-31)", "date-time": "date and time (2026-01-31T12:00:00Z)"}.get(
            str(form), "address"
        )
    return None
