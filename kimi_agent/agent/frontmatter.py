"""The head of a Markdown file between two `---` lines: the small part of YAML that skills and commands use."""

import re
from collections.abc import Mapping

Value = str | tuple[str, ...]
_KEY = re.compile(r"([A-Za-z][\w-]*)\s*:(?:\s+(.*)|\s*)\Z")
_BLOCK = re.compile(r"[|>][+-]?\d?\Z")


def split(text: str) -> tuple[Mapping[str, Value], str]:
    """The head's values and the text below it. Keys lose case, `-` and `_`; nested maps are passed over.

    A text without a head has no values. Raises ValueError, in words for the person, when the head does not end or has a line
    that is none.
    """
    lines = text.removeprefix("\ufeff").splitlines()
    if not lines or lines[0].rstrip() != "---":
        return {}, text.removeprefix("\ufeff").strip()
    end = next((number for number, line in enumerate(lines[1:], 1) if line.rstrip() in ("---", "...")), 0)
    if not end:
        raise ValueError("the head that begins with --- has no second ---")
    return _values(lines[1:end]), "\n".join(lines[end + 1 :]).strip()


def _values(lines: list[str]) -> dict[str, Value]:
    values: dict[str, Value] = {}
    at = 0
    while at < len(lines):
        line, at = lines[at], at + 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _KEY.match(line.rstrip())
        if match is None:
            raise ValueError(f"line {at + 1} of its head is not `key: value`")
        start = at
        while at < len(lines) and (not lines[at].strip() or lines[at][0] in " \t" or lines[at].startswith("- ")):
            at += 1
        values[re.sub(r"[-_]", "", match[1]).lower()] = _value((match[2] or "").strip(), lines[start:at])
    return values


def _value(first: str, more: list[str]) -> Value:
    """What a key's line and the indented lines below it say."""
    rest = [line.strip() for line in more]
    if _BLOCK.match(first):
        return ("\n" if first[0] == "|" else " ").join(rest).strip()
    rest = [line for line in rest if line and not line.startswith("#")]
    if not first and rest and all(line.startswith("- ") for line in rest):
        return tuple(_scalar(line[2:]) for line in rest)
    if not first and rest and _KEY.match(rest[0]):
        return ""  # a nested map
    whole = " ".join([first, *rest])
    listed = re.split(r"\s#", whole, maxsplit=1)[0].rstrip()
    if listed.startswith("[") and listed.endswith("]"):
        return tuple(_scalar(item) for item in listed[1:-1].split(",") if item.strip())
    return _scalar(whole)


def _scalar(text: str) -> str:
    text = text.strip()
    if text[:1] in ("'", '"'):
        end = text.find(text[0], 1) if text[0] == "'" else _closing(text)
        if end > 0:
            inner = text[1:end]
            return inner if text[0] == "'" else re.sub(r'\\(["\\])', r"\1", inner)
        return text
    return re.split(r"\s#", text, maxsplit=1)[0].rstrip()


def _closing(text: str) -> int:
    match = re.match(r'"(?:[^"\\]|\\.)*"', text)
    return match.end() - 1 if match else -1
