"""The engine's thread and the tasks that wait for it."""

import asyncio
from pathlib import Path

import pytest
from inference_engine_house import GREEDY, HashRunner, alone, engine_of

from inference_backend.engine.async_engine import AsyncEngine
from inference_backend.engine.engine import Engine
from inference_backend.engine.request import Request, SamplingParams, StepOutput
from inference_backend.engine.scheduler import Limits
from inference_backend.engine.snapshots import SnapshotStore
from inference_backend.errors import CapacityError, RequestError

ENDLESS = SamplingParams(temperature=0, ignore_end=True)


async def ask(engine: AsyncEngine, request: Request) -> tuple[list[int], StepOutput]:
    tokens: list[int] = []
    async for output in engine.submit(request):
        tokens += output.tokens
    return tokens, output


@pytest.fixture
async def engine():
    running = AsyncEngine(engine_of(HashRunner(400), Limits(step_tokens=64, running=8, waiting=12)))
    running.start()
    yield running
    await running.close()


async def until(condition) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


async def test_answers_of_many_at_once_are_those_alone(engine: AsyncEngine) -> None:
    requests = [Request(str(n), [7, 8, 9, 10 + n], SamplingParams(seed=n, max_tokens=30)) for n in range(12)]
    answers = await asyncio.gather(*(ask(engine, request) for request in requests))
    for request, (tokens, last) in zip(requests, answers, strict=True):
        assert tokens == alone(HashRunner(400), request.prompt, request.params)
        assert last.context_tokens == 4 + len(tokens)


async def test_who_leaves_frees_its_place(engine: AsyncEngine) -> None:
    stream = engine.submit(Request("a", [5, 6], ENDLESS))
    await anext(stream)
    await until(lambda: engine.stats().running == 1)
    await stream.aclose()
    await until(lambda: engine.stats().blocks_used == 0)
    task = asyncio.create_task(ask(engine, Request("b", [5, 6], ENDLESS)))
    await until(lambda: engine.stats().running == 1)
    task.cancel()
    await until(lambda: engine.stats().running == 0)


async def test_an_abort_is_told(engine: AsyncEngine) -> None:
    task = asyncio.create_task(ask(engine, Request("a", [5, 6], ENDLESS)))
    await until(lambda: engine.stats().running == 1)
    engine.abort("a")
    _, last = await task
    assert last.finish_reason == "abort"


async def test_refusals_come_before_anything_else(engine: AsyncEngine) -> None:
    with pytest.raises(RequestError, match="empty"):
        await anext(engine.submit(Request("a", [], GREEDY)))
    tasks = []
    for running, waiting in ((8, 0), (8, 12)):
        names = range(len(tasks), running + waiting)
        tasks += [asyncio.create_task(ask(engine, Request(str(n), [5, 6 + n], ENDLESS))) for n in names]
        await until(lambda expected=(running, waiting): (engine.stats().running, engine.stats().waiting) == expected)
    with pytest.raises(CapacityError, match="the queue is full: 12"):
        await anext(engine.submit(Request("late", [5], GREEDY)))
    for task in tasks:
        task.cancel()


async def test_closing_lets_what_runs_end(engine: AsyncEngine) -> None:
    short = asyncio.create_task(
        ask(engine, Request("short", [5, 6], SamplingParams(temperature=0, max_tokens=200, ignore_end=True)))
    )
    await until(lambda: engine.stats().running == 1)
    await engine.close(drain_seconds=60)
    _, last = await short
    assert last.finish_reason == "length"
    with pytest.raises(CapacityError, match="shutting down"):
        await anext(engine.submit(Request("late", [5], GREEDY)))


async def test_closing_ends_what_does_not(engine: AsyncEngine) -> None:
    endless = asyncio.create_task(ask(engine, Request("a", [5, 6], ENDLESS)))
    await until(lambda: engine.stats().running == 1)
    await engine.close()
    _, last = await endless
    assert last.finish_reason == "abort"


async def test_a_failing_model_leaves_nobody_waiting() -> None:
    runner = HashRunner()
    engine = AsyncEngine(engine_of(runner))
    engine.start()
    runner.fail = True
    _, last = await ask(engine, Request("a", [5, 6], GREEDY))
    assert last.finish_reason == "error"
    assert "the model failed" in last.error
    runner.fail = False
    assert (await ask(engine, Request("b", [5, 6], GREEDY)))[0] == alone(HashRunner(), [5, 6], GREEDY)
    await engine.close()


async def test_snapshots_of_a_session(tmp_path: Path) -> None:
    prompt = list(range(4, 44))

    def started() -> AsyncEngine:
        engine = AsyncEngine(engine_of(HashRunner(), snapshots=SnapshotStore(tmp_path / "kv", "model", quota=1 << 20)))
        engine.start()
        return engine

    first = started()
    tokens, _ = await ask(first, Request("a", prompt, GREEDY, session="s"))
    await until(lambda: first.stats().saved_blocks >= 11)
    assert await first.snapshot("s") <= 1  # all is there: the part of the last block is written again
    assert await first.snapshot("another") == 0
    await first.close()
    second = started()
    _, last = await ask(second, Request("a", [*prompt, *tokens, 5], GREEDY, session="s"))
    assert last.cached_tokens == 47
    second.release("s")
    await until(lambda: second.stats().pinned_sessions == 0)
    await second.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_defect_of_the_engine_itself_leaves_nobody_waiting() -> None:
    """Its thread ends with a traceback; who waits is told, who comes is refused."""
    ticks = iter(range(20))  # a clock that stops
    engine = AsyncEngine(Engine(HashRunner(block_tokens=64), clock=lambda: next(ticks)))
    engine.start()
    _, last = await ask(engine, Request("a", [5, 6], ENDLESS))
    assert last.finish_reason == "error"
    assert "the engine failed" in last.error
    assert "the engine failed" in engine.failure
    with pytest.raises(CapacityError, match="the engine failed"):
        await anext(engine.submit(Request("b", [5], GREEDY)))
    await engine.close()


async def test_a_slow_reader_gets_all_in_one() -> None:
    runner = HashRunner(400)
    engine = AsyncEngine(engine_of(runner))
    engine.start()
    params = SamplingParams(temperature=0, max_tokens=60, ignore_end=True, logprobs=0)
    stream = engine.submit(Request("a", [5, 6], params))
    outputs = [await anext(stream)]
    await until(lambda: engine.stats().output_tokens == 60)
    outputs += [output async for output in stream]
    assert len(outputs) <= 3
    assert [t for output in outputs for t in output.tokens] == alone(HashRunner(400), [5, 6], params)
    assert sum(len(output.logprobs) for output in outputs) == 60
    await engine.close()
