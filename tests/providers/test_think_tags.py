"""`<think>` at the beginning of the text is reasoning, however the stream is cut; anywhere else it is text."""

from itertools import pairwise

import pytest
from fake_api import FakeAPI
from hypothesis import given
from hypothesis import strategies as st

from kimi_agent.core.message import user_message
from kimi_agent.core.provider import Endpoint, Model, Request, TextChunk, ThinkChunk
from kimi_agent.providers import make_provider
from kimi_agent.providers.think_tags import ThinkTags


def split(text: str, cuts: list[int]) -> tuple[str, str]:
    tags, deltas = ThinkTags(), []
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    for start, end in pairwise(places):
        deltas += tags.feed(text[start:end])
    deltas += tags.flush()
    thought = "".join(d.text for d in deltas if isinstance(d, ThinkChunk))
    return thought, "".join(d.text for d in deltas if isinstance(d, TextChunk))


CASES = [
    ("<think>\nhm </thi not yet</think>\n\nThe answer", ("hm </thi not yet", "The answer")),
    ("\n<think>open for ever", ("open for ever", "")),
    ("<think></think>x", ("", "x")),
    ("Use the <think> tag</think>", ("", "Use the <think> tag</think>")),
    ("<thin", ("", "<thin")),
    ("  plain", ("", "  plain")),
    ("", ("", "")),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
@given(cuts=st.lists(st.integers(0, 60), max_size=20))
def test_any_cut_gives_the_same(text: str, expected: tuple[str, str], cuts: list[int]) -> None:
    assert split(text, cuts) == expected


async def test_a_server_without_a_reasoning_parser() -> None:
    text = "<think>First look.</think>\n\nDone."
    async with FakeAPI([[{"text": text, "chunk": 3}]]) as api:
        provider = make_provider(Endpoint("p", "openai_legacy", api.url), Model("m", "m", "p"))
        deltas = [delta async for delta in provider.stream(Request("s", "", [user_message("go")]))]
        await provider.aclose()
    assert "".join(d.text for d in deltas if isinstance(d, ThinkChunk)) == "First look."
    assert "".join(d.text for d in deltas if isinstance(d, TextChunk)) == "Done."
