"""The table of built-in tools. A new one is a file in this folder and a line here."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kimi_agent.core.access import BoxView
from kimi_agent.core.reader import Reader
from kimi_agent.core.secret import is_secret_path
from kimi_agent.core.tool import Tool


def builtin_tools(
    *,
    think: bool = False,
    media: bool = True,
    allow_private: bool = False,
    readers: Mapping[str, Reader] | None = None,
    services: Mapping[str, Any] | None = None,
    moves_on_timeout: bool = True,
    is_private: Callable[[str], bool] = is_secret_path,
    proved: Callable[[str, Path], Sequence[str] | None] | None = None,
    box: BoxView | None = None,
) -> list[Tool]:
    """Fresh tools for one session, always in the same order: prompt caches live on it.

    What a session knows (files read, the shell's folder) lives in these instances. `media` is for models that can see,
    `think` for those that do not reason on their own; `allow_private` lets FetchURL reach loopback and private networks;
    `readers` read documents by suffix, `services` are the configured web services by name.
    `moves_on_timeout` lets a command that outlives its timeout go on in the background; `box` is what commands run in.
    `is_private` says which files (real paths) a search leaves out; `proved` answers how a command line is run that only reads,
    None for one that may do more.
    """
    from kimi_agent.tools.ask_user import AskUserQuestion
    from kimi_agent.tools.fetch_url import FetchURL
    from kimi_agent.tools.glob import Glob
    from kimi_agent.tools.grep import Grep
    from kimi_agent.tools.known_files import KnownFiles
    from kimi_agent.tools.read_file import ReadFile
    from kimi_agent.tools.read_media_file import ReadMediaFile
    from kimi_agent.tools.shell import Shell
    from kimi_agent.tools.str_replace_file import StrReplaceFile
    from kimi_agent.tools.task_list import TaskList
    from kimi_agent.tools.task_output import TaskOutput
    from kimi_agent.tools.task_stop import TaskStop
    from kimi_agent.tools.think import Think
    from kimi_agent.tools.todo import SetTodoList
    from kimi_agent.tools.write_file import WriteFile

    files = KnownFiles()
    tools: list[Tool | None] = [
        ReadFile(files, readers),
        WriteFile(files),
        StrReplaceFile(files),
        ReadMediaFile() if media else None,
        Glob(),
        Grep(is_private=is_private),
        Shell(moves_on_timeout=moves_on_timeout, proved=proved, box=box),
        TaskList(),
        TaskOutput(),
        TaskStop(),
        _search_web(services) if services else None,
        FetchURL(allow_private=allow_private),
        SetTodoList(),
        AskUserQuestion(),
        Think() if think else None,
    ]
    return [tool for tool in tools if tool is not None]


def _search_web(services: Mapping[str, Any]) -> Tool | None:
    from kimi_agent.tools.search_web import search_web

    return search_web(services)
