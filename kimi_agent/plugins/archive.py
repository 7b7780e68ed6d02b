"""Unpacking a stranger's zip: nothing outside the folder, no links, no bombs, no name that another system reads differently."""

import stat
import unicodedata
import zipfile
from pathlib import Path

from kimi_agent.core.errors import ConfigError
from kimi_agent.core.sanitize import plain, visible
from kimi_agent.plugins.content import MAX_BYTES, MAX_DEPTH, MAX_FILES, write_file
from kimi_agent.plugins.manifest import is_device

MAX_RATIO = 200
"""Bytes that one packed byte may become, where a file is larger than `_SMALL`."""
_SMALL = 1 << 20
_CHUNK = 1 << 16


def unpack(archive: Path, target: Path) -> None:
    """Unpack into the new folder `target`. Raises ConfigError for an archive that cannot be read or is not to be trusted.

    Sizes are counted while they are read: what the archive says about itself proves nothing.
    """
    target.mkdir(parents=True)
    try:
        with zipfile.ZipFile(archive) as opened:
            files = _files(opened)
            room = MAX_BYTES
            for path, info in files.items():
                data = _read(opened, info, room)
                room -= len(data)
                place = target / path
                place.parent.mkdir(parents=True, exist_ok=True)
                write_file(place, data, executable=bool(info.external_attr >> 16 & 0o100))
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, ValueError) as error:
        raise ConfigError(f"the archive cannot be read: {plain(str(error))[:200]}") from None
    except zipfile.zlib.error as error:  # type: ignore[attr-defined]
        raise ConfigError(f"the archive is damaged: {error}") from None


def _files(opened: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The files by their paths; folders are made as they are needed."""
    entries = opened.infolist()
    if len(entries) > MAX_FILES:
        raise ConfigError(f"the archive holds over {MAX_FILES:,} entries")
    files: dict[str, zipfile.ZipInfo] = {}
    folded: dict[str, str] = {}
    folders: set[str] = set()
    for info in entries:
        path = _safe(info)
        key = _fold(path)
        parents = [_fold("/".join(path.split("/")[:n])) for n in range(1, path.count("/") + 1)]
        if info.is_dir():
            folders.update((*parents, key))
            continue
        if key in folded:
            raise ConfigError(f"the archive holds {_shown(path)} twice (as {_shown(folded[key])})")
        folded[key] = path
        folders.update(parents)
        files[path] = info
    if len(files) + len(folders) > MAX_FILES:
        raise ConfigError(f"the archive holds over {MAX_FILES:,} files and folders")
    if clash := folders & folded.keys():
        raise ConfigError(f"the archive holds {_shown(min(clash))} as a file and as a folder")
    return files


def _safe(info: zipfile.ZipInfo) -> str:
    """The path of an entry without a slash at its end. Raises ConfigError for one that is not to be unpacked."""
    name, kind = info.orig_filename, stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        what = "a link" if kind == stat.S_IFLNK else "neither a file nor a folder"
        raise ConfigError(f"the archive is refused: {_shown(name)} is {what}")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others ask for gigabytes of memory
        raise ConfigError(f"the archive is refused: {_shown(name)} is packed in an unusual way", "Use deflate.")
    if info.flag_bits & 0x1:
        raise ConfigError(f"the archive is refused: {_shown(name)} is encrypted")
    steps = name.removesuffix("/").split("/")
    bad = any(step in ("", ".", "..") or step.endswith((".", " ")) or is_device(step) for step in steps)
    if (
        bad
        or any(char in '\\:<>"|?*' or ord(char) < 32 for char in name)
        or len(name) > 500
        or len(steps) > MAX_DEPTH
        or any(len(step.encode("utf-8", "replace")) > 255 for step in steps)
    ):
        raise ConfigError(f"the archive is refused: {_shown(name)} is no safe path")
    return "/".join(steps)


def _read(opened: zipfile.ZipFile, info: zipfile.ZipInfo, room: int) -> bytes:
    """The content of an entry. Raises ConfigError when it is larger than `room`, or grows too much."""
    pieces, size = [], 0
    with opened.open(info) as packed:
        while piece := packed.read(_CHUNK):
            pieces.append(piece)
            size += len(piece)
            if size > room:
                raise ConfigError(f"the archive is refused: it unpacks to over {MAX_BYTES >> 20} MB")
            if size > _SMALL and size > MAX_RATIO * max(1, info.compress_size):
                raise ConfigError(f"the archive is refused: {_shown(info.orig_filename)} grows without measure")
    return b"".join(pieces)


def _fold(path: str) -> str:
    """What a file system that knows no case, and composes accents, takes the path for."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def _shown(name: str) -> str:
    return repr(visible(plain(name))[:120])
