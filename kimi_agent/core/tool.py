"""What a tool is: it says what it will do (`effects`), shows it (`preview`), and does it (`run`)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from kimi_agent.core.ask import Ask
from kimi_agent.core.display import Display, Todo
from kimi_agent.core.effect import Effect
from kimi_agent.core.message import Image, Text
from kimi_agent.core.record import Record
from kimi_agent.core.redact import Redactor
from kimi_agent.core.task import Tasks
from kimi_agent.core.workspace import Workspace

Content: TypeAlias = tuple[Text | Image, ...]


class ToolOutput(Record):
    """`for_model` joins the history; `for_user` is drawn. Neither is derived from the other."""

    for_model: Content
    for_user: Display | None = None
    is_error: bool = False


def text_output(text: str, for_user: Display | None = None, *, is_error: bool = False) -> ToolOutput:
    return ToolOutput((Text(text),), for_user, is_error)


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a call may use besides its parameters.

    `progress` shows live output to the person. `todos` is the current list. `scratch` is a folder of this session for whole
    outputs that were too long for the history (the model may read it). `call_id` is unique in the session. `tasks` is where
    work is left that goes on after the call; what a tool writes into `scratch` passes `redactor`. `session` is the id of the
    session that the call belongs to, a subagent's too.
    """

    call_id: str
    workspace: Workspace
    ask: Ask
    progress: Callable[[str], None]
    todos: tuple[Todo, ...]
    scratch: Path
    tasks: Tasks
    redactor: Redactor = field(default_factory=Redactor)
    session: str = ""


class Tool(Protocol):
    """One tool. `Params` is a msgspec Struct; its schema is what the model sees, its validation what guards `run`.

    Where the parameters are known only at run time `Params` is a JSON Schema; `params` is then a dict that is valid for it.

    `effects` is quick, has no side effect and may raise ToolError (the call is then answered with that text). `preview` is
    called only when a person is going to be asked; it may read files. `run` raises ToolError for what the model can mend;
    any other exception is reported to the model as an internal error of the tool. A tool that holds something open may have
    an `async def aclose(self) -> None`, which the end of the session calls.
    """

    name: str
    description: str

    @property
    def Params(self) -> type[Any] | dict[str, Any]: ...  # noqa: N802 - a class, mostly

    def effects(self, params: Any, ctx: ToolContext) -> Sequence[Effect]: ...
    async def preview(self, params: Any, ctx: ToolContext) -> Display | None: ...
    async def run(self, params: Any, ctx: ToolContext) -> ToolOutput: ...
