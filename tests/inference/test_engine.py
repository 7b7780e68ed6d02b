"""The engine from outside: what a request gets, in which steps, and what it costs."""

import subprocess
import sys

import numpy as np
import pytest
from inference_chat_house import tiny_tokenizer, tokens_of
from inference_engine_house import END, GREEDY, HashRunner, Letters, alone, check_books, engine_of, finish
from inference_house import random_tokens, random_weights, tiny_config

from inference_backend.chat.grammar import GrammarCompiler
from inference_backend.engine.engine import Engine
from inference_backend.engine.reference_runner import ReferenceRunner
from inference_backend.engine.request import Request, SamplingParams
from inference_backend.engine.runner import Chunk
from inference_backend.engine.scheduler import Limits
from inference_backend.errors import CapacityError, CheckpointError, RequestError
from inference_backend.reference import Reference, Segment

LONG = list(range(4, 44)) * 5


def test_blocks_anywhere_hold_what_one_piece_holds() -> None:
    """Chunked prefill and decoding of two sequences over scattered blocks against the reference's own cache."""
    config = tiny_config()
    weights = random_weights(config)
    model, runner = Reference(config, weights), ReferenceRunner(config, weights, 40)
    blocks = np.random.default_rng(0).permutation(40).tolist()
    sequences = [(random_tokens(config, 300, seed), model.new_cache()) for seed in (1, 2)]
    tables = [[*range(3, 7), *blocks], [b for b in blocks if b > 6][::-1]]
    tables[0] = [b for i, b in enumerate(tables[0]) if b not in tables[0][:i] and b not in tables[1][:5]]
    for start, end in ((0, 7), (7, 64), (64, 200), (200, 201), (201, 290), (290, 291), (291, 300)):
        chunks = [
            Chunk(t[start:end], start, table, 2 if end - start > 1 else 1)
            for (t, _), table in zip(sequences, tables, strict=True)
        ]
        found = runner.forward(chunks)
        expected = model.forward(
            [Segment(c.tokens, cache, c.logits) for c, (_, cache) in zip(chunks, sequences, strict=True)]
        )
        np.testing.assert_allclose(found, expected, atol=2e-5)


def test_blocks_move_whole() -> None:
    config = tiny_config()
    runner = ReferenceRunner(config, random_weights(config), 6)
    tokens = random_tokens(config, 65)

    # by itself: rows of one product may differ in their last bits, as the CPU has it
    def by_itself(tokens: list[int], at: int, blocks: list[int]) -> object:
        (row,) = runner.forward([Chunk(tokens, at, blocks)])
        return row

    np.testing.assert_array_equal(by_itself(tokens[:64], 0, [2]), by_itself(tokens[:64], 0, [0]))
    runner.copy_block(2, 4)
    runner.write_block(5, runner.read_block(2))
    assert runner.read_block(2) == runner.read_block(4) == runner.read_block(5)
    logits = by_itself(tokens[64:], 64, [2, 1])
    for blocks in ([4, 3], [5, 1], [2, 3]):
        np.testing.assert_array_equal(by_itself(tokens[64:], 64, blocks), logits)
    with pytest.raises(CheckpointError, match="bytes"):
        runner.write_block(0, b"short")


@pytest.mark.parametrize("seed", [0, 1])
def test_a_prefix_in_the_cache_changes_no_logit(seed: int) -> None:
    """The second turn of a conversation, a fork of it within a block, and a rewind, on the real mathematics."""
    config = tiny_config()
    engine = Engine(ReferenceRunner(config, random_weights(config), 64), Limits(step_tokens=100, running=8))
    first = random_tokens(config, 150, seed)
    more = random_tokens(config, 40, seed + 10)
    params = SamplingParams(temperature=1.0, top_p=0.95, seed=seed, max_tokens=12, logprobs=3)
    turns = {
        "first": first,
        "second": first + more,
        "fork": [*first[:140], *more],
        "rewind": first[:70],
        "again": first,
    }
    for name, prompt in turns.items():
        cached = finish(engine, [Request(name, prompt, params)])[name]
        fresh = Engine(ReferenceRunner(config, random_weights(config), 64))
        expected = finish(fresh, [Request(name, prompt, params)])[name]
        assert cached.tokens == expected.tokens
        for found, own in zip(cached.outputs[-1].logprobs, expected.outputs[-1].logprobs, strict=True):
            assert found.logprob == pytest.approx(own.logprob, abs=2e-5)
        hit = {"first": 0, "second": 150, "fork": 140, "rewind": 69, "again": 149}[name]
        assert cached.last.cached_tokens == hit
        check_books(engine)


