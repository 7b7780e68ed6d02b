"""Words for what has a key on other screens."""

from collections.abc import Awaitable, Callable

from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common.lending import CannotLend
from kimi_agent.frontends.line.jobs import Work
from kimi_agent.frontends.line.screen import Owner, Screen

WORDS = (
    ("! alone", "shell mode: your own shell, unseen by the model; again to leave it"),
    ("a Tab before Enter", "tell what could follow"),
    ("\\ before Enter", "new line"),
    ("/steer TEXT", "join the running turn before its next step"),
    ("/give TEXT", "give the output of your last shell command to the model, and say what about it"),
    ("/edit TEXT", "write the prompt in your editor, beginning with a text"),
    ("Ctrl-C", "interrupt; else drop what was begun"),
    ("Ctrl-Z", "suspend the command that runs in shell mode; else kimi itself"),
)
"""What is typed, and what it does."""
KEYS = {"shell_mode": "!", "end": "Ctrl-D", "suspend": "Ctrl-Z", "give_output": "/give"}
"""What is pressed or typed for an action."""


class Instead:
    """`start` runs work when nothing else runs; `converse` sends a prompt."""

    def __init__(
        self,
        owner: Owner,
        screen: Screen,
        start: Callable[[str, Work], None],
        converse: Callable[[str], Awaitable[None]],
    ) -> None:
        self._owner, self._screen, self._start, self._converse = owner, screen, start, converse

    def does(self, text: str) -> bool:
        """Do what the first word of a line says; False when it is no such word."""
        word, _, rest = text.strip().partition(" ")
        rest = rest.strip()
        match word:
            case "/steer" if rest:
                self._owner.steer(rest)
            case "/steer":
                self._screen.line("Type what joins the running turn: /steer TEXT.", "warning")
            case "/give":
                if output := self._owner.output_for_model():
                    self._owner.submit(f"{output}\n\n{rest}".strip())
            case "/edit":
                if command := self._owner.editor():
                    self._start("", lambda: self._write(command, rest))
            case _:
                return False
        return True

    async def _write(self, command: list[str], text: str) -> None:
        """A prompt is written in the editor, and sent unless it is empty."""
        from kimi_agent.frontends.common.editor import edit

        try:
            async with self._screen.lend():
                edited = await edit(command, text)
        except CannotLend:
            self._screen.line("An editor needs a terminal.", "warning")
            return
        if edited and edited.strip():
            self._screen.line(f"{self._screen.prompt}{plain(edited)}")
            await self._converse(edited)
