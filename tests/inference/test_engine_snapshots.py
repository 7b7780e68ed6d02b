"""Conversations on disk: they go on after a restart without being computed again, and nothing damaged or foreign is believed."""

import os
import stat
from pathlib import Path

import pytest
from inference_engine_house import GREEDY, Answer, HashRunner, alone, check_books, engine_of, finish
from inference_house import random_tokens, random_weights, tiny_config

from inference_backend.engine.engine import Engine
from inference_backend.engine.reference_runner import ReferenceRunner
from inference_backend.engine.request import Request, SamplingParams
from inference_backend.engine.scheduler import Limits
from inference_backend.engine.snapshots import SnapshotStore
from inference_backend.errors import EngineError

PROMPT = [4 + n * n % 41 for n in range(102)]


class House:
    """A folder of snapshots, and engines that come and go."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.said = folder / "snapshots", []

    def store(self, quota: int = 1 << 30, model: str = "one") -> SnapshotStore:
        return SnapshotStore(self.folder, model, quota=quota, say=self.said.append)

    def talk(self, prompt: list[int], session: str = "s", **options: object) -> tuple[Answer, HashRunner]:
        """One request to an engine that has just been started, and is ended in good order."""
        runner = HashRunner(80)
        engine = engine_of(runner, Limits(step_tokens=64, running=4), snapshots=self.store(**options))
        answer = finish(engine, [Request("a", prompt, GREEDY, session=session)])["a"]
        check_books(engine)
        engine.close()
        assert answer.tokens == alone(HashRunner(80), prompt, GREEDY)
        return answer, runner

    @property
    def files(self) -> list[Path]:
        return sorted(self.folder.iterdir())


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_resume_fork_and_rewind_without_prefill(house: House) -> None:
    first, _ = house.talk(PROMPT)
    spoken = [*PROMPT, *first.tokens]
    resumed, runner = house.talk([*spoken, 7, 8])
    assert resumed.last.cached_tokens == len(spoken) - 1  # to the very token, the part of a block too
    assert runner.tokens <= 1 + 2 + 8
    assert house.talk([*PROMPT[:61], 9])[0].last.cached_tokens == 60  # a fork: whole blocks of 4
    assert house.talk(PROMPT[:50])[0].last.cached_tokens >= 48  # a rewind
    assert not house.said


def test_only_what_is_new_is_written(house: House) -> None:
    first, _ = house.talk(PROMPT)
    before = {path: path.stat().st_ino for path in house.files}
    house.talk([*PROMPT, *first.tokens, 5, 6, 7, 8])
    same = [path for path in house.files if before.get(path) == path.stat().st_ino]
    assert len(same) >= len(before) - 1
    assert len(house.files) - len(before) <= 5


def test_nobody_else_can_read_them(house: House) -> None:
    house.folder.mkdir(mode=0o755)
    house.talk(PROMPT)
    assert stat.S_IMODE(house.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in house.files} == {0o600}
    assert {path.suffix for path in house.files} == {".kv", ".part"}


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "snapshots").write_text("")
    with pytest.raises(EngineError, match="snapshots cannot be kept"):
        House(tmp_path).store()
    (tmp_path / "snapshots").unlink()
    (tmp_path / "snapshots").symlink_to(tmp_path)
    with pytest.raises(EngineError, match="not a folder of yours"):
        House(tmp_path).store()


DAMAGES = {
    "cut off": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "a bit": lambda data: data[:-40] + bytes([data[-40] ^ 1]) + data[-39:],
    "a token": lambda data: data[:84] + bytes([data[84] ^ 1]) + data[85:],
    "longer": lambda data: data + b"x",
    "a huge count": lambda data: data[:72] + b"\xff\xff\xff\x7f" + data[76:],
    "another format": lambda data: b"GGUF" + data[4:],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_ignored_and_said(house: House, damage: str) -> None:
    house.talk(PROMPT)
    for path in house.files:
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    answer, _ = house.talk([*PROMPT, 5])
    assert answer.last.cached_tokens == 0
    assert house.said
    assert "is ignored" in house.said[0]


def test_a_damaged_block_is_written_anew(house: House) -> None:
    house.talk(PROMPT)
    store = house.store()
    parent = store.root
    for start in range(0, 40, 4):
        parent = store.after(parent, PROMPT[start : start + 4])
    (house.folder / f"{parent.hex()}.kv").write_bytes(b"")
    assert house.talk([*PROMPT, 5])[0].last.cached_tokens == 36
    assert len(house.said) == 1
    assert house.talk([*PROMPT, 5])[0].last.cached_tokens >= 100
    assert len(house.said) == 1


def test_files_of_others_are_ignored(house: House) -> None:
    house.talk(PROMPT)
    assert house.talk(PROMPT, model="another")[0].last.cached_tokens == 0
    first, *others = [path for path in house.files if path.suffix == ".kv"]
    for path in others:  # a block under the name of another
        path.write_bytes(first.read_bytes())
    (house.folder / "notes.txt").write_text("mine")
    answer, _ = house.talk(PROMPT)
    assert answer.last.cached_tokens <= 4
    assert (house.folder / "notes.txt").read_text() == "mine"


def test_a_link_or_a_pipe_is_not_followed(house: House, tmp_path: Path) -> None:
    house.talk(PROMPT)
    for number, path in enumerate(house.files):
        path.rename(tmp_path / path.name)
        if number % 2:
            path.symlink_to(tmp_path / path.name)
        else:
            os.mkfifo(path)
    assert house.talk(PROMPT)[0].last.cached_tokens == 0


def test_the_quota_holds_and_beginnings_stay_longest(house: House) -> None:
    house.talk(PROMPT)
    size = sum(path.stat().st_size for path in house.files)
    quota = size * 3 // 4
    house.talk([9, *PROMPT], quota=quota)
    assert sum(path.stat().st_size for path in house.files) <= quota
    again = house.talk([9, *PROMPT, 5], quota=quota)[0]
    assert again.last.cached_tokens >= 60  # what it gave up were ends


def test_a_full_disk_is_said_and_nothing_stops(house: House) -> None:
    """Where no file can be made, as on a disk that is full or read-only."""
    store = house.store()
    runner = HashRunner(80)
    engine = engine_of(runner, snapshots=store)
    house.folder.rmdir()
    house.folder.write_text("in the way")
    answer = finish(engine, [Request("a", PROMPT, GREEDY, session="s")])["a"]
    engine.close()
    assert answer.tokens == alone(HashRunner(80), PROMPT, GREEDY)
    assert "was not written" in house.said[0]


def test_what_a_killed_program_left_beside_is_removed(house: House) -> None:
    house.store()
    (house.folder / "0123.new").write_bytes(b"half")
    house.store()
    assert house.files == []


def test_the_real_mathematics_goes_on_bit_for_bit(tmp_path: Path) -> None:
    config = tiny_config()
    weights = random_weights(config)
    prompt = random_tokens(config, 200)
    params = SamplingParams(temperature=0, max_tokens=6, logprobs=2)

    def turn(prompt: list[int], store: SnapshotStore | None) -> Answer:
        engine = Engine(ReferenceRunner(config, weights, 32), snapshots=store)
        answer = finish(engine, [Request("a", prompt, params, session="s")])["a"]
        engine.close()
        return answer

    house = House(tmp_path)
    first = turn(prompt, house.store())
    after = [*prompt, *first.tokens, 9]
    resumed, expected = turn(after, house.store()), turn(after, None)
    assert resumed.last.cached_tokens == len(after) - 2
    assert resumed.tokens == expected.tokens
    for found, own in zip(resumed.last.logprobs, expected.last.logprobs, strict=True):
        assert found.logprob == pytest.approx(own.logprob, abs=2e-5)


def test_a_conversation_that_goes_on_outlives_one_that_does_not(house: House) -> None:
    prompts = {"a": PROMPT, "b": [9, *PROMPT], "c": [11, *PROMPT]}
    house.talk(PROMPT)
    size = sum(path.stat().st_size for path in house.files)
    for path in house.files:
        path.unlink()
    runner = HashRunner(200)
    engine = engine_of(runner, snapshots=house.store(quota=size * 5 // 2))
    spoken = PROMPT
    for name, session in enumerate("abac"):
        prompt = [*spoken, 7] if session == "a" and name else prompts[session]
        answer = finish(engine, [Request(str(name), prompt, GREEDY, session=session)])[str(name)]
        spoken = [*prompt, *answer.tokens] if session == "a" else spoken
    engine.close()
    assert house.talk([*spoken, 7])[0].last.cached_tokens >= len(spoken) - 4
    assert house.talk([*prompts["b"], 7], session="b")[0].last.cached_tokens < 100
