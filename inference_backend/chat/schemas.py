"""JSON schemas on their way into a grammar: taken as strictly as can be, never refused.

llguidance compiles most of JSON Schema. What it cannot is tried in looser forms, each noted: its lenient mode (leaves out what it
does not know), the schema without bounds, patterns and references that do not compile, only its shape, and at last any object.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

MAX_PARTS = 4000
"""Values in one schema; compiling takes time quadratic in optional properties, a quarter of a second for this many."""
_SPACING = {"whitespace_flexible": False, "key_separator": ":[ ]?", "item_separator": ",[ ]?"}
"""Compact JSON with at most one blank behind ':' and ',': as K2 writes it, and no endless white space."""
_SHAPE = ("type", "enum", "const", "anyOf", "oneOf", "items", "properties", "required", "additionalProperties")
_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")  # schemas by name
_VALUES = ("enum", "const", "default", "examples")  # no schemas
_LIMITS = (
    *("pattern", "format", "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    *("multipleOf", "minItems", "maxItems", "minProperties", "maxProperties"),
)
_LEAP = "(?:[1-9][0-9](?:0[48]|[2468][048]|[13579][26])|(?:[2468][048]|[13579][26])00)-02-29"
_DAY = (
    "[1-9][0-9]{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    f"|02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP}"
)
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
_DATES = {"date": f"(?:{_DAY})", "time": _TIME, "date-time": f"(?:{_DAY})T{_TIME}"}
"""RFC 3339 as every library reads it: days that there are, years of four digits, no leap seconds. llguidance's own are wider."""


@dataclass(frozen=True, slots=True)
class Strict:
    """A schema that compiles, as JSON text, and what had to be left out of it ("" for nothing)."""

    text: str
    note: str


def strictest(schema: object, compiles: Callable[[str], str]) -> Strict:
    """The strictest form of `schema` that `compiles`, which gives "" or what is wrong."""
    if parts(schema) > MAX_PARTS:
        return Strict(ANY_OBJECT, "the schema is too large: any JSON object is allowed")
    first = ""
    for form, what in _forms(schema, compiles):
        text = _text(form)
        wrong = compiles(text)
        if not wrong:
            return Strict(text, f"{what} ({first})" if what else _repeated_keys(schema))
        first = first or _short(wrong)
    raise AssertionError("any object compiles")


def _forms(schema: object, compiles: Callable[[str], str]) -> Iterator[tuple[object, str]]:
    strict = _rewritten(_object_at_root(schema), _exact_dates)
    yield strict, ""
    if isinstance(strict, dict):
        yield _lenient(strict), "parts of the schema are not enforced"
        mended = _rewritten(strict, lambda one: _mended(one, strict, compiles))
        yield _lenient(mended), "some patterns, bounds or references of the schema are not enforced"
        yield _lenient(_loosened(strict)), "no patterns, bounds or references of the schema are enforced"
    yield {"type": "object"}, "the schema is not enforced: any JSON object is allowed"


def _repeated_keys(schema: object) -> str:
    """No grammar forbids a key that was there before: `{"a": 1, "a": 2}` is two properties to it, and one to a reader."""
    waiting = [schema]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            least = one.get("minProperties")
            if isinstance(least, int) and least > 1:
                return "minProperties counts repeated keys"
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return ""


def parts(schema: object) -> int:
    """How many values there are in `schema`, counted no further than beyond MAX_PARTS."""
    count, waiting = 0, [schema]
    while waiting and count <= MAX_PARTS:
        one = waiting.pop()
        count += 1
        waiting += one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
    return count


def _lenient(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "x-guidance": {"lenient": True}}


def _text(schema: object) -> str:
    if not isinstance(schema, dict):
        return json.dumps(schema)
    given = schema.get("x-guidance")
    lenient = {"lenient": True} if given == {"lenient": True} else {}
    return json.dumps({**schema, "x-guidance": {**_SPACING, **lenient}})


ANY_OBJECT = _text({"type": "object"})


def _object_at_root(schema: object) -> object:
    """Arguments are always an object, also where the schema does not say so."""
    if not isinstance(schema, dict):
        return {"type": "object"}
    schema = {key: value for key, value in schema.items() if key != "x-guidance"}
    if "type" in schema or not {"$ref", "anyOf", "oneOf", "allOf", "enum", "const", "$dynamicRef"}.isdisjoint(schema):
        return schema
    return {**schema, "type": "object"}


def _rewritten(schema: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """The schema with `change` made to each schema in it, the innermost first."""
    if isinstance(schema, list):
        return [_rewritten(one, change) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inner: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _MAPS and isinstance(value, dict):
            inner[key] = {name: _rewritten(one, change) for name, one in value.items()}
        else:
            inner[key] = value if key in _VALUES else _rewritten(value, change)
    return change(inner)


def _exact_dates(schema: dict[str, Any]) -> dict[str, Any]:
    kind = schema.get("format")
    if not isinstance(kind, str) or kind not in _DATES or "pattern" in schema:
        return schema
    return {**{key: value for key, value in schema.items() if key != "format"}, "pattern": f"^{_DATES[kind]}$"}


def _mended(schema: dict[str, Any], root: dict[str, Any], compiles: Callable[[str], str]) -> dict[str, Any]:
    """One schema without what does not compile even alone: broken patterns, giant bounds, references that lead nowhere."""
    if "$ref" in schema and not _leads_somewhere(schema["$ref"], root):
        return {}
    limits = {key: schema[key] for key in _LIMITS if key in schema}
    alone = {"properties": {"v": {"type": schema.get("type", "string"), **limits}}, "type": "object"}
    broken = bool(limits) and bool(compiles(_text(_lenient({**alone, "required": ["v"]}))))
    return {
        key: value for key, value in schema.items() if not (broken and key in limits) and (key, value) != ("enum", [])
    }


def _loosened(schema: Any) -> Any:
    """Only the shape: types, properties, enums and alternatives."""
    if not isinstance(schema, dict):
        return schema if isinstance(schema, bool) else {}
    loose: dict[str, Any] = {}
    for key in _SHAPE:
        value = schema.get(key)
        if key not in schema or (key in ("enum", "anyOf", "oneOf") and not value):
            continue
        if key == "properties" and isinstance(value, dict):
            loose[key] = {name: _loosened(one) for name, one in value.items()}
        elif key in ("anyOf", "oneOf") and isinstance(value, list):
            loose["anyOf"] = [_loosened(one) for one in value]
        elif key in ("items", "additionalProperties"):
            loose[key] = _loosened(value)
        else:
            loose[key] = value
    required, declared = loose.get("required", []), loose.get("properties", {})
    if not (isinstance(required, list) and all(isinstance(name, str) and name in declared for name in required)):
        loose.pop("additionalProperties", None)
    return loose


def _leads_somewhere(reference: object, root: Any) -> bool:
    """Whether a reference within the schema (a JSON pointer, RFC 6901) finds something."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return False
    place = root
    for step in unquote(reference[1:]).split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(place, dict) or name not in place:
            return False
        place = place[name]
    return True


def _short(wrong: str) -> str:
    line = wrong.removeprefix("at ").split("\n", 1)[0]
    return line.split(": ", 1)[-1][:160]
