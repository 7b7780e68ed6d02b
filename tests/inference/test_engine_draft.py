"""Speculation: the same tokens in less time where an answer copies, and no more time where it does not."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_engine_house import HashRunner, Letters, alone, engine_of, finish
from nightly import examples

from inference_backend.engine.draft import BREAK, MIN_MATCH, Corpus, StepCost
from inference_backend.engine.request import Request, SamplingParams
from inference_backend.engine.scheduler import Limits

K2 = (21.1, 11.3)
"""GB that K2 in INT4 reads per step: attention, shared experts and head, and routed experts for each token. By the sizes of its
tensors it is 11.9 for the first token and, because tokens share experts, 10 on average for 17: a step of 17 costs as much as six
of one. Where steps have a fixed cost beside what they read, guesses gain more."""
VOCAB = 2000


def source(lines: int, seed: int) -> list[int]:
    """Tokens of a file: lines of a small language, with repeated parts as real ones have."""
    rng = random.Random(seed)
    stock = [[rng.randrange(300, 340) for _ in range(rng.randint(2, 6))] for _ in range(30)]
    return [t for _ in range(lines) for t in [10, *rng.choice(stock), rng.randrange(20, VOCAB), *rng.choice(stock)]]


def seconds(answer: list[int], drafts: list[list[int]], *, speculate: bool, prompt: list[int] | None = None) -> float:
    """Virtual seconds of an answer that the model is bent to."""
    prompt = prompt or [5, 6, 7]
    start = len(prompt)
    runner = HashRunner(2000, vocab_size=VOCAB, max_context=8000, cost=K2,
                        script=lambda at: answer[at - start] if start <= at < start + len(answer) else None)  # fmt: skip
    engine = engine_of(runner, Limits(step_tokens=4096), speculate=speculate)
    params = SamplingParams(temperature=1.0, seed=1, max_tokens=len(answer), ignore_end=True)
    found = finish(engine, [Request("a", prompt, params, None, drafts)])["a"]
    assert found.tokens == answer
    return runner.now


def edits(text: list[int], seed: int, every: int) -> list[int]:
    """The text with small changes, one in about `every` tokens."""
    rng = random.Random(seed)
    out: list[int] = []
    for token in text:
        kind = rng.randrange(3 * every)
        out += (
            []
            if kind == 0
            else [rng.randrange(20, VOCAB)]
            if kind == 1
            else [token, rng.randrange(20, VOCAB)]
            if kind == 2
            else [token]
        )
    return out


def test_a_rewrite_is_twice_as_fast_and_more() -> None:
    text = source(100, 1)
    answer = edits(text, 2, 60)
    assert seconds(answer, [source(80, 9), text], speculate=False) > 2 * seconds(
        answer, [source(80, 9), text], speculate=True
    )


def test_an_edit_is_faster() -> None:
    """New text between copied pieces of the file, old and new string as StrReplaceFile wants them."""
    rng, text = random.Random(3), source(100, 1)
    answer: list[int] = []
    for _ in range(8):
        at = rng.randrange(len(text) - 50)
        piece = text[at : at + rng.randint(20, 50)]
        answer += [rng.randrange(20, VOCAB) for _ in range(14)] + piece + [11, 12] + edits(piece, at, 15)
    assert seconds(answer, [text], speculate=False) > 1.4 * seconds(answer, [text], speculate=True)


@pytest.mark.parametrize("kind", ["noise", "misleading", "own words"])
def test_never_slower_than_off(kind: str) -> None:
    rng = random.Random(4)
    drafts: list[list[int]] = []
    if kind == "noise":
        answer = [rng.randrange(20, VOCAB) for _ in range(600)]
    elif kind == "own words":  # few words that say nothing of what comes next
        answer = [rng.randrange(20, 24) for _ in range(600)]
    else:  # three tokens match again and again, and never go on alike
        pieces = [[rng.randrange(20, VOCAB) for _ in range(3)] for _ in range(200)]
        answer = [t for piece in pieces for t in (*piece, rng.randrange(20, VOCAB))]
        drafts = [[*piece, *[rng.randrange(20, VOCAB) for _ in range(20)]] for piece in pieces]
    assert seconds(answer, drafts, speculate=True) <= 1.03 * seconds(answer, drafts, speculate=False)


@settings(max_examples=examples(15))
@given(st.integers(0, 99), st.sampled_from([0.0, 0.7]), st.booleans())
def test_the_same_tokens_as_without(seed: int, temperature: float, penalty: bool) -> None:
    rng = random.Random(seed)
    text = [rng.randrange(4, 9) for _ in range(60)]
    params = SamplingParams(
        temperature=temperature, seed=seed, max_tokens=80, top_k=3, frequency_penalty=0.3 if penalty else 0
    )
    words = [[*rng.choices(text, k=20), 30 + n] for n in range(3)]
    for grammar in (None, words):
        runner = HashRunner(300, cost=(1, 0.001), script=lambda at: text[at % 60] if at % 7 else None)
        engine = engine_of(runner)
        constraint = Letters(grammar) if grammar else None
        answer = finish(engine, [Request("a", text[:9], params, constraint, [text, words[0]])])["a"]
        check = Letters(grammar, skip=False) if grammar else None
        fresh = HashRunner(300, script=lambda at: text[at % 60] if at % 7 else None)
        assert answer.tokens == alone(fresh, text[:9], params, constraint=check)


TOKENS = st.lists(st.integers(0, 3), max_size=60)


@given(st.lists(TOKENS, max_size=3), TOKENS)
def test_a_match_is_the_longest_there_is(drafts: list[list[int]], tokens: list[int]) -> None:
    corpus = Corpus(drafts)
    for size in range(0, len(tokens) + 1, 7):  # token by token, as an answer grows
        corpus.sync(tokens[:size])
    corpus.sync(tokens)
    everything = [t for text in drafts if text for t in (*text, BREAK)]
    base = len(everything)
    everything += tokens
    longest = 0
    for end in range(1, len(everything)):
        same = 0
        while same < min(end, len(tokens)) and everything[end - 1 - same] == tokens[-1 - same]:
            same += 1
        longest = max(longest, same)
    length, start = corpus.match()
    assert length == (min(longest, 24) if longest >= MIN_MATCH else 0)
    if length:
        assert everything[start - length : start] == tokens[-length:]
        guess = corpus.read(start, 5)
        assert guess == everything[start : start + len(guess)]
        assert BREAK not in guess
        assert start <= base + len(tokens)


def test_the_cost_of_steps_is_measured() -> None:
    cost = StepCost()
    for number in range(200):
        tokens = 1 + number % 9
        cost.observe(tokens, (0.7 + 0.04 * tokens) * (1 if number < 100 else 3))
    assert cost.of(1) == pytest.approx(3 * 0.74, rel=0.1)
    assert cost.of(17) - cost.of(1) == pytest.approx(3 * 16 * 0.04, rel=0.2)
