"""A whole run on a tiny size: killed and gone on with, exported, and what MuonClip holds where Muon alone does not."""

import json
import shutil
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from training_child import SMALL, STEPS, Child, preloaded
from training_house import write_data
from typer.testing import CliRunner

from inference_backend.__main__ import app
from inference_backend.chat.tokenizer_files import read_ranks
from inference_backend.checkpoint.folder import Checkpoint
from inference_backend.checkpoint.writer import write_file
from inference_backend.config import load_config
from inference_backend.errors import CheckpointError, EngineError, TrainingError
from inference_backend.load import load_weights
from inference_backend.reference import Reference, Segment
from inference_backend.training import known, state
from inference_backend.training.average import average
from inference_backend.training.curves import picture
from inference_backend.training.export import export, fill
from inference_backend.training.group import Group
from inference_backend.training.layers import Precision
from inference_backend.training.model import TrainableModel
from inference_backend.training.prepare import Folder, claim, encoded_of, tokenizer_of
from inference_backend.training.retoken import BY_TOKEN
from inference_backend.training.run import loaded, train
from inference_backend.training.schedule import schedule
from inference_backend.training.trainer import Data, Trainer
from inference_backend.training.vocabulary import write_tokenizer


@pytest.fixture(scope="module", autouse=True)
def forked_quickly():
    with preloaded():
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """A run from the first step to the last, and what its child told: one line per step."""
    out = tmp_path_factory.mktemp("run") / "whole"
    process = Child(data, out)
    told = list(process.lines())
    assert process.process.exitcode == 0
    return out, told


