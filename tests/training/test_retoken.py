"""A trained model behind the tokenizer of today's rules."""

import json

import numpy as np
import pytest
from training_child import SMALL
from typer.testing import CliRunner

from inference_backend.__main__ import app
from inference_backend.chat.tokenizer import Tokenizer
from inference_backend.chat.tokenizer_files import read_ranks
from inference_backend.config import load_config, read_config
from inference_backend.errors import EngineError
from inference_backend.load import load_weights
from inference_backend.training.export import export
from inference_backend.training.model import TrainableModel
from inference_backend.training.retoken import retoken
from inference_backend.training.vocabulary import LINE_END, write_tokenizer

BYTES = [bytes([byte]) for byte in range(256)]
LEFT = [b"nd", b"file", b".md", b'{"']
OLDER = [*BYTES, b"'s", *LEFT, LINE_END]
"""As an older state of the rules made them: `'s` is a token, and the end of a line is joined late."""


@pytest.fixture
def source(tmp_path):
    raw = SMALL.raw_config(len(OLDER), long=True)
    write_tokenizer(tmp_path, {token: rank for rank, token in enumerate(OLDER)})
    export(tmp_path / "older", TrainableModel(read_config(raw)), raw, tmp_path)
    return tmp_path / "older"


def test_a_model_with_other_tokens_has_the_same_weights_and_its_rows_by_token(source, tmp_path):
    out = tmp_path / "newer"
    said = CliRunner().invoke(app, ["retoken", str(source), str(out)], catch_exceptions=False)
    assert said.exit_code == 0
    assert f"{out}: 1 token fewer" in said.output
    tokens = list(read_ranks(out / "tiktoken.model"))
    assert tokens == [*BYTES, LINE_END, *LEFT]
    before, after = load_weights(source, load_config(source)), load_weights(out, load_config(out))
    rows = [*(OLDER.index(token) for token in tokens), *range(len(OLDER), len(OLDER) + 256)]
    for name, array in after.items():
        by_token = name in ("model.embed_tokens.weight", "lm_head.weight")
        np.testing.assert_array_equal(array, np.array(before[name])[rows] if by_token else before[name], err_msg=name)
    assert load_config(out).vocab_size == len(rows)
    assert Tokenizer.load(out).marker("<|im_end|>") == json.loads((out / "config.json").read_text())["eos_token_id"]
    config = json.loads((out / "config.json").read_text())
    assert (config["bos_token_id"], config["eos_token_id"]) == (len(tokens), len(tokens) + 2)


def test_what_train_has_not_made_is_refused_and_nothing_is_written(source, tmp_path):
    def refused(reason, out=tmp_path / "none"):
        with pytest.raises(EngineError, match=reason):
            retoken(source, out)

    refused("is not an empty folder", source)
    refused("is not an empty folder", source / "config.json")
    refused("Not a directory", source / "config.json" / "below")
    many = OLDER + [number.to_bytes(3, "big") for number in range(20_000)]
    for tokens, reason in (
        (many, "`train` has not made"),
        (OLDER[:-1], "no token for the end of a line"),
        ([*OLDER[:-2], LINE_END], "do not belong together"),
    ):
        write_tokenizer(source, {token: rank for rank, token in enumerate(tokens)})
        refused(reason)
    assert not (tmp_path / "none").exists()
