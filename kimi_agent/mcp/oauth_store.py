"""What a sign-in left behind: one file per server in `$KIMI_HOME/mcp-oauth/`, for this person alone (0600 in 0700).

    {"version": 1, "server": name, "resource": address, "issuer": who gave the tokens,
     "tokens": {...}, "obtained": seconds since 1970, "client": {...}, "metadata": {...}, "resource_metadata": {...},
     "wanted": scopes that the server has asked for since}

Several programs of the same person may use it at once: it is replaced whole, and read again when it has changed.
"""

import fcntl
import hashlib
import json
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from kimi_agent.core.errors import ConfigError, KimiError
from kimi_agent.core.whole_file import locked, write_whole
from kimi_agent.mcp.definition import Server

FOLDER = "mcp-oauth"
VERSION = 1
_LARGEST = 1_000_000
_BETWEEN_TRIES = 0.05


def canonical(url: str) -> str:
    """The address as a resource (RFC 8707): scheme and host in lower case, no default port, no fragment."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    usual = {"http": 80, "https": 443}.get(parts.scheme.lower())
    port = f":{parts.port}" if parts.port is not None and parts.port != usual else ""
    return urlunsplit((parts.scheme.lower(), host + port, parts.path, parts.query, ""))


class SignIn:
    """The file of one server. Methods raise ConfigError for a damaged one, which is left as it is, and OSError."""

    def __init__(self, server: Server, home: Path) -> None:
        self.server, self.resource = server.name, canonical(server.url)
        digest = hashlib.sha256(f"{self.server}\n{self.resource}".encode()).hexdigest()
        self.path = home / FOLDER / f"{digest[:32]}.json"

    def stamp(self) -> tuple[int, int, int]:
        """Differs whenever the file was written by anyone. All 0: there is none."""
        try:
            found = self.path.stat()
        except OSError:
            return (0, 0, 0)
        return (found.st_ino, found.st_mtime_ns, found.st_size)

    def read(self) -> dict[str, Any]:
        """Empty where nothing is stored, or what is stored is for another address."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be read: {error.strerror or error}") from None
        with os.fdopen(descriptor, "rb") as file:
            about = os.fstat(descriptor)
            if about.st_mode & (stat.S_IRWXG | stat.S_IRWXO) or about.st_uid != os.geteuid():
                raise ConfigError(f"others may read {self.path}: it is not used", f"Then: chmod 600 {self.path}")
            data = file.read(_LARGEST)
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise ConfigError(f"{self.path} is damaged", f"Sign in again: kimi mcp reset-auth {self.server}")
        return found if found.get("resource") == self.resource else {}

    def update(self, **changes: Any) -> None:
        """Change some of it; None takes a key out."""
        with locked(self._folder() / f"{self.path.stem}.lock"):
            known = {**self.read(), "version": VERSION, "server": self.server, "resource": self.resource, **changes}
            kept = {key: value for key, value in known.items() if value is not None}
            write_whole(self.path, json.dumps(kept, ensure_ascii=False, indent=1))

    def remove(self) -> bool:
        """Whether there was one."""
        if not self.path.parent.exists():
            return False
        with locked(self._folder() / f"{self.path.stem}.lock"):
            try:
                self.path.unlink()
            except FileNotFoundError:
                return False
        return True

    @asynccontextmanager
    async def alone(self, patience: float) -> AsyncIterator[None]:
        """One program at a time spends the refresh token. Raises KimiError after `patience` seconds."""
        async with held(self._folder() / f"{self.path.stem}.refresh", patience, "the refresh of another program"):
            yield

    def _folder(self) -> Path:
        folder = self.path.parent
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if folder.stat().st_mode & 0o077:
            folder.chmod(0o700)
        return folder


@asynccontextmanager
async def held(path: Path, patience: float, what: str) -> AsyncIterator[None]:
    """A lock between programs that nobody blocks on. Raises KimiError when `what` does not end within `patience` seconds."""
    import asyncio

    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        end = asyncio.get_running_loop().time() + patience
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if asyncio.get_running_loop().time() > end:
                    raise KimiError(f"{what} has not ended for {patience:g} s") from None
            await asyncio.sleep(_BETWEEN_TRIES)
        yield
    finally:
        os.close(descriptor)
