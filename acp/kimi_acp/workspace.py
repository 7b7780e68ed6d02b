"""Files as the editor has them: what is not saved yet is read, and what is written it writes itself, once.

Everything else is the local workspace's. Bytes stay what they are: only text in UTF-8 goes over the protocol, and a byte order
mark and line ends are those of the file on disk.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from kimi_acp.client import Client
from kimi_acp.peer import Peer, RpcError
from kimi_acp.terminals import EditorTerminals
from kimi_agent.core.errors import StaleFileError, WorkspaceError
from kimi_agent.core.workspace import Exit, Stat, Workspace

BOM = b"\xef\xbb\xbf"
LARGEST = 8 * 1024 * 1024
"""Bytes of a file that the editor is asked for."""


class EditorFiles:
    """`active`: a prompt of the session is being worked on. Editors know a session no sooner.

    `terminals` run commands, None where they run in our box.
    """

    def __init__(
        self,
        local: Workspace,
        peer: Peer,
        client: Client,
        session: Callable[[], str],
        active: Callable[[], bool],
        terminals: EditorTerminals | None = None,
    ) -> None:
        self._terminals = terminals
        self._local, self._peer, self._client = local, peer, client
        self._session, self._active = session, active
        self._seen: dict[Path, bytes] = {}  # what was read last, or written, through the editor
        self._unsaved: dict[Path, bytes] = {}  # those of them that the disk has otherwise
        self._whole: tuple[Path, str, bytes] | None = None  # what was read last, and of which state on disk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._local, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """The folders of a workspace may be changed."""
        if name in ("root", "extra_roots"):
            setattr(self._local, name, value)
        else:
            object.__setattr__(self, name, value)

    async def stat(self, path: Path) -> Stat | None:
        """That of the file on disk: what the person types is looked at before a write."""
        found, unsaved = await self._local.stat(path), self._unsaved.get(path)
        if unsaved is None or (found is not None and found.is_dir):
            return found
        return Stat(len(unsaved), False, found.key if found else "unsaved", found.mtime if found else 0.0)

    async def read(self, path: Path, limit: int | None = None, offset: int = 0) -> bytes:
        found = await self.stat(path) if self._asks(path) else None
        if found is None or found.is_dir or found.size > LARGEST:
            return await self._local.read(path, limit, offset)
        if not (offset and self._whole is not None and self._whole[:2] == (path, found.key)):  # else: it is read on
            self._whole = (path, found.key, await self._in_editor(path))
            self._seen[path] = self._whole[2]
        return self._whole[2][offset : None if limit is None else offset + limit]

    def _asks(self, path: Path) -> bool:
        return self._client.reads and self._active() and self._local.contains(path)

    async def _in_editor(self, path: Path) -> bytes:
        """The file as the editor has it, in the form that it has on disk."""
        disk = await self._local.read(path) if await self._local.stat(path) is not None else b""
        if (saved := _text(disk)) is None:
            return disk
        try:
            answer = await self._peer.request("fs/read_text_file", {"sessionId": self._session(), "path": str(path)})
        except RpcError:  # a file that the editor does not open
            return disk
        text = answer.get("content") if isinstance(answer, dict) else None
        self._unsaved.pop(path, None)
        if not isinstance(text, str) or _plain(text) == _plain(saved):
            return disk
        shown = text.removeprefix("\ufeff")
        if "\r\n" in saved and "\n" not in saved.replace("\r\n", "") and "\r\n" not in shown:
            shown = shown.replace("\n", "\r\n")
        with contextlib.suppress(UnicodeEncodeError):
            data = (BOM if disk.startswith(BOM) else b"") + shown.encode()
            self._unsaved[path] = data
            return data
        return disk

    async def write(self, path: Path, data: bytes, expect: Stat | None) -> Stat:
        text = _text(data)
        if text is None or not (self._client.writes and self._active() and self._local.contains(path)):
            return await self._local.write(path, data, expect)
        if (seen := self._seen.get(path)) is not None and self._client.reads and await self._in_editor(path) != seen:
            raise StaleFileError(f"{path} has changed in the editor since it was read. Read it again.")
        now = await self.stat(path)
        if (now.key if now else None) != (expect.key if expect else None):
            raise StaleFileError(f"{path} has changed since it was read. Read it again.")
        on_disk = await self._local.read(path) if await self._local.stat(path) is not None else b""
        if _text(on_disk) is None:  # another encoding: the editor would change the rest
            return await self._local.write(path, data, expect)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            params = {"sessionId": self._session(), "path": str(path), "content": text}
            await self._peer.request("fs/write_text_file", params)
        except (RpcError, OSError) as error:
            raise WorkspaceError(f"The editor could not write {path}: {error}") from None
        return await self._written(path, data)

    async def _written(self, path: Path, data: bytes) -> Stat:
        """An editor may keep the change in a buffer that is not saved."""
        self._seen[path], self._whole = data, None
        self._unsaved.pop(path, None)
        if await self._local.stat(path) is None or await self._local.read(path) != data:
            self._unsaved[path] = data
        return cast(Stat, await self.stat(path))

    async def run(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        timeout: float,
        on_output: Callable[[bytes], None],
        **more: Any,
    ) -> Exit:
        """A person's commands, as the Shell tool marks them, are worth a terminal; what other tools run is not seen."""
        if self._terminals is None or any(more.values()) or not (self._active() and "_KIMI_CWD" in env):
            return await self._local.run(argv, cwd=cwd, env=env, timeout=timeout, on_output=on_output, **more)
        return await self._terminals.run(argv, cwd, env, timeout, on_output)


def _text(data: bytes) -> str | None:
    """The text of a file in UTF-8, its byte order mark included; None for any other file."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _plain(text: str) -> str:
    return text.removeprefix("\ufeff").replace("\r\n", "\n")
