"""What the server does: lists its tools, and makes a job of every call."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kimi_agent import __version__
from kimi_agent.agent.outside import call_outside
from kimi_agent.commands import refusal
from kimi_agent.core.ask import Answer, Deny, Permission, Question
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import KimiError, SessionError, ToolError
from kimi_agent.core.event import Mode, SessionStarted
from kimi_agent.core.gate import Verdict
from kimi_agent.core.message import Image, Text, ToolCall
from kimi_agent.core.schema import validate
from kimi_agent.frontends.mcp_server.jobs import Job, Jobs
from kimi_agent.frontends.mcp_server.questions import unanswerable, way_to_allow
from kimi_agent.frontends.mcp_server.task import Task
from kimi_agent.frontends.mcp_server.tools import INSTRUCTIONS, PARAMS, Looking, RunTask, as_call, definitions

if TYPE_CHECKING:
    import mcp_types as types
    from mcp.server.context import ServerRequestContext
    from mcp.server.lowlevel.server import Server

    from kimi_agent.agent.agent import Agent
    from kimi_agent.agent.session import Session


class Service:
    """`roots` are the folders that clients may name, the first of them where work begins. `mode` holds for every session.

    `model` is for sessions that are gone on with, None for their own.
    """

    def __init__(self, agent: "Agent", roots: Sequence[Path], mode: Mode, model: str | None) -> None:
        self._agent, self._roots, self._mode, self._model = agent, roots, mode, model
        self._jobs = Jobs()
        self._at_work: set[str] = set()  # sessions whose turn runs
        self._looker: Session | None = None  # reads for clients; it has no turns, so no file either

    def server(self) -> "Server":
        from mcp.server.lowlevel.server import Server

        return Server(
            "kimi",
            version=__version__,
            title="kimi, a coding agent",
            instructions=INSTRUCTIONS,
            on_list_tools=self._list,
            on_call_tool=self._call,
        )

    async def aclose(self) -> None:
        await self._jobs.aclose()

    async def _list(self, ctx: "ServerRequestContext[Any, Any]", params: Any) -> "types.ListToolsResult":
        import mcp_types as types

        return types.ListToolsResult(tools=definitions(self._agent.offers))

    async def _call(
        self, ctx: "ServerRequestContext[Any, Any]", params: "types.CallToolRequestParams"
    ) -> "types.CallToolResult | types.InputRequiredResult":
        import mcp_types as types
        from mcp import MCPError

        if params.name not in {tool.name for tool in definitions(self._agent.offers)}:
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name[:60]!r}. There are: {', '.join(PARAMS)}.")
        try:
            given = validate(PARAMS[params.name], params.arguments or {})
        except ToolError as error:
            return failure(f"{params.name}: {error}")
        work = partial(self._run_task, given) if isinstance(given, RunTask) else partial(self._look, given)
        try:
            return await self._jobs.serve(ctx, params, work)
        except KimiError as error:
            return failure(error.full)

    # --- run_task -----------------------------------------------------------------------------------------------------

    async def _run_task(self, given: RunTask, job: Job) -> "types.CallToolResult":
        if not given.prompt.strip():
            raise ToolError("`prompt` is empty.")
        task = Task(job)
        session = self._open(given, task)
        try:
            if reason := refusal(given.prompt, session):
                raise ToolError(f"{reason}. A prompt that begins with a slash: put a space before it.")
            return await task.run(session, given.prompt)
        finally:
            try:
                await self._agent.close(session)
            finally:
                self._at_work.discard(session.id)

    def _open(self, given: RunTask, task: Task) -> "Session":
        """Raises ToolError for a folder, and SessionError for a session, that is not for clients."""
        cwd = self._folder(given.cwd) if given.cwd else None
        if not given.session_id:
            session = self._agent.open(ask=task.ask, cwd=cwd or self._roots[0], mode=self._mode)
        else:
            self._check_session(given.session_id)
            session = self._agent.open(given.session_id, ask=task.ask, cwd=cwd, mode=self._mode, model=self._model)
        self._at_work.add(session.id)
        return session

    def _folder(self, name: str) -> Path:
        try:
            folder = Path(self._roots[0], name).resolve(strict=True)
        except (OSError, RuntimeError, ValueError):
            raise ToolError(f"`cwd`: there is no folder {name!r}.") from None
        if not folder.is_dir() or not self._is_inside(folder):
            allowed = ", ".join(map(str, self._roots))
            raise ToolError(f"`cwd`: {name!r} is no folder that this server works in. It works in: {allowed}.")
        return folder

    def _check_session(self, session_id: str) -> None:
        """A client goes on with sessions of these folders alone, which it has to know the whole id of."""
        if session_id in self._at_work:
            hint = "Wait for its end, or cancel it."
            raise SessionError(f"a turn is running in session {session_id!r}", hint)
        store = self._agent.store
        try:
            path = store.path(session_id)
            started = next(iter(store.read(path.stem)), None)
        except SessionError:
            path, started = Path(), None
        known = isinstance(started, SessionStarted) and self._is_inside(Path(started.cwd).resolve())
        if path.stem != session_id or not known:
            raise SessionError(f"there is no session {session_id!r} for this server")

    def _is_inside(self, path: Path) -> bool:
        return any(path.is_relative_to(root) for root in self._roots)

    # --- looking ------------------------------------------------------------------------------------------------------

    async def _look(self, given: Looking, job: Job) -> "types.CallToolResult":
        import mcp_types as types

        if self._looker is None:
            self._looker = self._agent.open(ask=nobody, cwd=self._roots[0], mode=self._mode)

        async def ask(question: Question) -> Answer:
            answer = await job.ask(question)
            if isinstance(question, Permission) and answer == unanswerable(question):
                return Deny(way_to_allow(question))
            return answer

        name, arguments = as_call(given)
        result = await call_outside(self._looker, name, arguments, ask, self._only_inside)
        content: list[types.ContentBlock] = []
        for part in result.content:
            match part:
                case Text(text):
                    content.append(types.TextContent(text=text))
                case Image(data, media_type):
                    content.append(types.ImageContent(data=data, mime_type=media_type))
        return types.CallToolResult(content=content, is_error=result.is_error)

    async def _only_inside(self, call: ToolCall, effects: Sequence[Effect]) -> Verdict | None:
        """A gate: the agent may look elsewhere when a task needs it, a client that is none may not."""
        outside = next((effect.target for effect in effects if not self._is_inside(Path(effect.target))), None)
        if outside is None:
            return None
        return Deny(f"{outside} lies outside of the folders of this server: {', '.join(map(str, self._roots))}.")


async def nobody(question: Question) -> Answer:
    return unanswerable(question)


def failure(text: str) -> "types.CallToolResult":
    import mcp_types as types

    return types.CallToolResult(content=[types.TextContent(text=text)], is_error=True)
