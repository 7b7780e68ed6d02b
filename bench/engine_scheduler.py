"""What the engine itself costs, in processor time: the scheduler per step of 256 requests, the sampler at K2's vocabulary."""

import random
import statistics
import time

import numpy as np

from inference_backend.engine.request import Request, SamplingParams
from inference_backend.engine.sampler import Row, sample
from inference_backend.engine.scheduler import Limits, Scheduler

REQUESTS, STEPS, VOCAB = 256, 400, 163_840


def scheduler_steps() -> list[float]:
    """Milliseconds per step while 256 requests decode, of which each that ends is followed by another with a prompt."""
    rng = random.Random(0)
    scheduler = Scheduler(20_000, 64, 262_144, Limits())
    shared = [rng.randrange(1000) for _ in range(2000)]
    number = 0

    def ask() -> None:
        nonlocal number
        number += 1
        params = SamplingParams(max_tokens=rng.randint(50, 400))
        scheduler.add(Request(str(number), shared + [rng.randrange(1000) for _ in range(rng.randint(1, 400))], params))

    for _ in range(REQUESTS):
        ask()
    times: list[float] = []
    while len(times) < STEPS:
        full = len(scheduler.running) == REQUESTS and all(r.remaining == 1 for r in scheduler.running[: REQUESTS // 2])
        started = time.process_time()
        plan = scheduler.schedule(0.0)
        ended = []
        for work in plan.work:
            new = [7] if work.is_last else []
            scheduler.advance(work, new)
            if len(work.request.tokens) >= work.request.limit:
                ended.append(work.request)
        for request in ended:
            scheduler.finish(request, 0.0)
        if full:
            times.append(1000 * (time.process_time() - started))
        for _ in ended:
            ask()
    return times


def sampler_times() -> dict[str, float]:
    """Milliseconds per row."""
    logits = np.random.default_rng(0).normal(0, 2, (8, VOCAB)).astype(np.float32)
    logits[:, :20] += np.linspace(14, 8, 20, dtype=np.float32)  # a few tokens are likely, as in a language
    kinds = {
        "greedy": SamplingParams(temperature=0),
        "temperature 1": SamplingParams(),
        "temperature 1, top-p 0.95": SamplingParams(top_p=0.95),
        "... and 5 logprobs": SamplingParams(top_p=0.95, logprobs=5),
    }
    found = {}
    for name, params in kinds.items():
        times = []
        for _ in range(15):
            copy = logits.copy()
            started = time.process_time()
            sample(copy, [Row(params, n, n) for n in range(len(copy))])
            times.append(1000 * (time.process_time() - started) / len(copy))
        found[name] = statistics.median(times)
    return found


def main() -> None:
    times = sorted(scheduler_steps())
    median, late = statistics.median(times), times[int(0.99 * len(times))]
    print(f"scheduler, {REQUESTS} requests: median {median:.2f} ms per step, p99 {late:.2f} ms")
    for name, each in sampler_times().items():
        print(f"sampler, {name}: {each:.2f} ms per token of {VOCAB:,}")


if __name__ == "__main__":
    main()
