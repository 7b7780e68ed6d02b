"""What a block says as plain text: for searching and for the clipboard."""

from kimi_agent.agent.transcript import CallBlock, EvidenceBlock
from kimi_agent.core.display import Diff, Pictures, Plain, Terminal, TodoList
from kimi_agent.core.message import ToolCall
from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common.describe import evidence, headline
from kimi_agent.frontends.tui.draw.blocks import Drawable
from kimi_agent.frontends.tui.draw.local import ShellBlock


def block_text(block: Drawable) -> str:
    """Safe text, folded parts included; empty for what is not shown and for what only the screen says."""
    if block.void:
        return ""
    match block:
        case CallBlock():
            return plain(_call(block))
        case ShellBlock(command=command, output=output):
            return plain(f"{command}\n{output}")
        case EvidenceBlock(evidence=found):
            return plain(evidence(found))
        case _:
            return plain(getattr(block, "text", ""))


def _call(block: CallBlock) -> str:
    parts = [headline(ToolCall("", block.call.name, block.call.arguments), block.effects, width=1000)]
    if block.nested is not None:
        parts += [block_text(inner) for inner in block.nested.blocks]
    match block.display:
        case Diff(unified=text) | Terminal(output=text) | Plain(text=text) | Pictures(text=text):
            parts.append(text)
        case TodoList(items):
            parts += [item.title for item in items]
        case None:
            parts.append(block.output)
    if block.result and (block.display is None or block.state == "failed") and not block.nested:
        parts.append(block.result)
    return "\n".join(part.strip("\n") for part in parts if part.strip())
