"""Training on several processes: the steps of one process, and nothing left behind by whichever is killed."""

import multiprocessing
import os
import signal
import time
from dataclasses import replace
from functools import partial
from itertools import takewhile
from pathlib import Path

import pytest
import torch
from training_child import SMALL, Child, exact, preloaded
from training_house import write_data

from inference_backend.errors import TrainingError
from inference_backend.training.answers import HeldOut
from inference_backend.training.group import ALONE, Group
from inference_backend.training.run import train
from inference_backend.training.team import Team
from inference_backend.training.trainer import Measured, Trainer

STEPS = 4


@pytest.fixture(scope="module", autouse=True)
def loaded():
    with preloaded():
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"), 24)


def gradients(trainer):
    """Of the first step, as Muon's momentum and AdamW's mean keep them."""
    states = [trainer.optimiser.state[p] for p in trainer.model.parameters()]
    return [state["momentum"] if "momentum" in state else state["exp_avg"] / 0.1 for state in states]


@pytest.mark.parametrize("size", range(1, 8))
def test_each_episode_of_a_step_is_some_process_s_own(size):
    parts = [list("abcde"), list("xy")]
    shares = [Group(rank, size).shares(parts) for rank in range(size)]
    assert sorted(one for share in shares for part in share for one in part) == list("abcdexy")
    assert all(part for share in shares for part in share)


@pytest.mark.parametrize("recipe", [SMALL, replace(SMALL, chains=1.0, muon=False, tau=1.0)], ids=["muon", "chains"])
def test_two_processes_do_the_steps_of_one(data, tmp_path, recipe):
    """In float64, up to the order of sums and the 32 bits that gradients are kept in; QK-Clip at work in the second case."""
    alone = Team(partial(exact, data, tmp_path, recipe))
    pair = Team(partial(exact, data, tmp_path, recipe), 2)
    assert pair.trainer.group.size == 2
    try:
        for number in range(STEPS):
            one, two = alone.step(), pair.step()
            assert two.loss == pytest.approx(one.loss, rel=1e-6 if number == 0 else 1e-3)
            assert (two.tokens, two.rate, two.phase) == (one.tokens, one.rate, one.phase)
            if number == 0:
                assert two.logits == pytest.approx(one.logits, rel=1e-6)
                assert two.loads == one.loads
                for ours, theirs in zip(gradients(alone.trainer), gradients(pair.trainer), strict=True):
                    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-7)
        for (name, ours), theirs in zip(
            alone.trainer.model.state_dict().items(), pair.trainer.model.state_dict().values(), strict=True
        ):
            torch.testing.assert_close(
                theirs, ours, rtol=0.02, atol=2e-3, msg=lambda text, name=name: f"{name}: {text}"
            )
        ours, theirs = alone.held_out(), pair.held_out()
        assert theirs.loss == pytest.approx(ours.loss, rel=1e-3)
        assert theirs.tokens == pytest.approx(ours.tokens, abs=0.02)
    finally:
        pair.close()
    assert ALONE.size == 1


class Killer:
    """A screen, and the death of the other process at a step."""

    def __init__(self, at: int | None = None) -> None:
        self._at, self.steps, self.other = at, 0, 0

    def stage(self, what: str, done: int, total: int) -> None: ...
    def note(self, text: str) -> None: ...
    def held_out(self, step: int, found: HeldOut) -> None: ...

    def step(self, measured: Measured, total: int) -> None:
        self.steps += 1
        if measured.step == self._at:
            (process,) = multiprocessing.active_children()
            self.other = process.pid
            os.kill(self.other, signal.SIGKILL)


def test_whichever_is_killed_none_stays_and_the_run_goes_on_to_the_same_weights(data, tmp_path):
    run = partial(train, data, recipe=SMALL, save_seconds=0.0, processes=2)
    whole = Killer()
    assert run(tmp_path / "whole", screen=whole).is_whole
    assert whole.steps == SMALL.steps
    killed = tmp_path / "killed"
    killer = Killer(at=2)
    with pytest.raises(TrainingError, match="process 2 of the training ended: killed by signal 9"):
        run(killed, screen=killer)
    wait_until_ended(killer.other)
    first = Child(data, killed, 2)
    told = list(takewhile(lambda line: line != "step 7", first.lines()))
    (other,) = {int(line.split()[1]) for line in told if line.startswith("beside")}
    first.process.kill()
    wait_until_ended(other)
    rest = Killer()
    assert run(killed, screen=rest).is_whole
    assert 0 < rest.steps < SMALL.steps
    for name in ("state/model.safetensors", "checkpoint/model.safetensors"):
        assert (killed / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def wait_until_ended(pid: int) -> None:
    deadline = time.monotonic() + 60
    while alive(pid):
        assert time.monotonic() < deadline, f"{pid} is still there"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def broken(data: Path, out: Path, where: int) -> Trainer:
    if os.getpid() != where:
        raise TrainingError("there is no room here")
    return exact(data, out, SMALL)


def test_a_process_that_cannot_begin_ends_the_run_and_says_why(data, tmp_path):
    with pytest.raises(TrainingError, match="process 2 of the training ended: there is no room here"):
        Team(partial(broken, data, tmp_path, os.getpid()), 2)
    assert not [each for each in multiprocessing.active_children() if "training" in each.name]
