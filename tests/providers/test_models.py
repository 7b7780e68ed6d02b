"""Lists of models in every server's dialect, servers found on this machine, and a key proven by a request."""

import time
from typing import Any

import pytest
from fake_api import FakeAPI

from kimi_agent.core.errors import AuthError, BadRequestError, ConnectionFailed
from kimi_agent.core.provider import Endpoint, Model, Prices
from kimi_agent.providers.models import check, discover, list_models, read_model

ENTRIES: list[tuple[dict[str, Any], Model]] = [
    (
        {
            "id": "kimi-k2.6",
            "context_length": 262144,
            "supports_reasoning": True,
            "supports_image_in": True,
            "supports_video_in": False,
        },
        Model("kimi-k2.6", "kimi-k2.6", "p", 262144, frozenset({"thinking", "image_in", "tools"})),
    ),
    (
        {
            "id": "moonshotai/kimi-k2",
            "context_length": 262144,
            "top_provider": {"context_length": 131072},
            "architecture": {"input_modalities": ["text", "image"]},
            "supported_parameters": ["tools", "reasoning"],
            "pricing": {"prompt": "0.0000006", "completion": "0.0000025", "input_cache_read": "0.00000015"},
        },
        Model(
            "moonshotai/kimi-k2",
            "moonshotai/kimi-k2",
            "p",
            131072,
            frozenset({"thinking", "image_in", "tools"}),
            Prices(0.6, 2.5, 0.15),
        ),
    ),
    (
        {"id": "free", "pricing": {"prompt": "0", "completion": "0"}},
        Model("free", "free", "p", prices=Prices(0.0, 0.0)),
    ),
    ({"id": "auto", "pricing": {"prompt": "-1", "completion": "-1"}}, Model("auto", "auto", "p")),
    ({"id": "q.gguf", "meta": {"n_ctx_train": 131072, "n_ctx": 8192}}, Model("q.gguf", "q.gguf", "p", 8192)),
    ({"id": "q.gguf", "meta": {"n_ctx_train": 131072}}, Model("q.gguf", "q.gguf", "p", 131072)),
    ({"id": "q", "max_model_len": 40960, "owned_by": "vllm"}, Model("q", "q", "p", 40960)),
    ({"id": "q", "max_context_length": 9000, "loaded_context_length": 4096}, Model("q", "q", "p", 4096)),
    ({"id": "q", "context_length": None, "meta": None, "pricing": None, "architecture": None}, Model("q", "q", "p")),
    ({"id": "models/gemini-3"}, Model("gemini-3", "gemini-3", "p")),
]


@pytest.mark.parametrize(("entry", "model"), ENTRIES)
def test_dialects(entry: dict[str, Any], model: Model) -> None:
    assert read_model(entry, "p") == model


def endpoint(api: FakeAPI, key: str = "sk-test") -> Endpoint:
    return Endpoint("fake", "kimi", api.url, key)


async def test_a_list() -> None:
    async with FakeAPI(models=[{"id": "a", "context_length": 7}, {"object": "nameless"}, {"id": "b"}]) as api:
        assert await list_models(endpoint(api)) == [Model("a", "a", "fake", 7), Model("b", "b", "fake")]
        assert api.all_requests[0].headers["authorization"] == "Bearer sk-test"


async def test_ollama_is_asked_for_what_its_list_leaves_out() -> None:
    shown = {"model_info": {"qwen3.context_length": 40960}, "capabilities": ["completion", "tools", "thinking"]}
    async with FakeAPI(models=[{"id": "qwen3:8b", "owned_by": "library"}], routes={"/api/show": shown}) as api:
        models = await list_models(endpoint(api))
        assert api.all_requests[-1].json == {"model": "qwen3:8b"}
    assert models == [Model("qwen3:8b", "qwen3:8b", "fake", 40960, frozenset({"thinking", "tools"}))]


async def test_ollama_without_details() -> None:
    async with FakeAPI(models=[{"id": "x", "owned_by": "library"}]) as api:
        assert await list_models(endpoint(api)) == [Model("x", "x", "fake")]


@pytest.mark.parametrize("value", ["[1, 2]", '"x"', "null", '{"data": 3}'])
async def test_a_list_that_is_none(value: str) -> None:
    async with FakeAPI(routes={"/v1/models": value}) as api:
        assert await list_models(endpoint(api)) == []


async def test_a_list_that_is_no_json() -> None:
    async with FakeAPI(routes={"/v1/models": "<html>"}) as api:
        with pytest.raises(BadRequestError, match="not JSON"):
            await list_models(endpoint(api))


async def test_discover_finds_what_runs() -> None:
    async with FakeAPI(models=[{"id": "a"}]) as one, FakeAPI(models=[{"id": "b"}]) as two, FakeAPI(models=[]) as empty:
        with FakeAPI() as closed:
            pass
        ports = {"ours": one.port, "closed": closed.port, "empty": empty.port, "theirs": two.port}
        found = await discover(5.0, ports)
    assert [(local.endpoint.name, [model.id for model in local.models]) for local in found] == [
        ("ours", ["a"]),
        ("theirs", ["b"]),
    ]
    assert found[0].endpoint.base_url == one.url


async def test_discover_does_not_wait_for_the_slow() -> None:
    import asyncio

    never = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await never.wait()
        finally:
            writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with FakeAPI(models=[{"id": "a"}]) as quick:
        ports = {"slow": server.sockets[0].getsockname()[1], "quick": quick.port}
        started = time.monotonic()
        found = await discover(2.0, ports)
        assert time.monotonic() - started < 15.0  # the silent server would take list_models' 20 s
    never.set()
    server.close()
    assert [local.endpoint.name for local in found] == ["quick"]


async def test_check() -> None:
    model = Model("m", "m", "fake")
    async with FakeAPI([[{"text": "ok"}]], strict=True) as api:
        await check(endpoint(api), model)
        with pytest.raises(AuthError):
            await check(endpoint(api, ""), model)
    with pytest.raises(ConnectionFailed):
        await check(endpoint(api), model)