def test_progress_cached_tokens_and_the_true_context() -> None:
    runner = HashRunner()
    engine = engine_of(runner, Limits(step_tokens=48, running=4))
    answer = finish(engine, [Request("a", LONG, GREEDY)])["a"]
    assert [output.progress for output in answer.outputs[:5]] == [
        (48, 200),
        (96, 200),
        (144, 200),
        (192, 200),
        (200, 200),
    ]
    assert [len(output.tokens) for output in answer.outputs] == [0] * 4 + [1] * 8
    assert answer.last.finish_reason == "length"
    assert answer.last.context_tokens == 208
    again = finish(engine, [Request("b", [*LONG, *answer.tokens, 5], GREEDY)])["b"]
    assert again.last.cached_tokens == 207  # the last token of the answer was never computed
    assert runner.tokens < 200 + 8 + 2 + 8


def test_ends() -> None:
    def of(script: list[int], **params: object) -> tuple[list[int], str | None]:
        runner = HashRunner(script=lambda at: script[at - 2] if at - 2 < len(script) else 9)
        answer = finish(engine_of(runner), [Request("a", [5, 6], SamplingParams(temperature=0, **params))])["a"]
        return answer.tokens, answer.last.finish_reason

    assert of([7, 8, END, 9]) == ([7, 8, END], "stop")
    assert of([7, 8, 11, 9], stop_tokens=frozenset({11})) == ([7, 8, 11], "stop")
    assert of([7, END, 11], stop_tokens=frozenset({11}), ignore_end=True) == ([7, END, 11], "stop")
    assert of([7, 8, 9, 10], max_tokens=3) == ([7, 8, 9], "length")


def test_the_answer_ends_where_the_context_does() -> None:
    runner = HashRunner(5, script=lambda at: 7)  # 20 tokens of cache
    answer = finish(
        engine_of(runner, Limits(step_tokens=32, running=2)), [Request("a", [5] * 15, SamplingParams(temperature=0))]
    )["a"]
    assert answer.tokens == [7] * 5
    assert answer.last.finish_reason == "length"


def test_what_cannot_be_taken_in_is_refused_with_its_reason() -> None:
    engine = engine_of(HashRunner(5), Limits(step_tokens=32, running=1, waiting=2))
    with pytest.raises(CapacityError, match="20 tokens; with an answer it must stay within 20"):
        engine.add(Request("a", [5] * 20, GREEDY))
    for prompt, drafts in (([50], []), ([-1], []), ([5], [[7, 99]])):
        with pytest.raises(RequestError, match="vocabulary"):
            engine.add(Request("a", prompt, GREEDY, None, drafts))
    with pytest.raises(RequestError, match="empty"):
        engine.add(Request("a", [], GREEDY))
    for name in "ab":
        engine.add(Request(name, [5], GREEDY))
    with pytest.raises(RequestError, match="'a' runs already"):
        engine.add(Request("a", [5], GREEDY))
    with pytest.raises(CapacityError, match="the queue is full: 2 requests"):
        engine.add(Request("c", [5], GREEDY))
    assert set(finish(engine)) == {"a", "b"}


def test_an_abort_frees_everything_before_the_next_step() -> None:
    engine = engine_of(HashRunner(), Limits(step_tokens=16, running=2))
    for name in "abc":
        engine.add(Request(name, LONG[:40], GREEDY))
    engine.step()
    assert engine.abort("a")
    assert engine.abort("c")  # still in the queue, or in its prompt
    assert not engine.abort("nobody")
    outputs = engine.step()
    assert {output.request_id for output in outputs if output.finish_reason == "abort"} == {"a", "c"}
    answers = finish(engine)
    assert answers["b"].tokens[-1:] == alone(HashRunner(), LONG[:40], GREEDY)[-1:]
    assert engine.stats().blocks_used == 0
    check_books(engine)


def test_a_model_that_fails_ends_what_ran_and_nothing_else() -> None:
    runner = HashRunner()
    engine = engine_of(runner, Limits(step_tokens=64, running=1))
    for name in "ab":
        engine.add(Request(name, LONG[:30], GREEDY))
    engine.step()
    runner.fail = True
    (failed,) = engine.step()
    assert (failed.request_id, failed.finish_reason) == ("a", "error")
    assert "out of memory, it says" in failed.error
    runner.fail = False
    check_books(engine)
    assert engine.stats().blocks_cached == 0
    assert finish(engine)["b"].tokens == alone(HashRunner(), LONG[:30], GREEDY)


