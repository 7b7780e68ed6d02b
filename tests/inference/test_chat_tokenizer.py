"""K2's tokenizer: the published goldens, and by a small one of the same format that no text becomes a special token."""

import json

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_chat_house import tiny_tokenizer, write_tokenizer
from inference_house import K2_DATA, needs_k2_data
from nightly import examples

from inference_backend.chat.tokenizer import PATTERN, PIECE_CHARS, RUN_CHARS, Tokenizer, pieces
from inference_backend.errors import CheckpointError


@pytest.fixture(scope="module")
def k2():
    return Tokenizer.load(K2_DATA)


@needs_k2_data
@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("assistant", [69702]),
        ("user", [2482]),
        ("system", [14062]),
        ("tool", [20960]),
        ("tool_declare", [20960, 35556, 677]),
        ("functions", [41937]),
        ("functions.ReadFile:0", [41937, 17708, 2435, 25, 15]),
        ("## Return of functions.ReadFile:0\n", [798, 6014, 318, 8271, 17708, 2435, 25, 15, 198]),
        (
            "Hello 北京 it's 12345 HTTPServer's\n\n  foo",
            [19180, 220, 3372, 4643, 220, 6694, 2899, 73374, 4022, 1048, 382, 220, 21633],
        ),
    ],
)
def test_k2_goldens(k2, text, ids):
    assert k2.encode(text) == ids
    assert k2.decode(ids) == text


@needs_k2_data
def test_k2_special_ids(k2):
    assert k2.vocab_size == 163840
    expected = {"[BOS]": 163584, "<|im_end|>": 163586, "<|im_middle|>": 163601, "<think>": 163606, "</think>": 163607}
    assert expected.items() <= k2.special.items()
    assert k2.special["<|tool_calls_section_begin|>"] == 163595
    assert k2.special["<|reserved_token_163700|>"] == 163700


@needs_k2_data
def test_long_runs_stay_quick_and_whole(k2):
    for text in ("a" * 200_000, " " * 200_000, "é北" * 60_000):
        assert k2.decode(k2.encode(text)) == text


def test_pattern_cuts_as_k2():
    """Han apart from other letters, digits by three, contractions with their word."""
    found = regex.compile(PATTERN, regex.V1).findall("Hi北京 it's 12345!!\n\n  x")
    assert found == ["Hi", "北京", " it's", " ", "123", "45", "!!\n\n", " ", " x"]


@settings(max_examples=examples(50))
@given(
    st.text()
    | st.sampled_from(["<|im_end|>", "[BOS]", "<think>", "a<|tool_call_begin|>b", "\ud800", "<|reserved_token_400|>"])
)
def test_text_never_becomes_a_special_token(text):
    tokenizer = tiny_tokenizer()
    ids = tokenizer.encode(text)
    assert not any(map(tokenizer.is_special, ids))
    assert tokenizer.decode(ids) == text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@settings(max_examples=examples(25))
@given(st.lists(st.sampled_from(list(tiny_tokenizer().special)), min_size=1).map("".join))
def test_spelt_markers_stay_text(text):
    tokenizer = tiny_tokenizer()
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert not any(map(tokenizer.is_special, tokenizer.encode(text)))


@pytest.mark.parametrize(
    ("text", "lengths"),
    [
        ("", []),
        ("ab cd", [5]),
        ("a" * RUN_CHARS, [RUN_CHARS]),
        ("a" * (RUN_CHARS + 1), [RUN_CHARS, 1]),
        ("x " + "a" * (2 * RUN_CHARS + 3) + " y", [RUN_CHARS + 2, RUN_CHARS, 5]),
        (" " * (RUN_CHARS + 5), [RUN_CHARS, 5]),
        ("ab " * (PIECE_CHARS // 3) + "abc", [PIECE_CHARS, 2]),
    ],
)
def test_where_long_text_is_cut(text, lengths):
    assert [len(piece) for piece in pieces(text)] == lengths
    assert "".join(pieces(text)) == text


def damage(path, edit):
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(edit(lines)))


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (lambda lines: lines[:100], "156 of the 256 single bytes"),
        (lambda lines: lines[:300] + lines[301:], "line 301"),
        (lambda lines: [*lines[:300], "%%% 300\n"], "line 301"),
        (lambda lines: [*lines[:300], "YQ== 300\n"], "line 301"),  # the byte "a" a second time
        (lambda lines: [*lines[:300], " 300\n"], "line 301"),
        (lambda lines: [*lines[:300], "no rank\n"], "line 301"),
        (lambda lines: [*lines[:300], "QUFB " + "9" * 5000 + "\n"], "line 301"),
        (lambda lines: [*lines, "Zm9vYmFy 999999999\n"], "with rank"),
    ],
)
def test_damaged_ranks_are_named(tmp_path, edit, what):
    write_tokenizer(tmp_path)
    damage(tmp_path / "tiktoken.model", edit)
    with pytest.raises(CheckpointError, match=what):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ("[]", "not an object"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ('{"added_tokens_decoder": []}', "no object"),
        ('{"added_tokens_decoder": {"7": {"content": "x"}}}', "added token '7'"),
        ('{"added_tokens_decoder": {"99999999999999999999": {"content": "x"}}}', "none of 376"),
        ('{"added_tokens_decoder": {"%d": {"content": ""}}}', "has no text"),
        ('{"added_tokens_decoder": {"%d": 3}}', "has no text"),
        ('{"added_tokens_decoder": {"%d": {"content": "a"}, "%d": {"content": "a"}}}', "the same text"),
    ],
)
def test_damaged_config_is_named(tmp_path, config, what):
    write_tokenizer(tmp_path)
    first = tiny_tokenizer().ordinary_count
    text = config % tuple(range(first, first + config.count("%d"))) if "%d" in config else config
    (tmp_path / "tokenizer_config.json").write_text(text)
    with pytest.raises(CheckpointError, match=what):
        Tokenizer.load(tmp_path)


def test_missing_and_oversized_files(tmp_path):
    with pytest.raises(CheckpointError, match=r"tiktoken\.model cannot be read"):
        Tokenizer.load(tmp_path)
    write_tokenizer(tmp_path)
    with (tmp_path / "tiktoken.model").open("r+b") as file:
        file.truncate(1 << 40)  # sparse
    with pytest.raises(CheckpointError, match="over 64 MiB"):
        Tokenizer.load(tmp_path)


def test_ids_beyond_the_vocabulary():
    tokenizer = tiny_tokenizer()
    for token in (-1, tokenizer.vocab_size):
        with pytest.raises(IndexError):
            tokenizer.token_bytes(token)


def test_bytes_of_special_tokens_are_their_names(tmp_path):
    write_tokenizer(tmp_path, thinking=False)
    added = json.loads((tmp_path / "tokenizer_config.json").read_text())["added_tokens_decoder"]
    tokenizer = Tokenizer.load(tmp_path)
    for token, entry in added.items():
        assert tokenizer.token_bytes(int(token)).decode() == entry["content"]
    assert "<think>" not in tokenizer.special
