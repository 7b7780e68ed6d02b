"""The last command of the person's shell, as it can be given to the model."""

from pathlib import Path

from msgspec import Struct

from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common.describe import ending

FOR_MODEL = 16_000
"""Characters of output that the model gets: of more than that, the beginning and the end."""


class LastCommand(Struct, frozen=True):
    """`output` is not sanitised; of much output it is the end."""

    command: str
    folder: Path
    output: str
    code: int | None

    def for_model(self) -> str:
        """A text that joins a prompt."""
        output = plain(self.output).strip("\n")
        if len(output) > FOR_MODEL:
            half = FOR_MODEL // 2
            output = f"{output[:half]}\n[… {len(output) - 2 * half:,} characters left out …]\n{output[-half:]}"
        fence = "```"
        while fence in output or fence in self.command:
            fence += "`"
        end = f"It ended so: {ending(self.code) or 'exit 0'}." + ("" if output else " It wrote nothing.")
        return f"I ran this in {self.folder}:\n{fence}\n$ {plain(self.command)}\n{output}\n{fence}\n{end}\n"
