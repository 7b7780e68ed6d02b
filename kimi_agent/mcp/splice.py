"""Changing one key of a JSON text: every other byte stays, and what is new is laid out as its neighbours are."""

import json
import re
from typing import Any

from kimi_agent.mcp.document import Table

_INDENT = re.compile(r"\n([ \t]+)\S")


def with_key(text: str, table: Table, key: str, value: Any) -> str:
    """The text with a key of `table`, which is one of it, set. A new key joins at the end."""
    if key in table:
        begin, end = table.spans[key]
        return text[:begin] + _dumped(text, value, _margin(text, table.at[key])) + text[end:]
    before, after = _gaps(text, table)
    margin = before.rpartition("\n")[2] if "\n" in before else None
    colon = ": " if _is_airy(text) or margin is not None else ":"
    item = f"{json.dumps(key, ensure_ascii=False)}{colon}{_dumped(text, value, margin)}"
    if not table:
        return text[: table.begin + 1] + before + item + after + text[table.end - 1 :]
    last = max(end for _, end in table.spans.values())
    return f"{text[:last]},{before}{item}{text[last:]}"


def without_key(text: str, table: Table, key: str) -> str:
    """The text without a key of `table`, and without the comma that it needs no more."""
    keys = list(table)  # in the order of the text: no key stands twice
    number = keys.index(key)
    if len(keys) == 1:
        return text[: table.begin + 1] + text[table.end - 1 :]
    if number < len(keys) - 1:
        return text[: table.at[key]] + text[table.at[keys[number + 1]] :]
    return text[: table.spans[keys[-2]][1]] + text[table.spans[key][1] :]


def _gaps(text: str, table: Table) -> tuple[str, str]:
    """The blanks before a key of this table, and those after its last value."""
    if table:
        gap = text[table.begin + 1 : min(table.at.values())]
        return gap or (" " if _is_airy(text) else ""), ""
    if "\n" not in text:
        return "", ""
    end = "\r\n" if "\r\n" in text else "\n"
    margin = _line_margin(text, table.begin)
    return f"{end}{margin}{_unit(text)}", f"{end}{margin}"


def _dumped(text: str, value: Any, margin: str | None) -> str:
    """`margin` is what stands before the key in its line; None where it has no line of its own."""
    if margin is None:
        return json.dumps(value, ensure_ascii=False, separators=None if _is_airy(text) else (",", ":"))
    shown = json.dumps(value, ensure_ascii=False, indent=_unit(text)).replace("\n", f"\n{margin}")
    return shown.replace("\n", "\r\n") if "\r\n" in text else shown


def _is_airy(text: str) -> bool:
    """Whether blanks stand behind colons, even where all is in one line."""
    return '": ' in text


def _unit(text: str) -> str:
    found = _INDENT.search(text)
    return found[1] if found else "  "


def _margin(text: str, at: int) -> str | None:
    """The blanks before what stands at `at`, when nothing else stands before it in its line."""
    before = text[:at].rpartition("\n")
    return before[2] if before[1] and not before[2].strip() else None


def _line_margin(text: str, at: int) -> str:
    line = text[:at].rpartition("\n")[2]
    return line[: len(line) - len(line.lstrip(" \t"))]
