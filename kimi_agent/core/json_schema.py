"""JSON Schemas that strangers wrote (plugins, MCP servers): made fit for every model's API, and the check against them."""

import json
import re
from typing import Any

from msgspec import Struct

from kimi_agent.core.errors import ToolError
from kimi_agent.core.message import JSON_TYPES
from kimi_agent.core.sanitize import plain

JsonSchema = dict[str, Any]

DESCRIPTION = 240
"""Characters that the description of a parameter may take."""
NODES = 1_000
"""Parts of one schema that the model is shown: types that name one another would grow without end."""
_DEPTH = 12
"""Levels that the model is shown; deeper ones stay unspecified."""
_NUMBERS = ("minimum", "maximum")
_SIZES = ("minLength", "maxLength", "minItems", "maxItems")


def fit(schema: JsonSchema) -> JsonSchema:
    """`schema` as APIs take it: an object with properties, no `$ref`, a `type` or an `anyOf` on each, nothing unknown.

    It may be looser than `schema`, which stays what arguments are checked against.
    """
    fitted = _Fitter(schema).fit(schema, (), 0)
    return {**_shown(fitted), "type": "object", "properties": fitted.get("properties", {})}


def _shown(fitted: JsonSchema) -> JsonSchema:
    return {key: fitted[key] for key in ("description", "required") if key in fitted}


class _Fitter(Struct):
    """Fits the parts of one schema, `root`; `left` is how many more there may be."""

    root: JsonSchema
    left: int = NODES

    def fit(self, node: Any, open_refs: tuple[str, ...], depth: int) -> JsonSchema:
        self.left -= 1
        if not isinstance(node, dict) or depth > _DEPTH or self.left < 0:
            return {"type": "string"} if depth <= _DEPTH and self.left >= 0 else {"type": "object"}
        if isinstance(ref := node.get("$ref"), str):
            target = None if ref in open_refs else _find(ref, self.root)
            if target is None:  # a type that contains itself, or lies elsewhere
                return {"type": "object"}
            rest = {key: value for key, value in node.items() if key != "$ref"}
            return self.fit({**target, **rest}, (*open_refs, ref), depth)
        for part in _dicts(node.get("allOf")):
            node = _joined(node, part)
        out: JsonSchema = {key: value for key, value in node.items() if _is_kept(key, value)}
        if isinstance(text := node.get("description"), str) and (text := " ".join(plain(text).split())):
            out["description"] = text if len(text) <= DESCRIPTION else text[: DESCRIPTION - 1] + "…"
        branches = [one for one in _branches(node) if one.get("type") != "null"]
        if len(branches) > 1 and depth:  # at the top an object is wanted in any case
            return {**out, "anyOf": [self.fit(branch, open_refs, depth + 1) for branch in branches]}
        if len(branches) == 1:
            rest = {key: value for key, value in node.items() if key not in ("anyOf", "oneOf", "allOf", "type")}
            return self.fit({**rest, **branches[0]}, open_refs, depth + 1)
        return out | self._shape(node, open_refs, depth)

    def _shape(self, node: JsonSchema, open_refs: tuple[str, ...], depth: int) -> JsonSchema:
        """What kind of value a node without branches describes."""
        kind = node.get("type")
        known = isinstance(kind, str) and kind in JSON_TYPES.values()
        values = node.get("enum", [node["const"]] if "const" in node else None)
        if isinstance(values, list) and (values := [one for one in values if one is not None and _can_be_sent(one)]):
            return {"type": kind if known else JSON_TYPES.get(type(values[0]), "string"), "enum": values}
        if not known:
            kind = "object" if "properties" in node or not depth else "array" if "items" in node else "string"
        if kind == "array" and isinstance(node.get("items"), dict):
            return {"type": kind, "items": self.fit(node["items"], open_refs, depth + 1)}
        if kind != "object" or not isinstance(node.get("properties"), dict):
            return {"type": kind}
        given = {str(name): child for name, child in node["properties"].items() if _can_be_sent(str(name))}
        properties = {name: self.fit(child, open_refs, depth + 1) for name, child in given.items()}
        required = node.get("required")
        names = [n for n in required if isinstance(n, str) and n in properties] if isinstance(required, list) else []
        return {"type": kind, "properties": properties, **({"required": names} if names else {})}


