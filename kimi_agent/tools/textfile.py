"""Bytes of a file as text, and back to the very same bytes."""

import codecs
import re

from msgspec import Struct

from kimi_agent.core.errors import ToolError

HEAD = 8192
"""Bytes from which a file's kind is told."""

_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16: its mark begins with UTF-16's
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_KINDS = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"%PDF-", "a PDF document"),
    (b"PK\x03\x04", "a zip archive or office document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"\x7fELF", "a compiled program"),
    (b"\xcf\xfa\xed\xfe", "a compiled program"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"OggS", "an Ogg recording"),
    (b"ID3", "an MP3 recording"),
    (b"fLaC", "a FLAC recording"),
    (b"\x1a\x45\xdf\xa3", "a video"),
)
_CONTROLS = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f]")
_ESCAPED = re.compile("[\udc80-\udcff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_HANZI = re.compile(rb"[\xa1-\xa9\xb0-\xf7][\xa1-\xfe]")
_HANZI_TOGETHER = re.compile(rb"(?:[\xa1-\xa9\xb0-\xf7][\xa1-\xfe]){2}")
_NON_ASCII = re.compile("[^\0-\x7f]")
_LINE_END = re.compile(r"\r?\n")


def kind_of(head: bytes) -> str:
    """What a file that begins with `head` is, with its article; empty for text."""
    if b"\0" in head:
        if head.startswith(b"BM"):
            return "a BMP image"
        if head.startswith(b"RIFF"):
            return {b"WEBP": "a WebP image", b"WAVE": "a WAV recording"}.get(head[8:12], "a video")
        if head[4:8] == b"ftyp":
            return "an AVIF or HEIC image" if head[8:11] in (b"avi", b"hei", b"mif") else "a video"
    for magic, kind in _KINDS:  # a text may begin with `ID3` or `BZh`
        if head.startswith(magic) and (b"\0" in head or magic[0] > 0x7E or magic == b"%PDF-"):
            return kind
    if any(head.startswith(bom) for bom, _ in _BOMS):
        return ""
    if b"\0" in head or len(_CONTROLS.findall(head)) * 10 > len(head):
        return "a binary file"
    return ""


class Encoding(Struct, frozen=True):
    """How text and bytes correspond. `errors` is `surrogateescape` for UTF-8 with stray bytes: they stay as they are."""

    codec: str
    bom: bytes = b""
    errors: str = "strict"

    @property
    def label(self) -> str:
        """For people; empty for plain UTF-8."""
        if self.errors != "strict":
            return "UTF-8 with invalid bytes"
        if self.codec == "utf-8":
            return "UTF-8 with BOM" if self.bom else ""
        return self.codec.upper() if self.bom else f"not UTF-8, read as {self.codec}"

    def encode_new(self, text: str) -> bytes:
        """Text that is about to be added. Raises ToolError for a character that the file's encoding does not have."""
        try:
            return text.encode(self.codec)
        except UnicodeEncodeError as error:
            character = text[error.start]
            if "\ud800" <= character <= "\udfff":
                raise ToolError("The new text contains half of a character (a lone surrogate).") from None
            raise ToolError(
                f"The file is not UTF-8 but {self.codec}, which has no {character!r} (U+{ord(character):04X}). Write "
                "the text without it, or convert the file first (for example with iconv in Shell)."
            ) from None


def encoding_of(data: bytes, *, whole: bool = True) -> Encoding:
    """The encoding of a text file; with `whole` False `data` is only its head."""
    for bom, codec in _BOMS:
        if data.startswith(bom):
            return Encoding(codec, bom)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data, final=whole)
        return Encoding("utf-8")
    except UnicodeDecodeError:
        pass
    text = data.decode("utf-8", "surrogateescape")
    if len(_NON_ASCII.findall(text)) > 2 * len(_ESCAPED.findall(text)):  # more characters than stray bytes
        return Encoding("utf-8", errors="surrogateescape")
    if _is_chinese(data, whole):
        return Encoding("gb18030")
    try:
        data.decode("cp1252")
        return Encoding("cp1252")
    except UnicodeDecodeError:
        return Encoding("latin-1")


def _is_chinese(data: bytes, whole: bool) -> bool:
    """Whether it is GBK: nearly all beyond ASCII are common Chinese characters, some of them side by side.

    Western text has its accents one by one. A text that would not come back byte for byte is refused.
    """
    if not _HANZI_TOGETHER.search(data):
        return False
    try:
        text = codecs.getincrementaldecoder("gb18030")().decode(data, final=whole)
    except UnicodeDecodeError:
        return False
    if len(_HANZI.findall(data)) < 0.9 * len(_NON_ASCII.findall(text)):
        return False
    return not whole or text.encode("gb18030") == data


class TextFile(Struct, frozen=True):
    """A whole file. `encode` of an unchanged `text` gives the bytes that it was decoded from."""

    text: str
    encoding: Encoding

    def encode(self, text: str) -> bytes:
        encoding = self.encoding
        return encoding.bom + text.encode(encoding.codec, encoding.errors)


def decode(data: bytes, shown: str) -> TextFile:
    """Raises ToolError, which calls the file `shown`, for what is not text."""
    if kind := kind_of(data[:HEAD]):
        raise ToolError(f"{shown} is {kind}, not text.")
    encoding = encoding_of(data)
    try:
        return TextFile(data[len(encoding.bom) :].decode(encoding.codec, encoding.errors), encoding)
    except UnicodeDecodeError:
        raise ToolError(f"{shown} begins like {encoding.codec.upper()} text but is damaged or binary.") from None


def presentable(text: str) -> str:
    """Without the marks of invalid bytes, which no JSON can carry."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def main_line_end(text: str) -> str:
    """The line end that most lines have; "\\n" when in doubt."""
    return "\r\n" if text.count("\r\n") * 2 > text.count("\n") else "\n"


def line_end_near(text: str, position: int) -> str:
    """The line end of the line at `position`, or of the one before where the file ends without one."""
    if found := _LINE_END.search(text, position):
        return found.group()
    last = text.rfind("\n", 0, position)
    return "\r\n" if last > 0 and text[last - 1] == "\r" else "\n"


def with_line_ends(text: str, line_end: str) -> str:
    text = text.replace("\r\n", "\n")
    return text if line_end == "\n" else text.replace("\n", line_end)
