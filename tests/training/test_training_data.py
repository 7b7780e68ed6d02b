"""The tokenizer that is trained, conversations as tokens, and the order of batches."""

from collections import Counter
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training_house import TOOLS, conversations, system

from inference_backend.chat.render import render
from inference_backend.chat.template import choose_template
from inference_backend.chat.tokenizer import Tokenizer
from inference_backend.training.batches import Batches, epoch_shares, make_batch
from inference_backend.training.conversations import TEMPLATE, Encoded, chained, common_start, encode, encode_all
from inference_backend.training.cuts import Cuts, own_words
from inference_backend.training.vocabulary import is_made, train_ranks, words_of, write_tokenizer

TEXTS = [(text, 3) for one in conversations(40) for m in one["messages"] if (text := m.get("content") or "")]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder, train_ranks(words_of(TEXTS), 400))
    assert choose_template(folder) is TEMPLATE
    return Tokenizer.load(folder)


@given(st.text(max_size=80))
def test_any_text_comes_back(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text.encode("utf-8", "replace").decode()


def test_frequent_words_are_one_token_digits_are_single_and_names_copy(tokenizer):
    ranks = train_ranks(words_of([(" the file the file 1234 12 12", 9)]), 300)
    assert {b"the", b"file"} < ranks.keys()
    assert not [token for token in ranks if len(token) > 1 and any(chr(b).isdigit() for b in token)]
    names = train_ranks(
        words_of([("note", 9), (' notable "note /note a.md a.mdown', 5), ("a.md", 9), (" in", 99)]), 300
    )
    assert {b"notable", b"in", b".md"} < names.keys()
    # ` in` would begin ` intro`, too
    assert not [token for token in names if token.startswith(b" ") and token.strip().isalpha()]
    assert not {b".mdo", b".mdow"} & names.keys()
    assert train_ranks(Counter(), 300).keys() == {bytes([b]) for b in range(256)}
    assert len(tokenizer.encode("Read the file")) < 8


def test_a_name_is_the_same_tokens_behind_a_sign_and_behind_the_end_of_a_line_in_json():
    """The end of a line is written as `\\n` there: neither that nor `'s` nor a quote may take a letter of the name behind it."""
    texts = [("it's the user's", 99), ("and undo under end", 90), ("replace_all with_all", 80), ("[no [no (items", 70)]
    texts += [('{"content": "data\\nschema\\n"}', 9), ("data schema almost none items", 20), ("a.md b.md", 50)]
    texts += [("“hello “data 「data", 99), ("/all -all `all", 99), ("\\n's", 99)]
    ranks = train_ranks(words_of(texts), 360)
    tokenizer = Tokenizer(ranks, {f"<{number}>": len(ranks) + number for number in range(256)})
    assert {b"nd", b".md", b"all"} < ranks.keys()
    for name in ("data", "schema", "almost", "none", "items", "undo", "nduku"):
        alone = tokenizer.encode(name)
        for sign in (" ", "'", '"', "`", "/", "_", "-", "(", "[", "“", "「", "\\n", "line\\n", "12\\n", " \\n\\n"):
            assert tokenizer.encode(sign + name)[-len(alone) :] == alone, sign + name
    # cut by K2's pattern before any token is made
    assert tokenizer.encode(".\\ndata")[-1:] != tokenizer.encode("data")[-1:]
    assert all(is_made(token) for token in ranks)
    not_made = (
        b"'s",
        b"_all",
        b"[no",
        b"user's",
        b" in",
        b".md.md",
        b"12",
        b" 1",
        "’s".encode(),
        "“hello".encode(),
        b"\\n'",
    )
    assert not [token for token in not_made if is_made(token)]
    assert all(
        is_made(token) for token in (b"n", b"\\n", b'"}', b".md", b"..", "文件".encode(), "é".encode()[:1], b"\xe6\x96")
    )


def test_a_character_is_a_token_or_bytes_and_never_half_of_one_and_half_of_another(tmp_path):
    texts = [("删除文件", 60), ("读文件", 60), ("稀", 3)]
    ranks = train_ranks(words_of(texts), 400)
    for token in ranks:
        whole = token.decode("utf-8", "ignore").encode() == token
        assert whole or len(token) == 1 or len(token.decode("utf-8", "replace")) == 1
    assert "文件".encode() in ranks
    assert "稀".encode() not in ranks  # too rare to be learnt: copied byte by byte
    write_tokenizer(tmp_path, ranks)
    tokenizer = Tokenizer.load(tmp_path)
    tokens = np.asarray(tokenizer.encode("文件 文件"), np.int32)
    one = Encoded(tokens, np.arange(len(tokens)) >= len(tokens) // 2)
    varied = [Cuts(tokenizer).vary(one, 0, 1.0, Random(seed)) for seed in range(20)]
    assert all(tokenizer.decode(each.tokens.tolist()) == "文件 文件" for each in varied)
    assert any(len(tokenizer.token_bytes(int(each.tokens[0]))) == 1 for each in varied)  # down to bytes


def test_what_is_only_read_counts_what_the_recipe_says(tokenizer):
    encoded = encode_all(list(conversations(3)), TOOLS, tokenizer, 10_000)
    batch = make_batch(encoded, 0, torch.device("cpu"), 0.25)
    assert len(batch.targets) == sum(len(one) - 1 for one in encoded)
    assert (batch.weights == 1.0).sum() == sum(one.trained[1:].sum() for one in encoded)
    assert set(batch.weights.tolist()) == {1.0, 0.25}


def test_what_the_assistant_writes_is_trained_and_nothing_else(tokenizer):
    for one in conversations(5):
        encoded = encode(one["messages"], TOOLS, tokenizer)
        spans = tokenizer.decode(encoded.tokens[encoded.trained].tolist()).split("<|im_end|>")[:-1]
        answers = [m for m in one["messages"] if m["role"] == "assistant"]
        assert len(spans) == len(answers)
        for span, answer in zip(spans, answers, strict=True):
            assert span.startswith(answer["content"] or "")
            for call in answer.get("tool_calls") or []:
                assert f"<|tool_call_begin|>{call['id']}<|tool_call_argument_begin|>" in span
                assert call["function"]["arguments"] in span
        # what stands before a trained span is the very prompt of that request
        first = int(np.argmax(encoded.trained))
        before = next(i for i, m in enumerate(one["messages"]) if m["role"] == "assistant")
        prompt = render(one["messages"][:before], TOOLS, tokenizer=tokenizer, template=TEMPLATE).tokens
        assert encoded.tokens[:first].tolist() == prompt


def test_chains_are_conversations_that_number_their_calls_through(tokenizer):
    lines = list(conversations(12))
    sizes = [len(one) for one in encode_all(lines, TOOLS, tokenizer, 10_000)]
    chains = chained(lines, [3 * max(sizes)] * 4, sizes, seed=1)
    assert [c["messages"] for c in chains] == [
        c["messages"] for c in chained(lines, [3 * max(sizes)] * 4, sizes, seed=1)
    ]
    for chain in chains:
        assert [m["role"] for m in chain["messages"]].count("system") == 1
        text = tokenizer.decode(encode(chain["messages"], TOOLS, tokenizer).tokens.tolist())
        calls = text.count("<|tool_call_begin|>")
        assert calls > 1
        assert all(f"functions.ReadFile:{number}" in text for number in range(calls))


def test_the_common_beginning_ends_before_the_first_difference(tokenizer):
    encoded = encode_all(list(conversations(6)), TOOLS, tokenizer, 10_000)
    start = common_start(encoded)
    assert tokenizer.decode(encoded[0].tokens[:start].tolist()).endswith("<|im_user|>user<|im_middle|>")
    assert system() in tokenizer.decode(encoded[0].tokens[:start].tolist())
    assert common_start(encoded[:1]) == int(np.argmax(encoded[0].trained))
    assert common_start([]) == 0
    batch = make_batch(encoded[:3], start, torch.device("cpu"))
    for row, one in enumerate(encoded[:3]):
        mine = batch.owners == row
        assert batch.targets[mine].tolist() == one.tokens[one.trained].tolist()
        row_of, place = batch.wanted[mine] // batch.episodes.shape[1], batch.wanted[mine] % batch.episodes.shape[1]
        assert (row_of == row).all()
        assert one.trained[start + place.numpy() + 1].all()
        assert batch.counted[row].sum() == len(one) - start - 1


@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=200), tokens=st.integers(1, 200), seed=st.integers(0, 9)
)
def test_an_epoch_has_every_episode_once_and_batches_keep_their_budget(lengths, tokens, seed):
    batches, seen, number = Batches(lengths, tokens, seed), list[int](), 0
    while len(seen) < len(lengths):
        batch = batches[number]
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= tokens
        seen += batch.tolist()
        number += 1
    assert sorted(seen) == list(range(len(lengths)))
    again = Batches(lengths, tokens, seed)
    assert again[number + 3].tolist() == batches[number + 3].tolist()


