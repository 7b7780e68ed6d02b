"""The tools that clients see: their parameters, and which tool of the agent stands behind those that only look."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta, Struct

from kimi_agent.core.schema import params_schema
from kimi_agent.frontends.json_lines import Denied

if TYPE_CHECKING:
    import mcp_types as types


class RunTask(Struct, frozen=True):
    prompt: Annotated[str, Meta(description="The whole task: the agent knows nothing of your conversation.")]
    cwd: Annotated[
        str, Meta(description="Folder to work in; by default, the folder that the server was started in.")
    ] = ""
    session_id: Annotated[str, Meta(description="Go on with this session, of an earlier result.")] = ""


class ReadFile(Struct, frozen=True):
    path: str
    line_offset: Annotated[int, Meta(description="First line; negative counts from the end.")] = 1
    n_lines: Annotated[int, Meta(ge=1)] = 1000


class ListFiles(Struct, frozen=True):
    pattern: Annotated[str, Meta(description="Such as `*.py` or `src/**/*.ts`.")] = "*"
    directory: Annotated[str, Meta(description="Where to look.")] = "."


class Search(Struct, frozen=True):
    pattern: Annotated[str, Meta(description="A regular expression (ripgrep).")]
    path: Annotated[str, Meta(description="File or folder.")] = "."
    glob: Annotated[str, Meta(description="Only files like `*.{ts,tsx}`; empty for all.")] = ""
    ignore_case: bool = False
    context: Annotated[int, Meta(ge=0, le=20, description="Lines around each match.")] = 0


class Outcome(Struct, frozen=True):
    """The structured result of `run_task`. `stop` is how the turn ended, as `turn_ended` of the line protocol has it.

    `changed_files` are relative to the folder of the session where they lie in it.
    """

    session_id: str
    stop: str
    steps: int
    changed_files: tuple[str, ...]
    denied: tuple[Denied, ...]
    error: str


Looking: TypeAlias = ReadFile | ListFiles | Search


def as_call(params: Looking) -> tuple[str, dict[str, Any]]:
    """The agent's tool that does it, and its arguments."""
    match params:
        case ReadFile():
            return "ReadFile", msgspec.to_builtins(params)
        case ListFiles():
            return "Glob", msgspec.to_builtins(params)
        case Search(pattern, path, glob, ignore_case, context):
            options = {"-i": ignore_case, "-C": context} | ({"glob": glob} if glob else {})
            return "Grep", {"pattern": pattern, "path": path, "output_mode": "content", **options}


PARAMS: Mapping[str, type[Any]] = {
    "run_task": RunTask,
    "read_file": ReadFile,
    "list_files": ListFiles,
    "search": Search,
}
TEXTS = {
    "run_task": "Give a coding task to kimi, an agent that reads, edits and runs things in a folder until the task is done. "
    "Answers its final answer; goes on with an earlier session where `session_id` is given. It may take minutes.",
    "read_file": "Read a text file or a document, with line numbers.",
    "list_files": "List the files that match a pattern, newest first. Ignored files (.gitignore) are left out.",
    "search": "Search the contents of files. Ignored files and files with secrets are left out.",
}
INSTRUCTIONS = (
    "kimi is a coding agent. run_task hands it a whole task; read_file, list_files and search look at its folder without one. "
    "What needs a permission is asked for by elicitation, and refused where the client has none."
)


def definitions(offered: Callable[[str], bool]) -> "list[types.Tool]":
    """Those that the agent can do: `offered` says whether it has one of its tools."""
    import mcp_types as types

    found = []
    for name, params in PARAMS.items():
        looks = params is not RunTask
        if looks and not offered(BEHIND[name]):
            continue
        hints = types.ToolAnnotations(read_only_hint=looks, destructive_hint=not looks, open_world_hint=not looks)
        schema, output = params_schema(params), None if looks else params_schema(Outcome)
        tool = types.Tool(
            name=name, description=TEXTS[name], input_schema=schema, output_schema=output, annotations=hints
        )
        found.append(tool)
    return found


BEHIND = {"read_file": "ReadFile", "list_files": "Glob", "search": "Grep"}
