"""Tool declarations as TypeScript, the form that K2.5 and newer were trained on.

The output is what the checkpoints' own encoder writes, oddities included (Python's `True`, `None`): every byte is part of the
prompt. A schema that this form cannot say raises ValueError, and the caller declares all tools as JSON, as the original does.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

_STEP = "  "
_CONSTRAINTS = {
    "string": ("maxLength", "minLength", "pattern"),
    "number": ("maximum", "minimum"),
    "integer": ("maximum", "minimum"),
    "array": ("maxItems", "minItems"),
}
_UNION = {
    "string": "string",
    "number": "number",
    "integer": "number",
    "boolean": "boolean",
    "null": "null",
    "object": "{}",
    "array": "Array<any>",
}
_PYTHON = {"string": (str,), "number": (int, float), "integer": (int,), "boolean": (bool,)}


def declare(tools: Sequence[dict[str, Any]]) -> str:
    """The declaration of OpenAI-style tools. Raises ValueError."""
    try:
        bodies = [_function(tool["function"]) for tool in tools]
    except (LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"no TypeScript for these tools: {error!r}") from None
    return "# Tools\n\n## functions\nnamespace functions {\n" + "".join(body + "\n" for body in bodies) + "}\n"


@dataclass
class _Definitions:
    schemas: dict[str, Any] = field(default_factory=dict)
    used_self: bool = False


def _function(function: dict[str, Any]) -> str:
    parameters, known = function.get("parameters") or {}, _Definitions()
    argument = _object(parameters, "", known)
    lines = []
    if known.used_self:  # "$ref": "#"
        inner = ",\n".join(_members(parameters, _STEP, known))
        lines.append("interface parameters {" + (f"\n{inner}\n" if inner else "") + "}")
        argument = "parameters"
    for name, schema in list(known.schemas.items()):
        text = f"interface {name} {_type(schema, '', known)}"
        about = schema.get("description", "")
        lines.append(_comment(about, "") + "\n" + text if about else text)
    if function.get("description"):
        lines.append(_comment(function["description"], ""))
    return "\n".join([*lines, f"type {function['name']} = (_: {argument}) => any;"])


def _comment(text: str, indent: str) -> str:
    return "\n".join(f"{indent}// {line}" if line else "" for line in text.split("\n"))


def _notes(schema: Any, indent: str) -> str:
    """Description and constraints of a schema as comment lines, each ended."""
    if not isinstance(schema, dict) or "$ref" in schema:
        return (
            _comment(schema["description"], indent) + "\n"
            if isinstance(schema, dict) and schema.get("description")
            else ""
        )
    text = _comment(schema["description"], indent) + "\n" if schema.get("description") else ""
    kind = schema.get("type")
    if "anyOf" not in schema and "enum" not in schema and isinstance(kind, str):
        limits = [f"{key}: {schema[key]}" for key in _CONSTRAINTS.get(kind, ()) if key in schema]
        text += f"{indent}// {', '.join(limits)}\n" if limits else ""
    return text


def _type(schema: Any, indent: str, known: _Definitions) -> str:
    if isinstance(schema, bool):
        return "any" if schema else "null"
    if "$ref" in schema:
        return _reference(schema["$ref"], known)
    if "anyOf" in schema:
        return " | ".join(_type(one, indent, known) for one in schema["anyOf"])
    if "enum" in schema:
        return _enum(schema)
    if not schema:
        return "any"
    kind = schema["type"]
    if isinstance(kind, list):
        return " | ".join(_UNION[one] for one in kind)
    if kind == "object":
        return _object(schema, indent, known)
    if kind == "array":
        return _array(schema.get("items") or True, indent, known)
    if not isinstance(kind, str):
        raise ValueError(f"type {kind!r}")
    return "number" if kind == "integer" else kind


def _reference(reference: str, known: _Definitions) -> str:
    if reference == "#":
        known.used_self = True
        return "parameters"
    name = reference.rsplit("/", 1)[-1]
    if not reference.startswith("#/$defs/") or name not in known.schemas:
        raise ValueError(f"reference {reference!r}")
    return name


def _enum(schema: dict[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kinds = [one for one in kind if one != "null"] or kind
        if len(kind) > 2 or (len(kind) == 2 and "null" not in kind):
            raise ValueError(f"enum of type {kind}")
        kind = kinds[0]
    for value in schema["enum"]:
        if value is not None and kind in _PYTHON and not isinstance(value, _PYTHON[kind]):
            raise ValueError(f"enum value {value!r} of type {kind}")
    return " | ".join(f'"{value}"' if isinstance(value, str) else str(value) for value in schema["enum"])


def _array(items: Any, indent: str, known: _Definitions) -> str:
    deeper = indent + _STEP
    notes = _notes(items, deeper)
    if not notes:
        return f"Array<{_type(items, indent, known)}>"
    return f"Array<\n{notes}{deeper}{_type(items, deeper, known)}\n{indent}>"


def _object(schema: dict[str, Any], indent: str, known: _Definitions) -> str:
    known.schemas.update(schema.get("$defs") or {})
    properties, required = schema.get("properties", {}), schema.get("required", ())
    order = sorted(properties.items(), key=lambda item: (item[0] not in required, item[0]))
    members = _members({**schema, "properties": dict(order)}, indent + _STEP, known)
    more = schema.get("additionalProperties")
    if more is not None:
        kind = "never" if more is False else "any" if more is True else _type(more, indent + _STEP, known)
        members.append(f"{indent}{_STEP}[k: string]: {kind}")
    return "{\n" + ",\n".join(members) + f"\n{indent}}}" if members else "{}"


def _members(schema: dict[str, Any], indent: str, known: _Definitions) -> list[str]:
    required = schema.get("required", ())
    members = []
    for name, value in schema.get("properties", {}).items():
        notes = _notes(value, indent)
        default = value.get("default") if isinstance(value, dict) else None
        if default is not None:
            shown = repr(default) if isinstance(default, (int, float)) else json.dumps(default, ensure_ascii=False)
            notes += f"{indent}// Default: {shown}\n"
        optional = "" if name in required else "?"
        members.append(f"{notes}{indent}{name}{optional}: {_type(value, indent, known)}")
    return members
