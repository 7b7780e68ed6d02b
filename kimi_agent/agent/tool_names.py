"""What the tools of other programs are called here, for agent files that were written for those."""

import re

NAMES = {
    # kimi-cli, by the class in "module:Class"; also what they are called here
    "agent": "Agent", "askuserquestion": "AskUserQuestion", "enterplanmode": "EnterPlanMode",
    "exitplanmode": "ExitPlanMode", "fetchurl": "FetchURL", "glob": "Glob", "grep": "Grep", "patchfile": "StrReplaceFile",
    "readfile": "ReadFile", "readmediafile": "ReadMediaFile", "searchweb": "SearchWeb", "settodolist": "SetTodoList",
    "shell": "Shell", "skill": "Skill", "strreplacefile": "StrReplaceFile", "task": "Agent", "tasklist": "TaskList",
    "taskoutput": "TaskOutput", "taskstop": "TaskStop", "think": "Think", "writefile": "WriteFile", "cmd": "Shell",
    # Claude Code and kimi-code
    "bash": "Shell", "bashoutput": "TaskOutput", "edit": "StrReplaceFile", "killbash": "TaskStop",
    "killshell": "TaskStop", "ls": "Glob", "multiedit": "StrReplaceFile", "read": "ReadFile", "todolist": "SetTodoList",
    "todowrite": "SetTodoList", "webfetch": "FetchURL", "websearch": "SearchWeb", "write": "WriteFile",
}  # fmt: skip
"""Our names by foreign ones, in small letters."""
OURS = frozenset(NAMES.values())
"""The names of all tools that come with kimi: none of a plugin can be called so."""
ABSENT = frozenset(
    {
        "agentswarm", "archivesearch", "createsubagent", "croncreate", "crondelete", "cronlist", "notebookedit",
        "notebookread", "senddmail", "slashcommand", "todoread", "waitfor",
    }
)  # fmt: skip
"""Foreign tools that have no counterpart here."""

TOOL_EVENTS = ("PreToolUse", "PostToolUse", "PostToolUseFailure")
"""Events of hooks whose subject is the name of a tool."""
_WORD = re.compile(r"(?<![\w.\\])[A-Z]\w+(?!\w)")
_ITEM = re.compile(r"[^,()]+(?:\([^()]*\))?")


def split_names(text: str) -> list[str]:
    """The names of a comma list; `Agent(a, b)` is one of them."""
    return [item.strip() for item in _ITEM.findall(text) if item.strip()]


def our_name(name: str) -> str | None:
    """Our name of a tool, also for "kimi_cli.tools.file:ReadFile"; None when there is none.

    A plain name that nobody knows is kept: it may be the tool of a plugin or of an MCP server.
    """
    module, colon, short = name.strip().rpartition(":")
    found = NAMES.get(short.casefold())
    if found is not None:
        return found
    if colon or module or short.casefold() in ABSENT or not re.fullmatch(r"[\w.*?-]+", short):
        return None
    return short


def our_matcher(event: str, given: str) -> str:
    """A hook's matcher of Claude Code: theirs match the whole name, ours are searched in it."""
    if given in ("", "*") or event in ("UserPromptSubmit", "Stop"):
        return ""
    if event not in TOOL_EVENTS:
        return f"^(?:{given})$"
    if re.fullmatch(r"[\w|]+", given):
        names = [our_name(name) or name for name in given.split("|") if name]
        return f"^(?:{'|'.join(dict.fromkeys(names))})$"
    return f"^(?:{_WORD.sub(lambda word: our_name(word[0]) or word[0], given)})$"


def both_names(event: str, given: str) -> str:
    """A matcher of ours that finds tools by their foreign names too: `Bash` becomes `(?:Bash|Shell)`."""

    def both(word: re.Match[str]) -> str:
        ours = our_name(word[0])
        return f"(?:{word[0]}|{ours})" if ours and ours != word[0] else word[0]

    return _WORD.sub(both, given) if event in TOOL_EVENTS else given
