"""The slash command /copy, and what of an answer can be copied."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kimi_agent.agent.session import Session
    from kimi_agent.commands import Shell


async def copy_command(shell: "Shell", args: str) -> None:
    """`/copy` copies the last answer, `/copy N` its Nth code block."""
    text, what = last_answer(shell.session), "the last answer"
    if not text:
        shell.show("There is no answer to copy yet.")
        return
    if number := args.strip():
        blocks = code_blocks(text)
        if not number.isdecimal() or not 0 < int(number) <= len(blocks):
            shell.show(f"The last answer has {_counted(len(blocks))}. `/copy N` copies one, `/copy` the whole answer.")
            return
        text, what = blocks[int(number) - 1], f"code block {int(number)}"
    if shell.copy(text):
        shell.show(f"Copied {what} ({told_copied(text)}).")
    else:
        shell.show("This terminal has no clipboard. `/export FILE` writes the session to a file.")


def last_answer(session: "Session") -> str:
    """The model's last text; empty when there is none."""
    messages = session.runner.history.messages
    return next((m.text for m in reversed(messages) if m.role == "assistant" and m.text.strip()), "")


def code_blocks(text: str) -> list[str]:
    """The fenced code blocks of a Markdown text, without their fences."""
    from markdown_it import MarkdownIt

    return [token.content.rstrip("\n") for token in MarkdownIt("commonmark").parse(text) if token.type == "fence"]


def told_copied(text: str) -> str:
    """How much it is, and how to copy a part of it."""
    blocks = len(code_blocks(text))
    return f"{len(text):,} characters" + (f"; {_counted(blocks)}: /copy N" if blocks else "")


def _counted(blocks: int) -> str:
    return f"{blocks or 'no'} code block{'s' * (blocks != 1)}"
