"""What `/mcp` says of servers. All that a server says itself is a stranger's: it stands in blocks that it cannot end."""

import difflib
import re
from collections.abc import Sequence

from kimi_agent.core.sanitize import visible
from kimi_agent.core.servers import Held, ServerState

NONE = (
    "There are no MCP servers here. `kimi mcp add NAME -- COMMAND` in a terminal adds one; `/mcp reload` takes it up."
)
STDERR_LINES = 20


def table(states: Sequence[ServerState], problems: Sequence[str]) -> str:
    lines = ["| server | state | transport | offers | protocol | box |", "|---|---|---|---|---|---|"]
    for state in states:
        cells = (code(state.name), state.status, state.transport, offered(state), state.protocol, state.box)
        lines.append(f"| {' | '.join(cell.replace('|', '¦') for cell in cells)} |")
    lines += [f"\n- {code(state.name)}: {why}" for state in states if (why := reason(state))]
    return "\n".join([*(lines if states else [NONE]), *told_problems(problems)])


def offered(state: ServerState) -> str:
    """`3 tools, 1 prompt, 2 resources`."""
    counts = ((len(state.tools), "tool"), (state.prompts, "prompt"), (state.resources, "resource"))
    words = [f"{count} {name}{'s' * (count != 1)}" for count, name in counts if count]
    words += [f"{len(state.held)} held back"] if state.held else []
    return ", ".join(words)


def reason(state: ServerState) -> str:
    """Why it is not ready, and what to do; empty when there is nothing to say. One line of Markdown."""
    if state.held and state.status == "ready":
        return f"{len(state.held)} of its tools have changed: `/mcp accept {state.name}` shows how"
    if state.status == "needs-approval":
        return f"{state.detail}: `/mcp approve {state.name}` shows its definition"
    if state.status == "needs-auth":
        return f"{escaped(state.detail)}: `/mcp auth {state.name}` signs in"
    if state.status == "disabled":
        return f"`/mcp enable {state.name}`"
    return f"{escaped(state.detail)}. {escaped(state.hint)}".rstrip(". ") if state.detail else ""


def told_problems(problems: Sequence[str]) -> list[str]:
    return ["", "What is wrong with the files:", "", *(f"- {escaped(text)}" for text in problems)] if problems else []


def details(state: ServerState, tools: Sequence[tuple[str, str]]) -> str:
    """All that is known of one server. `tools` are names and descriptions as the server gave them."""
    facts = [
        f"**{escaped(state.name)}**: {state.status}", "",
        f"- defined in {code(state.source)} ({state.scope})",
        *([f"- it says that it is {code(state.version)}, protocol {state.protocol}"] if state.version else []),
        *([f"- box: {escaped(state.box)}"] if state.box else []),
        *([f"- {why}"] if (why := reason(state)) else []),
        *([f"- offers {offered(state)}"] if offered(state) else []),
    ]  # fmt: skip
    parts = ["\n".join(facts), f"Definition:\n\n{fenced(state.definition)}"]
    if state.stderr:
        parts.append(f"What it wrote last on standard error:\n\n{fenced(_lines(state.stderr[-STDERR_LINES:]))}")
    if state.dropped:
        rows = [f"{name}: {why}" for name, why in state.dropped]
        parts.append(f"Tools that cannot be used:\n\n{fenced(_lines(rows))}")
    if state.held:
        parts.append(f"Held back until you accept them:\n\n{changes(state.held)}")
    if state.instructions:
        parts.append(f"What it says of its tools, in its own words:\n\n{fenced(visible(state.instructions))}")
    if tools:
        rows = [f"{name}\n{_indented(visible(text))}" if text else name for name, text in tools]
        parts.append(f"Its tools, in its own words:\n\n{fenced(_lines(rows))}")
    return "\n\n".join(parts)


def changes(held: Sequence[Held]) -> str:
    """What differs between the tools as they were taken and as they are now, as Markdown."""
    blocks = []
    for item in held:
        before, now = (visible(text.replace("\\n", "\n")).split("\n") for text in (item.before, item.now))
        rows = list(difflib.unified_diff(before, now, n=2, lineterm=""))[2:]
        blocks.append(f"{code(visible(item.name))}\n\n{fenced(_lines(rows), 'diff')}")
    return "\n\n".join(blocks)


def fenced(text: str, language: str = "text") -> str:
    """A block of code that no text can end early."""
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text)), 3)
    return f"{fence}{language}\n{text}\n{fence}"


def code(text: str) -> str:
    """On one line, as code that no text can end early."""
    text = " ".join(visible(text).split())
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    pad = " " if "`" in text else ""
    return f"{ticks}{pad}{text}{pad}{ticks}" if text else ""


def escaped(text: str) -> str:
    """On one line; nothing in it is markup, so no address can hide behind another text."""
    return re.sub(r"([\\`*_\[\]<>|~#])", r"\\\1", " ".join(text.split()))


def _lines(lines: Sequence[str]) -> str:
    return "\n".join(lines)


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.split("\n"))
