"""Pictures for the prompt: out of the clipboard, or files that were dropped on the window, which terminals paste as paths."""

import os
import re
import secrets
import shlex
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from kimi_agent.core.provider import Model
from kimi_agent.frontends.common.clipboard_reader import ClipboardError
from kimi_agent.frontends.common.files import mention_of
from kimi_agent.frontends.common.pastes import Pastes

FOLDER = "prompt-images"
"""In the agent's home."""
KEPT_S = 30 * 86_400.0
"""Pictures of the clipboard are kept for so long: the conversation has its own copy, the history names the file."""
MAX_DROPPED = 20
"""Files; what is longer is text."""
_MAX_CHARACTERS = 8000
_PATH = re.compile(r"""["']?(?:/|~/|file://)""")
_COMMAND = re.compile(r"\s*[/!]")
_NO_PICTURE = "The clipboard holds a picture that cannot be read"


def blind(model: Model) -> bool:
    """Whether it is known that a model cannot see."""
    return bool(model.capabilities) and "image_in" not in model.capabilities


def store_picture(data: bytes, home: Path) -> Path:
    """Keep a picture of the clipboard, readable by its owner alone. Raises ClipboardError."""
    kind = _kind(data)
    folder = home / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _forget_old(folder)
        path = folder / f"clipboard-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}.{kind}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
    except OSError as error:
        raise ClipboardError(f"The picture cannot be kept: {error.strerror}: {folder}") from None
    return path


def attach_stored(path: Path, pastes: Pastes) -> str:
    """The placeholder of a picture that `store_picture` kept."""
    return pastes.attach_picture(f"clipboard{path.suffix}", str(path), picture_size(path) or (0, 0))


def _kind(data: bytes) -> str:
    import io

    from PIL import Image as Pillow

    try:
        with Pillow.open(io.BytesIO(data)) as picture:
            return (picture.format or "png").lower()
    except Exception:  # damaged pictures raise anything in Pillow
        raise ClipboardError(_NO_PICTURE) from None


def picture_size(path: Path) -> tuple[int, int] | None:
    """Width and height; None for what is no picture."""
    from PIL import Image as Pillow

    try:
        with Pillow.open(path) as picture:
            return picture.size
    except Exception:  # as above
        return None


def _forget_old(folder: Path) -> None:
    oldest = time.time() - KEPT_S
    for path in folder.iterdir():
        with suppress(OSError):
            if path.stat().st_mtime < oldest:
                path.unlink()


# --- dropped files ------------------------------------------------------------------------------------------------------


def dropped(text: str, before: str, root: Path, pastes: Pastes) -> str | None:
    """What stands in the prompt for a paste that names files and nothing else; None for any other text.

    `before` is what stands before the cursor: a word that the path goes on with, or a command, takes it as it is.
    """
    if (before and not before[-1].isspace()) or _COMMAND.match(before):
        return None
    paths = dropped_files(text)
    named = [_named(path, root, pastes) for path in paths]
    return " ".join(named) + " " if named else None


def _named(path: Path, root: Path, pastes: Pastes) -> str:
    if (size := picture_size(path)) is not None:
        return pastes.attach_picture(path.name, str(path), size)
    return mention_of(str(path.relative_to(root) if path.is_relative_to(root) else path))


def dropped_files(text: str) -> list[Path]:
    """The files that a pasted text names: absolute paths, quoted or escaped as for a shell, or `file://`. Else none."""
    text = text.strip()
    if len(text) > _MAX_CHARACTERS or not _PATH.match(text):
        return []
    lines = text.splitlines()
    for words in (lines, _shell_words(text)):
        paths = [_path(word.strip()) for word in words]
        if 0 < len(paths) <= MAX_DROPPED and all(map(_is_file, paths)):
            return paths
    return []


def _shell_words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return []


def _path(word: str) -> Path:
    if word.startswith("file://"):
        return Path(unquote(urlsplit(word).path))
    return Path(word).expanduser() if word.startswith("~/") else Path(word)


def _is_file(path: Path) -> bool:
    """Whether a prompt can mention it: its name must not end the quotes."""
    try:
        return path.is_absolute() and path.is_file() and not re.search(r'["\n]', str(path))
    except (OSError, ValueError):
        return False
