"""When to compact, and doing it: keeps the measured size of the context and guards against compactions that gain nothing."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct, field

from kimi_agent.agent import compaction
from kimi_agent.agent.reply import collect
from kimi_agent.agent.tokens import cost, history_tokens
from kimi_agent.core import event as ev
from kimi_agent.core.display import Todo
from kimi_agent.core.errors import ContextOverflowError, ProviderError
from kimi_agent.core.message import Message
from kimi_agent.core.provider import Provider, Request, Tokens

if TYPE_CHECKING:
    from kimi_agent.agent.hooks import Hooks


MIN_MESSAGES = 3
"""A shorter history is one prompt, which no summary makes shorter."""


class Compactor(Struct):
    """Compaction of one session.

    The size of the window comes from the provider's model, else it is `window` (asked from the server); 0 means unknown:
    compaction is then never automatic.
    """

    provider: Provider
    emit: Callable[[ev.Event], None]
    todos: Callable[[], tuple[Todo, ...]]
    scratch: Path
    ratio: float = 0.85
    reserved: int = 50_000
    ledger: compaction.Ledger = field(default_factory=compaction.Ledger)
    hooks: "Hooks | None" = None
    window: int = 0
    context: int = 0  # tokens of the history after the last reply, as the API counted them
    _after: int = 0  # tokens after the last compaction
    _counted: int = 0  # messages that `context` covers
    _rest: int = 0  # context below which an automatic compaction that gained nothing is not tried again

    @property
    def size(self) -> int:
        return self.provider.model.context_size or self.window

    def measure(self, messages: Sequence[Message], tokens: Tokens | None) -> None:
        """Take the API's count of the request that held `messages`; the reply itself is counted with it."""
        if tokens is None:
            return
        self.context, self._counted = tokens.input + tokens.output, len(messages) + 1

    def resume(self, context: int, counted: int) -> None:
        """Take over what the API counted for the first `counted` messages before the session was resumed."""
        self.context, self._counted = context, counted

    def usage(self, tokens: Tokens) -> ev.Usage:
        model = self.provider.model
        price = cost(tokens, model.prices)
        return ev.Usage(
            model.name, tokens.input, tokens.output, tokens.cached, price, self.context, self.size, tokens.thought
        )

    def current(self, request: Request) -> int:
        """Tokens of the context now: what the API counted, plus an estimate of what came since."""
        messages = request.messages
        if not self._counted or len(messages) < self._counted - 1:
            return compaction.overhead(request) + history_tokens(messages)
        return self.context + history_tokens(messages[self._counted :])

    def forget(self) -> None:
        """The history was replaced: what was counted no longer holds."""
        self.context = self._counted = 0

    async def before_step(self, request: Request) -> None:
        """Compact when the window is nearly full."""
        if not self.size or len(request.messages) < MIN_MESSAGES:
            return
        limit = compaction.threshold(self.size, self.ratio, self.reserved)
        context = self.current(request)
        if context < limit or context < self._rest:
            return
        try:
            await self.compact(request, below=int(limit * 0.8), trigger="auto")
        except ProviderError as error:
            self._rest = int(context * 1.1)
            self.emit(ev.Notice("warning", f"Compaction failed: {error} Going on with the whole history."))

    async def after_overflow(self, request: Request) -> bool:
        """The API said that the prompt is too long. True when the history is shorter now."""
        if len(request.messages) < MIN_MESSAGES:
            return False
        self.emit(ev.Notice("warning", "The context window is full: compacting the history."))
        return await self.compact(request, below=0, trigger="auto")

    async def compact(
        self, request: Request, focus: str = "", below: int = 0, trigger: Literal["manual", "auto"] = "manual"
    ) -> bool:
        """Prune old tool output; when that does not get the context under `below` tokens, summarise. True when it helped."""
        if not request.messages:
            self.emit(ev.Notice("info", "There is nothing to compact yet."))
            return False
        context = self.current(request)
        if self.hooks is not None:
            await self.hooks.fire("PreCompact", trigger, trigger=trigger, token_count=context)
        pruned = self._prune(request, context)
        summarised = (pruned is None or pruned >= below) and await self._summarise(request, focus, context)
        if self.hooks is not None and (summarised or pruned is not None):
            await self.hooks.fire("PostCompact", trigger, trigger=trigger, estimated_token_count=self._after)
        return summarised or pruned is not None

    def _prune(self, request: Request, context: int) -> int | None:
        """Replace old tool output by where it is saved. The tokens after it, None when there was nothing to gain."""
        calls, gained = compaction.plan_prune(request.messages, self.size)
        if not calls:
            return None
        try:
            compaction.save_outputs(request.messages, calls, self.scratch)
        except OSError as error:
            text = f"Old tool output stays in the context: it cannot be saved to {self.scratch}: {error.strerror}."
            self.emit(ev.Notice("warning", text))
            return None
        after = compaction.after_gain(request, gained, context)
        self._apply(ev.Compacted(context, after, kind="prune", pruned=tuple(calls)))
        return after

    def _apply(self, event: ev.Compacted) -> None:
        self.emit(event)
        self._after = event.after
        self.forget()

    async def _summarise(self, request: Request, focus: str, context: int) -> bool:
        messages = list(request.messages)
        text = await self._summary(request, focus)
        replaced = compaction.summarised(messages, text, self.ledger, self.todos(), self.scratch, self.size)
        after = compaction.after_gain(request, history_tokens(messages) - history_tokens(replaced), context)
        if not text.strip() or after > context * (1 - compaction.MIN_GAIN):
            self._rest = int(context * 1.1)
            self.emit(ev.Notice("warning", "Compaction gains nothing here; the history stays as it is."))
            return False
        self._apply(ev.Compacted(context, after, replaced, "summary"))
        self._rest = 0
        return True

    async def _summary(self, request: Request, focus: str) -> str:
        """Ask for the summary; when even that request is too long, leave out the oldest outputs, then the oldest turns."""
        whole = compaction.summary_request(request.messages, focus)
        fits = not self.size or self.current(request) < self.size * 0.9
        asked = 0
        for keep in (1.0, 0.5, 0.25, 0.1) if fits else (0.5, 0.25, 0.1):
            messages = whole if keep == 1.0 else compaction.shortened(whole, keep)
            if len(messages) == asked:
                continue  # it cannot be made shorter
            asked = len(messages)
            try:
                reply = await collect(
                    self.provider,
                    Request(request.session_id, request.system, messages, request.tools, None, request.thinking),
                    self._show_retries,
                    set(),
                )
            except ContextOverflowError:
                continue
            if reply.tokens is not None:
                self.emit(self.usage(reply.tokens))
            return reply.text
        return compaction.NO_SUMMARY

    def _show_retries(self, event: ev.Event) -> None:
        if isinstance(event, ev.Retrying) and event.attempt:
            self.emit(event)
