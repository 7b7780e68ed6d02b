"""One session of the client: its prompts, one after the other, and what it is told meanwhile."""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kimi_acp.asking import Asker
from kimi_acp.children import STOPS
from kimi_acp.client import Client
from kimi_acp.failures import failure_of
from kimi_acp.peer import Peer
from kimi_acp.prompt import Prompt, read_prompt, title_of_prompt
from kimi_acp.settings import modes_of, options_of
from kimi_acp.slash import Slash, listed
from kimi_acp.translate import Translation
from kimi_agent.agent.transcript import PromptBlock
from kimi_agent.core import event as ev
from kimi_agent.core.errors import KimiError
from kimi_agent.frontends.common.listening import Listening

if TYPE_CHECKING:
    from kimi_agent.agent.agent import Agent
    from kimi_agent.agent.session import Session
    from kimi_agent.core.servers import Servers

SETTLE_S = 1.5
"""After a cancellation the prompt is answered by then, whatever still ends."""
AGAIN_S = 0.15
"""Editors lose what comes in the moment in which they take up a new session: the commands are told again after so long."""


class Turn:
    """One prompt on its way. A `muted` one tells the client nothing any more: it was answered."""

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()
        self.muted = False
        self.end: ev.TurnEnded | None = None
        self.spent: list[ev.Usage] = []


