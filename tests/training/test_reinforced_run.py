"""Reinforcement whole: an untrained model in real rooms, gone on with to the same weights, and kept only where it helped."""

import json
from dataclasses import replace

import jsonschema
import numpy as np
import pytest
import torch
from boxes import offered
from training_child import SMALL
from typer.testing import CliRunner

from inference_backend.__main__ import app
from inference_backend.chat.render import render
from inference_backend.checkpoint.folder import SINGLE
from inference_backend.errors import TrainingError
from inference_backend.training import state
from inference_backend.training.conversations import TEMPLATE
from inference_backend.training.export import export
from inference_backend.training.model import TrainableModel
from inference_backend.training.prepare import Folder, claim, encoded_of, tokenizer_of
from inference_backend.training.rl import Budget
from inference_backend.training.rl_policy import Policy
from inference_backend.training.rl_run import Verdict, reinforce
from inference_backend.training.rl_trainer import Settings
from inference_backend.training.synthesis.families import FAMILIES
from inference_backend.training.synthesis.goals import Command, Goal
from inference_backend.training.synthesis.plan import Slot, draw_task, slots
from inference_backend.training.synthesis.player import Player
from inference_backend.training.synthesis.produce import Order, produce
from inference_backend.training.synthesis.rollouts import Game, Players
from inference_backend.training.synthesis.rooms import Room
from inference_backend.training.synthesis.task import Call, Steps, Task, Words
from inference_backend.training.synthesis.world import World
from inference_backend.training.trainer import optimiser_of

