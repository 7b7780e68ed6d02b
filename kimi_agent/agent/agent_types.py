"""Types of agents: what a subagent is for, what it is told, and which tools it may call."""

import fnmatch
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from kimi_agent.agent.tokens import text_tokens
from kimi_agent.agent.tool_names import OURS
from kimi_agent.core.sanitize import plain, visible
from kimi_agent.core.servers import ToolSource
from kimi_agent.core.tool import Tool

LISTING_TOKENS = 390
"""What the listing in the description of the Agent tool may cost; the fewest words of a line are its name."""
DESCRIPTION_SIZES = (240, 160, 120, 80, 60, 40, 24, 0)

Context = Literal["shared", "own", "fork"]


class AgentType(Struct, frozen=True):
    """A role. Names in `tools` and `excluded` may be patterns (`mcp__github__*`); `tools` None is every tool.

    `context` says what a subagent of the type begins with: "own" a system prompt of its own; "shared" the caller's system
    prompt and tools, byte for byte, so that the provider's cache is used, the role in its first message and the other tools
    denied when called; "fork" the caller's history as well. `override`: the prompt is the whole system prompt when the type
    is the main agent. `arguments` not None: the prompt is a template of kimi-cli, these are its own variables
    (main_prompt.py fills it in). `subagents` are the types it may start itself, None for all. `model` "" is the caller's.
    """

    name: str
    description: str
    prompt: str = ""
    tools: tuple[str, ...] | None = None
    excluded: tuple[str, ...] = ()
    model: str = ""
    context: Context = "own"
    max_steps: int | None = None
    max_tokens: int | None = None
    subagents: tuple[str, ...] | None = None
    path: Path | None = None
    override: bool = False
    arguments: Mapping[str, str] | None = None


def allows(kind: AgentType, tool: str) -> bool:
    """Whether an agent of this type may call a tool."""
    if tool == "Agent" and kind.subagents == ():
        return False
    wanted = kind.tools is None or any(fnmatch.fnmatchcase(tool, pattern) for pattern in kind.tools)
    return wanted and not any(fnmatch.fnmatchcase(tool, pattern) for pattern in kind.excluded)


def unknown_names(kind: AgentType, tools: Collection[str], models: Collection[str]) -> Iterator[str]:
    """A notice for each name in a type of a file that nobody has: mostly a slip of the pen.

    `tools` are those of the session. One that only the configuration or the model withholds is known, patterns match what
    may come, and so may the tool of an MCP server.
    """
    if kind.path is None:
        return
    about = f"The agent type {kind.name} ({visible(plain(str(kind.path)))})"
    for name in dict.fromkeys((*(kind.tools or ()), *kind.excluded)):
        pattern = any(letter in name for letter in "*?[")
        if not (pattern or name in tools or name in OURS or name.startswith("mcp__") or name == "McpTools"):
            yield f"{about} names the tool {name}, which is not here."
    if kind.model and models and kind.model not in models:
        shown = visible(plain(kind.model))[:80]
        yield f"{about} names the model {shown}, which is not configured: it gets that of its caller."


REPORT = """\
You are a subagent: another agent gave you this task and waits for the result. Nobody answers questions, and the user sees \
nothing of your work. Where the task leaves something open, decide it in the simplest sensible way and say so.

Your last message is the only thing that your caller gets. Make it complete and short: what you did or found, with paths and \
line numbers (`path:line`); what you verified, and by which command; what is open or uncertain. Never claim what you did not \
see."""
"""What every subagent is told, before its role."""

_CODER = f"""\
{REPORT}

Your role is to carry out one piece of engineering: read what matters, make the smallest change that is right, run what proves \
it (tests, build, the program) and report. Others may be at work in the same tree: change only what the task needs, and if a \
file changed under your hands, read it again before you go on."""

_EXPLORE = f"""\
{REPORT}

Your role is to find things out, quickly, and to change nothing: no edits, and in Shell only commands that read (git log, git \
diff, ls). Search broadly with Glob and Grep, several calls in one reply, then read the places that decide the question. Answer \
exactly what was asked, each statement with the place that shows it; quote a few lines where they say more than you could. Say \
what you searched for in vain."""

_PLAN = f"""\
{REPORT}

Your role is to plan a change, and to change nothing. Read the code that it touches until you know how it works. Then give \
the plan: the steps in order, each with its files and functions; what must keep working, and how to test it; the choices that \
you rejected, with the reason; risks and open questions. Prefer the plan with the fewest new concepts."""

_FORK = f"""\
{REPORT}

You know all that was said so far. Do the one task below, and nothing else of what the conversation still has to do."""

