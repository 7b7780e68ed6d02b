"""The connection to one server. One task, its owner, enters and leaves the SDK's client; any task may call through it."""

import asyncio
import contextlib
import time
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from kimi_agent.core.servers import Status
from kimi_agent.mcp.definition import Server
from kimi_agent.mcp.expand import expand
from kimi_agent.mcp.failures import CLOSED, TIMED_OUT, Problem, codes, start_problem
from kimi_agent.mcp.guard import Dropped, guarded
from kimi_agent.mcp.http import Heard, http_transport
from kimi_agent.mcp.link import Elicit, Link, Sample, start_server
from kimi_agent.mcp.listing import list_prompts, list_resources, list_templates, list_tools
from kimi_agent.mcp.news import News
from kimi_agent.mcp.stdio import Process, stdio_transport

if TYPE_CHECKING:
    from mcp import Client, types

LISTING_S = 10.0
"""What a list of prompts or resources may take."""
AGAIN_S = 30.0
"""After a failed start, calls do not make another one for so long."""
TRIES = (0.5, 1.0, 2.0)
"""Seconds before each further try, where the network or a server has a bad moment."""


class Connection:
    """`server` is as written. Everything is None or empty while it is not ready; `problem` says why it is not.

    `changed` is called after every change of what can be seen here.
    """

    def __init__(self, server: Server, link: Link, changed: Callable[[], None]) -> None:
        self.server, self.link = server, link
        self.status: Status = "connecting"
        self.problem: Problem | None = None
        self.client: Client | None = None
        self.tools: list[types.Tool] = []
        self.prompts: list[types.Prompt] = []
        self.resources: list[types.Resource] = []
        self.templates: list[types.ResourceTemplate] = []
        self.dropped: list[Dropped] = []
        self.process, self.heard = Process(), Heard()
        self.followed: dict[str, Callable[[], None]] = {}  # what is called when a resource changes, by its address
        self._news: News | None = None
        self.remarks: dict[int, str] = {}  # on results, by id: what the SDK would have thrown them away for
        self.callers: list[str] = []  # the session of each call that runs, as they began
        self.generation = 0  # counts the connections
        self.asking = 0  # questions of the server that wait for a person
        self._changed, self._failed_at, self._was_up = changed, 0.0, False
        self._stop = asyncio.Event()
        self._settled = asyncio.Event()
        self._whole = asyncio.Event()  # prompts and resources are listed, too
        self.down = asyncio.Event()  # the owner has left
        self._owner: asyncio.Task[None] | None = None
        self._restarting: asyncio.Task[None] | None = None
        self._expanded: Server | None = None
        self._refused_with: object = None  # the sign-in that was not enough
        self._closed = False
        self.failure: BaseException | None = None  # what ended the last connection, or kept it from coming about

    # --- its life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Connect in the background. `settled` tells when that has come to something."""
        if self._closed:
            return
        for event in (self._stop, self._settled, self._whole, self.down):
            event.clear()
        self.generation += 1
        self._was_up = False
        self._owner = asyncio.create_task(self._live(), name=f"mcp {self.server.name}")

    @property
    def started(self) -> bool:
        return self._owner is not None

    async def settled(self, *, whole: bool = False) -> None:
        await (self._whole if whole else self._settled).wait()
        if self._restarting is not None and not self._restarting.done():
            await asyncio.shield(self._restarting)

    @property
    def alive(self) -> bool:
        """Whether a request can be sent, as far as one can see."""
        return self.client is not None and not (self.process.exited.is_set() or self.process.closed.is_set())

    @property
    def may_be_back(self) -> bool:
        """Whether to wait is worth its time: it is connecting, was up and has gone, somebody has signed in, a while is over."""
        if self.status == "connecting":
            return True
        if self.status == "needs-auth":
            return self._sign_in() != self._refused_with
        return self._was_up or self.failure is None or time.monotonic() - self._failed_at > AGAIN_S

    def _sign_in(self) -> object:
        """Differs once somebody has signed in, or out."""
        from kimi_agent.mcp.oauth import stamp

        return stamp(self._expanded, self.link.home) if self._expanded is not None else None

    async def restart(self, after: int | None = None) -> None:
        """Connect anew; callers that come meanwhile wait for the same connection.

        With `after`, the `generation` that a caller has found broken, only if there is no newer one by now.
        """
        if after is not None and self.generation != after:
            await self.settled()
            return
        if self._restarting is None or self._restarting.done():
            self._restarting = asyncio.create_task(self._again())
        await asyncio.shield(self._restarting)

    async def _again(self) -> None:
        await self._end()
        self._see("connecting")
        self.start()
        await self._settled.wait()

    async def aclose(self) -> None:
        """End the connection for good, and the server's process with all that it started."""
        self._closed = True
        if self._restarting is not None:
            self._restarting.cancel()
            await asyncio.wait([self._restarting])
        await self._end()
        if self.status in ("connecting", "ready"):
            self._see("failed", Problem("it was ended"))

    async def _end(self) -> None:
        self._stop.set()
        if self._owner is not None and not self._owner.done():
            if not self._settled.is_set():
                self._owner.cancel()
            await asyncio.wait([self._owner], timeout=10)
        for event in (
            self._settled,
            self._whole,
            self.down,
        ):  # an owner that was cancelled before its first step set none
            event.set()

    async def _live(self) -> None:
        try:
            await self._connect()
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # the SDK raises groups; none of it may reach the session
            self.failure, self._failed_at = error, time.monotonic()
            problem = start_problem(self.server, error, self.process, self.heard, self._patience)
            self._see("needs-auth" if problem.auth else "failed", problem)
            self._refused_with = self._sign_in()
        finally:
            self.client = None
            for event in (self._settled, self._whole, self.down):
                event.set()

    async def _connect(self) -> None:
        """Until the server is stopped or gone. Raises what kept it from being connected to, or ended it."""
        warnings.filterwarnings("ignore", category=UserWarning, module=r"mcp\b|kimi_agent\.mcp")
        server = self._expanded = expand(self.server, self.link.env)
        for wait in (*TRIES, None):
            try:
                await self._in_some_era(server)
                return
            except Exception as error:
                was_up = self._settled.is_set()
                problem = start_problem(server, error, self.process, self.heard, self._patience)
                if was_up or wait is None or not problem.passing:
                    raise
                await asyncio.sleep(wait)

    async def _in_some_era(self, server: Server) -> None:
        eras = _eras(server)
        for era in eras:
            try:
                await self._attempt(server, era)
                return
            except Exception as error:
                found = codes(error)
                hopeless = not found or {CLOSED, TIMED_OUT} & set(found) or self._settled.is_set()
                if era == eras[-1] or hopeless:
                    raise

    @property
    def _patience(self) -> float:
        return self.server.startup_timeout or self.link.startup_timeout

    async def _attempt(self, server: Server, era: str) -> None:
        from mcp import Client, types

        self.process, self.dropped = Process(), []
        self.heard.forget()
        news = self._news = News(self)
        async with asyncio.timeout(self._patience) as limit:  # the SDK has no limit of its own
            transport = guarded(self._transport(server), self.dropped)
            from kimi_agent import __version__

            client = Client(
                transport,
                mode=era,
                client_info=types.Implementation(name="kimi", title="kimi", version=__version__),
                message_handler=news.handle,
                logging_callback=news.log,
                log_level="info",
                list_roots_callback=self._roots,
                **self._answers(server),
            )
            async with client:
                self._tolerate(client)
                tools = await list_tools(client, self.dropped)
                limit.reschedule(None)
                self.client, self.tools, self.problem, self.failure = client, tools, None, None
                self._was_up = True
                self._see("ready")
                self._settled.set()
                await self._serve(client, news)

    async def _serve(self, client: "Client", news: News) -> None:
        """While it is up: what it offers besides tools, and the news of it."""
        working = [asyncio.create_task(self._list_more(client)), asyncio.create_task(news.follow(client))]
        ends = [asyncio.create_task(self._stop.wait()), asyncio.create_task(self.process.closed.wait())]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.client = None
            for task in (*working, *ends):
                task.cancel()
            await asyncio.wait([*working, *ends], timeout=2)
        if not self._stop.is_set():
            code = self.process.exit_code
            how = f"it ended with code {code}" if code is not None else "it closed its output"
            self._see("failed", Problem(how, "It is started again when it is called."))

    def _transport(self, server: Server) -> AbstractAsyncContextManager[Any]:
        if server.transport == "stdio":
            return stdio_transport(lambda: start_server(self.link, server), self.process)
        return self._http(server)

    @contextlib.asynccontextmanager
    async def _http(self, server: Server) -> AsyncIterator[Any]:
        from kimi_agent.mcp.oauth import stored_auth

        auth = await asyncio.to_thread(stored_auth, server, self.link.home, self.link.env)
        async with http_transport(server, auth, self.heard, self.link.env) as streams:
            yield streams

    def refused(self) -> str:
        """What a server over HTTP refused a request for, in words; empty where it was no refusal."""
        if not self.heard.status:
            return ""
        problem = start_problem(self.server, Exception(), self.process, self.heard, self._patience)
        if problem.auth:
            self._refused_with = self._sign_in()
            self._see("needs-auth", problem)
        return f"{problem.text}. {problem.hint}".rstrip(". ")

    def _see(self, status: Status, problem: Problem | None = None) -> None:
        self.status, self.problem = status, problem
        self._changed()

    # --- what it asks for ---------------------------------------------------------------------------------------------

    def _answers(self, server: Server) -> dict[str, Any]:
        from mcp import types

        answers: dict[str, Any] = {}
        if (elicit := self.link.elicit) is not None:
            answers["elicitation_callback"] = lambda context, params: self._asking(elicit, server, params)
        if server.sampling and (sample := self.link.sample) is not None:
            answers["sampling_callback"] = lambda context, params: self._asking(sample, server, params)
            answers["sampling_capabilities"] = types.SamplingCapability()
        return answers

    async def _asking(self, answer: "Elicit | Sample", server: Server, params: Any) -> Any:
        """A question names no call: of several that run, the one that began last is likely to be its reason."""
        self.asking += 1
        try:
            return await answer(server, params, self.callers[-1] if self.callers else "")
        finally:
            self.asking -= 1

    async def _roots(self, context: Any) -> "types.ListRootsResult":
        from mcp import types
        from pydantic import FileUrl

        roots = [types.Root(uri=FileUrl(root.as_uri()), name=root.name) for root in self.link.roots()]
        return types.ListRootsResult(roots=roots)

    # --- what it offers -----------------------------------------------------------------------------------------------

    async def _list_more(self, client: "Client") -> None:
        """Prompts and resources: nobody waits for them, and no failure of theirs matters."""
        for name, look in (("prompts", list_prompts), ("resources", list_resources), ("templates", list_templates)):
            with contextlib.suppress(Exception):
                async with asyncio.timeout(LISTING_S):
                    setattr(self, name, await look(client))
        self._whole.set()
        self._changed()

    async def list_again(self) -> None:
        """After news of a change."""
        client = self.client
        if client is None:
            return
        with contextlib.suppress(Exception):  # what was there before stays
            self.dropped.clear()
            self.tools = await list_tools(client, self.dropped)
        await self._list_more(client)

    async def follow(self, uri: str, changed: Callable[[], None]) -> None:
        """Call `changed` whenever the server says that a resource has, also after it was connected to anew."""
        new = uri not in self.followed
        self.followed[uri] = changed
        if new and self.client is not None and self._news is not None:
            await self._news.subscribe(self.client, uri)

    def _tolerate(self, client: "Client") -> None:
        """Keep a structured result that does not match its tool's schema: the mismatch is told beside it."""
        session: Any = client.session
        strict = session.validate_tool_result

        async def tolerant(name: str, result: Any) -> None:
            try:
                await strict(name, result)
            except RuntimeError as error:
                self.remarks[id(result)] = str(error)

        session.validate_tool_result = tolerant


def _eras(server: Server) -> tuple[str, ...]:
    """How to agree on a revision, in the order of tries. On stdio a probe ends some servers, so the handshake comes first.

    One that is to speak the newer revision is probed, too: without that the SDK does not know what it has.
    """
    if server.protocol != "auto":
        return ("legacy",) if server.protocol == "legacy" else ("auto",)
    return ("legacy", "auto") if server.transport == "stdio" else ("auto",)
