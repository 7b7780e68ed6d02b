"""Between a tool's `Params` and the model: the JSON Schema it is shown, and the check of what it sends back.

`Params` is a msgspec Struct, or a JSON Schema where it is known only when the program runs (a plugin's command, an MCP tool).
"""

import json
import re
from typing import Any, TypeVar, overload

import msgspec

from kimi_agent.core import json_schema
from kimi_agent.core.errors import ToolError
from kimi_agent.core.json_schema import JsonSchema
from kimi_agent.core.message import JSON_TYPES
from kimi_agent.core.provider import ToolSpec
from kimi_agent.core.tool import Tool

P = TypeVar("P")

_TYPE_NAMES = {kind.__name__: name for kind, name in JSON_TYPES.items()}


def tool_spec(tool: Tool) -> ToolSpec:
    """The tool as a provider sends it. The result is the same, key for key, every time."""
    return ToolSpec(tool.name, tool.description, params_schema(tool.Params))


def params_schema(params_type: type[Any] | JsonSchema) -> JsonSchema:
    """JSON Schema of a `Params`: no `$ref`, a `type` on every property, no titles, no null branches.

    An optional property is one that is not required; `null` is accepted for it all the same, but not advertised.
    """
    if isinstance(params_type, dict):
        return json_schema.fit(params_type)
    schema = msgspec.json.schema(params_type)
    return _plain(schema, schema.get("$defs", {}), ())


def _plain(node: JsonSchema, defs: dict[str, JsonSchema], open_refs: tuple[str, ...]) -> JsonSchema:
    if ref := node.get("$ref", ""):
        name = ref.rpartition("/")[2]
        if name in open_refs:  # a type that contains itself: its inner levels stay unspecified
            return {"type": "object"}
        extra = {key: value for key, value in node.items() if key != "$ref"}
        return _plain({**defs[name], **extra}, defs, (*open_refs, name))
    out: JsonSchema = {}
    for key, value in node.items():
        if key in ("title", "$defs") or (key == "default" and value in (None, "", [], {})):
            continue
        if key == "properties":
            out[key] = {name: _plain(child, defs, open_refs) for name, child in value.items()}
        elif key == "items" and isinstance(value, dict):
            out[key] = _plain(value, defs, open_refs)
        elif key == "anyOf":
            branches = [_plain(child, defs, open_refs) for child in value if child.get("type") != "null"]
            out |= branches[0] if len(branches) == 1 else {"anyOf": branches}
        else:
            out[key] = value
    if "enum" in out and "type" not in out:
        out = {"type": JSON_TYPES[type(out["enum"][0])], **out}
    elif not out.keys() & {"type", "anyOf"}:
        out = {"type": "object", **out}
    return out


@overload
def validate(params_type: type[P], arguments: dict[str, Any]) -> P: ...
@overload
def validate(params_type: type[Any] | JsonSchema, arguments: dict[str, Any]) -> Any: ...
def validate(params_type: Any, arguments: dict[str, Any]) -> Any:
    """`arguments` as an instance of `params_type`, or as they are when that is a JSON Schema.

    Unknown keys are ignored; "5" passes for 5 and "true" for true. An array or object that was sent as a string of JSON is
    unpacked, null stands for "not given". Raises ToolError that says what was expected, where, and which parameters there
    are.
    """
    if isinstance(params_type, dict):
        return _checked(params_type, arguments)
    try:
        return msgspec.convert(arguments, params_type, strict=False)
    except (msgspec.ValidationError, RecursionError) as error:
        try:
            mended = {key: _given(_unpacked(value)) for key, value in arguments.items() if value is not None}
            if mended != arguments:
                return msgspec.convert(mended, params_type, strict=False)
        except (msgspec.ValidationError, RecursionError):
            pass
        raise ToolError(_explain(str(error), params_type, arguments)) from None


def _checked(schema: JsonSchema, arguments: dict[str, Any]) -> dict[str, Any]:
    problem = json_schema.check(schema, arguments)
    if not problem:
        return arguments
    mended = json_schema.mended(schema, arguments)
    if mended != arguments and not json_schema.check(schema, mended):
        return mended
    raise ToolError(_explain(problem, schema, arguments))


def _unpacked(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value, strict=False)
        except (ValueError, RecursionError):
            pass
    return value


def _given(value: Any) -> Any:
    """`value` without the keys of its objects that hold null: many models write null for "not given"."""
    if isinstance(value, dict):
        return {key: _given(item) for key, item in value.items() if item is not None}
    return [_given(item) for item in value] if isinstance(value, list) else value


def _explain(problem: str, params_type: type[Any] | JsonSchema, arguments: dict[str, Any]) -> str:
    schema = params_schema(params_type)
    problem = re.sub(r"(?<=xpected )`[^`]+`|(?<=got )`[^`]+`", _in_json, problem)
    message = "Invalid arguments: " + (problem[:1].lower() + problem[1:]).replace(" - at `$.", " at `").replace(
        "`$.", "`"
    )
    unknown = [key for key in arguments if key not in schema.get("properties", {})]
    if unknown:
        message += f" (no such parameter: {', '.join(f'`{key[:40]}`' for key in unknown[:5])})"
    return f"{message}. Expected: {_signature(schema)}"


def _in_json(types: re.Match[str]) -> str:
    return re.sub(r"\w+", lambda word: _TYPE_NAMES.get(word[0], word[0]), types[0])


def _signature(schema: JsonSchema) -> str:
    """A schema in the notation of TypeScript, which models read well: `{path: string, mode?: "overwrite" | "append"}`."""
    if "anyOf" in schema:
        return " | ".join(_signature(branch) for branch in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    if schema["type"] == "array":
        return f"[{_signature(schema.get('items', {'type': 'any'}))}, ...]"
    if schema["type"] != "object" or "properties" not in schema:
        return str(schema["type"])
    required = schema.get("required", ())
    fields = (
        f"{name}{'' if name in required else '?'}: {_signature(child)}" for name, child in schema["properties"].items()
    )
    return "{" + ", ".join(fields) + "}"
