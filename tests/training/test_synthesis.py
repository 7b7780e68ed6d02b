"""Data to train on: made by the agent's own tools, checked, replayed, the same bytes for a seed, nothing held out in training."""

import itertools
import json
import random
import re
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from fake_api import FakeAPI
from kimi_program import Program

from inference_backend.errors import RequestError
from inference_backend.training.synthesis.dataset import Example, read_examples, read_held_out, training_files
from inference_backend.training.synthesis.draw import Draw
from inference_backend.training.synthesis.families import FAMILIES
from inference_backend.training.synthesis.goals import Command, Goal, check
from inference_backend.training.synthesis.masks import masks_for
from inference_backend.training.synthesis.phrasing import PLAIN, say, templates, variants
from inference_backend.training.synthesis.plan import Slot, draw_task, slots
from inference_backend.training.synthesis.produce import Order, produce
from inference_backend.training.synthesis.rooms import CONFIG, Room
from inference_backend.training.synthesis.sift import Sieve
from inference_backend.training.synthesis.site import Site
from inference_backend.training.synthesis.task import Call, Steps, Task, Words
from inference_backend.training.synthesis.words import LISTS, pool
from inference_backend.training.synthesis.world import Commit, World, make_world, tree_of

LANGUAGES = ("en", "zh")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "set"
    produce(out, Order(episodes=6, held_out=4, seed=7))
    return out


def examples_of(dataset: Path) -> list[Example]:
    return [*(e for file in training_files(dataset) for e in read_examples(file)), *read_held_out(dataset)]


# --- the whole way ----------------------------------------------------------------------------------------------------------


def test_every_line_is_a_conversation_as_the_server_gets_it(dataset: Path):
    examples = examples_of(dataset)
    manifest = json.loads((dataset / "manifest.json").read_text())
    assert manifest["examples"] == {"train": 6, "held_out": 4}
    assert len(examples) == 10
    tools = {tool["function"]["name"] for tool in json.loads((dataset / "tools.json").read_text())}
    for example in examples:
        roles = [message["role"] for message in example.messages]
        assert roles[:2] == ["system", "user"]
        assert roles[-1] == "assistant"
        assert example.messages[0]["content"] == (dataset / "system.txt").read_text()
        calls = [call for message in example.messages for call in message.get("tool_calls", ())]
        answered = [message["tool_call_id"] for message in example.messages if message["role"] == "tool"]
        assert [call["id"] for call in calls] == answered
        assert answered == [f"functions.{call['function']['name']}:{n}" for n, call in enumerate(calls)]
        assert {call["function"]["name"] for call in calls} <= tools


def test_nothing_of_this_machine_is_in_the_data(dataset: Path, tmp_path: Path):
    text = json.dumps([example.messages for example in examples_of(dataset)])
    for own in ("kimi-world-", str(Path.home()), str(tmp_path.parent)):
        assert own not in text


def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(dataset: Path, tmp_path: Path):
    """One part is there already, the other is made anew by this run."""
    parts = tmp_path / "set" / "parts"
    parts.mkdir(parents=True)
    for file in (dataset / "parts").glob("train-*"):
        (parts / file.name).write_bytes(file.read_bytes())
    manifest = produce(tmp_path / "set", Order(episodes=6, held_out=4, seed=7))
    assert manifest["hash"] == json.loads((dataset / "manifest.json").read_text())["hash"]
    with pytest.raises(Exception, match="another seed"):
        produce(tmp_path / "set", Order(episodes=6, held_out=4, seed=8))


def test_a_held_out_task_is_passed_by_what_its_expert_did_and_failed_by_nothing(dataset: Path, tmp_path: Path):
    for example in read_held_out(dataset):
        make_world(example.world, tmp_path / example.id)
        assert not check(example.goal, tmp_path / example.id, "").passed
        assert check(example.goal, tmp_path / example.id, example.messages[-1]["content"]).passed, "it only looks"


def test_the_program_itself_sends_what_is_in_the_data(dataset: Path, tmp_path: Path):
    """`kimi -p` against a server that answers as the expert did: the model is trained on the very messages that it will see."""
    example = next(example for example in examples_of(dataset) if example.family == "few_steps")
    program = Program(tmp_path)
    make_world(example.world, program.work)
    masks = masks_for(example.world_seed, str(program.work.resolve()), 0, 0)
    with FakeAPI([_step(message) for message in example.messages if message["role"] == "assistant"]) as api:
        program.write_config(CONFIG.replace("http://127.0.0.1/v1", api.url))
        for turn in example.turns:
            assert program.run("-p", turn, "--yolo").returncode == 0
        sent = api.requests[-1].json
    assert json.loads(masks.shown(json.dumps(sent["messages"], ensure_ascii=False))) == example.messages[:-1]
    assert sent["tools"] == json.loads((dataset / "tools.json").read_text())