def test_long_episodes_come_by_less_often_so_that_they_count_no_more_than_so_many_tokens():
    lengths = [50] * 400 + [1000] * 400
    batches, seen = Batches(lengths, 2000, 1, epoch_shares(lengths, most=100)), np.zeros(len(lengths), int)
    number = 0
    while seen[:400].sum() < 400 * 10:
        np.add.at(seen, batches[number], 1)
        number += 1
    assert seen[:400].min() >= 9  # each epoch has all of the short ones
    assert 0.07 < seen[400:].mean() / seen[:400].mean() < 0.13  # 100 of 1,000 tokens


def test_what_is_known_comes_by_less_often_and_nothing_else():
    lengths, right = [50] * 400 + [1000] * 400, np.arange(800) % 2 == 0
    assert epoch_shares(lengths) is None
    assert epoch_shares(lengths, right=right, known=0.3).tolist() == [0.3, 1.0] * 400
    assert epoch_shares(lengths, 500, right, 0.3).tolist() == [0.3, 1.0] * 200 + [0.15, 0.5] * 200
    batches, seen, number = (
        Batches(lengths, 2000, 1, epoch_shares(lengths, 0, right, 0.3)),
        np.zeros(len(lengths), int),
        0,
    )
    while seen[~right].sum() < 400 * 10:
        np.add.at(seen, batches[number], 1)
        number += 1
    assert seen[~right].min() >= 9  # each epoch has all that are not known
    assert 0.25 < seen[right].mean() / seen[~right].mean() < 0.35


