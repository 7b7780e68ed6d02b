import json
from pathlib import Path
from typing import Any

import pytest
from tool_context import make_context

from kimi_agent.config import ServiceConfig
from kimi_agent.core.schema import tool_spec, validate
from kimi_agent.core.tool import Tool
from kimi_agent.tools import builtin_tools

NAMES = [
    *("ReadFile", "WriteFile", "StrReplaceFile", "ReadMediaFile", "Glob", "Grep"),
    *("Shell", "TaskList", "TaskOutput", "TaskStop"),
    *("FetchURL", "SetTodoList"),
]
SERVICES = {"search": ServiceConfig("searxng", "http://localhost:8080")}
TOOLS = builtin_tools(think=True, services=SERVICES)
EXAMPLES: dict[str, dict[str, Any]] = {
    "ReadFile": {"path": "f"},
    "WriteFile": {"path": "f", "content": ""},
    "StrReplaceFile": {"path": "f", "edit": {"old": "a", "new": "b"}},
    "ReadMediaFile": {"path": "f"},
    "Glob": {"pattern": "*"},
    "Grep": {"pattern": "a"},
    "Shell": {"command": "true"},
    "TaskList": {},
    "TaskOutput": {"task_id": "b1"},
    "TaskStop": {"task_id": "b1"},
    "SearchWeb": {"query": "a"},
    "FetchURL": {"url": "https://example.com"},
    "SetTodoList": {},
    "AskUserQuestion": {"questions": [{"question": "?", "options": [{"label": "a"}, {"label": "b"}]}]},
    "Think": {"thought": ""},
}
"""The least that each tool takes, under the official names."""


def test_the_table_has_the_official_names_in_a_fixed_order() -> None:
    assert [tool.name for tool in builtin_tools()] == [*NAMES, "AskUserQuestion"]
    assert [tool.name for tool in TOOLS] == [*NAMES[:10], "SearchWeb", *NAMES[10:], "AskUserQuestion", "Think"]
    assert "ReadMediaFile" not in [tool.name for tool in builtin_tools(media=False)]
    assert json.dumps([tool_spec(tool).schema for tool in TOOLS]) == json.dumps(
        [tool_spec(tool).schema for tool in builtin_tools(think=True, services=SERVICES)]
    )


def test_every_session_has_tools_of_its_own() -> None:
    one, two = builtin_tools(), builtin_tools()
    assert not {id(tool) for tool in one} & {id(tool) for tool in two}


def nested(schema: dict[str, Any]) -> list[dict[str, Any]]:
    inner = [*schema.get("properties", {}).values(), *schema.get("anyOf", [])]
    inner += [schema["items"]] if "items" in schema else []
    return [*inner, *(found for child in inner for found in nested(child))]


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_what_the_model_sees(tool: Tool) -> None:
    spec = tool_spec(tool)
    assert len(spec.description) > 20
    assert spec.schema["type"] == "object"
    assert all("anyOf" in one or isinstance(one.get("type"), str) for one in nested(spec.schema))
    assert "$ref" not in json.dumps(spec.schema)


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_the_least_that_it_takes(tool: Tool, tmp_path: Path) -> None:
    params = validate(tool.Params, EXAMPLES[tool.name])
    effects = tool.effects(params, make_context(tmp_path))
    assert all(effect.target for effect in effects)
    assert not list(tmp_path.iterdir())


def test_all_tools_together_stay_small() -> None:
    """Four characters are about one token: a quarter of what the system prompt and the tools may take together."""
    sent = [{"name": s.name, "description": s.description, "parameters": s.schema} for s in map(tool_spec, TOOLS)]
    assert len(json.dumps(sent)) < 4 * 2500