def test_a_run_killed_at_any_moment_comes_to_the_same_weights(data, whole, tmp_path):
    out, told = whole
    assert [line for line in told if line.startswith("step")] == [f"step {n}" for n in range(STEPS)]
    killed = tmp_path / "killed"
    for line in ("stage encoding", "step 2", "step 9"):  # the last: weights are seen as stored
        child = Child(data, killed)
        assert any(said == line for said in child.lines())
        child.process.kill()
        child.process.join(60)
    child = Child(data, killed)
    rest = list(child.lines())
    assert child.process.exitcode == 0
    assert sum(line.startswith("step") for line in rest) < STEPS
    for name in ("state/model.safetensors", "checkpoint/model.safetensors", "checkpoint/config.json"):
        assert (killed / name).read_bytes() == (out / name).read_bytes(), name
    steps = [json.loads(line) for line in (killed / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in steps if "loss" in line] == list(range(STEPS))
    assert all(line["loss"] > 0 for line in steps if "loss" in line)
    for curve in ("loss", "load", "logits", "rate", "right"):
        ElementTree.fromstring((killed / "curves" / f"{curve}.svg").read_text())


def trained(whole, data, *, at=STEPS, dtype=torch.bfloat16):
    folder = Folder(whole[0])
    tokenizer = tokenizer_of(folder, SMALL, data)
    encoded = encoded_of(folder, SMALL, data, tokenizer)
    ordinary = tokenizer.ordinary_count
    short, long = (SMALL.config(ordinary, long=long) for long in (False, True))
    trainer = Trainer(SMALL, short, long, encoded, dtype=dtype)
    assert state.load(folder.state, trainer.model, trainer.optimiser) == at
    trainer.model.use(SMALL.config(ordinary, long=True))
    return trainer


def test_the_checkpoint_is_what_the_forward_pass_saw(whole, data):
    """Bit for bit in the same arithmetic, and for the reference that serves it to float32's last digits."""
    trainer = trained(whole, data)
    folder = whole[0] / "checkpoint"
    config = load_config(folder)
    assert config.yarn is not None
    assert config.quantisation.scheme == "int4"
    tokens = torch.from_numpy(trainer.data.kinds["held_out"][0].tokens.astype(np.int64))[None]
    filled = TrainableModel(config)
    fill(filled, folder)
    for dtype in (torch.float32, torch.bfloat16):
        trainer.model.precision, filled.precision = Precision(dtype, stored=True), Precision(dtype)
        seen, read = ((m.logits(m.hidden(tokens[0, :0], tokens))).detach() for m in (trainer.model, filled))
        assert torch.equal(seen, read)
    trainer.model.precision = Precision(torch.float32, stored=True)
    seen = trainer.model.logits(trainer.model.hidden(tokens[0, :0], tokens)).detach().numpy()
    reference = Reference(config, load_weights(folder, config))
    served = reference.forward([Segment(tokens[0].tolist(), reference.new_cache(), tokens.shape[1])])
    np.testing.assert_allclose(served, seen, rtol=1e-3, atol=1e-4)


def test_a_checkpoint_of_other_sizes_is_refused_and_leaves_no_folder(whole, data, tmp_path):
    folder = Folder(tmp_path / "more")
    with pytest.raises(TrainingError, match="another n_routed_experts than the recipe: 8, not 16"):
        claim(folder, replace(SMALL, experts=16), data, whole[0] / "checkpoint")
    assert not folder.path.exists()
    claim(folder, SMALL, data, whole[0] / "checkpoint")


def test_a_run_can_begin_with_a_checkpoint(whole, data, tmp_path):
    begin, folder = whole[0] / "checkpoint", Folder(tmp_path / "more")
    claim(folder, SMALL, data, begin)
    trainer = loaded(folder, SMALL, data, "cpu")
    filled = TrainableModel(load_config(begin))
    fill(filled, begin)
    assert all(torch.equal(a, b) for a, b in zip(trainer.model.parameters(), filled.parameters(), strict=True))
    assert trainer.done == 0
    assert trainer.model.config.yarn is not None
    trainer.step()
    state.save(folder.state, trainer.model, trainer.optimiser, trainer.done)
    claim(folder, SMALL, data, begin)
    again = loaded(folder, SMALL, data, "cpu")
    assert again.done == 1
    assert all(torch.equal(a, b) for a, b in zip(trainer.model.parameters(), again.model.parameters(), strict=True))
    with pytest.raises(TrainingError, match="another recipe"):
        claim(folder, SMALL, data)
    with pytest.raises(CheckpointError, match="has no model"):
        claim(Folder(tmp_path / "no"), SMALL, data, tmp_path)


def test_what_the_first_checkpoint_does_already_is_found_once(whole, data, tmp_path):
    """On two processes, killed before and behind that."""
    recipe, begin = replace(SMALL, known_share=0.25, steps=4), whole[0] / "checkpoint"
    for line in ("stage looking for what is known", "step 1"):
        child = Child(data, tmp_path / "killed", 2, recipe, begin)
        assert any(said == line for said in child.lines())
        child.process.kill()
        child.process.join(60)
    shutil.copytree(tmp_path / "killed", tmp_path / "robbed")
    (tmp_path / "robbed" / "known" / "model.safetensors").unlink()
    with pytest.raises(TrainingError, match="known is gone"):
        train(data, tmp_path / "robbed", recipe, Silent(), begin=begin)
    for out in ("killed", "whole"):
        child = Child(data, tmp_path / out, 2, recipe, begin)
        told = list(child.lines())
        assert child.process.exitcode == 0, told
        assert any("come by less often" in line for line in told)
    for name in ("state/model.safetensors", "known/model.safetensors"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_the_look_is_done_in_as_many_pieces_as_needed_and_comes_before_any_step(whole, tmp_path):
    recipe, folder = replace(SMALL, known_share=0.25, steps=2), Folder(tmp_path / "run")
    data, begin = write_data(tmp_path / "data", 600), whole[0] / "checkpoint"
    assert train(data, folder.path, recipe, Silent(), seconds=0.0, begin=begin).done == 0
    assert len(known.read(folder, 600)) == known.LOOKED_AT
    assert train(data, folder.path, recipe, Silent(), seconds=0.0, begin=begin).done == 1
    total = len(known.read(folder, 600))
    assert known.LOOKED_AT < total <= 600
    write_file(folder.known / "model.safetensors", {"right": np.zeros(total + 1, np.uint8)})
    with pytest.raises(TrainingError, match="not of this run"):
        known.read(folder, total)


def test_what_is_known_comes_by_less_often_in_a_run(whole, data):
    before = trained(whole, data)
    recipe = replace(SMALL, known_share=0.0, chains=0.0, long=0.0, cut=0.0, renamed=0.0, bare=0.0, steps=60)
    trainer = Trainer(recipe, before.model.config, before.model.config, before.data)
    train_on = before.data.kinds["train"]
    right = np.arange(len(train_on)) % 3 > 0
    trainer.know(right)
    seen = {one.tokens.tobytes() for step in range(60) for part in trainer.parts(step) for one in part}
    assert seen == {train_on[number].tokens.tobytes() for number in np.flatnonzero(~right)}


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_long_conversations_come_by_before_annealing_where_the_recipe_says_so(whole, data, share):
    before = trained(whole, data)
    recipe = replace(SMALL, far=share, long=0.0, chains=0.0, cut=0.0, renamed=0.0, steps=60)
    marked = before.data.kinds["train"][-1]
    every = Data({**before.data.kinds, "train": before.data.kinds["train"][:-1], "long": [marked]}, before.data.start)
    trainer = Trainer(recipe, before.model.config, before.model.config, every)
    own = {marked.tokens.tobytes(), marked.tokens[every.start :].tobytes()}
    early = range(recipe.schedule.anneal_from)
    long = [step for step in early if trainer.parts(step)[0][0].tokens.tobytes() in own]
    assert share * 0.6 * len(early) <= len(long) <= share * 1.4 * len(early)


def test_the_mean_of_runs_is_the_mean_of_their_weights(whole, tmp_path):
    first, second = whole[0], tmp_path / "second"
    shutil.copytree(first, second)
    stored = Checkpoint(first / "state")
    others = {name: np.array(stored.array(name)) for name in stored}
    others = {name: array * 2 if array.dtype == np.float32 else array for name, array in others.items()}
    write_file(second / "state" / "model.safetensors", others)
    command = ["average", str(first), str(second), str(tmp_path / "mean"), "--shares", "1,3"]
    said = CliRunner().invoke(app, command, catch_exceptions=False)
    assert said.exit_code == 0
    assert said.output.count("of episodes exactly right") == 3
    config = load_config(tmp_path / "mean")
    wanted = TrainableModel(config)
    for name, tensor in wanted.state_dict().items():
        tensor.copy_(torch.from_numpy(1.75 * np.array(stored.array(name), np.float64)))
    raw = json.loads((first / "checkpoint" / "config.json").read_text())
    export(tmp_path / "wanted", wanted, raw, first / "tokenizer")
    mean = load_weights(tmp_path / "mean", config)
    for name, array in load_weights(tmp_path / "wanted", config).items():
        np.testing.assert_array_equal(mean[name], array, err_msg=name)


def test_rows_of_tokens_are_added_by_token_where_a_run_was_begun_behind_retoken(whole, tmp_path):
    run, older = whole[0], tmp_path / "older"
    shutil.copytree(run, older)
    ranks = read_ranks(run / "tokenizer" / "tiktoken.model")
    tokens = list(ranks)
    mixed = [*tokens[:256], b"'s", *reversed(tokens[256:])]
    write_tokenizer(older / "tokenizer", {token: rank for rank, token in enumerate(mixed)})
    stored, special = Checkpoint(run / "state"), range(len(tokens), len(tokens) + 256)
    tensors = {name: np.array(stored.array(name)) for name in stored}
    for name in BY_TOKEN:
        rows = [*(ranks.get(token, 0) for token in mixed), *special]
        tensors[name] = tensors[name][rows]
    write_file(older / "state" / "model.safetensors", tensors)
    average([older, run], tmp_path / "mean")
    for name in ("model.safetensors", "tiktoken.model", "config.json"):
        assert (tmp_path / "mean" / name).read_bytes() == (run / "checkpoint" / name).read_bytes()


def test_what_has_no_mean_is_refused_and_nothing_is_written(whole, data, tmp_path):
    run, other, short, wide = whole[0], tmp_path / "other", tmp_path / "short", tmp_path / "wide"
    for copy in (other, short, wide):
        shutil.copytree(run, copy)
    ranks = read_ranks(run / "tokenizer" / "tiktoken.model")
    write_tokenizer(other / "tokenizer", {token: rank for token, rank in ranks.items() if rank < len(ranks) - 1})
    state = Checkpoint(run / "state")
    tensors = {name: np.array(state.array(name)) for name in state}
    write_file(short / "state" / "model.safetensors", {**tensors, "step": np.asarray([STEPS - 1], np.int64)})
    recipe = json.loads((run / "recipe.json").read_text())
    (wide / "recipe.json").write_text(json.dumps({**recipe, "recipe": {**recipe["recipe"], "top": 1}}))
    (tmp_path / "file").touch()
    for runs, out, shares, reason in (
        ([run], "mean", (), "two runs or more"),
        ([run, run], "mean", (), "two runs or more"),
        ([other, run], "mean", (1.0,), "two runs or more"),
        ([other, run], "mean", (1.0, 0.0), "numbers over 0"),
        ([other, run], "mean", (float("nan"), 1.0), "numbers over 0"),
        ([other, run], "mean", (1.0, float("inf")), "numbers over 0"),
        ([run, tmp_path / "none"], "mean", (), "no run that was trained"),
        ([short, run], "mean", (), f"not finished: {STEPS - 1} of {STEPS}"),
        ([wide, run], "mean", (), "other sizes"),
        ([other, run], "mean", (), "different tokenizers"),
        ([other, run], "file", (), "is a file"),
        ([other, run], "other/state", (), "in the folder of the run"),
    ):
        with pytest.raises(EngineError, match=reason):
            average(runs, tmp_path / out, shares)
    assert not (tmp_path / "mean").exists()
    (wide / "recipe.json").write_text("{}")
    with pytest.raises(TrainingError, match="damaged"):
        average([wide, run], tmp_path / "mean")
    said = CliRunner().invoke(app, ["average", str(other), str(run), str(tmp_path / "mean"), "--shares", "1,x"])
    assert isinstance(said.exception, EngineError)
    assert "no numbers" in str(said.exception)


def test_a_recipe_that_goes_on_wants_a_checkpoint(data, tmp_path):
    with pytest.raises(TrainingError, match="goes on from a checkpoint"):
        claim(Folder(tmp_path / "run"), replace(SMALL, known_share=0.25), data)
    assert not (tmp_path / "run").exists()


class Silent:
    """A screen that shows nothing."""

    def stage(self, what, done, total):
        pass

    def note(self, text):
        pass

    def step(self, measured, total):
        pass

    def held_out(self, step, found):
        pass


class Unsummed(Group):
    """One of several processes, which keeps to itself what it has found."""

    def add(self, tensors):
        return list(tensors)


def test_exactly_right_is_what_comes_first_everywhere(whole, data):
    """By the reference that serves it, in float32. Of what is to be written, only what it would write is left; of every
    second episode, a token beside it.
    """
    trainer = trained(whole, data, dtype=torch.float32)
    episodes, folder = trainer.data.kinds["train"][:6], whole[0] / "checkpoint"
    reference = Reference(load_config(folder), load_weights(folder, load_config(folder)))
    for number, one in enumerate(episodes):
        segment = Segment(one.tokens.tolist(), reference.new_cache(), len(one))
        first = reference.forward([segment])[:-1].argmax(-1) == one.tokens[1:]
        behind = np.arange(1, len(one)) > trainer.data.start
        one.trained[1:] = first & behind
        assert one.trained.any()
        if number % 2:
            one.trained[1 + np.flatnonzero(~first & behind)[0]] = True
    assert trainer.exactly_right(0, 6).tolist() == [True, False] * 3
    assert trainer.exactly_right(3, 5).tolist() == [False, True]
    halves = []
    for rank in range(2):
        trainer.join(Unsummed(rank, 2))
        halves.append(trainer.exactly_right(0, 6))
    assert sum(halves[0]) + sum(halves[1]) == 3
    assert (halves[0] | halves[1]).tolist() == [True, False] * 3


def test_another_recipe_or_other_data_do_not_go_on_in_the_folder(whole, data, tmp_path):
    with pytest.raises(TrainingError, match="another recipe"):
        claim(Folder(whole[0]), replace(SMALL, seed=2), data)
    with pytest.raises(TrainingError, match="other data"):
        claim(Folder(whole[0]), SMALL, write_data(tmp_path / "more", 30))
    with pytest.raises(TrainingError, match="train"):
        claim(Folder(tmp_path / "none"), SMALL, tmp_path)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").touch()
    with pytest.raises(TrainingError, match="not empty"):
        claim(Folder(tmp_path / "used"), SMALL, data)


def too_fast(whole, data, tau):
    """Far too high a rate for what makes queries and keys: the largest logit and the mean loss of the last steps."""
    recipe = replace(SMALL, tau=tau, lr=0.01, weight_decay=0.0, batch=512, steps=10_000)
    tokenizer = tokenizer_of(Folder(whole[0]), SMALL, data)
    encoded = encoded_of(Folder(whole[0]), SMALL, data, tokenizer)
    config = recipe.config(tokenizer.ordinary_count, long=False)
    trainer = Trainer(recipe, config, config, encoded, dtype=torch.float32)
    fast = [p for layer in trainer.model.attention() for p in (layer.q_b_proj.weight, layer.kv_b_proj.weight)]
    group = trainer.optimiser.param_groups[0]
    group["params"] = [p for p in group["params"] if not any(p is one for one in fast)]
    trainer.optimiser.add_param_group({"params": fast, "lr_factor": 300.0})
    seen = [trainer.step() for _ in range(41)]
    return seen[-1].logits, np.mean([one.loss for one in seen[-10:]])


def test_muon_alone_diverges_where_muonclip_does_not(whole, data):
    logits, loss = too_fast(whole, data, tau=1e9)
    clipped_logits, clipped_loss = too_fast(whole, data, tau=20.0)
    assert logits > 500
    assert clipped_logits < 100
    assert loss > clipped_loss + 0.5


def test_the_command_goes_on_and_says_what_is_wrong(whole, data, tmp_path):
    command = ["train", str(data), str(tmp_path / "run"), "--nice", "0", "--threads", "1"]
    short = [*command, "--recipe", "smoke", "--steps", "3"]
    first = CliRunner().invoke(app, [*short, "--minutes", "0.0001"])
    assert first.exit_code == 0, first.output
    assert "1 of 3 steps. Held out: loss" in first.output
    assert "The same command goes on." in first.output
    second = CliRunner().invoke(
        app, [*short, "--processes", "2", "--to", str(tmp_path / "kept"), "--against", str(whole[0])]
    )
    assert second.exit_code == 0, second.output
    assert "3 of 3 steps" in second.output
    assert ">whole</text>" in (tmp_path / "run" / "curves" / "against.svg").read_text()
    assert load_config(tmp_path / "kept").max_position_embeddings == 65536
    with pytest.raises(EngineError, match="no recipe"):
        CliRunner().invoke(app, [*command, "--recipe", "huge"], catch_exceptions=False)


def test_the_schedule_is_the_reports():
    plan = schedule(1000, 1.0)
    rates = [plan.rate(step) for step in range(1000)]
    assert rates[: plan.warmup] == sorted(rates[: plan.warmup])
    assert set(rates[plan.warmup : plan.cosine_from]) == {1.0}
    falling = rates[plan.cosine_from :]
    assert falling == sorted(falling, reverse=True)
    assert plan.phase(0) == "constant"
    assert plan.phase(700) == "cosine"
    assert plan.phase(999) == "annealing"
    assert rates[plan.anneal_from] == pytest.approx(0.1)
    assert rates[-1] == pytest.approx(0.035, rel=0.05)


@pytest.mark.parametrize(
    "lines", [{}, {"a <b>": []}, {"flat": [(0, 1.0), (5, 1.0)]}, {"odd": [(1, float("nan")), (2, -1.0)]}]
)
@pytest.mark.parametrize("logarithmic", [False, True])
def test_any_curve_is_a_picture(lines, logarithmic):
    ElementTree.fromstring(picture("loss & load", lines, logarithmic=logarithmic))
    long = picture("x", {"y": [(n, 2.0 + n) for n in range(5000)]}, logarithmic=logarithmic)
    assert len(long) < 20_000