RECIPE = replace(SMALL, vocabulary=700, context=2048, steps=1, batch=1024)
SETTINGS = Settings(
    iterations=2, tasks=2, samples=3, updates=2, held_out=1, budget=Budget(share=0.2, spare=12, penalty=0.5)
)
LIKELY = {
    "<|im_end|>": 1.0,
    "<|tool_calls_section_begin|>": 1.1,
    "<|tool_call_end|>": 1.5,
    "<|tool_calls_section_end|>": 1.5,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose model is random, but ends what it begins: the first channel is the same for all tokens, and tells so."""
    top = tmp_path_factory.mktemp("reinforced")
    produce(top / "data", Order(episodes=6, held_out=2, seed=1))
    folder = Folder(top / "run")
    claim(folder, RECIPE, top / "data")
    tokenizer = tokenizer_of(folder, RECIPE, top / "data")
    encoded_of(folder, RECIPE, top / "data", tokenizer)
    raw = RECIPE.raw_config(tokenizer.ordinary_count, long=True)
    model = TrainableModel(RECIPE.config(tokenizer.ordinary_count, long=True), seed=3)
    with torch.no_grad():
        model.model.embed_tokens.weight[:, 0] = 20.0
        head = model.lm_head.weight
        head[:, 0] = 0.0
        for name, by in LIKELY.items():
            head[tokenizer.marker(name), 0] = by
        for text in ('"', '"}', "}", '",'):
            if len(tokens := tokenizer.encode(text)) == 1:
                head[tokens[0], 0] = 1.6
    optimiser = optimiser_of(model, RECIPE)
    optimiser.prepare()
    state.save(folder.state, model, optimiser, RECIPE.steps)
    export(folder.checkpoint, model, raw, folder.tokenizer)
    return folder.path


async def test_an_untrained_model_cannot_make_an_invalid_call(run):
    """Whatever it is about: calls are of tools that are there, their arguments what the schemas say, numbered on."""
    policy, calls, ended, compared = Policy(run / "checkpoint"), 0, 0, 0
    async with Room(accepts_no_box=False) as room:
        for seed in range(8):
            players = []

            def actor(model, masks, players=players, seed=seed):
                players.append(Player(policy, model, masks, 300, 1.0, np.random.default_rng(seed)))
                return players[-1]

            slot = list(slots(40, 0))[5 * seed]
            episode = await room.perform(draw_task(slot, 3, 0), actor)
            schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in episode.tools}
            made = [call for message in episode.messages for call in message.get("tool_calls", ())]
            calls += len(made)
            for number, call in enumerate(made):
                schema = schemas[call["function"]["name"]]
                arguments = json.loads(call["function"]["arguments"])
                assert call["id"] == f"functions.{call['function']['name']}:{number}"
                jsonschema.validate(arguments, schema)
            ended += not players[0].over
            last = players[0].replies[-1]
            if last.is_whole and last.text and not last.calls:
                shown = episode.messages[:-1], episode.tools  # a server of it would have been sent the same
                assert render(*shown, tokenizer=policy.tokenizer, template=TEMPLATE).tokens == last.prompt
                compared += 1
    assert calls >= 5
    assert ended >= 3
    assert compared


def writes(code: str) -> Task:
    """A task with a file of any text, that is run when it is done; its expert writes `code` there."""

    def expert() -> Steps:
        yield Call("WriteFile", {"path": "made.py", "content": code})
        yield Words("Done.")

    goal = Goal(files={}, free=("made.py",), commands=(Command(("python3", "made.py"), ("made",)),))
    return Task("t", "none", "en", "none:0", 1, "train", (), World(), ("Write made.py.",), goal, expert)


@pytest.mark.skipif(not offered(), reason="no box here")
async def test_code_of_a_model_runs_in_the_box_alone(tmp_path):
    """When its goal is checked, too: what it wrote is run where its commands are."""
    outside = tmp_path / "outside.txt"
    hostile = f"open({str(outside)!r}, 'w').write('made')\nprint('made')\n"
    async with Room(accepts_no_box=False) as room:
        good, bad = [await room.perform(writes(code)) for code in ("print('made')\n", hostile)]
    assert good.wrong == ()
    assert not outside.exists()
    assert "made.py ended with 1" in bad.wrong[0]


@pytest.mark.skipif(not offered(), reason="no box here")
async def test_experts_solve_tasks_with_code_where_models_do():
    async with Room(accepts_no_box=False) as room:
        for number, family in enumerate(("fix_bug", "add_function", "write_script", "git_commit")):
            episode = await room.perform(draw_task(Slot(number, "train", family, "en"), 3, 0))
            assert episode.wrong == ()


def test_a_game_is_the_same_in_one_process_and_in_two(run):
    game = Game(5, 2, 1.0, SETTINGS.budget)
    chosen = list(slots(5, 0))  # more than one process takes at a time
    played = []
    for jobs in (1, 2):
        with Players(jobs) as players:
            played.append(players.play(run / "checkpoint", chosen, game))
    for one, other in zip(*played, strict=True):
        assert one.task == other.task
        assert one.budget == other.budget
        for a, b in zip(one.rollouts, other.rollouts, strict=True):
            assert [p.tokens.tolist() for p in a.pieces] == [p.tokens.tolist() for p in b.pieces]
            assert (a.solved, a.over, a.reward) == (b.solved, b.over, b.reward)
            assert a.over == (a.reward < 0)


class Stopped(Exception):
    """As a kill."""


def told(line: str) -> None:
    assert "iteration" in line


def going(run, out, *, stop=""):
    def progress(what: str, done: int, total: int) -> None:
        if what == stop and done:
            raise Stopped

    torch.set_num_threads(1)
    return reinforce(run, out, SETTINGS, told, progress)


def test_a_run_that_was_stopped_comes_to_the_same_weights(run, tmp_path):
    whole = going(run, tmp_path / "whole")
    with pytest.raises(Stopped):
        going(run, tmp_path / "pieces", stop="iteration 2")
    pieces = going(run, tmp_path / "pieces")
    weights = [(tmp_path / name / "state" / SINGLE).read_bytes() for name in ("whole", "pieces")]
    assert weights[0] == weights[1]
    assert weights[0] != (run / "state" / SINGLE).read_bytes()
    assert whole.verdict == pieces.verdict
    assert (tmp_path / "whole" / "checkpoint").exists() == whole.verdict.is_better
    lines = [json.loads(line) for line in (tmp_path / "pieces" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1]
    assert lines[0]["samples"] > 0
    assert lines[0]["heat"] > lines[1]["heat"]
    assert "<svg" in (tmp_path / "pieces" / "curves" / "reward.svg").read_text()


@pytest.mark.nightly
def test_what_is_rewarded_in_real_rooms_is_learnt(run, tmp_path):
    """A model that knows nothing can learn one thing there: to end within its budget."""
    torch.set_num_threads(1)
    settings = replace(SETTINGS, iterations=6, tasks=6, samples=6, updates=2, lr=2e-2, ptx=0.0, heat_last=1.0)
    reinforce(run, tmp_path / "out", settings, told, lambda what, done, total: None)
    lines = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    rewards = [line["reward"] for line in lines]
    assert np.mean(rewards[-3:]) > np.mean(rewards[:3]) + 0.15, rewards


def test_it_is_kept_only_where_it_helped():
    before = {"a": True, "b": False, "c": False}
    better, same = Verdict(before, {**before, "b": True}), Verdict(before, {"a": False, "b": True, "c": False})
    assert better.is_better
    assert better.told() == "Held out: 33.3% (1/3, 6%-79%) before, 66.7% (2/3, 21%-94%) after. kept: yes"
    assert not same.is_better


def test_the_command_says_what_is_wrong(run, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    for source, out, said in (
        (tmp_path, tmp_path / "new", "is no run that was trained"),
        (run, tmp_path / "other", "is not empty"),
    ):
        result = CliRunner().invoke(app, ["reinforce", str(source), str(out), "--nice", "0", "--threads", "1"])
        assert isinstance(result.exception, TrainingError)
        assert said in str(result.exception)


def test_tasks_to_learn_from_are_none_that_are_held_out():
    """Fresh seeds of the training split: its phrasings, names and worlds alone."""
    for slot in slots(2 * len(FAMILIES), 0):
        assert slot.split == "train"
        assert not slot.unseen_names
        assert not slot.unseen_words
    assert Settings().seed != 1
