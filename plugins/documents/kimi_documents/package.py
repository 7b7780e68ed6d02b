"""Office documents are zip archives of XML: looked through before any library opens them."""

import io
import zipfile
import zlib

from kimi_agent.core.errors import ToolError

MAX_UNPACKED = 512 << 20
"""Bytes of all members together."""
MAX_XML = 128 << 20
"""Bytes of one XML member; in memory it takes ten times as much."""
MAX_RATIO = 200
"""Unpacked to packed size, of members over `FREE` bytes; the XML of large tables has about 20."""
FREE = 8 << 20
MAX_MEMBERS = 20_000

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_CHUNK = 1 << 20


def checked(document: bytes, folder: str) -> io.BytesIO:
    """The document, for a library to open, when it is safe to do so. `folder` is that of its content, such as `word/`.

    Raises ToolError when it is locked, damaged, another kind of document or a bomb, or declares XML entities.
    """
    if document.startswith(_OLE):
        raise ToolError(
            "The document is locked by a password or in the format of before 2007. Ask the user for another."
        )
    try:
        with zipfile.ZipFile(io.BytesIO(document)) as archive:
            members = archive.infolist()
            if not any(member.filename.startswith(folder) for member in members):
                raise ToolError(f"It is another kind of document than its name says: it has no {folder} in it.")
            if len(members) > MAX_MEMBERS:
                raise ToolError(f"It has {len(members):,} parts: too many to be read safely.")
            total = 0
            for member in members:
                total += _look_through(archive, member)
                if total > MAX_UNPACKED:
                    raise ToolError(f"It is over {MAX_UNPACKED >> 20} MB when unpacked: too large to be read safely.")
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError) as error:
        raise ToolError(f"The document is damaged or cut short: {error}.") from None
    return io.BytesIO(document)


def _look_through(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> int:
    """The true size of a member; what the archive says of itself is not believed."""
    xml = member.filename.lower().endswith((".xml", ".rels", ".vml"))
    size, seen = 0, b""
    with archive.open(member) as file:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            if size > FREE and size > MAX_RATIO * member.compress_size:
                raise ToolError(
                    f"Its part {member.filename!r} unpacks to a multiple of its size: a zip bomb, not read."
                )
            if not xml:
                continue
            if size > MAX_XML:
                raise ToolError(
                    f"Its part {member.filename!r} is over {MAX_XML >> 20} MB: too large to be read safely."
                )
            plain = (seen + chunk).replace(b"\0", b"")  # UTF-16 has them
            if b"<!DOCTYPE" in plain or b"<!ENTITY" in plain:
                raise ToolError(f"Its part {member.filename!r} declares XML entities, which no office program writes.")
            seen = chunk[-32:]
    return size
