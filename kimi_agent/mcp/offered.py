"""What a connected server has listed besides tools, as the rest of the program sees it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kimi_agent.core.servers import Argument, Prompt, Resource
from kimi_agent.mcp.tool import told

if TYPE_CHECKING:
    from kimi_agent.mcp.connection import Connection

_ABOUT, _OF_ARGUMENT = 300, 200  # characters of a description


def prompts_of(server: str, connection: "Connection") -> Iterator[Prompt]:
    for prompt in connection.prompts:
        arguments = [
            Argument(a.name, told(a.description or "", _OF_ARGUMENT), bool(a.required)) for a in prompt.arguments or ()
        ]
        yield Prompt(server, prompt.name, told(prompt.description or prompt.title or "", _ABOUT), tuple(arguments))


def resources_of(server: str, connection: "Connection") -> Iterator[Resource]:
    """Resources, then templates of some."""
    for each in connection.resources:
        yield Resource(server, each.uri, each.name, told(each.description or "", _ABOUT), each.mime_type or "")
    for form in connection.templates:
        about, kind = told(form.description or "", _ABOUT), form.mime_type or ""
        yield Resource(server, form.uri_template, form.name, about, kind, template=True)
