"""What line mode needs of a terminal, and what a terminal needs of line mode. Two screens: terminal.py and plain.py."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from kimi_agent.agent.session import Session
from kimi_agent.core.display import Diff
from kimi_agent.core.message import Image

if TYPE_CHECKING:
    from kimi_agent.frontends.common.file_listing import Run
    from kimi_agent.frontends.common.shell_complete import Candidates

Style: TypeAlias = Literal["", "dim", "bold", "user", "tool", "warning", "error", "add", "remove", "hunk", "question"]
Lines: TypeAlias = list[tuple[str, Style]]


class Owner(Protocol):
    """The front end, as its screen sees it. Every method returns at once."""

    session: Session
    """Whose commands, files and resources are completed."""

    @property
    def secret(self) -> bool:
        """What is typed now must not be shown or remembered."""
        ...

    def home(self) -> Path:
        """Where the history of prompts is kept."""
        ...

    def folder(self) -> Path:
        """The session's folder."""
        ...

    def hide(self, text: str) -> str:
        """A text as it may be stored: without keys."""
        ...

    def runs_git(self) -> "Run | None":
        """What runs git to list the session's folder, None for nothing."""
        ...

    def submit(self, text: str) -> bool:
        """Enter was pressed. False: the text was not taken and stays where it was typed."""
        ...

    def steer(self, text: str) -> bool: ...
    def interrupt(self) -> bool:
        """Stop what is going on. False: nothing was."""
        ...

    def leave(self) -> None: ...
    def explain_leaving(self) -> None: ...
    def take_back(self) -> str | None: ...
    def toggle_shell(self) -> None: ...
    def feeding(self) -> bool:
        """Whether what is typed goes to a command of the person's shell that runs."""
        ...

    def suspend_command(self) -> None:
        """Ctrl-Z while `feeding`."""
        ...

    def end_input(self) -> None:
        """Ctrl-D in an empty prompt: the end of a command's input, of the shell, or of the conversation."""
        ...

    def output_for_model(self) -> str:
        """The last command of the shell and what it wrote; empty when there was none, which they are told."""
        ...

    async def shell_candidates(self, text: str) -> "tuple[int, Candidates] | None":
        """What Tab may put in a command, and where in the text the command begins; None when the text is none."""
        ...

    def shell_folder(self) -> Path | None:
        """Where the shell stands while shell mode is on."""
        ...

    def toggle_plan(self) -> None: ...
    def editor(self) -> list[str]:
        """The command of the person's editor; empty when there is none, which they are told."""
        ...

    def hears(self) -> bool:
        """Whether what is typed now may answer the question that waits; else it was meant for something else."""
        ...

    def command(self, text: str) -> None:
        """Run a slash command now, whatever is being asked or typed."""
        ...

    def tab(self, text: str) -> bool:
        """Tab behind `text` while `feeding`; False when the command that runs does not read keys."""
        ...

    def remembers(self) -> bool:
        """Whether what is typed now belongs to the history (answers to questions do not)."""
        ...

    def label(self) -> str:
        """What stands before the cursor."""
        ...

    def wants_input(self) -> bool:
        """Whether a line is needed to go on: no turn runs, or a question waits."""
        ...

    def live(self) -> list[str]:
        """Lines that are not final yet (an unfinished paragraph, a running tool), safe to show."""
        ...

    def status(self) -> str: ...


class Screen(Protocol):
    """Prints downwards, never changes what it has printed. All text given to it is safe already (core/sanitize.py)."""

    obeys: bool
    """It is a terminal that understands control sequences."""
    keeps_input: bool
    """What the person typed stays on the screen by itself, so their prompts need not be printed again."""
    speaks: bool
    """It is read aloud, or may be: words only."""
    typed: bool
    """A person types on it: what they type may be meant for what was there a moment ago."""
    prompt: str
    """What stands before the cursor where a prompt is typed."""

    def line(self, text: str, style: Style = "") -> None:
        """Print whole lines."""
        ...

    def markdown(self, text: str) -> None: ...
    def diff(self, diff: Diff, limit: int, number: int) -> None:
        """Show at most `limit` lines of a change; `/show number` shows it whole."""
        ...

    def output(self, text: str) -> None:
        """Print lines that a command has written, in their colours: this text alone is not safe yet."""
        ...

    def lend(self) -> AbstractAsyncContextManager[None]:
        """Let a full-screen program have the terminal. Raises CannotLend."""
        ...

    def picture(self, image: Image) -> None:
        """Draw a picture, or say in a line that there is one."""
        ...

    def control(self, sequence: str) -> None:
        """Send the terminal a control sequence that prints nothing; where it is not known to understand any, nothing."""
        ...

    def copy(self, text: str) -> bool:
        """Put text on the clipboard; False where there is none."""
        ...

    def refresh(self) -> None:
        """Something that the owner shows has changed."""
        ...

    def set_aside(self) -> None:
        """A question is about to be printed: what is being typed was not meant for it, and comes back after it."""
        ...

    def restore(self, text: str) -> None:
        """Give a text that was not sent back to the person."""
        ...

    def draft(self) -> str:
        """What is typed and neither sent nor an answer. Asked once, when the program is ended."""
        ...

    async def run(self) -> None:
        """Read input until `stop` is called."""
        ...

    def stop(self) -> None: ...
