"""`serve --ranks`: the same answers from several processes, and an end of all of them together."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from inference_server_house import Server, make_model, open_stream, serving

from inference_backend.errors import RequestError
from inference_backend.server.loading import ModelOptions, open_model

pytest.importorskip("torch")
CPU = ("--runner", "torch", "--device", "cpu")
ASKED = {"messages": [{"role": "user", "content": "0123456789" * 12}], "temperature": 0, "max_tokens": 12}
ENDLESS = {**ASKED, "max_tokens": 3000, "logit_bias": {str(token): -100 for token in range(376, 392)}}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("ranks") / "tiny-k2", context=4096)


def below(pid: int) -> set[int]:
    """All processes that this one, or one of its own, has started."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found |= {int(child)} | below(int(child))
    return found


def ranks_of(server: Server) -> list[int]:
    """The processes that are ranks, as soon as there are any."""
    while True:
        found = [pid for pid in below(server.process.pid) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        if found:
            return found
        time.sleep(0.01)


def wait_until_gone(pids: set[int]) -> None:
    """Fails by the test's own time limit."""
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        time.sleep(0.01)


def answer(server: Server) -> str:
    return str(server.post("/v1/chat/completions", ASKED).json()["choices"])


def test_the_answers_are_those_of_one_process_and_all_end_together(model: Path, tmp_path: Path):
    with serving(model, tmp_path, *CPU) as alone:
        wanted = answer(alone)
    with serving(model, tmp_path, *CPU, "--ranks", "2") as server:
        assert [event["done"] for event in server.events if event.get("what") == "loading layers"] == [1, 2]
        started = below(server.process.pid)
        assert len(ranks_of(server)) == 1
        assert answer(server) == wanted
        for pid in ranks_of(server):  # as a service manager does: to all processes
            os.kill(pid, signal.SIGTERM)
        assert server.end() == 0
        assert server.errors == ""
        wait_until_gone(started)
    with serving(model, tmp_path, *CPU, "--ranks", "2", "--split-context") as server:
        assert answer(server) == wanted
        started = below(server.process.pid)
        with open_stream(server, ENDLESS) as wire:
            os.kill(ranks_of(server)[0], signal.SIGKILL)
            rest = b""
            while b"the engine failed while answering" not in rest:
                rest += wire.recv(65536)
        assert server.process.wait(60) == 1
        assert "rank 1 of the model ended (killed by signal 9)" in server.wait_for("error")["message"]
        wait_until_gone(started)


def test_nothing_is_left_of_a_server_that_was_killed_while_it_loads(model: Path, tmp_path: Path):
    with serving(model, tmp_path, *CPU, "--ranks", "2", until="listening") as server:
        assert ranks_of(server)
        started = below(server.process.pid)
        server.process.kill()
        server.process.wait()
        wait_until_gone(started)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"runner": "numpy", "ranks": 2}, "several ranks need torch"),
        ({"device": "cpu", "ranks": 3}, "4 heads cannot be shared by 3 ranks"),
        ({"device": "cpu", "ranks": 1, "context": 100}, "--context 100 leaves no room"),
    ],
)
def test_what_cannot_be_shared_is_said_before_anything_is_started(model: Path, options: dict[str, Any], words: str):
    with pytest.raises(RequestError, match=words):
        open_model(ModelOptions(model, **options), lambda what, done, total: None)