def _step(message: dict[str, Any]) -> list[dict[str, Any]]:
    calls = [(call["id"], call["function"]) for call in message.get("tool_calls", ())]
    items = [{"call": {"name": f["name"], "arguments": f["arguments"], "id": id_}} for id_, f in calls]
    return [*([{"text": message["content"]}] if message.get("content") else []), *items]


# --- what is kept -----------------------------------------------------------------------------------------------------------


def task(expert: Steps, world: World, goal: Goal) -> Task:
    return Task("t-1", "read_file", "en", "t", 1, "train", (), world, ("do it",), goal, lambda: expert)


def says(command: str, answer: str) -> Steps:
    yield Call("Shell", {"command": command})
    yield Words(answer)


async def test_an_expert_that_misses_its_goal_is_no_example():
    async with Room() as room:
        episode = await room.perform(task(says("rm a.txt", "done"), World({"a.txt": "x\n"}), Goal({"a.txt": "x\n"})))
    assert episode.wrong == ("a.txt is missing",)


@pytest.mark.parametrize(
    ("command", "same"), [("cat a.txt; rm a.txt", True), ("date +%N", False), ("cat /proc/uptime", False)]
)
async def test_what_another_run_shows_differently_is_no_example(command: str, same: bool):
    async with Room() as room:
        episode = await room.perform(task(says(command, "done"), World({"a.txt": "x\n"}), Goal()))
        assert not episode.wrong
        assert await room.replays(episode) is same


def test_what_is_there_already_is_dropped(dataset: Path):
    sieve, (first, second, *_) = Sieve(), examples_of(dataset)
    assert sieve.keep(first)
    assert not sieve.keep(first)
    assert sieve.keep(second)
    assert sieve.dropped == {"the same as another": 1}


@pytest.mark.parametrize(
    "family", ["few_steps", "many_steps", "create_many", "append_all", "rename_all", "replace_all"]
)
async def test_the_expert_says_each_thing_of_a_list_before_it_does_it(family: str):
    """Word for word as the request or the listing has it, and whether more follows: so it finds the next one."""
    async with Room() as room:
        episode = await room.perform(draw_task(Slot(0, "train", family, "en"), 3, 0))
    assert not episode.wrong
    read = "\n".join(str(message["content"]) for message in episode.messages if message["role"] in ("user", "tool"))
    told = [message["content"] for message in episode.messages if message.get("tool_calls") and message.get("content")]
    assert len(told) >= (2 if family == "few_steps" else 5)
    assert [each.endswith(" ...") for each in told] == [True] * (len(told) - 1) + [False]
    for number, each in enumerate(told, 1):
        text = each.removesuffix(" ...")
        assert text in read or text.removeprefix(f"{number}. ") in read


# --- goals ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("goal", "answer", "wrong"),
    [
        (Goal({"a.txt": "one\n", "d/b.txt": "two"}), "", ""),
        (Goal({"a.txt": "other\n", "d/b.txt": "two\n"}), "", "a.txt holds 'one"),
        (Goal({"a.txt": "one\n"}), "", "d/b.txt should not be there"),
        (Goal({"a.txt": "one\n", "d/b.txt": "two\n", "c": "x"}), "", "c is missing"),
        (Goal({"a.txt": "one\n", "d/b.txt": "any"}, free=("d/b.txt",)), "", ""),
        (Goal(folders=("d", "e")), "", "no folder e"),
        (Goal(answer=(("12",),)), "There are 12 lines.", ""),
        (Goal(answer=(("12",),)), "There are 120 lines.", "says none of"),
        (Goal(answer=(("cannot", "can't"), ("a.txt",))), "I CAN'T read `a.txt`.", ""),
        (Goal(answer_without=("secret",)), "The secret is 3.", "says 'secret'"),
        (Goal(commands=(Command(("python3", "-c", "print(1 + 1)"), ("2",)),)), "", ""),
        (Goal(commands=(Command(("python3", "-c", "raise SystemExit(3)")),)), "", "ended with 3"),
    ],
)
def test_a_goal_says_what_is_wrong(goal: Goal, answer: str, wrong: str, tmp_path: Path):
    make_world(World({"a.txt": "one\n", "d/b.txt": "two\n"}), tmp_path / "w")
    reasons = " ".join(check(goal, tmp_path / "w", answer).reasons)
    assert (wrong in reasons) if wrong else not reasons


def test_a_world_is_the_same_each_time(tmp_path: Path):
    world = World(
        {"a.txt": "new\n"}, ("empty",), (Commit("first", {"a.txt": "old\n"}), Commit("second", {"b.txt": "b\n"}))
    )
    heads = []
    for name in ("one", "two"):
        make_world(world, tmp_path / name)
        heads.append((tmp_path / name / ".git" / "refs" / "heads" / "main").read_text())
    assert heads[0] == heads[1]
    assert tree_of(tmp_path / "one") == world.tree() == {"a.txt": "new\n", "b.txt": "b\n"}
    assert (tmp_path / "one" / "empty").is_dir()


