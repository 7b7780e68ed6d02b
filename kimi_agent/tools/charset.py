"""Text of a page in whatever encoding it came, read as browsers read it (WHATWG's Encoding Standard)."""

import codecs
import re

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_HEADER = re.compile(r"charset=[\"']?([^\s\"';]+)", re.IGNORECASE)
_META = re.compile(rb"<meta[^>]{0,200}charset=[\"']?([A-Za-z0-9_:.-]{1,40})", re.IGNORECASE)
_XML = re.compile(rb"<\?xml[^>]{0,100}encoding=[\"']([A-Za-z0-9_:.-]{1,40})")

# Pages declare the older and smaller set and use the larger one.
_LARGER = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "hz": "gb18030",
    "big5": "big5hkscs",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "johab": "cp949",
    "iso8859-1": "cp1252",
    "ascii": "cp1252",
    "iso8859-9": "cp1254",
    "tis-620": "cp874",
    "utf-16": "utf-16-le",
    "utf-8-sig": "utf-8",
}
_NO_ENCODINGS_OF_PAGES = frozenset(["punycode", "idna", "undefined", "unicode-escape", "raw-unicode-escape", "utf-7"])
"""Codecs that Python has for other ends; some take time that grows with the square of the text."""


def page_text(body: bytes, content_type: str) -> str:
    """By byte order mark, Content-Type, the page's own declaration; else UTF-8 where it is that, else Windows-1252."""
    for mark, name in _MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(name, "replace")
    if name := _known(_declared(body, content_type)):
        return body.decode(name, "replace")
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(body)  # the end may be cut inside a character
    except UnicodeDecodeError:
        return body.decode("utf-8" if _mostly_utf8(body) else "cp1252", "replace")


def _declared(body: bytes, content_type: str) -> str:
    if header := _HEADER.search(content_type):
        return header[1]
    found = (_META.search(body[:2048]) if "html" in content_type.lower() else None) or _XML.match(body.lstrip()[:200])
    return found[1].decode("ascii") if found else ""


def _known(label: str) -> str:
    """The codec for a declared name; empty when there is none for it."""
    label = {"x-sjis": "shift_jis", "x-gbk": "gbk", "windows-31j": "cp932", "x-euc-jp": "euc_jp"}.get(
        label.lower(), label
    )
    try:
        name = codecs.lookup(label).name
        "".encode(name)  # raises LookupError for a codec that is not one of texts
    except (LookupError, ValueError):
        return ""
    return "" if name in _NO_ENCODINGS_OF_PAGES else _LARGER.get(name, name)


def _mostly_utf8(body: bytes) -> bool:
    text = body.decode("utf-8", "surrogateescape")
    stray = sum("\udc80" <= char <= "\udcff" for char in text)
    return stray * 2 < sum(char >= "\x80" for char in text)