def test_a_short_prompt_does_not_wait_for_a_long_one_nor_the_long_one_for_ever() -> None:
    runner = HashRunner(600)
    engine = engine_of(runner, Limits(step_tokens=40, running=8))
    one = SamplingParams(temperature=0, max_tokens=1)
    engine.add(Request("long", LONG * 5, one))  # 25 steps by itself
    engine.add(Request("another", [7, *LONG * 5], one))
    ended, asked, steps = {}, {}, 0
    while "long" not in ended:
        if steps % 2 == 0:
            engine.add(Request(f"short {steps}", [steps % 40 + 4, *LONG[steps % 9 : 12]], one))
            asked[f"short {steps}"] = steps
        steps += 1
        ended |= {output.request_id: steps for output in engine.step() if output.finish_reason}
    assert steps <= 52
    assert all(ended.get(name, steps) - begun <= 3 for name, begun in asked.items())


def test_all_that_decodes_goes_on_at_every_step() -> None:
    engine = engine_of(HashRunner(600), Limits(step_tokens=40, running=16))
    for number in range(10):
        engine.add(
            Request(str(number), [number + 4] * 3, SamplingParams(temperature=0, max_tokens=30, ignore_end=True))
        )
    engine.step()
    engine.add(Request("long", LONG * 3, GREEDY))
    for _ in range(10):
        assert {output.request_id for output in engine.step() if output.tokens} >= set("0123456789")


def test_forks_compute_what_they_share_once() -> None:
    runner = HashRunner(200)
    engine = engine_of(runner, Limits(step_tokens=50, running=8))
    requests = [Request(str(n), [*LONG, 4 + n], SamplingParams(seed=n, max_tokens=4)) for n in range(6)]
    answers = finish(engine, requests)
    assert runner.tokens < 2 * len(LONG) + 6 * 10
    for number, request in enumerate(requests):
        assert answers[str(number)].tokens == alone(HashRunner(200), request.prompt, request.params)


def test_a_preempted_request_answers_as_if_alone() -> None:
    runner = HashRunner(20)
    engine = engine_of(runner, Limits(step_tokens=64, running=4))
    params = SamplingParams(temperature=1, seed=3, max_tokens=40, ignore_end=True)
    requests = [Request(str(n), [10 + n] * 9, params) for n in range(3)]
    answers = finish(engine, requests)
    assert engine.stats().preemptions > 0
    assert requests[0].preempted == 0  # who came first gives nothing to who came later
    for request in requests:
        assert answers[request.id].tokens == alone(HashRunner(20), request.prompt, params)
        assert answers[request.id].last.cached_tokens == 0  # its own tokens, computed again, are no hit


def test_a_session_stays_while_its_tool_runs() -> None:
    """Pinned, a conversation outlives what pushes others out; its pin ends with time, release or need."""

    def second_turn(session: str, seconds: float = 0, release: bool = False, crowd: int = 6) -> int:
        runner = HashRunner(40)
        engine = engine_of(runner, Limits(step_tokens=64, running=1, pin_seconds=100))
        turn = finish(engine, [Request("turn", LONG[:60], GREEDY, session=session)])["turn"]
        runner.now += seconds
        if release:
            engine.release(session)
        finish(engine, [Request(f"other {n}", [10 + n] * 50, GREEDY) for n in range(crowd)])
        check_books(engine)
        request = Request("next", [*LONG[:60], *turn.tokens, 5], GREEDY, session=session)
        return finish(engine, [request])["next"].last.cached_tokens

    assert second_turn("a") >= 64
    assert second_turn("") == 0
    assert second_turn("a", seconds=101) == 0
    assert second_turn("a", release=True) == 0
    engine = engine_of(HashRunner(20), Limits(step_tokens=64, running=1))
    finish(engine, [Request("a", LONG[:60], GREEDY, session="a")])
    assert finish(engine, [Request("b", LONG[9:79], GREEDY)])["b"].last.finish_reason == "length"  # room is made


WORDS = [[10, 11, 12, 13, 14, 20], [10, 11, 12, 13, 14, 21, 22, 23], [10, 15]]


