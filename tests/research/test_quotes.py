"""A quote is in a text or it is not, whatever the markup."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kimi_research.quotes import why_not

PAGE = """# Rust — *async* runtimes

Tokio is an [asynchronous runtime](https://tokio.rs "x") for the **Rust** programming lan-
guage[1](#note). It’s fast: 1.5 ms, not 15 ms, down by −3 %. See the well-known `spawn_blocking`.

异步运行时很快。 In 2024, releases came [[2]](https://x.example/a)monthly.
"""


@pytest.mark.parametrize(
    "quote",
    [
        "Tokio is an asynchronous runtime for the Rust programming language.",
        "tokio IS an [asynchronous runtime](https://tokio.rs)",
        "It's fast: 1.5 ms,\nnot 15 ms",
        "down by -3 %",
        "the well-known spawn_blocking",
        "异步运行 时很快",
        "In 2024, releases came monthly",
        "In 2024, releases came [2] monthly.",
        "Tokio is an asynchronous runtime [...] not 15 ms",
        "Rust - async runtimes … In 2024, releases came",
    ],
)
def test_what_is_there(quote: str) -> None:
    assert why_not(quote, PAGE) == ""


@pytest.mark.parametrize(
    ("quote", "told"),
    [
        ("Tokio is a synchronous runtime for Rust", "not there"),
        ("It's fast: 15 ms, not", "goes on with: 1.5 ms not"),
        ("Tokio is an asynchronous runtime for Python", "first 6 words are there"),
        ("down by 3 %", "not there"),
        ("In 2024, releases came monthly and weekly", "its end"),
        ("is fast", "at least 3 words"),
        ("Tokio is an asynchronous [...] ms", "at least 3 words"),
        ("... ", "at least 3 words"),
        ("not 15 ms [...] Tokio is an asynchronous", "not there"),
        ("kio is an asynchronous", "not there"),
    ],
)
def test_what_is_not(quote: str, told: str) -> None:
    assert told in why_not(quote, PAGE)


@given(st.text(), st.text(), st.lists(st.sampled_from(["alpha", "beta", "7.5", "-2", "子"]), min_size=3, max_size=9))
def test_words_that_are_there_are_found_between_anything(before: str, after: str, words: list[str]) -> None:
    quote = " ".join(words)
    assert why_not(quote, f"{before}\n\n{quote}\n\n{after}") == ""
