"""Tool calls of other agents in the words of our tools, so that the model goes on with the tools that it has."""

import json
from collections.abc import Mapping
from typing import Any

from kimi_agent.agent.tool_names import our_name
from kimi_agent.core.message import ToolCall

SHELLS = ("shell", "exec_command", "shell_command", "container.exec", "local_shell")


def our_call(call_id: str, name: str, arguments: Any) -> ToolCall:
    """The call as our tool of that kind would have it; a tool that we do not have keeps its name and arguments."""
    if isinstance(arguments, str):
        try:
            value = json.loads(arguments or "{}", strict=False)
        except (ValueError, RecursionError):
            return ToolCall(call_id, our_name(name) or name, arguments)
    else:
        value = arguments
    if not isinstance(value, dict):
        value = {"input": value}
    if name in SHELLS:
        name, value = "Shell", _shell(value)
    name = our_name(name) or name
    return ToolCall(call_id, name, json.dumps(_renamed(name, value), ensure_ascii=False))


def _shell(value: Mapping[str, Any]) -> dict[str, Any]:
    """Codex gives an argument list, mostly `bash -lc COMMAND`."""
    command = value.get("command", value.get("cmd", ""))
    if isinstance(command, list):
        words = [str(word) for word in command]
        command = words[2] if len(words) == 3 and words[1] in ("-c", "-lc") else " ".join(words)
    return {"command": command}


def _renamed(name: str, value: Mapping[str, Any]) -> dict[str, Any]:
    if name == "Shell":
        return {key: value[key] for key in ("command", "run_in_background") if key in value}
    if name not in ("ReadFile", "WriteFile", "StrReplaceFile"):
        return dict(value)
    ours = {key: item for key, item in value.items() if key != "file_path"}
    if "file_path" in value:
        ours = {"path": value["file_path"], **ours}
    if name == "ReadFile":
        for theirs, mine in (("offset", "line_offset"), ("limit", "n_lines")):
            if theirs in ours:
                ours[mine] = ours.pop(theirs)
    if name == "StrReplaceFile" and "old_string" in ours:
        edit = {"old": ours.pop("old_string"), "new": ours.pop("new_string", "")}
        ours["edit"] = edit | ({"replace_all": True} if ours.pop("replace_all", False) else {})
    return ours
