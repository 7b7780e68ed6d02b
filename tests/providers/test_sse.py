"""The event reader, against the rules of server-sent events and against every way to cut a stream into pieces."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimi_agent.core.errors import ConnectionFailed
from kimi_agent.providers.sse import MAX_EVENT, SSEReader


def read(*pieces: bytes) -> list[bytes]:
    reader = SSEReader()
    events = [event for piece in pieces for event in reader.feed(piece)]
    rest = reader.close()
    return events if rest is None else [*events, rest]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data:a\n\ndata:  b\n\n", [b"a", b" b"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b": comment\n\n:\ndata: a\n\n", [b"a"]),
        (b"data: a\ndata: b\ndata\n\n", [b"a\nb\n"]),
        (b"event: x\nid: 1\nretry: 5\ndata: a\nfoo\nbar: 1\n\n", [b"a"]),
        ("data: a\u2028b\u0085c\u000bd\n\n".encode(), ["a\u2028b\u0085c\u000bd".encode()]),
        (b"data: \x00a\x00\n\n", [b"\x00a\x00"]),
        (b"\n\n\n", []),
        (b"", []),
        (b"data: no end", [b"no end"]),
        (b"data: a\n", [b"a"]),
        (b'error: {"code":500}\n\n', [b'{"error": {"code":500}}']),
    ],
)
def test_streams(stream: bytes, events: list[bytes]) -> None:
    assert read(stream) == events
    assert read(*(stream[i : i + 1] for i in range(len(stream)))) == events


LINES = st.lists(
    st.sampled_from(
        [b"data: x", b"data:", b"data: \xc3\xa9\xf0\x9f\x98\x80", b": c", b"id: 1", b"", b"", b"data: {\xe2\x80\xa8}"]
    )
)


@given(LINES, st.sampled_from([b"\n", b"\r\n", b"\r"]), st.lists(st.integers(0, 300), max_size=12), st.booleans())
def test_the_cuts_make_no_difference(lines: list[bytes], newline: bytes, cuts: list[int], bom: bool) -> None:
    stream = (b"\xef\xbb\xbf" if bom else b"") + newline.join(lines) + newline
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[a:b] for a, b in pairwise(places)]
    assert read(*pieces) == read(stream)


def test_a_large_event_in_small_pieces() -> None:
    payload = b"x" * 1_000_000
    stream = b"data: " + payload + b"\n\n"
    assert read(*(stream[i : i + 4096] for i in range(0, len(stream), 4096))) == [payload]


def test_an_endless_event_is_refused() -> None:
    reader = SSEReader()
    for _ in range(MAX_EVENT // 1_000_000):
        assert reader.feed(b"y" * 1_000_000) == []
    with pytest.raises(ConnectionFailed):
        reader.feed(b"y" * 1_000_000)
