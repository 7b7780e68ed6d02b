"""Files as the editor has them: what is not saved yet is read, and what is written it writes itself, once.

Everything else is the local workspace's. Bytes stay what they are: only text in UTF-8 goes over the protocol, and a byte order
mark and line ends are those of the file on disk.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from kimi_acp.client import Client
from kimi_acp.peer import Peer, RpcError
from kimi_agent.core.errors import StaleFileError, WorkspaceError
from kimi_agent.core.workspace import Stat, Workspace

BOM = b"\xef\xbb\xbf"


class EditorFiles:
    """`active`: a prompt of the session is being worked on. Editors know a session no sooner."""

    def __init__(
        self, local: Workspace, peer: Peer, client: Client, session: Callable[[], str], active: Callable[[], bool]
    ) -> None:
        self._local, self._peer, self._client = local, peer, client
        self._session, self._active = session, active
        self._read: dict[Path, bytes] = {}  # what is not saved, as it was read last

    def __getattr__(self, name: str) -> Any:
        return getattr(self._local, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """The folders of a workspace may be changed."""
        if name in ("root", "extra_roots"):
            setattr(self._local, name, value)
        else:
            object.__setattr__(self, name, value)

    async def stat(self, path: Path) -> Stat | None:
        """Of a buffer that is not saved: its size; it is another file than the one on disk."""
        found = await self._local.stat(path)
        unsaved = self._read.get(path)
        if found is None or unsaved is None or found.is_dir:
            return found
        return Stat(len(unsaved), False, f"{found.key}+{hash(unsaved):x}", found.mtime)

    async def read(self, path: Path, limit: int | None = None, offset: int = 0) -> bytes:
        if not (self._client.reads and self._active() and self._local.contains(path)):
            return await self._local.read(path, limit, offset)
        disk = await self._local.read(path)
        data = await self._in_editor(path, disk)
        return data[offset : None if limit is None else offset + limit]

    async def _in_editor(self, path: Path, disk: bytes) -> bytes:
        """The file as the editor has it, in the form that it has on disk."""
        if (saved := _text(disk)) is None:
            return disk
        try:
            answer = await self._peer.request("fs/read_text_file", {"sessionId": self._session(), "path": str(path)})
        except RpcError:  # a file that the editor does not open
            return disk
        text = answer.get("content") if isinstance(answer, dict) else None
        self._read.pop(path, None)
        if not isinstance(text, str) or _plain(text) == _plain(saved):
            return disk
        shown = text.removeprefix("\ufeff")
        if "\r\n" in saved and "\n" not in saved.replace("\r\n", "") and "\r\n" not in shown:
            shown = shown.replace("\n", "\r\n")
        with contextlib.suppress(UnicodeEncodeError):
            data = (BOM if disk.startswith(BOM) else b"") + shown.encode()
            self._read[path] = data
            return data
        return disk

    async def write(self, path: Path, data: bytes, expect: Stat | None) -> Stat:
        text = _text(data)
        if text is None or not (self._client.writes and self._active() and self._local.contains(path)):
            return await self._local.write(path, data, expect)
        now, before = await self._local.stat(path), self._read.get(path)
        if before is not None and now is not None and self._client.reads:  # what the person has typed meanwhile
            if await self._in_editor(path, await self._local.read(path)) != before:
                raise StaleFileError(f"{path} has changed in the editor since it was read. Read it again.")
            now = await self.stat(path)
        if (now.key if now else None) != (expect.key if expect else None):
            raise StaleFileError(f"{path} has changed since it was read. Read it again.")
        if now is not None and _text(await self._local.read(path)) is None:
            return await self._local.write(path, data, now)  # another encoding: the editor would change the rest
        if now is None:
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            params = {"sessionId": self._session(), "path": str(path), "content": text}
            await self._peer.request("fs/write_text_file", params)
        except RpcError as error:
            raise WorkspaceError(f"The editor could not write {path}: {error}") from None
        return await self._written(path, data)

    async def _written(self, path: Path, data: bytes) -> Stat:
        """An editor may keep the change in a buffer that is not saved."""
        self._read.pop(path, None)
        found = await self._local.stat(path)
        if found is None or await self._local.read(path) != data:
            self._read[path] = data
        if found is None:
            return Stat(len(data), False, f"unsaved+{hash(data):x}")
        return cast(Stat, await self.stat(path))


def _text(data: bytes) -> str | None:
    """The text of a file in UTF-8, its byte order mark included; None for any other file."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _plain(text: str) -> str:
    return text.removeprefix("\ufeff").replace("\r\n", "\n")
