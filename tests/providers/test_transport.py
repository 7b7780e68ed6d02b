"""The HTTP below: connections kept and closed, headers, proxies, addresses that cannot be used."""

import json
from typing import Any

import pytest
from fake_api import FakeAPI

from kimi_agent.core.errors import ConfigError, ConnectionFailed
from kimi_agent.core.message import user_message
from kimi_agent.core.provider import Delta, Endpoint, Finished, Model, Request, TextChunk
from kimi_agent.providers.chat_completions import ChatCompletions
from kimi_agent.providers.transport import proxy_for

REQUEST = Request("s", "sys", [user_message("Hi")])
MODEL = Model("m", "kimi-k2", "fake")


def provider(api: FakeAPI, kind: str = "kimi", **options: Any) -> ChatCompletions:
    return ChatCompletions(Endpoint("fake", kind, api.url, "sk-test", **options), MODEL)


async def ask(chat: ChatCompletions) -> list[Delta]:
    try:
        return [delta async for delta in chat.stream(REQUEST)]
    finally:
        await chat.aclose()


def text_of(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, TextChunk))


async def test_nothing_listens() -> None:
    with FakeAPI() as api:
        pass
    with pytest.raises(ConnectionFailed) as caught:
        await ask(provider(api))
    assert caught.value.hint == "Is the server running?"
    assert str(caught.value) == f"No connection to 127.0.0.1:{api.port}: Connection refused"


async def test_one_connection_serves_many_steps() -> None:
    async with FakeAPI([[{"text": "x"}]] * 5) as api:
        chat = provider(api)
        for _ in range(5):
            assert [delta async for delta in chat.stream(REQUEST)][-1] == Finished("stop")
        await chat.aclose()
        assert api.connections == 1


async def test_a_reader_that_stops_closes_the_connection() -> None:
    async with FakeAPI([[{"text": "abc", "chunk": 1}, {"stall": 30}], [{"text": "x"}]]) as api:
        chat = provider(api)
        stream = chat.stream(REQUEST)
        assert await anext(stream) == TextChunk("a")
        await stream.aclose()  # type: ignore[attr-defined]
        assert (await ask(chat))[-1] == Finished("stop")


async def test_what_goes_out() -> None:
    async with FakeAPI([[{"text": "x"}]]) as api:
        await ask(provider(api, headers={"X-Own": "yes"}))
        headers = api.requests[0].headers
    assert headers["authorization"] == "Bearer sk-test"
    assert headers["user-agent"].startswith("kimi-agent/")
    assert headers["x-own"] == "yes"
    assert set(headers) == {
        "host", "accept", "accept-encoding", "connection", "user-agent", "content-type", "content-length", "authorization",
        "x-own",
    }  # fmt: skip


async def test_an_address_pasted_whole() -> None:
    async with FakeAPI([[{"text": "x"}]]) as api:
        endpoint = Endpoint("fake", "kimi", f"{api.url}/chat/completions/", "sk-test")
        assert text_of(await ask(ChatCompletions(endpoint, MODEL))) == "x"


async def test_headers_of_the_users_own_replace_ours_in_any_case() -> None:
    async with FakeAPI([[{"text": "x"}]]) as api:
        await ask(provider(api, headers={"authorization": "Basic x", "user-agent": "me"}))
    names = [line.split(b":")[0].lower() for line in api.requests[0].head.split(b"\r\n")]
    assert names.count(b"authorization") == names.count(b"user-agent") == 1
    assert api.requests[0].headers["authorization"] == "Basic x"


@pytest.mark.parametrize(
    "endpoint",
    [
        Endpoint("x", "kimi", "http://127.0.0.1:1/v1", "sk-ключ"),
        Endpoint("x", "kimi", "http://127.0.0.1:1/v1", "sk-a\nb"),
        Endpoint("x", "kimi", "http://127.0.0.1:1/v1", "sk", {"X-Ä": "b"}),
        Endpoint("x", "kimi", "http://127.0.0.1:1/v1", "sk", {"X": "b\r\nEvil: 1"}),
        Endpoint("x", "kimi", "127.0.0.1:1/v1", "sk"),
        Endpoint("x", "kimi", "", "sk"),
        Endpoint("x", "kimi", "http://127.0.0.1:99999/v1", "sk"),
        Endpoint("x", "kimi", "http://[::1/v1", "sk"),
        Endpoint("x", "kimi", "https:///v1", "sk"),
        Endpoint("x", "kimi", "http://127.0.0.1:port/v1", "sk"),
    ],
)
async def test_unusable_endpoints(endpoint: Endpoint) -> None:
    with pytest.raises(ConfigError):
        await ask(ChatCompletions(endpoint, MODEL))


async def test_a_proxy_of_the_environment_is_used_but_not_for_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    body = json.dumps({"choices": [{"index": 0, "message": {"content": "via proxy"}, "finish_reason": "stop"}]})
    async with FakeAPI([[{"text": "direct"}]], routes={"http://models.invalid/v1/chat/completions": body}) as api:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, api.url.removesuffix("/v1"))
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("no_proxy", "")
        far = ChatCompletions(Endpoint("far", "kimi", "http://models.invalid/v1", "sk-test"), MODEL)
        assert text_of(await ask(far)) == "via proxy"
        assert text_of(await ask(provider(api))) == "direct"


@pytest.mark.parametrize(
    ("env", "proxy"),
    [
        ({"HTTP_PROXY": "http://p:1"}, ""),
        ({"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ({"https_proxy": "p:1"}, "http://p:1"),
        ({"ALL_PROXY": "socks://p:1/"}, "socks5://p:1/"),
        ({"ALL_PROXY": "socks5h://p:1"}, "socks5h://p:1"),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "other, api.example"}, ""),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": ".example"}, ""),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "*"}, ""),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "localhost,::1,fe80::/10,10.0.0.0/8"}, "http://p:1"),
    ],
)
def test_the_proxy_for_an_address(env: dict[str, str], proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert proxy_for("https://api.example/v1") == proxy
    assert proxy_for("http://127.0.0.1:8000/v1") == ""
    assert proxy_for("https://10.1.2.3/v1") == (
        "" if {"10.0.0.0/8", "*"} & set(env.get("NO_PROXY", "").split(",")) else proxy_for("https://10-1-2-3/v1")
    )


async def test_a_proxy_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeAPI() as api:
        pass
    monkeypatch.setenv("HTTP_PROXY", f"http://user:secret@127.0.0.1:{api.port}")
    monkeypatch.setenv("http_proxy", f"http://user:secret@127.0.0.1:{api.port}")
    with pytest.raises(ConnectionFailed) as caught:
        await ask(ChatCompletions(Endpoint("far", "kimi", "http://models.invalid/v1", "sk-test"), MODEL))
    assert f"through the proxy 127.0.0.1:{api.port}: Connection refused" in str(caught.value)


async def test_a_broken_proxy_setting_is_a_config_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "gopher://x")
    monkeypatch.setenv("http_proxy", "gopher://x")
    with pytest.raises(ConfigError, match="HTTP"):
        await ask(ChatCompletions(Endpoint("far", "kimi", "http://models.invalid/v1", "sk-test"), MODEL))
