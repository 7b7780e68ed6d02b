import time

import pytest

from kimi_agent.tools.charset import page_text

ZH, HTML = "中文内容镕測試", "text/html"


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("text/plain; charset=gb2312", ZH.encode("gbk"), ZH),
        ("text/plain; charset=GBK", "𠀀€".encode("gb18030"), "𠀀€"),
        ("text/plain; charset=Shift_JIS", "日本語①髙".encode("cp932"), "日本語①髙"),
        ("text/plain; charset=x-sjis", "①".encode("cp932"), "①"),
        ("text/plain; charset=euc-kr", "똠방".encode("cp949"), "똠방"),
        ("text/plain; charset=big5", "著名".encode("big5"), "著名"),
        ("text/plain; charset=iso-8859-1", "“é” €".encode("cp1252"), "“é” €"),
        ("text/plain; charset=utf-16", "é".encode("utf-16-le"), "é"),
        ("text/plain; charset=utf-8", b"a\xffb", "a\ufffdb"),
        ("text/plain", "é ü".encode("latin-1"), "é ü"),
        ("text/plain", "日本語".encode()[:-1], "日本"),  # cut at the limit of a page
        ("text/plain", b"\xff" + "中文".encode(), "\ufffd中文"),
        (HTML, f'<head><meta charset="gb2312">{ZH}'.encode("gbk"), f'<head><meta charset="gb2312">{ZH}'),
        ("application/rss+xml", f"<?xml version='1.0' encoding='gb2312'?>{ZH}".encode("gbk"), None),
        (HTML, "\ufeffé".encode("utf-16"), "\ufeffé"),
        ("text/plain; charset=latin-1", "\ufeffé".encode(), "é"),
    ],
)
def test_as_browsers_read_it(content_type: str, body: bytes, text: str | None) -> None:
    assert page_text(body, content_type) == (text or body.decode("gbk"))


@pytest.mark.parametrize(
    "name", ["punycode", "idna", "undefined", "unicode_escape", "rot13", "zlib", "no-such", "\0", "é"]
)
def test_what_is_no_encoding_of_pages_is_not_believed(name: str) -> None:
    body = b"\\u0041" + b"a" * 100_000 + b"-" + b"zz" * 100_000
    begin = time.process_time()
    assert page_text(body, f"text/plain; charset={name}") == body.decode()
    assert time.process_time() - begin < 2  # punycode takes minutes
