"""The head of a Markdown file between two `---` lines: the small part of YAML that skills and commands use."""

import json
import re
from collections.abc import Mapping

Value = str | tuple[str, ...]
_KEY = re.compile(r"(\"[^\"]{1,80}\"|'[^']{1,80}'|[\w$][^#:]{0,80}?)\s*:(?:\s+(.*)|\s*)\Z")
_NESTED = re.compile(r"[A-Za-z][\w-]*\s*:(?:\s|\Z)")
_BLOCK = re.compile(r"[|>][+-]?\d?\Z")
_DOUBLE, _SINGLE = r'"(?:[^"\\]|\\.)*"', r"'(?:[^']|'')*'"
_QUOTED = re.compile(f"{_DOUBLE}|{_SINGLE}")
_ITEM = re.compile(rf"\s*((?:{_DOUBLE}|{_SINGLE})(?=\s*(?:,|\Z))|[^,]+)")


REFUSED = frozenset(
    {
        "permissionmode",
        "permissions",
        "permission",
        "hooks",
        "mcpservers",
        "sandbox",
        "env",
        "apikey",
        "baseurl",
        "proxy",
    }
)
"""Keys that would give a file more than words, as `split` spells them. None is followed."""


def refused(values: Mapping[str, Value], path: str) -> list[str]:
    """A notice where the file of a project, which may be a stranger's, would like to set what is the person's alone to set."""
    said = ", ".join(sorted(REFUSED.intersection(values)))
    return [f"{path} says {said}, which is not followed: that is yours alone to set."] if said else []


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
        while at < len(lines) and (not lines[at].strip() or lines[at][0] in " \t]}" or lines[at].startswith("- ")):
            at += 1
        values[re.sub(r"[-_\"']", "", match[1]).lower()] = _value((match[2] or "").strip(), lines[start:at])
    return values


def _value(first: str, more: list[str]) -> Value:
    """What a key's line and the indented lines below it say."""
    rest = [line.strip() for line in more]
    if _BLOCK.match(first):
        return ("\n" if first[0] == "|" else " ").join(rest).strip()
    rest = [line for line in rest if line and not line.startswith("#")]
    if not first and rest and all(line.startswith("- ") for line in rest):
        return tuple(_scalar(line[2:]) for line in rest)
    if not first and rest and _NESTED.match(rest[0]):
        return ""  # a nested map
    whole = " ".join([first, *rest])
    listed = re.split(r"\s#", whole, maxsplit=1)[0].rstrip()
    if listed.startswith("[") and listed.endswith("]"):
        return tuple(_scalar(item) for item in _ITEM.findall(listed[1:-1]) if item.strip())
    return _scalar(whole)


def _scalar(text: str) -> str:
    text = text.strip()
    if text[:1] not in ("'", '"'):
        return re.split(r"\s#", text, maxsplit=1)[0].rstrip()
    quoted = _QUOTED.match(text)
    if quoted is None:
        return text
    return _unescaped(quoted[0]) if text[0] == '"' else quoted[0][1:-1].replace("''", "'")


def _unescaped(quoted: str) -> str:
    """What JSON writes between double quotes, YAML does, too; of the rest only quotes and backslashes are resolved."""
    try:
        said = str(json.loads(quoted))
        said.encode()
    except ValueError:  # no JSON, or half a character
        return re.sub(r'\\(["\\])', r"\1", quoted[1:-1])
    return said