def test_a_conversation_that_is_cut_otherwise_says_the_same(tokenizer):
    cuts, rng, different = Cuts(tokenizer), Random(1), 0
    lines = list(conversations(30))
    every = [encode(one["messages"], TOOLS, tokenizer) for one in lines]
    start = common_start(every)
    for one in every:
        varied = cuts.vary(one, start, 0.7, rng)
        different += len(varied) > len(one)
        assert varied.tokens[:start].tolist() == one.tokens[:start].tolist()
        assert tokenizer.decode(varied.tokens.tolist()) == tokenizer.decode(one.tokens.tolist())
        for part in (True, False):
            ours, theirs = (tokenizer.decode(x.tokens[x.trained == part].tolist()) for x in (varied, one))
            assert ours == theirs
        left = set(one.tokens.tolist()) - set(varied.tokens.tolist())  # a token that was cut is cut everywhere
        assert not left or len(varied) > len(one)
        assert cuts.vary(one, start, 0.0, rng).tokens.tolist() == one.tokens.tolist()
    assert different > 20


def test_a_conversation_with_other_names_is_the_same_but_for_them(tokenizer):
    every = [encode(one["messages"], TOOLS, tokenizer) for one in conversations(30)]
    start, cuts, rng, changed = common_start(every), Cuts(tokenizer), Random(1), 0
    for one in every:
        renamed = cuts.rename(one, start, rng)
        assert renamed.trained.tolist() == one.trained.tolist()
        assert renamed.tokens[:start].tolist() == one.tokens[:start].tolist()
        pairs = set(zip(one.tokens[start:].tolist(), renamed.tokens[start:].tolist(), strict=True))
        assert len({old for old, _ in pairs}) == len({new for _, new in pairs}) == len(pairs)  # the same everywhere
        held = Cuts(tokenizer, {old for old, _ in pairs}).rename(one, start, rng)
        assert held.tokens.tolist() == one.tokens.tolist()
        for old, new in pairs:
            said = [tokenizer.token_bytes(token).decode() for token in (old, new) if old != new]
            assert all(text.islower() or len(text) == 1 for text in said)
        changed += any(old != new for old, new in pairs)
    assert changed > 20


