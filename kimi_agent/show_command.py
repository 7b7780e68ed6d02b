"""/show: the whole output of one tool call, which the transcript shows folded or cut."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from kimi_agent.agent.transcript import AnyBlock, CallBlock, Transcript
from kimi_agent.core.display import Diff, Plain, Terminal

if TYPE_CHECKING:
    from kimi_agent.commands import Shell

MAX_CHARACTERS = 200_000
"""Of an output that is shown at once: its end."""


def numbered_calls(blocks: Iterable[AnyBlock]) -> list[CallBlock]:
    """The calls of a transcript; the first one is call 1."""
    return [block for block in blocks if isinstance(block, CallBlock) and not block.void and block.state != "writing"]


async def show_command(shell: "Shell", args: str) -> None:
    """`/show` shows the newest call, `/show N` call N."""
    transcript = Transcript()
    for event in shell.session.events():
        transcript.apply(event)
    calls = numbered_calls(transcript.blocks)
    word = args.strip() or str(len(calls))
    if not calls:
        shell.show("No tool has been called yet.")
    elif not (word.isascii() and word.isdigit() and len(word) < 9 and 0 < int(word) <= len(calls)):
        shell.show(f"Usage: `/show [N]`, a call from 1 to {len(calls)}; without a number the newest.")
    else:
        shell.show(_told(calls[int(word) - 1], int(word)))


def _told(block: CallBlock, number: int) -> str:
    took = f", {block.seconds:.1f} s" if block.seconds else ""
    parts = [f"**Call {number}: {_code(block.call.name)}** ({block.state}{took})"]
    match block.display:
        case Terminal(command=command, output=output, exit_code=code):
            ended = f"exit code {code}" if code is not None else "killed"
            parts += [_fenced(command, "sh"), _fenced(output), ended]
        case Diff(path=path, unified=unified):
            parts += [_code(path), _fenced(unified, "diff")]
        case Plain(text=text) if len(text) > len(block.result):
            parts += [_fenced(block.call.arguments, "json"), _fenced(text)]
        case _:
            parts += [_fenced(block.call.arguments, "json"), _fenced(block.result)]
    if block.nested:
        inner = numbered_calls(block.nested.blocks)
        parts += [f"- {_code(call.call.name)} {_code(call.call.arguments)}: {call.state}" for call in inner]
    return "\n\n".join(filter(None, parts))


def _fenced(text: str, language: str = "") -> str:
    if not text.strip():
        return ""
    cut = len(text) - MAX_CHARACTERS
    told = f"The first {cut:,} characters are left out.\n\n" if cut > 0 else ""
    text = text[-MAX_CHARACTERS:].rstrip("\n")
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{told}{fence}{language}\n{text}\n{fence}"


def _code(text: str) -> str:
    """As code on one line."""
    text = " ".join(text.split())[:300]
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}" if len(fence) > 1 else f"`{text}`"
