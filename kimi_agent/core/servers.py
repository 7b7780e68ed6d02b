"""MCP servers as the rest of the program sees them: their states, and what they offer besides tools."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from kimi_agent.core.ask import Ask
from kimi_agent.core.message import Image, Text
from kimi_agent.core.record import Record
from kimi_agent.core.tool import Tool

Status: TypeAlias = Literal["disabled", "needs-approval", "connecting", "ready", "needs-auth", "failed"]


class Held(Record):
    """A tool whose definition is not what was seen before. It is not offered until a person accepts `now`."""

    name: str
    before: str
    now: str


class ServerState(Record):
    """What is known of a server at one moment; all texts are safe to show.

    `where` is its command or address, `source` the file that defines it. `detail` says why it is not ready, `hint` what to do,
    `stderr` are the last lines of that. `dropped` are tools that cannot be used, with the reason. `box` is what it runs in,
    empty for one that runs elsewhere; `protocol` the revision that was agreed on. `definition` is the whole of it, `digest` what
    an approval of it holds for.
    """

    name: str
    status: Status
    scope: str = ""
    transport: str = ""
    where: str = ""
    source: str = ""
    detail: str = ""
    hint: str = ""
    stderr: tuple[str, ...] = ()
    tools: tuple[tuple[str, str], ...] = ()
    dropped: tuple[tuple[str, str], ...] = ()
    held: tuple[Held, ...] = ()
    prompts: int = 0
    resources: int = 0
    instructions: str = ""
    protocol: str = ""
    version: str = ""
    box: str = ""
    definition: str = ""
    digest: str = ""


class Argument(Record):
    name: str
    description: str = ""
    required: bool = False


class Prompt(Record):
    """A prompt of a server: `/server:name` with its arguments."""

    server: str
    name: str
    description: str = ""
    arguments: tuple[Argument, ...] = ()


class Resource(Record):
    """A resource, or a template of some (its `uri` has `{parts}` then): `@server:uri`."""

    server: str
    uri: str
    name: str = ""
    description: str = ""
    media_type: str = ""
    template: bool = False


class Sampled(Record):
    """An answer of the model for a server; `cut_off` at its limit of tokens."""

    text: str
    model: str
    cut_off: bool = False


class Sampler(Protocol):
    """Who answers for the model of a session. `count` answers and `tokens` are what was spent on it in this run."""

    count: int
    tokens: int

    @property
    def model(self) -> str: ...

    async def __call__(self, system: str, messages: Sequence[tuple[str, str]], max_tokens: int) -> Sampled:
        """Messages are roles (`user`, `assistant`) with texts. Raises KimiError as a provider does."""
        ...


class ToolSource(Protocol):
    """Tools that come and go while a session runs."""

    def declared(self, window: int) -> Sequence[Tool]:
        """Those that the model is told of in every request, for a context window of so many tokens (0: unknown)."""
        ...

    def find(self, name: str) -> Tool | None:
        """One that can be called by that name, told of or not."""
        ...

    def names(self) -> Sequence[str]: ...

    def doubted(self) -> Collection[str]:
        """Servers, as effects name them, whose tools are not what a person has taken."""
        ...


class Servers(ToolSource, Protocol):
    """The MCP servers of sessions in one folder."""

    def start(self, *, gently: bool = False) -> None:
        """Connect to every server that may be, in the background. Once; more calls do nothing.

        `gently`: a moment later, or when somebody wants one of their tools.
        """
        ...

    def states(self) -> Sequence[ServerState]: ...

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call `changed` whenever a state does; the answer ends that."""
        ...

    def attend(self, session: str, ask: Ask, sampler: Sampler | None = None) -> None:
        """Who answers what servers ask of a person, and of the model, because of a call of this session.

        What no call of a session is the reason of goes to the one that came last.
        """
        ...

    def leave(self, session: str) -> None:
        """A session has ended: nobody answers for it any more."""
        ...

    async def settled(self) -> None:
        """Wait until no server is connecting any more."""
        ...

    async def required(self) -> Sequence[str]:
        """Wait for the servers without which a run is not to begin; what is wrong with them, in words."""
        ...

    def take_notes(self, session: str) -> list[str]:
        """What the model of a session has to be told of servers that are ready, once."""
        ...

    @property
    def problems(self) -> Sequence[str]:
        """What is wrong with the files of definitions, in words."""
        ...

    @property
    def unread(self) -> Sequence[str]:
        """Files of a project that were not even read: nobody can be asked, and nothing of them was ever approved."""
        ...

    async def reload(self) -> Sequence[str]:
        """Read the files again and follow them; what has changed, in words. Raises ConfigError."""
        ...

    async def reconnect(self, name: str) -> None:
        """Raises ConfigError for an unknown name."""
        ...

    async def set_enabled(self, name: str, *, enabled: bool) -> None:
        """For this run. Raises ConfigError for an unknown name."""
        ...

    async def approve(self, name: str, digest: str = "") -> None:
        """Take the definition of a project that has this `digest` (of `ServerState`; empty: as it is now), and begin to connect.

        Raises ConfigError where it is another one by now.
        """
        ...

    async def accept(self, name: str) -> None:
        """Take the changed tools of a server as they are now. Raises ConfigError."""
        ...

    async def sign_in(self, name: str, show: Callable[[str], None]) -> None:
        """Lead a person through the sign-in; `show` gets lines, addresses as lines of their own. Raises KimiError."""
        ...

    def raw(self, name: str) -> Sequence[tuple[str, str]]:
        """The tools of a server by their own names, with its own descriptions, uncut: what could mislead is spelled out."""
        ...

    async def arrived(self, server: str) -> None:
        """Wait until a server is connected, and what it offers is known. Raises ToolError when that does not come about."""
        ...

    def prompts(self) -> Sequence[Prompt]:
        """Those of the servers that are ready, as they were listed."""
        ...

    async def prompt(self, server: str, name: str, arguments: Mapping[str, str]) -> str:
        """Its text. Raises ToolError."""
        ...

    async def complete(
        self, server: str, of: Prompt | Resource, argument: str, value: str, known: Mapping[str, str] = ...
    ) -> Sequence[str]:
        """What a server proposes for an argument; nothing when it does not."""
        ...

    def resources(self) -> Sequence[Resource]: ...

    async def read(self, server: str, uri: str) -> tuple[Text | Image, ...]:
        """Raises ToolError."""
        ...

    async def follow(self, session: str, server: str, uri: str) -> None:
        """Tell the model of a session, by `take_notes`, when a resource changes, if its server tells. Raises ToolError."""
        ...

    async def aclose(self) -> None: ...


class MakeServers(Protocol):
    def __call__(self, folder: Path, more: Sequence[Any] = ()) -> Servers | None:
        """The servers that are written down for sessions in a folder, None where there is none.

        Where there are `more`, those definitions alone.
        """
        ...
