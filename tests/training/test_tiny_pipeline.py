"""The whole way of kimi-tiny, small: data, training, INT4 checkpoint, our engine, and `kimi -p` that does what was learnt."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
FAMILIES = "small_talk,make_folder"
EPISODES, TASKS = 24, 12


def run(*arguments: object) -> str:
    # one thread: two that wait for one another on a busy machine take several times as long
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=ROOT, env=env, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_what_a_small_model_has_learnt_it_does_through_kimi(tmp_path: Path) -> None:
    """In 240 steps it knows 24 conversations by heart: the words, calls and answers of two families in two languages."""
    data, trained, told = tmp_path / "data", tmp_path / "run", tmp_path / "told.json"
    program = "-m", "inference_backend"
    run(*program, "synthesise", data, "--episodes", EPISODES, "--held-out", 4, "--families", FAMILIES)
    run(*program, "train", data, trained, "--recipe", "smoke", "--threads", 1, "--nice", 0)
    flags = "--trained", "--tasks", TASKS, "--everyday", 0, "--attacks", 0, "--least", 1, "--jobs", 2, "--json", told
    run("bench/tiny.py", "--model", trained / "checkpoint", "--dataset", data, *flags)
    outcomes = json.loads(told.read_text())
    assert [each["reasons"] for each in outcomes] == [[]] * TASKS
    done = {(each["family"], each["language"]) for each in outcomes}
    assert done == {(family, language) for family in FAMILIES.split(",") for language in ("en", "zh")}