ASKED = "kindly arrange lovely garden before winter"


@pytest.fixture(scope="module")
def worded(tmp_path_factory):
    """A tokenizer in which the words of `ASKED` are one token each."""
    folder = tmp_path_factory.mktemp("worded")
    write_tokenizer(folder, train_ranks(words_of([*TEXTS, (f"{ASKED} some other thing", 999)]), 460))
    return Tokenizer.load(folder)


def listed(said: str, question: str = "") -> list[dict[str, Any]]:
    """A conversation whose model repeats what it is asked before it calls; perhaps it has asked something before."""
    call = {"name": "WriteFile", "arguments": '{"path": "note.md", "content": "milk"}'}
    before = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": question}] if question else []
    return [
        *before,
        {"role": "user", "content": f"{said}: note, milk"},
        {
            "role": "assistant",
            "content": f"{said}: note, milk",
            "tool_calls": [{"id": "c", "type": "function", "function": call}],
        },
        {"role": "tool", "tool_call_id": "c", "content": f"wrote {said}"},
        {"role": "assistant", "content": "note has milk"},
    ]


def test_words_of_a_request_are_blurred_alike_where_they_are_repeated_and_never_renamed(worded):
    one, cuts = encode(listed(ASKED), TOOLS, worded), Cuts(worded)
    words = [worded.encode(word) for word in ASKED.split()]
    assert {len(tokens) for tokens in words} == {1}
    user, call = (worded.marker(name) for name in ("<|im_user|>", "<|tool_calls_section_begin|>"))
    begin, middle = (int(np.argmax(one.tokens == marker)) for marker in (user, call))
    blurred_words = set()
    for seed in range(40):
        blurred, renamed = cuts.blur(one, 0, Random(seed)), cuts.rename(one, 0, Random(seed))
        assert blurred.trained.tolist() == one.trained.tolist()
        changed = np.flatnonzero(blurred.tokens != one.tokens)
        assert begin < changed.min()
        assert changed.max() < middle  # neither calls, nor what tools say, nor answers
        assert not set(blurred.tokens[changed].tolist()) & set(one.tokens.tolist())
        assert {int(token) for token in one.tokens[changed]} <= {word for (word,) in words}
        for (word,) in words:
            assert ((renamed.tokens == word) == (one.tokens == word)).all()
            now = set(blurred.tokens[:middle][one.tokens[:middle] == word].tolist())
            assert len(now) == 1  # the same in the request and where it is repeated
            blurred_words |= {word} - now
    assert len(blurred_words) == 6


@pytest.mark.parametrize(
    "messages",
    [listed(ASKED, "Delete note? Say yes or no."), listed(ASKED, "要删除吗？"), listed("kindly")],
    ids=["after a question", "after a Chinese question", "of few words"],
)
def test_requests_that_may_mean_anything_are_not_blurred(worded, messages):
    """A yes must stay a yes."""
    one = encode(messages, TOOLS, worded)
    for seed in range(20):
        assert Cuts(worded).blur(one, 0, Random(seed)).tokens.tolist() == one.tokens.tolist()
    plain = encode(listed(ASKED, "Hello."), TOOLS, worded)
    assert Cuts(worded).blur(plain, 0, Random(1)).tokens.tolist() != plain.tokens.tolist()
    assert Cuts(worded).blur(plain, len(plain), Random(1)).tokens.tolist() == plain.tokens.tolist()


def test_what_the_model_says_first_itself_is_never_cut(tokenizer):
    every = [encode(one["messages"], TOOLS, tokenizer) for one in conversations(30)]
    start = common_start(every)
    kept = own_words(every, start)
    cuts, rng = Cuts(tokenizer, kept), Random(1)
    assert any(not tokenizer.is_special(token) for token in kept)
    for one in every:
        varied = cuts.vary(one, start, 1.0, rng)
        for token in kept:
            assert (varied.tokens == token).sum() >= (one.tokens == token).sum()
