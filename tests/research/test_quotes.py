"""A quote is in a text or it is not, whatever the markup."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kimi_research.quotes import why_not
from nightly import all_but

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


@pytest.mark.parametrize(
    ("quote", "page"),
    [
        ("The drug is safe for children", "The drug is [not] safe for children."),
        ("about 105 cells died", "About 10⁵ cells died."),
        ("about 10⁵ cells died", "About 105 cells died."),
        ("it was 5 °C outside", "It was –5 °C outside."),  # an en dash as a sign
        ("राम का घर बड़ा है", "राम की घर बड़ी है"),
        ("ไม่ ดี มาก", "ไม ดี มาก"),
        ("the minister was a [...] murderer of many", f"the minister was a {'good man ' * 1000} murderer of many"),
        ("one two three [...] six seven eight", "six seven eight, one two three"),
    ],
)
def test_what_a_word_a_sign_or_a_mark_makes_another_statement(quote: str, page: str) -> None:
    assert why_not(quote, page)
    assert why_not(quote.partition(" [...]")[0], quote) == ""


@pytest.mark.parametrize(
    ("quote", "page"),
    [
        ("takes 5-10 days in all", "It takes 5–10 days in all."),
        ("about 10^-3 of the cells", "about 10⁻³ of the cells"),
        ("is known to be safe", "is known [a] to be[^3] safe[xii]"),
        ("a b c [...] d e f", f"a b c {'x ' * 2000} a b c d e f"),
        ("क्या यह सच है", "क्या यह सच है?"),
    ],
)
def test_what_is_the_same_otherwise_written(quote: str, page: str) -> None:
    assert why_not(quote, page) == ""


@given(st.text(), st.text(), st.lists(st.sampled_from(["alpha", "beta", "7.5", "-2", "子"]), min_size=3, max_size=9))
def test_words_that_are_there_are_found_between_anything(before: str, after: str, words: list[str]) -> None:
    quote = " ".join(words)
    assert why_not(quote, f"{before}\n\n{quote}\n\n{after}") == ""


@pytest.mark.parametrize("piece", all_but(["[a", "[[1](("], ["[a", "[](", "[1](", "[]((x)", "![", "[[1](("]))
def test_a_page_of_brackets_costs_no_more_than_another(piece: str) -> None:
    """Were it not linear, this would take many minutes: it is the suite's limit of time that would end it."""
    assert "not there" in why_not("one two three", piece * 300_000)
