"""What the client can ask for: a table of methods."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from kimi_acp import params as p
from kimi_acp.chat import Chat
from kimi_acp.failures import error_of
from kimi_acp.hello import LOGIN, auth_methods
from kimi_acp.memory import remember
from kimi_acp.opening import Opening, opened_as
from kimi_acp.peer import Peer, RpcError
from kimi_acp.providers import Providers
from kimi_acp.settings import choose
from kimi_acp.wire import AUTH_REQUIRED, INVALID_PARAMS, METHOD_NOT_FOUND, NOT_FOUND, Message, Wire
from kimi_agent.agent.session_servers import warm
from kimi_agent.config.load import EMBEDDED
from kimi_agent.core.errors import KimiError
from kimi_agent.core.event import Mode
from kimi_agent.frontends.common.describe import one_line

if TYPE_CHECKING:
    from kimi_agent.agent.agent import Agent

_log = logging.getLogger(__name__)
Handler = Callable[[Message, Any], Awaitable[Message]]
NOT_SET_UP = ("", EMBEDDED)
"""Default models of who has chosen none."""


class Server:
    """`make` puts the agent together, `reload` gives it the configuration as it is now, and answers whether that has changed;
    both raise KimiError.

    `model` is what a flag asks for; `providers` are part of what the other two read.
    """

    def __init__(
        self,
        wire: Wire,
        make: Callable[[], "tuple[Agent, Mode]"],
        reload: Callable[["Agent"], bool],
        model: str | None,
        providers: Providers,
    ) -> None:
        self._providers = providers
        self.peer = Peer(wire, self._handle, self._notified)
        self._make, self._reload = make, reload
        self._opening = Opening(self.peer, model)
        self._agent: Agent | None = None
        self._signed_out = self._tells_status = False
        self._refused = False  # a key: another one may be there by the next request
        self.chats: dict[str, Chat] = {}
        self._methods: Mapping[str, Handler] = {
            "authenticate": self._authenticate,
            "logout": self._logout,
            "auth/status": self._auth_status,
            "providers/list": self._list_providers,
            "providers/set": self._set_provider,
            "providers/disable": self._disable_provider,
            "session/new": self._new,
            "session/load": self._load,
            "session/resume": self._resume,
            "session/fork": self._fork,
            "session/list": self._list,
            "session/close": self._close,
            "session/delete": self._delete,
            "session/prompt": self._prompt,
            "session/set_mode": self._set_mode,
            "session/set_config_option": self._set_option,
            "session/set_title": self._set_title,
        }

    async def serve(self) -> None:
        """Until the input ends."""
        warming = asyncio.get_running_loop().call_soon(self._warm_up)
        try:
            await self.peer.serve()
        finally:
            warming.cancel()

    async def aclose(self) -> None:
        """End every session, with all that runs in it."""
        await asyncio.gather(*(chat.aclose() for chat in self.chats.values()), return_exceptions=True)
        if self._agent is not None:
            await self._agent.aclose()

    def _warm_up(self) -> None:
        """A session is likely to be opened: what is wrong is told then."""
        with contextlib.suppress(KimiError):
            self._ready()

    def _ready(self) -> "Agent":
        if self._agent is None:
            self._agent, self._opening.mode = self._make()
        return self._agent

    async def _handle(self, method: str, params: Message, request: Any) -> Message:
        handler = self._methods.get(method)
        if handler is None:
            raise RpcError(METHOD_NOT_FOUND, f"Method not found: {method[:100]}")
        try:
            return await handler(params, request)
        except KimiError as error:
            raise error_of(error) from None

    def _notified(self, method: str, params: Message) -> None:
        if method == "session/cancel":
            chat = self.chats.get(str(params.get("sessionId")))
            if chat is not None:
                chat.cancel()

    # --- who pays -----------------------------------------------------------------------------------------------------

    def _agent_with_model(self) -> "Agent":
        """Raises RpcError where no model can be asked: the client shows the ways to sign in then."""
        agent = self._ready()
        if not self._signed_out and (
            self._refused or agent.default_model in NOT_SET_UP
        ):  # `kimi login` may have run meanwhile
            self._read_again(agent)
        if self._signed_out or not agent.default_model:
            methods = {"authMethods": auth_methods(self.peer.client)}
            raise RpcError(AUTH_REQUIRED, "No model is configured. Run kimi login in a terminal.", methods)
        return agent

    def _read_again(self, agent: "Agent") -> None:
        """The configuration, also for sessions that are open. Raises ConfigError."""
        changed, self._refused = self._reload(agent), False
        for chat in self.chats.values() if changed else ():
            chat.reconnect()

    async def _authenticate(self, params: Message, request: Any) -> Message:
        given = p.read(p.Authenticate, params)
        if given.method_id not in (LOGIN, f"{LOGIN}-terminal"):
            raise RpcError(INVALID_PARAMS, f"Invalid params: there is no method {given.method_id[:60]!r}")
        self._signed_out, self._refused = False, True
        self._agent_with_model()
        self._tell_status(request)
        return {}

    async def _logout(self, params: Message, request: Any) -> Message:
        """This process asks no model any more; keys in files and in the environment stay the person's."""
        self._signed_out = True
        self._tell_status(request)
        return {}

    async def _auth_status(self, params: Message, request: Any) -> Message:
        self._tells_status = True
        return self._status()

    def _status(self) -> Message:
        """Accounts are the providers of the models: what else is known of them is nobody's business."""
        try:
            agent = self._ready()
        except KimiError:
            return {"state": "unknown"}
        used = agent.models.get(agent.default_model)
        names = dict.fromkeys(model.provider for model in agent.models.values() if model.provider)
        accounts = [{"label": name, "active": used is not None and name == used.provider} for name in names]
        known = not self._signed_out and bool(agent.default_model)
        return {"state": "authenticated" if known else "unauthenticated", "accounts": accounts}

    def _tell_status(self, request: Any) -> None:
        """Only to a client that has asked: it is a draft, and others take it for an error."""
        if self._tells_status:
            self.peer.after(request, lambda: self.peer.notify("auth/status_update", self._status()))

    async def _list_providers(self, params: Message, request: Any) -> Message:
        return {"providers": self._providers.listed()}

    async def _set_provider(self, params: Message, request: Any) -> Message:
        self._providers.set(p.read(p.Provider, params))
        self._reload(self._ready())
        return {}

    async def _disable_provider(self, params: Message, request: Any) -> Message:
        self._providers.disable(p.read(p.OfProvider, params).provider_id)
        self._reload(self._ready())
        return {}

    # --- sessions -----------------------------------------------------------------------------------------------------

    def _chat(self, session: str) -> Chat:
        chat = self.chats.get(session)
        if chat is None:
            raise RpcError(NOT_FOUND, f"There is no open session {session[:100]!r}", {"uri": session[:100]})
        return chat

    async def _new(self, params: Message, request: Any) -> Message:
        given = p.read(p.NewSession, params)
        chat = await self._open(None, given, request)
        return {"sessionId": chat.session.id, **chat.state()}

    async def _open(self, session: str | None, given: Any, request: Any) -> Chat:
        agent = self._agent_with_model()
        chat = await self._opening.open(agent, session, given)
        self.chats[chat.session.id] = chat

        def greet() -> None:
            chat.greet()
            warm(chat.session)
            self.peer.warm()

        self.peer.after(request, greet)
        return chat

    async def _load(self, params: Message, request: Any) -> Message:
        chat = await self._again(p.read(p.LoadSession, params), request)
        chat.replay()
        return chat.state()

    async def _resume(self, params: Message, request: Any) -> Message:
        return (await self._again(p.read(p.ResumeSession, params), request)).state()

    async def _again(self, given: Any, request: Any) -> Chat:
        """A session that was there before. One that is open here as it is wanted, or at work, stays as it is."""
        p.folder(given.cwd)
        chat = self.chats.get(given.session_id)
        if chat is not None and (chat.running or chat.opened_as == opened_as(given)):
            self.peer.after(request, chat.greet)
            return chat
        if chat is not None:
            await self._shut(chat)
        return await self._open(given.session_id, given, request)

    async def _fork(self, params: Message, request: Any) -> Message:
        given = p.read(p.ResumeSession, params)
        agent = self._agent_with_model()
        source = self.chats.get(given.session_id)
        fork = await self._opening.fork(agent, source, given)
        chat = await self._open(fork, given, request)
        return {"sessionId": fork, **chat.state()}

    async def _list(self, params: Message, request: Any) -> Message:
        given = p.read(p.ListSessions, params)
        return await self._opening.page(self._ready(), given, list(self.chats.values()))

    async def _close(self, params: Message, request: Any) -> Message:
        await self._shut(self._chat(p.read(p.OfSession, params).session_id))
        return {}

    async def _shut(self, chat: Chat) -> None:
        del self.chats[chat.session.id]
        await chat.aclose()
        self._opening.keep(self._ready(), chat.session)

    async def _delete(self, params: Message, request: Any) -> Message:
        session = p.read(p.OfSession, params).session_id
        if session in self.chats:
            await self._shut(self.chats[session])
        if self._opening.exists(self._ready(), session):
            await asyncio.to_thread(self._ready().store.delete, session)
        return {}

    async def _prompt(self, params: Message, request: Any) -> Message:
        given = p.read(p.Prompt, params)
        chat = self._chat(given.session_id)
        self._agent_with_model()
        try:
            return await chat.prompt(given.prompt)
        except RpcError as error:
            self._refused = self._refused or error.code == AUTH_REQUIRED
            raise

    # --- what is chosen -----------------------------------------------------------------------------------------------

    async def _set_mode(self, params: Message, request: Any) -> Message:
        given = p.read(p.SetMode, params)
        self._choose(self._chat(given.session_id), "mode", given.mode_id)
        return {}

    async def _set_option(self, params: Message, request: Any) -> Message:
        given = p.read(p.SetOption, params)
        chat = self._chat(given.session_id)
        self._choose(chat, given.config_id, given.value)
        return {"configOptions": chat.options()}

    def _choose(self, chat: Chat, option: str, value: Any) -> None:
        running = chat.session.running
        for event in choose(chat.session, option, value):
            if not running:  # a running turn has told it already
                chat.show(event)
        remember(self._ready().home, chat.session.cwd, option, value)

    async def _set_title(self, params: Message, request: Any) -> Message:
        """Of any session that is listed, open here or not."""
        given = p.read(p.SetTitle, params)
        title = one_line(" ".join(given.title.split()), 200)
        if not title:
            raise RpcError(INVALID_PARAMS, "Invalid params: the title is empty")
        chat = self.chats.get(given.session_id)
        if chat is not None:
            for event in chat.session.rename(title):
                chat.show(event)
        else:
            await asyncio.to_thread(self._opening.rename, self._ready(), given.session_id, title)
        return {"title": title}
