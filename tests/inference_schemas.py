"""Varied JSON schemas of tool arguments, all made by our own code: by hand for every feature, and composed at random by seed."""

import random
from typing import Any

Schema = dict[str, Any]


def obj(required: str = "", /, **properties: Any) -> Schema:
    return {"type": "object", "properties": properties, "required": required.split()}


def closed(required: str = "", /, **properties: Any) -> Schema:
    return {**obj(required, **properties), "additionalProperties": False}


TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
FLAG: Schema = {"type": "boolean"}


def listed(items: Any, **limits: Any) -> Schema:
    return {"type": "array", "items": items, **limits}


SCALARS: list[Schema] = [
    TEXT,
    WHOLE,
    NUMBER,
    FLAG,
    {"type": "null"},
    {"type": "string", "minLength": 3},
    {"type": "string", "maxLength": 5},
    {"type": "string", "minLength": 2, "maxLength": 2},
    {"type": "string", "maxLength": 0},
    {"type": "string", "minLength": 40},
    {"type": "string", "pattern": "^[a-z]+$"},
    {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{4}$"},
    {"type": "string", "pattern": "^(GET|POST|PUT)$"},
    {"type": "string", "pattern": "^/[a-z0-9/_.-]*$", "maxLength": 20},
    {"type": "string", "pattern": "[0-9]"},
    {"type": "string", "pattern": "^(?:\\+[0-9]{1,3} )?[0-9]{6,10}$"},
    {"type": "string", "pattern": "^[äöü北京]{1,4}$"},
    {"type": "string", "format": "date"},
    {"type": "string", "format": "time"},
    {"type": "string", "format": "date-time"},
    {"type": "string", "format": "email"},
    {"type": "string", "format": "ipv4"},
    {"type": "string", "format": "ipv6"},
    {"type": "string", "format": "uuid"},
    {"type": "string", "format": "uri"},
    {"type": "string", "format": "hostname"},
    {"type": "string", "format": "duration"},
    {"type": "string", "enum": ["read", "write", "append"]},
    {"type": "string", "const": "fixed"},
    {"enum": ["a", 1, None, True, 2.5]},
    {"enum": ["", " ", '"', "\\", "\n", "\u2028", "😀", "</think>", "<|im_end|>"]},
    {"const": {"nested": [1, {"deep": None}]}},
    {"const": None},
    {"type": "integer", "enum": [1, 2, 3, 5, 8, 13]},
    {"type": "integer", "minimum": 0},
    {"type": "integer", "minimum": 1, "maximum": 9},
    {"type": "integer", "minimum": -5, "maximum": 5},
    {"type": "integer", "minimum": 100, "maximum": 1234567},
    {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 2},
    {"type": "integer", "maximum": -1},
    {"type": "integer", "multipleOf": 5, "minimum": 0, "maximum": 100},
    {"type": "number", "minimum": 0, "maximum": 1},
    {"type": "number", "exclusiveMinimum": 0},
    {"type": "number", "minimum": -273.15},
    {"type": "number", "minimum": 0.1, "maximum": 0.25},
    {"type": "number", "exclusiveMinimum": -1.5, "exclusiveMaximum": 1.5},
    {"type": ["string", "null"]},
    {"type": ["integer", "string", "boolean"]},
    {"type": ["string", "null"], "maxLength": 4},
    {"type": ["array", "null"], "items": TEXT},
]

STRUCTURES: list[Schema] = [
    listed(TEXT),
    listed(WHOLE, minItems=1),
    listed(NUMBER, minItems=2, maxItems=3),
    listed(FLAG, maxItems=0),
    listed(listed(WHOLE, minItems=2, maxItems=2), minItems=1),
    listed({"enum": ["north", "south"]}, minItems=3),
    listed(closed("x y", x=NUMBER, y=NUMBER), minItems=1, maxItems=4),
    listed({"type": ["string", "null"]}, minItems=1),
    {"type": "array"},
    {"type": "array", "items": {}},
    {"type": "array", "prefixItems": [TEXT, WHOLE], "items": False, "minItems": 2},
    {"type": "array", "prefixItems": [TEXT, FLAG], "items": NUMBER, "minItems": 1},
    {"type": "array", "prefixItems": [{"const": "v1"}], "minItems": 1},
    {"type": "object"},
    {},
    {"type": "object", "additionalProperties": WHOLE},
    {"type": "object", "additionalProperties": listed(TEXT), "minProperties": 1},
    {
        "type": "object",
        "additionalProperties": {"type": "string", "maxLength": 8},
        "minProperties": 1,
        "maxProperties": 2,
    },
    {"type": "object", "patternProperties": {"^x-": TEXT}, "additionalProperties": False},
    {"type": "object", "patternProperties": {"^[a-z]{1,4}$": WHOLE, "^[0-9]+$": TEXT}, "additionalProperties": False},
    closed(),
    closed("a", a=closed("b", b=closed("c", c=closed("d", d=TEXT)))),
    obj("z", a=TEXT, z=WHOLE),
    {"type": "object", "properties": {}, "required": ["undeclared"]},
    {"type": "object", "properties": {"a": TEXT}, "required": ["a", "b"], "additionalProperties": FLAG},
    {**closed(), "properties": {"naïve": TEXT, "名前": TEXT, "😀": FLAG}, "required": ["名前", "😀"]},
    {
        **closed(),
        "properties": {'quo"te': TEXT, "back\\slash": TEXT, "new\nline": WHOLE, "": FLAG},
        "required": ['quo"te', ""],
    },
    {**closed(), "properties": {"$ref": TEXT, "type": TEXT, "properties": TEXT}, "required": ["$ref", "type"]},
    {**closed(), "properties": {"a.b": TEXT, "a b": TEXT, "a/b": TEXT, "a:b": TEXT}, "required": ["a b"]},
    {**closed(), "properties": {"key" * 40: TEXT}, "required": ["key" * 40]},
    {
        **closed(),
        "properties": {f"field_{i}": SCALARS[i % 4] for i in range(40)},
        "required": [f"field_{i}" for i in range(0, 40, 3)],
    },
    {"anyOf": [TEXT, WHOLE]},
    {"anyOf": [closed("kind", kind={"const": "a"}, a=TEXT), closed("kind", kind={"const": "b"}, b=WHOLE)]},
    {"oneOf": [closed("path", path=TEXT), closed("url", url=TEXT)]},
    {"oneOf": [{"type": "string"}, {"type": "number"}, {"type": "null"}]},
    {
        "anyOf": [
            {"type": "string", "pattern": "^[0-9]+$"},
            {"type": "integer", "minimum": 0},
            listed(WHOLE, maxItems=3),
        ]
    },
    {"anyOf": [{"type": "null"}, {"anyOf": [{"type": "null"}, {"anyOf": [WHOLE, FLAG]}]}]},
    {"allOf": [obj("a", a=TEXT), obj("b", b=WHOLE)]},
    {"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 12}]},
    {"allOf": [{"type": "string", "minLength": 2}, {"maxLength": 6}]},
    {"type": "object", "properties": {"a": True, "b": {}}, "required": ["a", "b"]},
    {"title": "T", "description": "d", "examples": [1], "default": 1, "deprecated": True, "$comment": "c", **WHOLE},
]

NODE = {
    "type": "object",
    "properties": {"value": WHOLE, "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}},
}
TREE = closed("name", name=TEXT, children=listed({"$ref": "#/$defs/Tree"}))

ROOTS: list[Schema] = [
    {
        "$defs": {"Path": {"type": "string", "pattern": "^/"}},
        **closed("a", a={"$ref": "#/$defs/Path"}, b={"$ref": "#/$defs/Path"}),
    },
    {"$defs": {"Node": {**NODE, "required": ["value", "next"]}}, **obj("head", head={"$ref": "#/$defs/Node"})},
    {"$defs": {"Tree": TREE}, **closed("root", root={"$ref": "#/$defs/Tree"})},
    {"$defs": {"Tree": TREE}, "$ref": "#/$defs/Tree"},
    {"definitions": {"Level": {"enum": ["low", "high"]}}, **closed("level", level={"$ref": "#/definitions/Level"})},
    closed("value", value=WHOLE, child={"$ref": "#"}),
    {
        "$defs": {
            "A": closed("b", b={"anyOf": [{"$ref": "#/$defs/B"}, TEXT]}),
            "B": closed("a", a={"$ref": "#/$defs/A"}),
        },
        **closed("a", a={"$ref": "#/$defs/A"}),
    },
    {"$defs": {"S": TEXT}, **closed("a", a={"$ref": "#/$defs/S", "maxLength": 3})},
    {"$defs": {"Odd ~name/here": WHOLE}, **closed("n", n={"$ref": "#/$defs/Odd%20~0name~1here"})},
    {
        "$defs": {
            "Expr": {
                "anyOf": [
                    NUMBER,
                    closed(
                        "op left right",
                        op={"enum": ["+", "-"]},
                        left={"$ref": "#/$defs/Expr"},
                        right={"$ref": "#/$defs/Expr"},
                    ),
                ]
            }
        },
        **closed("e", e={"$ref": "#/$defs/Expr"}),
    },
    {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Args", **closed("x", x=WHOLE)},
    {"anyOf": [closed("a", a=TEXT), closed("b", b=WHOLE)]},
    {"type": "object", "anyOf": [{"required": ["a"]}, {"required": ["b"]}], "properties": {"a": WHOLE, "b": TEXT}},
]

TOOLS: list[Schema] = [
    closed(
        "path",
        path=TEXT,
        offset={"type": "integer", "minimum": 1},
        limit={"type": "integer", "minimum": 1, "maximum": 2000},
    ),
    closed("path content", path={"type": "string", "minLength": 1}, content=TEXT),
    closed("path edits", path=TEXT, edits=listed(closed("old new", old=TEXT, new=TEXT, all=FLAG), minItems=1)),
    closed("command", command=TEXT, timeout_s={"type": "number", "minimum": 0, "maximum": 600}, background=FLAG),
    closed(
        "pattern",
        pattern=TEXT,
        glob={"type": ["string", "null"]},
        context={"type": "integer", "minimum": 0, "maximum": 20},
    ),
    closed("todos", todos=listed(closed("text state", text=TEXT, state={"enum": ["open", "doing", "done"]}))),
    closed(
        "query",
        query={"type": "string", "minLength": 2},
        domains=listed({"type": "string", "format": "hostname"}, maxItems=3),
    ),
    closed(
        "url",
        url={"type": "string", "format": "uri"},
        method={"enum": ["GET", "HEAD"]},
        headers={"type": "object", "additionalProperties": TEXT},
    ),
    closed(
        "city",
        city=TEXT,
        unit={"enum": ["celsius", "fahrenheit"]},
        days={"type": "integer", "minimum": 1, "maximum": 14},
    ),
    closed(
        "title start",
        title=TEXT,
        start={"type": "string", "format": "date"},
        guests=listed({"type": "string", "format": "email"}),
    ),
    closed(
        "table",
        table={"type": "string", "pattern": "^[a-z_]+$"},
        where=listed(
            closed("column op value", column=TEXT, op={"enum": ["=", "<", ">="]}, value={"anyOf": [TEXT, NUMBER, FLAG]})
        ),
    ),
    closed(
        "x y",
        x={"type": "integer", "minimum": 0, "maximum": 4095},
        y={"type": "integer", "minimum": 0, "maximum": 4095},
        button={"enum": ["left", "right"]},
    ),
    closed(
        "from_account amount",
        from_account={"type": "string", "pattern": "^[A-Z]{2}[0-9]{6}$"},
        amount={"type": "number", "exclusiveMinimum": 0},
        memo={"type": "string", "maxLength": 30},
    ),
    closed(
        "target",
        target={"oneOf": [closed("line", line={"type": "integer", "minimum": 1}), closed("symbol", symbol=TEXT)]},
    ),
    closed("points", points=listed(listed(NUMBER, minItems=2, maxItems=2), minItems=2, maxItems=5)),
    closed(
        "schedule",
        schedule={
            "anyOf": [
                closed("every", every={"enum": ["hour", "day"]}),
                closed("cron", cron={"type": "string", "pattern": "^[0-9*]+( [0-9*]+){4}$"}),
            ]
        },
    ),
    closed("question options", question=TEXT, options=listed(TEXT, minItems=2, maxItems=4), multiple=FLAG),
    obj(
        "id",
        id={"type": "string", "format": "uuid"},
        tags=listed({"type": "string", "pattern": "^[a-z]{1,8}$"}, maxItems=4),
    ),
    closed(
        "rgb",
        rgb={
            "type": "array",
            "prefixItems": [{"type": "integer", "minimum": 0, "maximum": 255}] * 3,
            "items": False,
            "minItems": 3,
        },
    ),
    closed("问题", 问题=TEXT, 语言={"enum": ["中文", "English"]}),
]


def composed(seed: int) -> Schema:
    """A nested object of up to four levels, drawn by `seed`."""
    rng = random.Random(seed)
    return _object(rng, depth=rng.randint(1, 3))


def _object(rng: random.Random, depth: int) -> Schema:
    names = rng.sample(
        ["path", "kind", "size", "名", "élan", "is_ok", "items", "a-b", "x y", "meta", "q"], rng.randint(1, 5)
    )
    properties = {name: _any(rng, depth - 1) for name in names}
    schema = {"type": "object", "properties": properties, "required": [n for n in names if rng.random() < 0.6]}
    if rng.random() < 0.7:
        schema["additionalProperties"] = False
    if rng.random() < 0.3:
        schema["description"] = "what it is for"
    return schema


def _any(rng: random.Random, depth: int) -> Schema:
    kind = rng.random()
    if depth <= 0 or kind < 0.4:
        return rng.choice(SCALARS)
    if kind < 0.65:
        low = rng.randint(0, 2)
        return listed(_any(rng, depth - 1), minItems=low, maxItems=low + rng.randint(0, 3))
    if kind < 0.8:
        return {"anyOf": [_any(rng, depth - 1) for _ in range(rng.randint(1, 3))]}
    return _object(rng, depth)


SCHEMAS: list[Schema] = [
    *(closed("v", v=schema) for schema in SCALARS + STRUCTURES),
    *ROOTS,
    *TOOLS,
    *(composed(seed) for seed in range(120)),
]
"""Every one is enforced in full."""

LOOSE: list[tuple[Any, str]] = [
    ({"type": "object", "minProperties": 2, "additionalProperties": NUMBER}, "minProperties"),
    (closed("v", v={"type": "array", "items": WHOLE, "uniqueItems": True}), "uniqueItems"),
    (closed("v", v={"type": "string", "not": {"enum": ["a"]}}), "not"),
    ({**obj(a=TEXT, b=TEXT), "dependentRequired": {"a": ["b"]}}, "dependentRequired"),
    ({**obj(a=TEXT), "if": {"required": ["a"]}, "then": {"required": ["b"]}}, "if"),
    (closed("v", v={"type": "array", "contains": WHOLE}), "contains"),
    ({"type": "object", "propertyNames": {"pattern": "^a"}}, "propertyNames"),
    (closed("v", v={"oneOf": [{"type": "string", "minLength": 2}, {"type": "string", "maxLength": 5}]}), "oneOf"),
    (closed("v", v={"type": "string", "format": "no-such-format"}), "format"),
    (closed("v", v={"$ref": "#/$defs/Nowhere"}), "Pointer"),
    (closed("v", v={"$ref": "https://elsewhere.example/schema.json"}), "Resource"),
    (closed("v", v={"type": "string", "minLength": 999_999_999_999}), "regex"),
    (closed("v", v={"type": "string", "pattern": "^(?!no).*$"}), "regex"),
    (closed("v", v={"type": "integer", "minimum": -1e30, "maximum": 1e30}), "integer range"),
    (closed("v", v={"enum": []}), "nsatisfiable"),
    (closed("v", v=False), "nsatisfiable"),
    ({"type": "object", "required": ["gone"], "additionalProperties": False}, "nsatisfiable"),
    ({"type": "no-such-type"}, ""),
    ({"type": "object", "properties": []}, ""),
    ({"type": "object", "properties": {"a": 3}}, ""),
    ({"type": "object", "required": "a"}, ""),
    ({"type": "object", "$defs": 7, "properties": {"a": {"$ref": "#/$defs/x"}}}, ""),
    ({"type": "object", "x-guidance": {"lenient": "what"}, "properties": {"v": {"not": {}}}}, "not"),
]
"""Schemas of which something cannot be enforced, and a word of the note that says so."""


def deep(levels: int) -> Schema:
    schema: Schema = {"type": "integer"}
    for _ in range(levels):
        schema = closed("v", v=schema)
    return schema
