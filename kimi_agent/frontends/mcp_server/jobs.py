"""Calls of clients on their way. A job outlives the request it came with: of a client of 2026-07-28 a question ends the request,
and the answer comes with the next one."""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import Struct

from kimi_agent.core.ask import Answer, Question
from kimi_agent.frontends.mcp_server.questions import MAX_MESSAGE, TOO_LONG, Form, answer_of, form_of, unanswerable

if TYPE_CHECKING:
    import mcp_types as types
    from mcp.server.context import ServerRequestContext

MAX_JOBS = 16
"""Calls at the same time: what comes beyond is refused."""
PATIENCE = 600.0
"""Seconds that a question waits for the request that brings its answer; then the job is ended."""
QUESTION = "question"


class Peer:
    """The client of one request: what it can be told and asked."""

    def __init__(self, ctx: "ServerRequestContext[Any, Any]") -> None:
        self._session, self._request = ctx.session, ctx.request_id
        capabilities = ctx.session.client_capabilities
        can = capabilities.elicitation if capabilities is not None else None
        self.shows_forms = can is not None and (can.form is not None or can.url is None)
        """A client that declares elicitation and no kind of it means forms."""
        self.takes_requests = ctx.session.can_send_request

    async def tell(self, number: int, line: str) -> None:
        await self._session.report_progress(number, message=line)

    async def ask(self, question: Question, form: Form) -> Answer:
        from mcp import MCPError
        from pydantic import ValidationError

        try:
            result = await self._session.elicit_form(form.message, form.schema, related_request_id=self._request)
        except (MCPError, ValidationError):
            return unanswerable(question)
        return answer_of(question, result.action, result.content)


class _Asked(Struct):
    question: Question
    form: Form
    answer: asyncio.Future[Answer]


Work: TypeAlias = Callable[["Job"], Awaitable["types.CallToolResult"]]


class Job:
    """One call. `work` runs in a task of its own, tells by `say` and asks by `ask`; `attend` serves a request from it."""

    def __init__(self, work: Work) -> None:
        self._peer: Peer | None = None
        self._said = 0
        self._news: asyncio.Queue[str | _Asked | None] = asyncio.Queue()
        self._asked: _Asked | None = None
        self.task = asyncio.ensure_future(self._run(work))
        self.task.add_done_callback(lambda _: self._news.put_nowait(None))

    async def _run(self, work: Work) -> "types.CallToolResult":
        return await work(self)

    def say(self, line: str) -> None:
        self._news.put_nowait(line)

    async def ask(self, question: Question) -> Answer:
        """Get a question answered by the client, or by nobody: an MCP server of the agent may ask when the job is done."""
        peer, form = self._peer, form_of(question)
        if peer is None or not peer.shows_forms or self.task.done():
            return unanswerable(question)
        if len(form.message) > MAX_MESSAGE:
            return unanswerable(question, TOO_LONG)
        if peer.takes_requests:
            return await peer.ask(question, form)
        asked = _Asked(question, form, asyncio.get_running_loop().create_future())
        self._news.put_nowait(asked)
        return await asked.answer

    async def attend(self, peer: Peer) -> "types.CallToolResult | Form":
        """Pass on what is said until the end, or a question that this request cannot carry. Raises what `work` raised."""
        self._peer = peer
        while (news := await self._news.get()) is not None:
            if isinstance(news, _Asked):
                self._asked = news
                return news.form
            self._said += 1
            await peer.tell(self._said, news)
        return self.task.result()

    def answer(self, action: str, content: Mapping[str, Any] | None) -> None:
        asked, self._asked = self._asked, None
        if asked is not None and not asked.answer.done():
            asked.answer.set_result(answer_of(asked.question, action, content))


class Jobs:
    """All jobs of the server. `serve` is what a request becomes."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._all: set[Job] = set()
        self._waiting: dict[str, tuple[Job, asyncio.TimerHandle]] = {}

    async def serve(
        self, ctx: "ServerRequestContext[Any, Any]", params: "types.CallToolRequestParams", work: Work
    ) -> "types.CallToolResult | types.InputRequiredResult":
        """Begin a job, or go on with the one that waits for what this request brings. Cancelled, it ends the job.

        Raises MCPError when nothing waits for it, or when too many jobs run.
        """
        job = self._taken_up(params) if params.request_state is not None else self._begin(work)
        try:
            result = await job.attend(Peer(ctx))
        except asyncio.CancelledError:
            job.task.cancel()
            raise
        return self._until_answered(job, result) if isinstance(result, Form) else result

    def _begin(self, work: Work) -> Job:
        if len(self._all) >= MAX_JOBS:
            from mcp import MCPError

            raise MCPError(-32000, f"{MAX_JOBS} calls run already: wait for one to end.")
        job = Job(work)
        self._all.add(job)
        job.task.add_done_callback(lambda _: self._all.discard(job))
        return job

    def _taken_up(self, params: "types.CallToolRequestParams") -> Job:
        import mcp_types as types
        from mcp import MCPError

        waiting = self._waiting.pop(params.request_state or "", None)
        if waiting is None:
            raise MCPError(types.INVALID_PARAMS, "Nothing waits for this answer any more.")
        job, timer = waiting
        timer.cancel()
        given = (params.input_responses or {}).get(QUESTION)
        if isinstance(given, types.ElicitResult):
            job.answer(given.action, given.content)
        else:
            job.answer("cancel", None)
        return job

    def _until_answered(self, job: Job, form: Form) -> "types.InputRequiredResult":
        import mcp_types as types

        state = secrets.token_urlsafe(32)
        timer = asyncio.get_running_loop().call_later(self._patience, self._give_up, state)
        self._waiting[state] = (job, timer)
        asked = types.ElicitRequestFormParams(message=form.message, requested_schema=form.schema)
        return types.InputRequiredResult(
            input_requests={QUESTION: types.ElicitRequest(params=asked)}, request_state=state
        )

    def _give_up(self, state: str) -> None:
        job, _ = self._waiting.pop(state)
        job.task.cancel()

    async def aclose(self) -> None:
        """End all jobs, with the processes that they have started."""
        for _, timer in self._waiting.values():
            timer.cancel()
        tasks = [job.task for job in self._all]
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