READ_ONLY = ("ReadFile", "ReadMediaFile", "Glob", "Grep", "FetchURL", "SearchWeb", "Skill", "Think")
CALLERS = ("Agent", "AskUserQuestion", "EnterPlanMode", "ExitPlanMode", "SetTodoList")
"""Tools that belong to the main agent: they speak to the person, or hold the session's own state."""

DEFAULT = AgentType("default", "the agent that starts without --agent")
BUILT_IN = (
    AgentType(
        "coder",
        "carries out one piece of engineering: reads, edits and runs; give it files and goals that no other agent works on",
        _CODER,
        excluded=CALLERS,
        context="shared",
        subagents=(),
    ),
    AgentType(
        "explore",
        "finds things out in the code or on the web and changes nothing; several at once for independent questions",
        _EXPLORE,
        tools=(*READ_ONLY, "Shell"),
        subagents=(),
    ),
    AgentType(
        "plan", "plans a change after reading the code; changes and runs nothing", _PLAN, READ_ONLY, subagents=()
    ),
    AgentType(
        "fork",
        "goes on from this very conversation, knowing all of it, with one task that you hand off",
        _FORK,
        excluded=CALLERS,
        context="fork",
        subagents=(),
    ),
)


def as_subagent(kind: AgentType) -> AgentType:
    """A type whose agents know how to report; one that overrides the system prompt says all itself."""
    return kind if kind.override else replace(kind, prompt=f"{REPORT}\n\n{kind.prompt}".strip())


def as_main(kind: AgentType) -> AgentType:
    """A type for the agent that speaks with the person: it has no caller to report to."""
    kind = replace(kind, excluded=(), subagents=None) if kind in BUILT_IN else kind
    return replace(kind, prompt=kind.prompt.removeprefix(REPORT).lstrip())


@dataclass(frozen=True, slots=True)
class AgentTypes(Mapping[str, AgentType]):
    """Types by their casefolded name. `broken` says, for the person, which files were left out and what of others was.

    `left_out` has what `broken` says of a file by the casefolded name that its type would have.
    """

    types: Mapping[str, AgentType] = field(default_factory=lambda: {kind.name: kind for kind in BUILT_IN})
    broken: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> AgentType:
        return self.types[name.casefold()]

    def __iter__(self) -> Iterator[str]:
        return iter(self.types)

    def __len__(self) -> int:
        return len(self.types)

    def only(self, names: Sequence[str] | None) -> "AgentTypes":
        """The types that an agent may start; all for None."""
        if names is None:
            return self
        wanted = {name.casefold() for name in names}
        return AgentTypes({name: kind for name, kind in self.types.items() if name in wanted}, self.broken)

    def listing(self) -> str:
        """One line per type for the model. Descriptions are shortened until it fits its budget, then names are left out."""
        for size in DESCRIPTION_SIZES:
            text = "\n".join(_line(kind, size) for kind in self.types.values())
            if text_tokens(text) <= LISTING_TOKENS:
                return text
        lines: list[str] = []
        spent = 10
        for kind in self.types.values():
            spent += text_tokens(_line(kind, 0)) + 1
            if spent > LISTING_TOKENS:
                break
            lines.append(_line(kind, 0))
        return "\n".join([*lines, f"- (and {len(self.types) - len(lines)} more)"])


@dataclass(frozen=True, slots=True)
class MainAgent:
    """The agent of a session: its type, and the types of subagents that are known to it."""

    kind: AgentType = DEFAULT
    types: AgentTypes = field(default_factory=AgentTypes)


def _line(kind: AgentType, size: int) -> str:
    text = kind.description
    if len(text) > size:
        text = text[: size - 1].rstrip() + "…" if size else ""
    return f"- {kind.name}: {text}" if text else f"- {kind.name}"


class AllowedTools:
    """Of tools that come and go, those that a type of agent may have."""

    def __init__(self, tools: ToolSource, kind: AgentType) -> None:
        self._tools, self._kind = tools, kind

    def declared(self, window: int) -> Sequence[Tool]:
        return [mine for tool in self._tools.declared(window) if (mine := self._mine(tool)) is not None]

    def find(self, name: str) -> Tool | None:
        tool = self._tools.find(name)
        return self._mine(tool) if tool is not None else None

    def _mine(self, tool: Tool) -> Tool | None:
        """A tool that finds and calls others belongs to who may have some of them, and has those alone."""
        allowed, only = allows(self._kind, tool.name), getattr(tool, "only", None)
        if only is None:
            return tool if allowed else None
        named = any(name.startswith("mcp__") for name in self._kind.tools or ())
        if not allowed and (not named or tool.name in self._kind.excluded):
            return None
        narrowed: Tool = only(lambda name: allows(self._kind, name))
        return narrowed

    def names(self) -> Sequence[str]:
        return [name for name in self._tools.names() if allows(self._kind, name)]

    def doubted(self) -> Collection[str]:
        return self._tools.doubted()