@pytest.mark.parametrize("seed", range(4))
def test_forced_tokens_are_skipped_ahead(seed: int) -> None:
    params = SamplingParams(seed=seed, logprobs=1)
    runner = HashRunner()
    answer = finish(engine_of(runner), [Request("a", [5, 6, 7], params, Letters(WORDS))])["a"]
    assert answer.tokens in WORDS
    assert answer.last.finish_reason == "stop"
    assert answer.tokens == alone(HashRunner(), [5, 6, 7], params, constraint=Letters(WORDS, skip=False))
    assert runner.steps == (2 if len(answer.tokens) > 2 else 1)  # choices, not tokens
    assert sum(len(output.logprobs) for output in answer.outputs) == len(answer.tokens)


def test_a_constraint_that_fails_ends_its_own_request_alone() -> None:
    class Broken(Letters):
        def accept(self, token: int) -> None:
            raise ValueError("state lost")

    class Shut(Letters):
        def allowed(self) -> np.ndarray:
            return np.zeros(50, bool)

    class Raises(Letters):
        def allowed(self) -> np.ndarray:
            raise ValueError("state lost")

    grammars = {
        "broken": Broken(WORDS, skip=False),
        "shut": Shut(WORDS, skip=False),
        "raises": Raises(WORDS, skip=False),
        "none": None,
    }
    engine = engine_of(HashRunner())
    answers = finish(engine, [Request(name, [5, 6], GREEDY, grammar) for name, grammar in grammars.items()])
    assert "state lost" in answers["broken"].last.error
    assert "no token can follow" in answers["shut"].last.error
    assert "no token can follow" in answers["raises"].last.error
    assert answers["none"].tokens == alone(HashRunner(), [5, 6], GREEDY)
    check_books(engine)


TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {
        "type": "object", "properties": {"path": {"type": "string"}, "mode": {"enum": ["r", "w"]}}, "required": ["path", "mode"],
        "additionalProperties": False}}}
    for name in ("Read", "Write")
]  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("speculate", [False, True])
def test_tool_calls_under_the_real_grammar(seed: int, speculate: bool) -> None:
    """The draft is a whole call, also past its end; the model's vocabulary is larger than the tokenizer's."""
    tokenizer = tiny_tokenizer()
    compiler = GrammarCompiler(tokenizer)
    said = 'functions.Read:7<|tool_call_argument_begin|>{"path":"a/b/c.py","mode":"r"}<|tool_call_end|>'
    said = f"<|tool_calls_section_begin|><|tool_call_begin|>{said}<|tool_calls_section_end|><|im_end|>"
    call = tokens_of(said, tokenizer)

    def model() -> HashRunner:
        wanted = [*tokens_of("I read it. ", tokenizer), *call]
        said = {8 + place: token for place, token in enumerate(wanted) if (8 + place) % (13 + seed)}
        return HashRunner(200, vocab_size=tokenizer.vocab_size + 5, cost=(1, 0.001), script=said.get)

    params = SamplingParams(seed=seed, max_tokens=120, stop_tokens=frozenset({tokenizer.special["<|im_end|>"]}))
    prompt = tokens_of("<|im_user|>go", tokenizer)[:8]
    prompt += [65] * (8 - len(prompt))
    runner = model()
    grammar = compiler.grammar(TOOLS, tool_choice="required", next_tool_index=7)
    engine = engine_of(runner, speculate=speculate)
    answer = finish(engine, [Request("a", prompt, params, grammar, [call])])["a"]
    assert not answer.last.error
    text = tokenizer.decode([token for token in answer.tokens if token < tokenizer.vocab_size])
    if answer.last.finish_reason == "stop":
        assert "functions." in text
        assert engine.stats().forced_tokens > 5
    assert runner.steps < len(answer.tokens)
    without = engine_of(model(), speculate=False)
    again = compiler.grammar(TOOLS, tool_choice="required", next_tool_index=7)
    assert answer.tokens == finish(without, [Request("a", prompt, params, again)])["a"].tokens


def test_the_scheduler_needs_the_standard_library_alone() -> None:
    program = """
import sys
import inference_backend.engine.scheduler, inference_backend.engine.snapshots
third = {m.split(".")[0] for m in sys.modules} - sys.stdlib_module_names - {"inference_backend", "__main__"}
print(*(m for m in third if not m.startswith("_")))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert not {"numpy", "torch"} & set(done.stdout.split())
