"""One conversation with a model: its history, its provider, its compactor, its tools. A session has one, each subagent too."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from msgspec import Struct, field

from kimi_agent.agent.calls import Caller
from kimi_agent.agent.compaction import Ledger
from kimi_agent.agent.compactor import Compactor
from kimi_agent.agent.history import History
from kimi_agent.agent.loop import Turn
from kimi_agent.agent.profile import PROFILES, Profile
from kimi_agent.core import event as ev
from kimi_agent.core.errors import KimiError
from kimi_agent.core.message import Message
from kimi_agent.core.provider import Model, Provider, ToolSpec
from kimi_agent.core.schema import tool_spec


class Limits(Struct, frozen=True):
    """`max_steps` per turn; the history is compacted at `compaction_ratio` of the window or when `reserved` tokens are left.

    `max_output` bounds one reply in tokens, None leaves it to the provider.
    """

    max_steps: int = 300
    compaction_ratio: float = 0.85
    reserved: int = 50_000
    max_output: int | None = None


class Models(Struct, frozen=True):
    """Where providers come from. `window` asks a server for the context size of a model that does not tell it (tokens)."""

    make_provider: Callable[[str], Provider]
    window: Callable[[Model], Awaitable[int]]


class Runner(Struct):
    """Makes turns. Fed with every event of its conversation (`apply`), live or from the log; it emits through its `caller`."""

    session_id: str
    own_system: str  # its prompt, where no profile of the model stands in for it
    caller: Caller
    _specs: tuple[ToolSpec, ...] | None  # None: those of the caller's tools
    models: Models
    model: Model
    thinking: str | None
    limits: Limits
    history: History
    used_ids: set[str] = field(default_factory=set)
    _ledger: Ledger = field(default_factory=Ledger)
    _provider: Provider | None = None
    _borrowed: bool = False  # the provider belongs to another runner
    _replaced: list[Provider] = field(default_factory=list)  # of models before: a subagent may still use one
    _compactor: Compactor | None = None
    _window_search: asyncio.Task[None] | None = None
    _last_count: tuple[list[Message], int, int] = ([], 0, 0)  # messages, how many of them, their tokens

    def apply(self, event: ev.Event) -> None:
        self.history.apply(event)
        match event:
            case ev.MessageAdded(message):
                self.used_ids.update(call.id for call in message.calls)
            case ev.Usage():
                self._last_count = (self.history.messages, len(self.history.messages), event.context)
            case ev.ToolStarted(_, effects):
                self._ledger.note(effects)
            case ev.Rewound() | ev.Redone() | ev.Compacted() if self._compactor is not None:
                self._compactor.forget()
            case _:
                pass

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """The tools as the model sees them: made when they are first asked for, which is after the first prompt is drawn."""
        if self._specs is None and self.profile is not None:
            self._specs = self.profile.specs(self.caller.tools.values())
        elif self._specs is None:
            more = self.caller.more.declared(self.model.context_size) if self.caller.more is not None else ()
            fixed = self.caller.tools
            tools = [*fixed.values(), *(tool for tool in more if tool.name not in fixed)]
            self._specs = tuple(map(tool_spec, tools))
        return self._specs

    @property
    def profile(self) -> Profile | None:
        """What the model is told in place of the prompt and all tools; None for the full profile."""
        return PROFILES.get(self.model.profile)

    @property
    def system(self) -> str:
        return self.profile.system if self.profile is not None else self.own_system

    def declare_anew(self) -> None:
        """Tell the model of other tools from the next request on: what it has read before is not cached any more then."""
        self._specs = None

    @property
    def counted(self) -> tuple[int, int]:
        """How many messages of the history the API has counted, and the tokens of that request; zeros when nothing holds."""
        messages, number, tokens = self._last_count
        return (number, tokens) if messages is self.history.messages and number <= len(messages) else (0, 0)

    def turn(self) -> Turn:
        """A turn, to which its owner gives what belongs to it alone. Raises KimiError when there is no provider."""
        provider = self.provider()
        return Turn(
            provider, self.system, self.specs, self.history, self.caller, self._get_compactor(provider), self.caller.emit,
            self.session_id, self.limits.max_steps, self.thinking, self.limits.max_output, self.used_ids,
        )  # fmt: skip

    async def compact(self, focus: str) -> bool:
        """Whether the history is shorter now. What goes wrong is told in a notice."""
        try:
            turn = self.turn()
            await turn.compactor.compact(turn.request(), focus)
        except KimiError as error:
            self.caller.emit(ev.Notice("error", f"Compaction failed: {error.full}"))
        except Exception as error:  # a bug of ours must not lose the session
            self.caller.emit(ev.Notice("error", f"Compaction failed: {type(error).__name__}: {error}"))
        else:
            return True
        return False

    def set_model(self, name: str) -> None:
        """Raises KimiError when the model is unknown."""
        provider = self.models.make_provider(name)
        if provider.model.profile != self.model.profile:
            self.declare_anew()
        self._replaced += [self._provider] if self._provider is not None else []
        self._provider, self.model, self._window_search = provider, provider.model, None
        if self._compactor is not None:
            self._compactor.window = 0

    def provider(self) -> Provider:
        if self._provider is None:
            self._provider = self.models.make_provider(self.model.name)
        return self._provider

    def share_provider(self, other: "Runner") -> None:
        """Use the connection of another runner with the same model. Raises KimiError as `provider`."""
        self._provider, self._borrowed = other.provider(), True

    def _get_compactor(self, provider: Provider) -> Compactor:
        if self._compactor is None:
            caller = self.caller
            self._compactor = Compactor(
                provider, caller.emit, caller.todos, caller.scratch, self.limits.compaction_ratio,
                self.limits.reserved, self._ledger, caller.hooks,
            )  # fmt: skip
            counted, context = self.counted
            if counted:
                self._compactor.resume(context, counted)
        self._compactor.provider = provider
        if not self._compactor.size and self._window_search is None:
            self._window_search = asyncio.create_task(self._look_up_window(self._compactor))
        return self._compactor

    async def _look_up_window(self, compactor: Compactor) -> None:
        """Beside the first turn, ask the server how large the window is. Without an answer nothing is compacted by itself."""
        with contextlib.suppress(KimiError, TimeoutError, OSError):
            compactor.window = await self.models.window(compactor.provider.model)

    async def aclose(self) -> None:
        """Close the connection, and the tools that hold something open."""
        if self._window_search is not None and not self._window_search.done():
            self._window_search.cancel()
        for tool in self.caller.tools.values():
            close = getattr(tool, "aclose", None)
            if close is not None:
                with contextlib.suppress(Exception):  # a stranger's code
                    await close()
        own = [self._provider] if self._provider is not None and not self._borrowed else []
        for provider in (*self._replaced, *own):
            await provider.aclose()
