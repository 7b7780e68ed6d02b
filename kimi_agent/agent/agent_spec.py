"""The YAML agent files of kimi-cli 1.49: what they may say, and how one extends another.

A file may come from a stranger: only plain data is built from it, it is bounded, and it leads to no file outside of its bound.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field
from msgspec.structs import replace

from kimi_agent.agent.agent_types import AgentType
from kimi_agent.agent.main_prompt import check_template
from kimi_agent.agent.skill_files import check_inside, one_line
from kimi_agent.agent.skills import TEXT_LIMIT
from kimi_agent.agent.tool_names import our_name
from kimi_agent.core.head import read_head
from kimi_agent.core.trust import Reader

if TYPE_CHECKING:
    from yaml import MappingNode

SPEC_LIMIT = 64 * 1024
"""Bytes of a YAML file."""
MAX_CHAIN, MAX_INCLUDES, MAX_KEYS, MAX_NESTED = 16, 32, 200, 20
"""Files that extend one another, files that a prompt includes, keys of one map, brackets in one another."""

_INCLUDE = re.compile(
    r"(?m)(?:^[ \t]*)?\{%[-+]?\s*include\s+(?P<quote>['\"])(?P<name>[^'\"\n]+)(?P=quote)(?:\s+with(?:out)?\s+context)?"
    r"\s*[-+]?%\}\n?"
)


class Spec(Struct, frozen=True):
    """What a file and those that it extends say; None is what none of them says."""

    name: str | None = None
    prompt: Path | None = None
    arguments: Mapping[str, str] = field(default_factory=dict)
    tools: tuple[str, ...] | None = None
    allowed: tuple[str, ...] | None = None
    excluded: tuple[str, ...] | None = None
    subagents: Mapping[str, tuple[Path, str]] | None = None
    when_to_use: str | None = None
    model: str | None = None
    extends_default: bool = False


def read_text(path: Path, limit: int, bound: str = "", read: Reader = read_head) -> str:
    """A text file of at most `limit` bytes that lies inside of `bound` ("" for anywhere), secret files excepted.

    Raises OSError, and ValueError in words.
    """
    try:
        check_inside(path, bound)
    except ValueError:
        raise ValueError(f"{one_line(str(path))} leads out of the project, or to a secret file") from None
    data = read(path, limit + 1)
    if len(data) > limit:
        raise ValueError(f"{one_line(path.name, 80)} is larger than {limit // 1024} KiB")
    return data.decode("utf-8", "replace").removeprefix("\ufeff")


def agent_of(
    path: Path, name: str, bound: str, told: list[str], read: Reader = read_head
) -> tuple[AgentType, Mapping[str, tuple[Path, str]]]:
    """The type that a file defines, and the files and descriptions of its own subagent types by name.

    `name` is what it is called when it does not say. What is passed over is added to `told`. Raises OSError and ValueError.
    """
    spec = load_spec(path, bound, read)
    if not spec.extends_default:
        for said, key in ((spec.name, "name"), (spec.prompt, "system_prompt_path"), (spec.tools, "tools")):
            if said is None:
                raise ValueError(f"it gives no {key}, and extends no file that does")
    kind = AgentType(
        name=re.sub(r"\s+", "-", spec.name.strip()) if spec.name else name,
        description=one_line(spec.when_to_use or ""),
        prompt=spec.arguments.get("ROLE_ADDITIONAL", "").strip(),
        tools=_tools(spec, path, told),
        excluded=_ours(spec.excluded or (), path, []),  # what is not here is excluded, too
        model=spec.model or "",
        subagents=tuple(spec.subagents) if spec.subagents is not None else None,
        path=path,
    )
    if spec.prompt is not None:
        text = _included(spec.prompt, spec.prompt.parent, bound, read)
        check_template(text, spec.arguments)
        kind = replace(kind, prompt=text, override=True, arguments=spec.arguments)
    return kind, spec.subagents or {}


def load_spec(path: Path, bound: str, read: Reader = read_head, chain: tuple[str, ...] = ()) -> Spec:
    """A file with what it extends: arguments are merged, everything else that it says replaces. Raises OSError, ValueError."""
    real = os.path.realpath(path)
    if real in chain or len(chain) >= MAX_CHAIN:
        raise ValueError(f"{one_line(path.name, 80)} extends itself" if real in chain else "it extends too many files")
    try:
        own, extend = _parse(read_text(path, SPEC_LIMIT, bound, read), path.parent)
    except OSError as error:
        if not chain:
            raise
        raise ValueError(f"it extends {one_line(str(path))}, which cannot be read: {error.strerror or error}") from None
    if not extend:
        return own
    base = Spec(extends_default=True) if extend == "default" else None
    base = base or load_spec(path.parent / extend, bound, read, (*chain, real))
    said = {name: value for name in Spec.__struct_fields__ if (value := getattr(own, name)) is not None}
    return replace(
        base, **said | {"arguments": {**base.arguments, **own.arguments}, "extends_default": base.extends_default}
    )


def _parse(text: str, folder: Path) -> tuple[Spec, str]:
    """What one file says, and which one it extends."""
    data = _yaml(text)
    if not isinstance(data, dict) or not isinstance(data.get("agent"), dict):
        raise ValueError("it is no agent file: it has no map `agent`")
    if data.get("version", 1) not in (1, "1"):
        raise ValueError("its version is not 1, the only one that is known")
    agent: dict[str, Any] = data["agent"]
    prompt = _text(agent, "system_prompt_path")
    spec = Spec(
        name=_text(agent, "name"),
        prompt=folder / prompt if prompt is not None else None,
        arguments=_arguments(agent.get("system_prompt_args")),
        tools=_names(agent, "tools"),
        allowed=_names(agent, "allowed_tools") if agent.get("allowed_tools") is not None else None,
        excluded=_names(agent, "exclude_tools"),
        subagents=_subagents(agent["subagents"], folder) if "subagents" in agent else None,
        when_to_use=_text(agent, "when_to_use"),
        model=_text(agent, "model"),
    )
    return spec, _text(agent, "extend") or ""


def _yaml(text: str) -> Any:
    """Plain data. Maps that merge others (`<<`) would grow without end, and brackets are slow to read: both are bounded."""
    import yaml

    class Loader(yaml.SafeLoader):
        def flatten_mapping(self, node: "MappingNode") -> None:
            super().flatten_mapping(node)
            if len(node.value) > MAX_KEYS:
                raise ValueError("a map in it has too many keys")

        def fetch_flow_collection_start(self, token_class: Any) -> None:
            if self.flow_level >= MAX_NESTED:
                raise ValueError("it is nested too deep")
            super().fetch_flow_collection_start(token_class)

    try:
        return yaml.load(text, Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise ValueError(f"it is no YAML: {where}{one_line(str(getattr(error, 'problem', None) or error))}") from None
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except (AttributeError, LookupError):  # how PyYAML tells of `!!bool maybe` and `!!timestamp soon`
        raise ValueError("it is no YAML: a value is not what its tag says") from None


def _text(agent: Mapping[str, Any], key: str) -> str | None:
    value = agent.get(key)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{key} is not a text")
    return value


def _names(agent: Mapping[str, Any], key: str) -> tuple[str, ...] | None:
    """A list of names; an empty entry says "none", a missing one says nothing."""
    if key not in agent:
        return None
    value = agent[key] or []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{key} is not a list of names")
    return tuple(value)


def _arguments(value: Any) -> dict[str, str]:
    if not isinstance(value or {}, dict):
        raise ValueError("system_prompt_args is not a map")
    for key, said in (value or {}).items():
        if not isinstance(key, str) or not isinstance(said, str | int | float):
            raise ValueError(f"{one_line(str(key), 40)} in system_prompt_args is not a text")
    return {key: str(said) for key, said in (value or {}).items()}


def _subagents(value: Any, folder: Path) -> dict[str, tuple[Path, str]]:
    found = {}
    for name, entry in (value or {}).items() if isinstance(value or {}, dict) else [("", None)]:
        path = entry.get("path") if isinstance(entry, dict) else None
        about = entry.get("description") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not isinstance(path, str) or not isinstance(about, str):
            raise ValueError("subagents is not a map of names, each with a path and a description")
        found[name] = (folder / path, about)
    return found


def _tools(spec: Spec, path: Path, told: list[str]) -> tuple[str, ...] | None:
    """What is in both lists, if there are two."""
    if spec.tools is None or spec.allowed is None:
        wanted = spec.tools if spec.allowed is None else spec.allowed
        return None if wanted is None else _ours(wanted, path, told)
    return _ours([name for name in spec.tools if name in spec.allowed], path, told)


def _ours(names: tuple[str, ...] | list[str], path: Path, told: list[str]) -> tuple[str, ...]:
    found = []
    for name in names:
        ours = our_name(name)
        if ours is None:
            told.append(f"The agent file {one_line(str(path))} names the tool {one_line(name, 60)}, which is not here.")
        elif ours not in found:
            found.append(ours)
    return tuple(found)


def _included(prompt: Path, folder: Path, bound: str, read: Reader) -> str:
    """A prompt with the files of its `{% include "name" %}` in their places: they lie below `folder`."""
    left, size = MAX_INCLUDES, 0

    def whole(path: Path) -> str:
        nonlocal left, size
        left -= 1
        if left < 0:
            raise ValueError("its system prompt includes too many files")
        try:
            text = read_text(path, TEXT_LIMIT, bound, read)
        except OSError as error:
            why = error.strerror or error
            raise ValueError(f"its system prompt {one_line(str(path))} cannot be read: {why}") from None
        size += len(text)
        if size > TEXT_LIMIT:
            raise ValueError(f"its system prompt is larger than {TEXT_LIMIT // 1024} KiB")
        return _INCLUDE.sub(lambda match: whole(_below(folder, match["name"])), text)

    return whole(prompt)


def _below(folder: Path, name: str) -> Path:
    if os.path.isabs(name) or ".." in Path(name).parts:  # noqa: PTH117
        raise ValueError(f"its system prompt includes {one_line(name, 80)}, which is not below its folder")
    return folder / name
