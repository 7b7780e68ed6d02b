"""What the server counts, for Prometheus: requests, tokens, time to the first token, and the engine's own numbers."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from inference_backend.engine.engine import Stats

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

GAUGES = {
    "running": "Requests in the current step",
    "waiting": "Requests that wait for a place in it",
    "blocks": "Blocks of 64 tokens in the cache",
    "blocks_used": "Blocks that requests and sessions hold",
    "blocks_cached": "Blocks kept for prompts that begin alike",
    "pinned_sessions": "Sessions whose blocks are kept while a tool runs",
}
COUNTERS = {
    "preemptions": "Requests whose blocks were taken away for older ones",
    "steps": "Steps of the model",
    "step_seconds": "Seconds in these steps",
    "prompt_tokens": "Tokens of all prompts",
    "cached_tokens": "Tokens of prompts that were in the cache",
    "output_tokens": "Tokens of all answers",
    "forced_tokens": "Tokens of answers that the grammar left no choice about",
    "drafted_tokens": "Tokens guessed ahead",
    "accepted_tokens": "Guesses that were right",
    "saved_blocks": "Blocks written to snapshots",
    "restored_blocks": "Blocks read from snapshots",
}
"""The engine's numbers by the field of `Stats`."""


class Metrics:
    """One server's metrics; `text` is what /metrics answers."""

    def __init__(self, connections: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter("kimi_requests", "Requests answered", ["path", "status"], registry=self._registry)
        self.answers = Counter(
            "kimi_answers", "Answers written to their end", ["api", "finish"], registry=self._registry
        )
        self.abandoned = Counter("kimi_abandoned", "Answers whose client left", registry=self._registry)
        self.first_token = Histogram(
            "kimi_first_token_seconds", "From a request to its first token", buckets=SECONDS, registry=self._registry
        )
        self.answer_seconds = Histogram(
            "kimi_answer_seconds", "From a request to its last token", buckets=SECONDS, registry=self._registry
        )
        self._engine = _EngineNumbers(connections)
        self._registry.register(self._engine)

    def watch(self, stats: Callable[[], Stats]) -> None:
        """From now on the engine's numbers are there too."""
        self._engine.stats = stats

    def answered(self, api: str, finish: str, usage: Mapping[str, Any]) -> None:
        self.answers.labels(api, finish).inc()

    def text(self) -> bytes:
        return generate_latest(self._registry)


class _EngineNumbers(Collector):
    """Read when they are asked for."""

    def __init__(self, connections: Callable[[], int]) -> None:
        self.stats: Callable[[], Stats] | None = None
        self._connections = connections

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("kimi_connections", "Open connections", self._connections())
        if self.stats is None:
            return
        now = self.stats()
        for name, help_ in GAUGES.items():
            yield GaugeMetricFamily(f"kimi_{name}", help_, getattr(now, name))
        for name, help_ in COUNTERS.items():
            yield CounterMetricFamily(f"kimi_{name}", help_, getattr(now, name))
