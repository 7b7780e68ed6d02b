"""Types of agents from files: Markdown with a head (kimi-code, Claude Code) and the YAML files of kimi-cli.

They are looked for in the project, in the person's home and in plugins. The text of a project's file comes from a stranger: it
becomes words for the model, and gives no permission.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias, get_args

from msgspec.structs import replace

from kimi_agent.agent import frontmatter
from kimi_agent.agent.agent_spec import agent_of, read_text
from kimi_agent.agent.agent_types import (
    BUILT_IN,
    DEFAULT,
    AgentType,
    AgentTypes,
    Context,
    MainAgent,
    as_main,
    as_subagent,
)
from kimi_agent.agent.skill_files import NAME, bound_of, entries, is_folder, one_line, project_folders
from kimi_agent.agent.skills import TEXT_LIMIT
from kimi_agent.agent.tool_names import our_name, split_names
from kimi_agent.core.errors import ConfigError
from kimi_agent.core.head import read_head
from kimi_agent.core.project import project_root
from kimi_agent.core.trust import EVERYTHING, Reader, Trust, Untrusted

FOLDERS = (".kimi", ".kimi-code", ".agents", ".claude")
DEPTH = 3
"""Levels of folders below `agents` that are looked into."""
Head: TypeAlias = Mapping[str, frontmatter.Value]
OKABE = AgentType("okabe", "the default agent with the Think tool", tools=("Think", "*"))


def discover_agents(
    cwd: Path, home: Path, user: Path, plugins: Sequence[Path] = (), trust: Trust = EVERYTHING
) -> AgentTypes:
    """The types that a session in `cwd` knows: project before user before plugin before built-in, the first name wins.

    `home` is `$KIMI_HOME`, `user` the person's home folder, `plugins` are folders of agent files. The person is told where
    the type of a project, which may be a stranger's, has the name of another one. What `trust` refuses is left out.
    """
    read = trust.reader("agent type")
    root, project = project_folders(cwd, user)
    own = (home, *(user / name for name in FOLDERS[1:]))
    wanted: list[tuple[Path, str]] = [
        (folder / name / "agents", bound_of(root)) for folder in project for name in FOLDERS
    ]
    wanted += [(folder / "agents", "") for folder in own]
    wanted += [(folder, "") for folder in plugins]
    found: dict[str, AgentType] = {}
    of_project: dict[str, AgentType] = {}
    told: list[str] = []
    left_out: dict[str, str] = {}
    for folder, bound in wanted:
        for path in _files(folder):
            try:
                kind = _load(path, bound, told, read)
            except (FileNotFoundError, Untrusted):  # the first: a link to nothing
                continue
            except (OSError, ValueError) as error:
                told.append(f"The agent file {one_line(str(path))} is left out: {_reason(error)}.")
                left_out.setdefault(_name_of(path).casefold(), told[-1])
                continue
            if kind is None:
                continue
            name = kind.name.casefold()
            if bound:
                of_project.setdefault(name, kind)
            elif name in of_project:
                told.append(_replaced(of_project[name], f"that of {one_line(str(path))}"))
            found.setdefault(name, as_subagent(kind))
    builtin = {kind.name: kind for kind in BUILT_IN}
    told += [_replaced(of_project[name], "the built-in one") for name in builtin if name in of_project]
    merged = {name: found.get(name, kind) for name, kind in builtin.items()} | found
    return AgentTypes(merged, tuple(dict.fromkeys(told)), left_out)


def load_agent_file(
    path: Path, types: AgentTypes | None = None, bound: str = "", read: Reader = read_head
) -> MainAgent:
    """The agent of a file, with the subagent types that it defines before those in `types`.

    Raises ConfigError for a file, or one of its subagents' files, that cannot be used.
    """
    types = types if types is not None else AgentTypes()
    told: list[str] = []
    at = path
    try:
        if not path.name.lower().endswith((".yaml", ".yml")):
            kind = _markdown(path, bound, told, read)
            if kind is None:
                raise ValueError("it has no head between two --- lines")
            return MainAgent(kind, AgentTypes(types.types, (*types.broken, *told)))
        kind, files = agent_of(path, _name_of(path), bound, told, read)
        own: dict[str, AgentType] = {}
        for name, (at, about) in files.items():
            _check_name(name)
            sub, _ = agent_of(at, name, bound, told, read)
            text = one_line(" ".join(filter(None, (about, sub.description))))
            sub = replace(sub, name=name, description=text, subagents=())  # as in kimi-cli: one level
            own[name.casefold()] = as_subagent(sub)
    except (OSError, ValueError) as error:
        raise ConfigError(f"agent file {one_line(str(at))}: {_reason(error)}") from None
    return MainAgent(kind, AgentTypes({**types.types, **own}, (*types.broken, *told)))


def choose_agent(
    types: AgentTypes, cwd: Path, name: str = "", path: Path | None = None, trust: Trust = EVERYTHING
) -> MainAgent:
    """The main agent that `--agent NAME` or `--agent-file PATH` asks for in `cwd`; the default one for neither.

    A file that is named by its path is trusted with that. Raises ConfigError for a name that nobody has and for
    a file that cannot be used.
    """
    root = project_root(cwd)
    if path is not None:
        file = Path(os.path.expanduser(path))  # noqa: PTH111 - no error where there is no home
        inside = Path(os.path.realpath(file)).is_relative_to(os.path.realpath(root))
        return load_agent_file(file, types, bound_of(root) if inside else "")
    if name.casefold() in ("", "default"):
        return MainAgent(DEFAULT, types)
    if name.casefold() == "okabe":
        return MainAgent(OKABE, types)
    kind = types.get(name)
    if kind is None or kind.context == "fork":
        known = ", ".join(["default", "okabe", *(each.name for each in types.values() if each.context != "fork")])
        why = types.left_out.get(name.casefold()) or " ".join(types.left_out.values())
        if trust.left_out:
            why = f"Files of this folder are left out until you trust them: kimi trust. {why}".rstrip()
        raise ConfigError(
            f"there is no agent {one_line(name, 80)!r}", " ".join(filter(None, (why, f"Known: {known}.")))
        )
    if kind.path is not None and not kind.path.name.lower().endswith(".md"):  # it may define subagents
        bound = bound_of(root) if kind.path.is_relative_to(root) else ""
        return load_agent_file(kind.path, types, bound, trust.reader("agent type"))
    return MainAgent(as_main(kind), types)


# ----------------------------------------------------------------------------------------------------------------------


def _replaced(kind: AgentType, other: str) -> str:
    return f"The agent type {kind.name} is that of this project, {one_line(str(kind.path))}, in place of {other}."


def _files(folder: Path, depth: int = DEPTH) -> Iterator[Path]:
    """Markdown files at any level, YAML files at the first one, and `NAME/agent.yaml`; `folder` may be a Markdown file."""
    if folder.suffix.lower() == ".md":
        yield folder
    for entry in entries(folder):
        name = entry.name.lower()
        is_yaml = name.endswith((".yaml", ".yml"))
        if name.endswith(".md") or (is_yaml and (depth == DEPTH or name.startswith("agent."))):
            yield Path(entry.path)
        elif depth > 0 and not is_yaml and is_folder(entry):
            yield from _files(Path(entry.path), depth - 1)


def _load(path: Path, bound: str, told: list[str], read: Reader) -> AgentType | None:
    """The type that a discovered file defines; None for Markdown without a head: a prompt or a page beside the agents."""
    if path.name.lower().endswith(".md"):
        kind = _markdown(path, bound, told, read)
    else:
        kind, _ = agent_of(path, _name_of(path), bound, told, read)
    if kind is not None:
        _check_name(kind.name)
    return kind


def _name_of(path: Path) -> str:
    return path.parent.name if path.stem == "agent" else path.stem


def _check_name(name: str) -> None:
    if not NAME.match(name):
        raise ValueError(f"{one_line(name, 80)!r} cannot be typed as a name")


def _markdown(path: Path, bound: str, told: list[str], read: Reader) -> AgentType | None:
    text = read_text(path, TEXT_LIMIT, bound, read)
    values, body = frontmatter.split(text)
    if not text.startswith("---"):
        return None
    told += frontmatter.refused(values, one_line(str(path))) if bound else []
    if not body:
        raise ValueError("there is no prompt below its head")
    name = re.sub(r"\s+", "-", _text(values, "name") or path.stem)
    about = " ".join(filter(None, (_text(values, "description"), _text(values, "whentouse")))) or body.splitlines()[0]
    context = _text(values, "context") or "own"
    if context not in get_args(Context):
        raise ValueError(f"its context is not one of {', '.join(get_args(Context))}")
    tools, started = _tools(values, "tools", path, told)
    excluded, _ = _tools(values, "disallowedtools", path, told)
    model, listed = _text(values, "model"), _list(values, "subagents")
    return AgentType(
        name=name,
        description=one_line(about),
        prompt=body,
        tools=tools,
        excluded=excluded or (),
        model="" if model == "inherit" else model,
        context=context,  # type: ignore[arg-type]
        max_steps=_number(values, "max_steps", "maxsteps", "maxturns"),
        max_tokens=_number(values, "max_tokens", "maxtokens"),
        subagents=started if listed is None else tuple(listed),
        path=path,
        override=_text(values, "override").lower() in ("true", "yes", "on") or _text(values, "mode") == "replace",
    )


def _text(values: Head, key: str) -> str:
    value = values.get(key, "")
    return value.strip() if isinstance(value, str) else " ".join(value)


def _number(values: Head, shown: str, *keys: str) -> int | None:
    said = next((text for key in (shown, *keys) if (text := _text(values, key))), "")
    if not said:
        return None
    if not re.fullmatch(r"[1-9]\d{0,8}", said):
        raise ValueError(f"its {shown} is not a number above 0")
    return int(said)


def _list(values: Head, key: str) -> list[str] | None:
    """A list, or a text with commas; None when the key is missing or empty. Raises ValueError for half a list."""
    value = values.get(key, "")
    if isinstance(value, str):
        if value.startswith(("[", "{", "'", '"')):
            raise ValueError(f"its {key} is no list: {one_line(value, 60)}")
        return split_names(value) if value.strip() else None
    return [name for item in value for name in split_names(item)]


def _tools(
    values: Head, key: str, path: Path, told: list[str]
) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    """Our names of the tools, and the types in `Agent(a, b)`; None for all."""
    names = _list(values, key)
    if names is None or names == ["*"]:
        return None, None
    found: dict[str, None] = {}
    started: tuple[str, ...] | None = None
    for name in names:
        short, _, inner = name.rstrip(")").partition("(")
        ours = our_name(short)
        if ours == "Agent" and inner:
            started = tuple(split_names(inner))
        elif inner or ours is None:  # `Bash(git *)` must not become all of Shell
            told.append(f"The agent file {one_line(str(path))} names the tool {one_line(name, 60)}, which is not here.")
            continue
        found[ours] = None
    return tuple(found), started


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else "") or str(error)
