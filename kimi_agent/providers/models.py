"""Which models a server has, which servers run on this machine, and whether a key works."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from kimi_agent.core.errors import ProviderError
from kimi_agent.core.message import user_message
from kimi_agent.core.provider import Endpoint, Model, Prices, Request
from kimi_agent.providers import make_provider, with_default_url
from kimi_agent.providers.failures import failure_of, read_failure, to_error
from kimi_agent.providers.transport import Transport, connection_error

LIST_TIMEOUT = 20.0  # seconds
LOCAL_PORTS: Mapping[str, int] = {
    "kimi-engine": 11500,
    "ollama": 11434,
    "llama.cpp": 8080,
    "lm-studio": 1234,
    "vllm": 8000,
    "sglang": 30000,
}


class Local(NamedTuple):
    """A server found on this machine."""

    endpoint: Endpoint
    models: list[Model]


async def list_models(endpoint: Endpoint) -> list[Model]:
    """The models behind `endpoint`, with their context sizes, capabilities and prices where the server tells them.

    Raises ProviderError when the server cannot be asked, ConfigError for an unusable endpoint.
    """
    endpoint = with_default_url(endpoint)
    if endpoint.kind == "anthropic":
        headers = {"x-api-key": endpoint.api_key, "anthropic-version": "2023-06-01", **endpoint.headers}
        url = endpoint.base_url.rstrip("/").removesuffix("/v1") + "/v1"
        endpoint = Endpoint(endpoint.name, endpoint.kind, url, "", headers)
    transport = Transport(endpoint)
    try:
        async with asyncio.timeout(LIST_TIMEOUT):
            value = await _ask(transport, "GET", "models")
            entries = value.get("data") or value.get("models") if isinstance(value, dict) else value
            entries = entries if isinstance(entries, list) else []
            found = [entry for entry in entries if isinstance(entry, dict) and _id_of(entry)]
            if any(entry.get("owned_by") == "library" for entry in found):
                await _ask_ollama(transport, found)
    except TimeoutError:
        raise to_error(failure_of({"message": f"no list of models within {LIST_TIMEOUT:g} s"}), endpoint) from None
    finally:
        await transport.aclose()
    return [read_model(entry, endpoint.name) for entry in found]


async def discover(timeout: float = 0.2, ports: Mapping[str, int] = LOCAL_PORTS) -> list[Local]:
    """Servers on loopback that list at least one model, in the order of `ports`.

    Takes `timeout` seconds at most, and a few milliseconds when no port is open.
    """
    tasks = [asyncio.create_task(_probe(name, port)) for name, port in ports.items()]
    done, late = await asyncio.wait(tasks, timeout=timeout)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    return [local for task in tasks if task in done and (local := task.result()) is not None]


async def check(endpoint: Endpoint, model: Model) -> None:
    """One small real request. Raises ProviderError when the key, the address or the model is wrong."""
    provider = make_provider(endpoint, model)
    try:
        async for _ in provider.stream(Request("", "", [user_message("Say: ok")], max_output=64)):
            pass
    finally:
        await provider.aclose()


def read_model(entry: Mapping[str, Any], provider: str) -> Model:
    """One entry of a list of models, in the dialects of Moonshot, OpenRouter, llama.cpp, vLLM and others."""
    model_id = _id_of(entry)
    return Model(model_id, model_id, provider, _context(entry), _capabilities(entry), _prices(entry.get("pricing")))


def _id_of(entry: Mapping[str, Any]) -> str:
    value = entry.get("id") or entry.get("name") or entry.get("model")
    return value.removeprefix("models/") if isinstance(value, str) else ""


def _context(entry: Mapping[str, Any]) -> int:
    """Tokens. What the server was started with comes before what the model was trained with."""
    meta = _dict(entry.get("meta"))
    top = _dict(entry.get("top_provider"))
    candidates = (
        top.get("context_length"),
        entry.get("loaded_context_length"),  # LM Studio
        entry.get("context_length"),
        entry.get("max_model_len"),  # vLLM, SGLang
        entry.get("context_window"),  # Groq
        entry.get("max_context_length"),  # LM Studio, Mistral
        entry.get("max_input_tokens"),
        meta.get("n_ctx"),  # llama.cpp
        meta.get("n_ctx_train"),
    )
    return next((int(value) for value in candidates if isinstance(value, int | float) and value > 0), 0)


def _capabilities(entry: Mapping[str, Any]) -> frozenset[str]:
    """Empty when the server does not say: then everything is tried."""
    found: set[str] = set()
    told = False
    for key, name in (
        ("supports_reasoning", "thinking"),
        ("supports_image_in", "image_in"),
        ("supports_video_in", "video_in"),
    ):
        if isinstance(entry.get(key), bool):
            told = True
            found |= {name} if entry[key] else set()
    modalities = _dict(entry.get("architecture")).get("input_modalities")
    if isinstance(modalities, list):
        told = True
        found |= {"image_in"} if "image" in modalities else set()
        found |= {"thinking"} if "reasoning" in (entry.get("supported_parameters") or ()) else set()
    listed = entry.get("capabilities")
    if isinstance(listed, list):  # Ollama
        told = True
        found |= {name for word, name in (("vision", "image_in"), ("thinking", "thinking")) if word in listed}
    return frozenset(found | {"tools"}) if told else frozenset()


def _prices(pricing: Any) -> Prices | None:
    """OpenRouter's prices are text, in dollars per token."""
    pricing = _dict(pricing)
    try:
        values = [float(pricing[key]) * 1e6 for key in ("prompt", "completion")]
        cached = float(pricing["input_cache_read"]) * 1e6 if pricing.get("input_cache_read") else None
    except (KeyError, TypeError, ValueError):
        return None
    return (
        Prices(round(values[0], 6), round(values[1], 6), None if cached is None else round(cached, 6))
        if min(values) >= 0
        else None
    )


async def _probe(name: str, port: int) -> Local | None:
    """A closed port is told by a bare connection, which is much cheaper than an HTTP client's."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return None
    writer.close()
    endpoint = Endpoint(name, "openai_legacy", f"http://127.0.0.1:{port}/v1")
    try:
        models = await list_models(endpoint)
    except ProviderError:
        return None
    return Local(endpoint, models) if models else None


async def _ask_ollama(transport: Transport, entries: list[dict[str, Any]]) -> None:
    """Ollama's list has names only: add what /api/show knows of each model, silently nothing where it fails."""

    async def ask(entry: dict[str, Any]) -> None:
        try:
            shown = _dict(await _ask(transport, "POST", "../api/show", {"model": _id_of(entry)}))
        except ProviderError:
            return
        info = _dict(shown.get("model_info"))
        context = next((value for key, value in info.items() if key.endswith(".context_length")), 0)
        entry.update(context_length=context, capabilities=shown.get("capabilities"))

    await asyncio.gather(*(ask(entry) for entry in entries))


async def _ask(transport: Transport, method: str, path: str, body: Any = None) -> Any:
    """The JSON that a GET or POST answers."""
    client, endpoint = transport.client(), transport.endpoint
    import httpx

    url = (
        transport.url(path)
        if not path.startswith("../")
        else endpoint.base_url.rstrip("/").removesuffix("/v1") + path[2:]
    )
    try:
        response = await client.request(method, url, content=None if body is None else json.dumps(body).encode())
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise connection_error(error, endpoint) from error
    if response.status_code // 100 != 2:
        raise to_error(read_failure(response.status_code, dict(response.headers), response.content), endpoint)
    try:
        return response.json()
    except ValueError:
        raise to_error(failure_of({"message": "its list of models is not JSON"}, 400), endpoint) from None


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