class Chat:
    """`servers` are those of MCP that the client has brought, which end with the session.

    `folders` are those besides its working folder.
    """

    def __init__(
        self,
        peer: Peer,
        client: Client,
        agent: "Agent",
        session: "Session",
        asker: Asker,
        servers: "Servers | None" = None,
        folders: tuple[str, ...] = (),
    ) -> None:
        self._peer, self._client, self._agent, self.session = peer, client, agent, session
        self._servers, self.folders = servers, folders
        self.asker = asker
        asker.session, asker.running = session.id, lambda: self._turn is not None
        asker.dropped = self._drop
        asker.place = lambda call: self._translation.session_of(call) or session.id
        self._translation = self._translating(live=True)
        self._translation.skip(session.events())
        self._slash = Slash(agent, session, asker, self._say, self.show, self._run)
        self._turns: list[Turn] = []
        self._turn: Turn | None = None
        self._last: asyncio.Future[None] | None = None  # done when the prompt that came last has ended
        self._timer: asyncio.TimerHandle | None = None
        self._said = 0
        self._commands: list[dict[str, Any]] = []
        self.opened_as: tuple[Any, ...] = ()
        self.words: list[str] = []  # what is to be told once the client knows the session
        self._late: list[dict[str, Any]] = []  # messages that wait for a turn: clients expect none between them
        self._failed: set[str] = set()  # MCP servers
        self._unwatch = session.servers.watch(self._server_news) if session.servers is not None else lambda: None
        session.listen(Listening(self.show, lambda: None))

    @property
    def running(self) -> bool:
        return bool(self._turns)

    @property
    def title(self) -> str:
        first = next((b for b in self._translation.transcript.blocks if isinstance(b, PromptBlock) and b.text), None)
        return self.session.title or (title_of_prompt(first.text) if first is not None else "")

    def reconnect(self) -> None:
        """Ask the model as the agent is configured now, from the next turn on."""
        if not self.session.running:
            with contextlib.suppress(KimiError):  # a model that there is no more is told when it is asked
                self.session.runner.set_model(self.session.model.name)

    def _translating(self, *, live: bool) -> Translation:
        root, window = str(self.session.cwd), lambda: self.session.model.context_size
        return Translation(self._client, root, window, live=live, session=self.session.id)

    def update(self, update: dict[str, Any]) -> None:
        self._peer.update(getattr(update, "session", self.session.id), update)

    # --- what the client is told --------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """What the answer to `session/new` and its like says of the session."""
        options = {"configOptions": self.options()} if self._client.config_options else {}
        return {"modes": modes_of(self.session), **options}

    def options(self) -> list[dict[str, Any]]:
        return options_of(self.session, self._agent.models)

    def replay(self) -> None:
        """Tell all that has happened so far."""
        for update in self._translating(live=False).replay(self.session.events()):
            self.update(update)

    def greet(self) -> None:
        """The session is known to the client from now on: tell what it offers, twice."""
        self.tell_commands()
        self.warn_all()
        self._timer = asyncio.get_running_loop().call_later(AGAIN_S, self.tell_commands)

    def tell_commands(self) -> None:
        self._commands = listed(self.session)
        self.update({"sessionUpdate": "available_commands_update", "availableCommands": self._commands})

    def show(self, event: ev.Event) -> None:
        turn = self._turn
        if turn is not None:
            if isinstance(event, ev.TurnEnded):
                turn.end = event
            turn.spent += ev.usages([event])
            if turn.muted:
                self._translation.apply(event)
                return
        for update in self._translation.apply(event):
            if turn is None and update["sessionUpdate"] == "agent_message_chunk" and not hasattr(update, "session"):
                self._late.append(update)
            else:
                self.update(update)
        if isinstance(event, ev.ModeChanged | ev.ModelChanged):
            self._tell_settings(event)

    def _tell_settings(self, event: ev.ModeChanged | ev.ModelChanged) -> None:
        if isinstance(event, ev.ModeChanged):
            self.update({"sessionUpdate": "current_mode_update", "currentModeId": event.mode})
        if self._client.config_options:
            self.update({"sessionUpdate": "config_option_update", "configOptions": self.options()})

    def terminal_began(self, terminal: str, argv: Sequence[str]) -> None:
        """A command runs in a terminal of the editor."""
        for update in self._translation.terminal(terminal, " ".join(argv)):
            self.update(update)

    def _say(self, markdown: str) -> None:
        """Words of the program: they join no history."""
        self._said += 1
        if self._turn is None or not self._turn.muted:
            text = {"type": "text", "text": markdown + "\n"}
            self.update({"sessionUpdate": "agent_message_chunk", "content": text, "messageId": f"command-{self._said}"})

    def warn(self, text: str) -> None:
        """Where it would be a message of the agent, it waits for a turn."""
        if not self._client.notices and self._turn is None:
            self.words.append(text)
            return
        for update in self._translation.say(text):
            self.update(update)

    def warn_all(self) -> None:
        late, self._late = self._late, []
        for update in late:
            self.update(update)
        words, self.words = self.words, []
        for text in words:
            self.warn(text)

    def _server_news(self) -> None:
        """MCP servers that cannot be used are told once."""
        for state in self.session.servers.states() if self.session.servers is not None else ():
            if state.status in ("failed", "needs-auth") and state.name not in self._failed:
                self._failed.add(state.name)
                self.warn(f"MCP server {state.name}: {state.detail or state.status}. {state.hint}".strip())

    # --- prompts ------------------------------------------------------------------------------------------------------

    async def prompt(self, blocks: list[Any]) -> dict[str, Any]:
        """Run a prompt after those that came before; answers its stop reason. Raises RpcError. It always settles."""
        prompt = read_prompt(blocks, self._room)
        turn, before = Turn(), self._last
        done = self._last = asyncio.get_running_loop().create_future()
        self._turns.append(turn)
        work = asyncio.ensure_future(self._after(before, turn, prompt))
        work.add_done_callback(lambda _: done.set_result(None))
        try:
            await _first(work, turn.cancelled)
            if not work.done() and self._turn is turn:
                await self._end(turn, work)
            if work.done() and not work.cancelled() and not turn.cancelled.is_set() and (error := work.exception()):
                raise error
            return self._answer(turn)
        finally:
            self._turns.remove(turn)

    async def _end(self, turn: Turn, work: "asyncio.Future[None]") -> None:
        """Interrupt a turn; when it does not end in time nothing more is told of it."""
        if self.session.running:
            self.session.interrupt()
        else:  # a command that is no turn
            work.cancel()
        await asyncio.wait([work], timeout=SETTLE_S)
        if not work.done():
            turn.muted = True
            work.cancel()

    @property
    def _room(self) -> Path:
        return self._agent.store.scratch(self.session.id)

    def _answer(self, turn: Turn) -> dict[str, Any]:
        """Raises RpcError for a turn that failed."""
        end, usage = turn.end, usage_of(turn.spent) if self._client.usage and turn.spent else {}
        if turn.cancelled.is_set():
            return {"stopReason": "cancelled", **usage}
        if end is not None and end.stop == "error":
            raise failure_of(end)
        return {"stopReason": STOPS[end.stop] if end is not None else "end_turn", **usage}

    async def _after(self, before: "asyncio.Future[None] | None", turn: Turn, prompt: Prompt) -> None:
        if before is not None:
            await asyncio.wait([before])
        if turn.cancelled.is_set():
            return
        self._turn = turn
        try:
            await self._work(prompt)
        finally:
            self._turn = None

    async def _work(self, prompt: Prompt) -> None:
        if self._timer is not None or listed(self.session) != self._commands:  # the first one; or skills were trusted
            self._forget_timer()
            self.tell_commands()
        self.warn_all()
        if not prompt.images and prompt.typed.startswith("/") and await self._slash.runs(prompt.typed):
            return
        await self._run(self.session.prompt(prompt.text, prompt.images, prompt.typed))

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _run(self, events: Any) -> None:
        async with contextlib.aclosing(events) as closing:
            async for event in closing:
                self.show(event)

    def cancel(self) -> None:
        """End the prompt that runs, and those that wait."""
        for turn in self._turns:
            turn.cancelled.set()

    def _drop(self) -> None:
        if self._turn is not None:
            self._turn.cancelled.set()

    async def aclose(self) -> None:
        """End it all: what runs is answered as cancelled."""
        self._forget_timer()
        self.cancel()
        if self._last is not None:
            await asyncio.wait([self._last], timeout=SETTLE_S)
        self._unwatch()
        self.session.listen(None)
        await self._agent.close(self.session)
        if self._servers is not None:
            await self._servers.aclose()


def usage_of(spent: Sequence[ev.Usage]) -> dict[str, Any]:
    """The tokens of a turn and its subagents, each counted once: the schema's total is the sum of its kinds."""
    cached, thought = sum(each.cached for each in spent), sum(each.thought for each in spent)
    read, written = sum(each.input for each in spent), sum(each.output for each in spent)
    usage = {"totalTokens": read + written, "inputTokens": read - cached, "outputTokens": written - thought}
    return {"usage": {**usage, "cachedReadTokens": cached, **({"thoughtTokens": thought} if thought else {})}}


async def _first(work: "asyncio.Future[None]", event: asyncio.Event) -> None:
    """Until the work is done or the event has come; being cancelled is the same as that."""
    waiting: asyncio.Future[object] = asyncio.ensure_future(event.wait())
    both: set[asyncio.Future[object]] = {work, waiting}  # type: ignore[arg-type]
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        event.set()
    finally:
        waiting.cancel()
