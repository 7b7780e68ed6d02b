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


def test_a_model_with_other_tokens_has_the_same_weights_and_its_rows_by_token(tmp_path):
    """As if it were of an older state of the rules: `'s` is a token, and the end of a line is joined late."""
    source, out = tmp_path / "older", tmp_path / "newer"
    left = [*(bytes([byte]) for byte in range(256)), b"nd", b"file", b".md", b'{"']
    older = [*left[:256], b"'s", *left[256:], LINE_END]
    raw = SMALL.raw_config(len(older), long=True)
    write_tokenizer(tmp_path, {token: rank for rank, token in enumerate(older)})
    export(source, TrainableModel(read_config(raw)), raw, tmp_path)
    said = CliRunner().invoke(app, ["retoken", str(source), str(out)], catch_exceptions=False)
    assert said.exit_code == 0
    assert f"{out}: 1 token fewer" in said.output
    tokens = list(read_ranks(out / "tiktoken.model"))
    assert tokens == [*left[:256], LINE_END, *left[256:]]
    before, after = load_weights(source, load_config(source)), load_weights(out, load_config(out))
    rows = [*(older.index(token) for token in tokens), *range(len(older), len(older) + 256)]
    for name, array in after.items():
        by_token = name in ("model.embed_tokens.weight", "lm_head.weight")
        np.testing.assert_array_equal(array, np.array(before[name])[rows] if by_token else before[name], err_msg=name)
    assert load_config(out).vocab_size == len(rows)
    assert Tokenizer.load(out).marker("<|im_end|>") == json.loads((out / "config.json").read_text())["eos_token_id"]
    for wrong in (out, source / "config.json"):
        with pytest.raises(EngineError, match="is not an empty folder"):
            retoken(source, wrong)
    many = older + [number.to_bytes(3, "big") for number in range(20_000)]
    write_tokenizer(source, {token: rank for rank, token in enumerate(many)})
    with pytest.raises(EngineError, match="`train` has not made"):
        retoken(source, tmp_path / "large")
    assert not (tmp_path / "large").exists()