def test_a_site_that_is_closed_leaves_no_thread_behind():
    """One that went on polling the number of its socket kept the next pipe with that number open: its reader waited a minute."""
    before = set(threading.enumerate())
    site = Site()
    site.close()
    assert set(threading.enumerate()) <= before
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", site.port))


# --- what is held out -------------------------------------------------------------------------------------------------------


def every_way(template: str) -> set[str]:
    """All that a template can say, its slots left open."""
    pieces = [piece.split("|") for piece in re.split(r"\{([^{}]*)\}", template)]
    return {" ".join("".join(way).lower().split()) for way in itertools.product(*pieces)}


def test_words_and_phrasings_of_training_are_not_those_that_are_held_out():
    for kind in LISTS:
        for language in LANGUAGES:
            train, held = set(pool(kind, language, False)), set(pool(kind, language, True))
            assert not {word.lower() for word in train} & {word.lower() for word in held}
    for language in LANGUAGES:
        for family, both in templates(language).items():
            held = {said for line in both.held_out for said in every_way(line)}
            both_sides = [line for line in both.train if every_way(line) & held]
            assert not both_sides, f"{family}: can be said in words that are held out"
            assert sum(map(variants, both.train)) >= 20, family
            assert len(both.held_out) >= 4, family


@pytest.mark.parametrize("family", list(FAMILIES))
def test_every_family_can_be_drawn_in_both_languages_from_either_side(family: str):
    for language in LANGUAGES:
        for unseen in (False, True):
            drawn = [Draw(seed, family, language, unseen_names=unseen, unseen_words=unseen) for seed in range(3)]
            tasks = [FAMILIES[family](draw) for draw in drawn]
            assert all(task.language == language for task in tasks)
            assert all(task.holds_out == (("world", "names", "phrasing") if unseen else ()) for task in tasks)
            assert all(("/h" in task.template) == unseen for task in tasks), "a template of the other side"
            assert all("<" not in turn and "{" not in turn for task in tasks for turn in task.turns)
    slot = Slot(0, "train", family, "en")
    assert draw_task(slot, 1, 0).turns == draw_task(slot, 1, 0).turns
    assert len({draw_task(slot, seed, 0).id for seed in range(5)}) == 5


def test_any_beginning_of_a_dataset_is_balanced():
    order = list(slots(2000, 400))
    train = [slot for slot in order if slot.split == "train"]
    for head in (500, 1000, 2000):
        by_language = [sum(slot.language == language for slot in train[:head]) for language in LANGUAGES]
        assert by_language == [head // 2, head // 2]
        assert {slot.family for slot in train[:head]} == set(FAMILIES)
    held = [(slot.family, slot.language) for slot in order if slot.split == "held_out"]
    counts = [held.count((family, language)) for family in FAMILIES for language in LANGUAGES]
    assert max(counts) - min(counts) <= 2


def test_chosen_families_alone(tmp_path: Path):
    chosen = list(slots(20, 8, ("small_talk", "read_file")))
    assert {(slot.family, slot.split) for slot in chosen} == {
        (family, split) for family in ("small_talk", "read_file") for split in ("train", "held_out")
    }
    with pytest.raises(RequestError, match="no family 'juggling'"):
        produce(tmp_path / "none", Order(2, 0, 1, ("juggling",)))
    assert produce(tmp_path / "some", Order(2, 0, 1, ("small_talk",)))["families"] == 1
    with pytest.raises(RequestError, match="other families"):
        produce(tmp_path / "some", Order(2, 0, 1))


def test_a_name_at_the_beginning_of_a_request_stays_as_it_is():
    for seed in range(300):
        said = say(random.Random(seed), "read_file", "en", False, {"path": "Oak/pIne.md"}).text
        assert "Oak/pIne.md" in said, said


def test_a_slot_in_a_command_has_no_quotes_and_the_command_no_capital():
    slots = {"path": "a.txt", "old": "milk", "new": "tea"}
    said = [say(random.Random(seed), "replace_word", "en", False, slots).text for seed in range(4000)]
    commands = [text for text in said if "sed -i 's/" in text.lower()]
    assert len(commands) > 20
    assert not [text for text in commands if "sed -i 's/milk/tea/" not in text]


def test_a_chinese_request_with_a_particle_less_keeps_its_names_apart():
    slots = {"path": "a.txt", "mark": "milk", "text": "茶"}
    said = [say(random.Random(seed), "insert_line", "zh", False, slots).text for seed in range(4000)]
    assert not [text for text in said if "a.txtmilk" in text]


def test_plain_templates_are_more_than_half_of_what_is_asked_in_training():
    drawn = [say(random.Random(seed), "read_file", "en", False, {"path": "a.txt"}).template for seed in range(2000)]
    numbers = [int(template.rpartition("t")[2]) for template in drawn]
    assert 0.55 < sum(number < PLAIN for number in numbers) / len(numbers) < 0.67
    assert len(set(numbers)) == len(templates("en")["read_file"].train)