def _is_kept(key: str, value: Any) -> bool:
    """Whether a keyword is one that APIs know, with a value that it can have: a wrong one would cost every request."""
    if key in _NUMBERS:
        return isinstance(value, int | float) and not isinstance(value, bool) and _can_be_sent(value)
    if key in _SIZES:
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if key == "pattern":
        return isinstance(value, str) and _can_be_sent(value) and _is_regex(value)
    return (key == "format" and isinstance(value, str) and _can_be_sent(value)) or (
        key == "default" and _can_be_sent(value)
    )


def _can_be_sent(value: Any) -> bool:
    """Whether a value can be written as JSON in UTF-8: no infinity, no half of a character."""
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return False
    return True


def _is_regex(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        return False
    return True


def _branches(node: JsonSchema) -> list[JsonSchema]:
    """The alternatives of a node: its `anyOf`, its `oneOf`, or its list of types."""
    if found := _dicts(node.get("anyOf")) or _dicts(node.get("oneOf")):
        return found
    kinds = node.get("type")
    return [{**node, "type": kind} for kind in kinds if isinstance(kind, str)] if isinstance(kinds, list) else []


def _dicts(value: Any) -> list[JsonSchema]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _joined(node: JsonSchema, part: JsonSchema) -> JsonSchema:
    joined = {**part, **{key: value for key, value in node.items() if key != "allOf"}}
    for key in ("properties", "required"):
        if isinstance(ours := node.get(key), dict) and isinstance(theirs := part.get(key), dict):
            joined[key] = {**theirs, **ours}
        elif isinstance(ours, list) and isinstance(theirs := part.get(key), list):
            joined[key] = [*theirs, *ours]
    return joined


def _find(ref: str, root: JsonSchema) -> JsonSchema | None:
    """The part of `root` that a local reference (`#/$defs/x`) names."""
    found: Any = root
    for step in ref.removeprefix("#").strip("/").split("/") if ref.startswith("#") else ["", ref]:
        if step:
            found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else None


def problem_with(schema: JsonSchema) -> str:
    """What is wrong with a schema, empty when it can be used."""
    import jsonschema

    try:
        jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator).check_schema(schema)
    except jsonschema.SchemaError as error:
        return f"its parameters are no JSON Schema: {error.message[:200]}"
    except RecursionError:
        return "its parameters are nested too deeply"
    except Exception as error:  # what jsonschema trips over in a stranger's schema, such as a `$schema` that is no text
        return f"its parameters are no JSON Schema: {str(error)[:200]}"
    return ""


def check(schema: JsonSchema, arguments: dict[str, Any]) -> str:
    """What is wrong with `arguments`, empty when they are valid. A reference to the network is an error, never a request.

    Raises ToolError when the schema itself cannot be used.
    """
    import jsonschema
    import referencing

    try:
        checker = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
        errors = list(checker(schema, registry=referencing.Registry()).iter_errors(arguments))
        worst = jsonschema.exceptions.best_match(errors)
    except Exception as error:  # a stranger's schema is not checked before: jsonschema trips over anything in it
        raise ToolError(f"This tool cannot be called: its own schema is wrong: {str(error)[:200]}") from None
    if worst is None:
        return ""
    where = ".".join(map(str, worst.absolute_path))
    return f"{worst.message}"[:300] + (f" at `{where}`" if where else "")


def mended(schema: JsonSchema, arguments: dict[str, Any]) -> dict[str, Any]:
    """`arguments` with what models often get wrong set right: null for "not given", values sent as strings."""
    properties = fit(schema)["properties"]
    return {
        name: _typed(value, properties.get(name, {}).get("type", "string"))
        for name, value in arguments.items()
        if value is not None
    }


def _typed(value: Any, kind: str) -> Any:
    if not isinstance(value, str) or kind == "string":
        return value
    try:
        parsed = json.loads(value, strict=False)
    except (ValueError, RecursionError):
        return value
    return parsed if JSON_TYPES[type(parsed)] == kind or (kind == "number" and type(parsed) is int) else value
