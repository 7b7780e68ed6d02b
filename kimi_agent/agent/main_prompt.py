"""The system prompt of an agent that is not the default one: a role added to ours, or a prompt that stands in its place.

Prompts of kimi-cli are Jinja templates with `${VARIABLES}`. Variables, `if` and comments are understood; loops, calls and
attributes are not, so filling in a stranger's template ends, and shows nothing but these values.
"""

import datetime
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kimi_agent.agent.agent_types import AgentType
from kimi_agent.agent.prompt import project_instructions, system_prompt
from kimi_agent.agent.skill_files import one_line
from kimi_agent.core.errors import ConfigError
from kimi_agent.core.trust import EVERYTHING, Trust

if TYPE_CHECKING:
    from jinja2.nodes import Node
    from jinja2.sandbox import SandboxedEnvironment

VARIABLES = frozenset(
    {
        "KIMI_NOW", "KIMI_WORK_DIR", "KIMI_WORK_DIR_LS", "KIMI_AGENTS_MD", "KIMI_SKILLS", "KIMI_ADDITIONAL_DIRS_INFO",
        "KIMI_OS", "KIMI_SHELL", "ROLE_ADDITIONAL",
    }
)  # fmt: skip
FILTERS = frozenset({"d", "default", "length", "lower", "trim", "upper"})
TESTS = frozenset({"defined", "none", "undefined"})
FILLED_LIMIT = 1_000_000
"""Characters of a template that is filled in: a long argument that it names a thousand times must not fill the memory."""
LISTED, LISTED_BELOW = 30, 10
"""Entries of a listing: of the folder itself, and of each folder in it."""


def main_prompt(
    kind: AgentType,
    cwd: Path,
    home: Path,
    *,
    skills: str = "",
    extra_roots: Sequence[Path] = (),
    today: datetime.date | None = None,
    trust: Trust = EVERYTHING,
) -> str:
    """The whole system prompt of an agent of this type in `cwd`. Call it once per session: it reads files and the date."""
    if kind.override and kind.arguments is not None:
        return fill(kind.prompt, values(kind.arguments, cwd, home, skills, extra_roots, today, trust))
    if kind.override:
        return kind.prompt
    role = f"# Your role\n\n{kind.prompt}" if kind.prompt else ""
    return system_prompt(cwd, home, "\n\n".join(filter(None, (role, _more_folders(extra_roots), skills))), trust)


def _more_folders(roots: Sequence[Path]) -> str:
    if not roots:
        return ""
    listed = "\n".join(f"- `{root}`" for root in roots)
    return f"# More folders\n\nThe work is in these folders, too; name what is in them by absolute paths.\n{listed}"


def added_folder(root: Path) -> str:
    """What the model is told of a folder that joined a session after its system prompt was written."""
    return f"[The user added a folder; the work is in it, too: {root}]"


def values(
    arguments: Mapping[str, str],
    cwd: Path,
    home: Path,
    skills: str = "",
    extra_roots: Sequence[Path] = (),
    today: datetime.date | None = None,
    trust: Trust = EVERYTHING,
) -> dict[str, str]:
    """Every variable of kimi-cli with its value, and the template's own. KIMI_NOW has no clock: caches live on the bytes."""
    shell = "/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh"  # noqa: PTH110
    return {
        "KIMI_NOW": (today or datetime.date.today()).isoformat(),
        "KIMI_WORK_DIR": str(cwd),
        "KIMI_WORK_DIR_LS": listing(cwd),
        "KIMI_AGENTS_MD": project_instructions(cwd, home, trust).partition("\n\n")[2],  # without our heading
        "KIMI_SKILLS": skills or "No skills found.",
        "KIMI_ADDITIONAL_DIRS_INFO": "\n\n".join(f"### `{root}`\n\n{listing(root)}" for root in extra_roots),
        "KIMI_OS": {"Darwin": "macOS"}.get(platform.system(), platform.system()),
        "KIMI_SHELL": f"{os.path.basename(shell)} (`{shell}`)",  # noqa: PTH119
        "ROLE_ADDITIONAL": "",
        **arguments,
    }


def check_template(text: str, arguments: Mapping[str, str]) -> None:
    """Raises ValueError, in words, for a template that `fill` could not fill in with these variables of its own."""
    from jinja2 import TemplateSyntaxError, meta, nodes

    try:
        tree = _environment().parse(text)
        for node in tree.find_all(nodes.Node):
            if not _supported(node):
                what = type(node).__name__.lower()
                raise ValueError(f"line {node.lineno} of its system prompt uses {what!r}, which is not supported")
        unknown = sorted(meta.find_undeclared_variables(tree) - VARIABLES - set(arguments))
        _environment().compile(tree)
    except TemplateSyntaxError as error:
        raise ValueError(f"line {error.lineno} of its system prompt: {one_line(str(error.message))}") from None
    except (RecursionError, SyntaxError, MemoryError):  # the last two are Python's words for deep nesting
        raise ValueError("its system prompt is nested too deep") from None
    if unknown:
        raise ValueError(f"its system prompt uses ${{{unknown[0]}}}, which system_prompt_args does not give")


def _supported(node: "Node") -> bool:
    from jinja2 import nodes

    if isinstance(node, nodes.Filter | nodes.Test):
        return node.name in (FILTERS if isinstance(node, nodes.Filter) else TESTS)
    return isinstance(
        node,
        (
            nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.If, nodes.CondExpr,
            nodes.Compare, nodes.Operand, nodes.Not, nodes.And, nodes.Or, nodes.Keyword, nodes.List, nodes.Tuple,
        ),
    )  # fmt: skip


def fill(template: str, variables: Mapping[str, str]) -> str:
    """A template that `check_template` has passed, filled in. Raises ConfigError, as it may compare a text with a number."""
    from jinja2 import TemplateError

    pieces, size = [], 0
    try:
        for piece in _environment().from_string(template).generate(variables):
            size += len(piece)
            if size > FILLED_LIMIT:
                raise ConfigError(f"the agent's system prompt is longer than {FILLED_LIMIT:,} characters")
            pieces.append(piece)
    except (TemplateError, TypeError) as error:
        raise ConfigError(f"the agent's system prompt cannot be filled in: {one_line(str(error))}") from None
    return "".join(pieces).strip()


def _environment() -> "SandboxedEnvironment":
    """As kimi-cli sets it up."""
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    return SandboxedEnvironment(
        variable_start_string="${",
        variable_end_string="}",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )


def listing(folder: Path) -> str:
    """Two levels of a folder; hidden folders and links are named, not looked into."""
    lines: list[str] = []
    for entry in (found := _sorted(folder))[:LISTED]:
        if not entry.is_dir(follow_symlinks=False):
            lines.append(one_line(entry.name))
            continue
        lines.append(f"{one_line(entry.name)}/")
        below = [] if entry.name.startswith(".") else _sorted(Path(entry.path))
        lines += [f"  {one_line(e.name)}{'/' if e.is_dir(follow_symlinks=False) else ''}" for e in below[:LISTED_BELOW]]
        if len(below) > LISTED_BELOW:
            lines.append(f"  ... and {len(below) - LISTED_BELOW} more")
    if len(found) > LISTED:
        lines.append(f"... and {len(found) - LISTED} more")
    return "\n".join(lines)


def _sorted(folder: Path) -> list[os.DirEntry[str]]:
    """Folders first, then files, by name; nothing of a folder that cannot be read."""
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: (not entry.is_dir(follow_symlinks=False), entry.name))
    except OSError:
        return []
