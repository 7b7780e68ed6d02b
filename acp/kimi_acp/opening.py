"""Opening sessions as the client wants them: their folder, more folders, servers of their own, the editor's files."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kimi_acp import params as p
from kimi_acp.asking import Asker
from kimi_acp.chat import Chat
from kimi_acp.client import Client
from kimi_acp.memory import recall
from kimi_acp.peer import Peer, RpcError
from kimi_acp.servers import read_servers
from kimi_acp.terminals import EditorTerminals
from kimi_acp.wire import INVALID_PARAMS, NOT_FOUND, Message
from kimi_acp.workspace import EditorFiles
from kimi_agent.agent.late import left_out
from kimi_agent.agent.main_prompt import added_folder
from kimi_agent.core.errors import SessionError
from kimi_agent.core.event import Mode, Titled
from kimi_agent.core.workspace import Workspace
from kimi_agent.trust_question import told_left_out

if TYPE_CHECKING:
    from kimi_agent.agent.agent import Agent
    from kimi_agent.agent.session import Session

PAGE = 50
"""Sessions in one answer of `session/list`."""


class Opening:
    """`mode` is that of every session, `model` what a flag asks for."""

    def __init__(self, peer: Peer, model: str | None) -> None:
        self._peer, self._model = peer, model
        self.mode: Mode = "default"
        self._told: set[str] = set()  # notices, once

    async def open(self, agent: "Agent", session_id: str | None, given: Any) -> Chat:
        """Raises RpcError, and KimiError as `Agent.open` does."""
        client, cwd = Client.of(self._peer.client), p.folder(given.cwd)
        folders = [p.folder(path, "additionalDirectories") for path in given.additional_directories or ()]
        if session_id is not None:
            self._require(agent, session_id)
        asker = Asker(self._peer, client, str(cwd))
        brought, problems = read_servers(given.mcp_servers or ())
        own = agent.make_servers(cwd, brought) if brought else None

        chats: list[Chat] = []

        def around(local: Workspace) -> Workspace:
            terminals = None
            if client.terminals and not client.shows_terminals and _is_boxless(agent):
                began = lambda terminal, argv: chats[0].terminal_began(terminal, argv)  # noqa: E731
                terminals = EditorTerminals(self._peer, lambda: asker.session, began)
            if not (client.reads or client.writes or terminals):
                return local
            running = lambda: asker.running()  # noqa: E731
            return EditorFiles(local, self._peer, client, lambda: asker.session, running, terminals)

        chosen = recall(agent.home, cwd) if session_id is None else {}
        model = self._model or (known if (known := chosen.get("model")) in agent.models else None)
        session = agent.open(
            session_id,
            ask=asker.ask,
            cwd=cwd,
            mode=self.mode,
            model=model,
            around=around,
            servers=_with_shared(own, agent.servers(cwd)),
        )
        if "thinking" in chosen:
            session.thinking = None if chosen["thinking"] == "default" else chosen["thinking"]
        _add_folders(session, folders)
        chat = Chat(self._peer, client, agent, session, asker, own, tuple(map(str, folders)))
        chats.append(chat)
        chat.opened_as = opened_as(given)
        chat.words = [*(text for text in agent.notices if text not in self._told), *problems, *_untrusted(agent, cwd)]
        self._told.update(agent.notices)
        return chat

    def exists(self, agent: "Agent", session_id: str) -> bool:
        """Whether there is a session of exactly this id: the beginning of one is none."""
        try:
            return agent.store.path(session_id).stem == session_id
        except (SessionError, ValueError, OSError):
            return False

    def keep(self, agent: "Agent", session: "Session") -> None:
        """A session that was closed before its first turn has no file yet: it can be taken up again like any other."""
        if self.exists(agent, session.id):
            return
        log = agent.store.create(session.id)
        log.lock()
        for event in session.events():
            log.append(event)
        log.close()

    def rename(self, agent: "Agent", session_id: str, title: str) -> None:
        """Give a saved session a title. Raises RpcError, and SessionError for one that is open elsewhere."""
        self._require(agent, session_id)
        log, _ = agent.store.open(session_id)
        try:
            log.append(Titled(title))
        finally:
            log.close()

    def _require(self, agent: "Agent", session_id: str) -> None:
        if not self.exists(agent, session_id):
            raise RpcError(NOT_FOUND, f"There is no session {session_id[:100]!r}", {"uri": session_id[:100]})

    async def fork(self, agent: "Agent", source: Chat | None, given: p.ResumeSession) -> str:
        """The id of a copy of a session. Raises RpcError, and SessionError while a turn runs."""
        if source is None:
            self._require(agent, given.session_id)
        nobody = Asker(self._peer, Client(), "").ask
        session = source.session if source is not None else agent.open(given.session_id, ask=nobody)
        copy = session.fork()
        await agent.close(copy)
        self.keep(agent, copy)
        if source is None:
            await agent.close(session)
        return copy.id

    async def page(self, agent: "Agent", given: p.ListSessions, chats: Sequence[Chat]) -> Message:
        """Sessions, the newest first; those that were opened and not yet used are among them."""
        start = int(given.cursor) if given.cursor and given.cursor.isdecimal() and len(given.cursor) < 9 else 0
        if given.cursor and not start:
            raise RpcError(INVALID_PARAMS, "Invalid params: the cursor is none of ours")
        cwd = p.absolute(given.cwd).resolve() if given.cwd else None  # it may have been deleted since
        open_now = {chat.session.id: chat for chat in chats}
        saved = await asyncio.to_thread(agent.store.list, cwd)
        found = [_info(s.id, s.cwd, s.title, s.updated, open_now.pop(s.id, None)) for s in saved]
        fresh = [chat for chat in open_now.values() if cwd is None or chat.session.cwd == cwd]
        found = [*(_info(c.session.id, str(c.session.cwd), c.title, None, c) for c in fresh), *found]
        page: Message = {"sessions": found[start : start + PAGE]}
        return page | ({"nextCursor": str(start + PAGE)} if len(found) > start + PAGE else {})


def opened_as(given: Any) -> tuple[Any, ...]:
    """What makes an open session another one than is wanted."""
    return p.folder(given.cwd), list(given.mcp_servers or ()), list(given.additional_directories or ())


def _with_shared(own: Any, shared: Any) -> Any:
    """The servers of a session that has `own`; None: those that sessions of the folder share."""
    if own is None or shared is None:
        return own
    from kimi_agent.mcp.joined import Joined

    return Joined(own, shared)


def _is_boxless(agent: "Agent") -> bool:
    """Whether commands would run in no box anyway: in the editor's terminal they are seen better."""
    return agent.box is None or not agent.box.possible


def _add_folders(session: "Session", folders: Sequence[Path]) -> None:
    workspace = session.workspace
    for folder in folders:
        if folder not in (workspace.root, *workspace.extra_roots):
            workspace.extra_roots = (*workspace.extra_roots, folder)
            session.note(added_folder(folder))


def _untrusted(agent: "Agent", cwd: Path) -> list[str]:
    paths = left_out(agent, cwd)
    return [told_left_out(paths, "`/trust` shows and trusts them")] if paths else []


def _info(session: str, cwd: str, title: str, updated: float | None, chat: Chat | None) -> dict[str, Any]:
    found: dict[str, Any] = {"sessionId": session, "cwd": cwd}
    if title:
        found["title"] = title
    if updated is not None:
        found["updatedAt"] = datetime.fromtimestamp(updated, UTC).isoformat()
    if chat is not None and chat.folders:
        found["additionalDirectories"] = list(chat.folders)
    return found
