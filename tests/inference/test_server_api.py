"""The OpenAI API of a real server process, by the real SDK: a tiny model with random weights, whose calls and JSON are valid."""

import json
import math
import random
import re
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import jsonschema
import openai
import pytest
from inference_server_house import Server, make_model, serving

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": "a tool",
            "parameters": {
                "type": "object",
                "properties": {
                    "path": {"type": "string", "maxLength": 12},
                    "limit": {"type": "integer", "maximum": 99},
                },
                "required": ["path"],
                "additionalProperties": False,
            },
        },
    }
    for name in ("Read", "Write")
]
SCHEMA = TOOLS[0]["function"]["parameters"]
HELLO = [{"role": "user", "content": "Hello 你好"}]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("api")
    with serving(make_model(folder / "tiny-k2"), folder / "state") as running:
        yield running
    assert running.errors == "", "nothing that a client did was an error of the server"


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url, api_key=server.token, max_retries=0, timeout=60) as sdk:
        yield sdk


def chat(client: openai.OpenAI, **changes):
    return client.chat.completions.create(
        **{"model": "tiny-k2", "messages": HELLO, "seed": 1, "max_tokens": 60, **changes}
    )


def streamed(chunks) -> dict:
    """The message, finish reason, usage and logprobs of a stream."""
    out = {"content": "", "reasoning": "", "calls": [], "reason": None, "usage": None, "logprobs": []}
    for chunk in chunks:
        out["usage"] = chunk.usage or out["usage"]
        for choice in chunk.choices:
            out["reason"] = choice.finish_reason or out["reason"]
            out["content"] += choice.delta.content or ""
            out["reasoning"] += (choice.delta.model_extra or {}).get("reasoning_content", "")
            out["logprobs"] += choice.logprobs.content if choice.logprobs else []
            for call in choice.delta.tool_calls or ():
                if call.id:
                    assert call.index == len(out["calls"])
                    out["calls"].append([call.id, call.function.name, ""])
                out["calls"][call.index][2] += call.function.arguments or ""
    return out


def test_models(client: openai.OpenAI):
    (model,) = client.models.list().data
    assert model.id == "tiny-k2"
    assert model.model_extra["context_length"] == 16384
    assert client.models.retrieve("tiny-k2") == model
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("another")


def test_an_answer_whole_and_streamed_is_the_same(client: openai.OpenAI):
    for seed in range(4):
        whole = chat(client, seed=seed)
        (choice,) = whole.choices
        parts = streamed(chat(client, seed=seed, stream=True, stream_options={"include_usage": True}))
        assert (parts["content"], parts["reason"]) == (choice.message.content, choice.finish_reason)
        assert parts["reasoning"] == (choice.message.model_extra or {}).get("reasoning_content", "")
        assert parts["usage"].completion_tokens == whole.usage.completion_tokens
        assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
        assert choice.finish_reason == ("length" if whole.usage.completion_tokens == 60 else "stop")
        assert parts["usage"].prompt_tokens_details.cached_tokens == whole.usage.prompt_tokens - 1


def test_usage_is_told_only_where_it_is_asked_for(client: openai.OpenAI):
    assert streamed(chat(client, stream=True))["usage"] is None


def test_max_tokens_by_either_name(client: openai.OpenAI):
    for name in ("max_tokens", "max_completion_tokens"):
        answer = chat(client, **{"max_tokens": 9, name: 3})
        assert (answer.usage.completion_tokens, answer.choices[0].finish_reason) == (3, "length")


def test_stop_strings(client: openai.OpenAI):
    seed, full = next(
        (seed, text) for seed in range(20) if len(text := chat(client, seed=seed).choices[0].message.content) > 30
    )
    for stop in (full[12:17], full[9], [full[20:22], "never there"]):
        first = min(full.find(one) for one in ([stop] if isinstance(stop, str) else stop) if one in full)
        whole = chat(client, seed=seed, stop=stop)
        assert (whole.choices[0].message.content, whole.choices[0].finish_reason) == (full[:first], "stop")
        parts = streamed(chat(client, seed=seed, stop=stop, stream=True))
        assert (parts["content"], parts["reason"]) == (full[:first], "stop")
    held = chat(client, seed=seed, stop=full[-3:] + "!")  # what looks like a stop string to the last is text in the end
    assert held.choices[0].message.content == full


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "Write"}}])
def test_calls_are_valid_whatever_the_weights_say(client: openai.OpenAI, choice, stream: bool):
    for seed in range(3):
        answer = chat(client, tools=TOOLS, tool_choice=choice, seed=seed, max_tokens=1500, stream=stream)
        if stream:
            parts = streamed(answer)
            calls, reason = parts["calls"], parts["reason"]
        else:
            message, reason = answer.choices[0].message, answer.choices[0].finish_reason
            calls = [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls]
        assert reason == "tool_calls"
        for index, (call_id, name, arguments) in enumerate(calls):
            assert call_id == f"functions.{name}:{index}"
            assert name == "Write" or choice == "required"
            jsonschema.validate(json.loads(arguments), SCHEMA)


def test_a_turn_with_results_goes_on_counting(client: openai.OpenAI):
    call = {"id": "call_abc", "type": "function", "function": {"name": "Read", "arguments": '{"path": "a"}'}}
    messages = [
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_abc", "content": "x"},
    ]
    options = {"tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": False, "max_tokens": 1500}
    (found,) = chat(client, messages=messages, **options).choices[0].message.tool_calls
    assert re.fullmatch(r"functions\.(Read|Write):1", found.id)
    with pytest.raises(openai.BadRequestError, match="no earlier call"):
        chat(client, messages=[*messages[:1], messages[2]], **options)


def test_no_tools_no_calls(client: openai.OpenAI):
    for changes in ({}, {"tools": TOOLS, "tool_choice": "none"}):
        for seed in range(5):
            assert chat(client, seed=seed, **changes).choices[0].message.tool_calls is None


@pytest.mark.parametrize("stream", [False, True])
def test_json_as_asked(client: openai.OpenAI, stream: bool):
    wanted = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA, "strict": True}}
    for seed in range(3):
        answer = chat(client, response_format=wanted, seed=seed, max_tokens=1500, stream=stream)
        text = streamed(answer)["content"] if stream else answer.choices[0].message.content
        jsonschema.validate(json.loads(text), SCHEMA)
    text = chat(client, response_format={"type": "json_object"}, max_tokens=3000).choices[0].message.content
    assert isinstance(json.loads(text), dict)


def test_logprobs(client: openai.OpenAI):
    for stream in (False, True):
        answer = chat(client, logprobs=True, top_logprobs=3, temperature=0, stream=stream)
        parts = streamed(answer) if stream else None
        choice = None if stream else answer.choices[0]
        found = parts["logprobs"] if parts else choice.logprobs.content
        text = parts["content"] if parts else choice.message.content
        assert text
        assert b"".join(bytes(one.bytes) for one in found).decode() == text
        for one in found:
            assert len(one.top_logprobs) == 3
            assert -20 < one.logprob <= 0
            assert [each.logprob for each in one.top_logprobs] == sorted(
                (each.logprob for each in one.top_logprobs), reverse=True
            )
            assert sum(math.exp(each.logprob) for each in one.top_logprobs) <= 1 + 1e-6
    assert chat(client).choices[0].logprobs is None


def test_thoughts_come_apart_from_the_text(client: openai.OpenAI):
    """The template of the tiny model is K2-Thinking's: the model may open its thoughts itself."""
    answers = [chat(client, seed=seed, response_format={"type": "json_object"}, max_tokens=300) for seed in range(8)]
    thoughtful = [
        answer for answer in answers if (answer.choices[0].message.model_extra or {}).get("reasoning_content")
    ]
    assert thoughtful
    for answer in answers:
        details, message = answer.usage.completion_tokens_details, answer.choices[0].message
        assert (details.reasoning_tokens > 0) is (answer in thoughtful)
        assert details.reasoning_tokens <= answer.usage.completion_tokens
        assert "think>" not in message.content
    custom = chat(client, seed=1).choices[0].message
    for off in ({"thinking": {"type": "disabled"}}, {"chat_template_kwargs": {"thinking": False}}):  # it always thinks
        assert chat(client, seed=1, extra_body=off).choices[0].message == custom
    assert chat(client, extra_body={"thinking": {"type": "enabled", "keep": "all"}}).choices


def test_what_the_agent_knows_speeds_up_and_changes_nothing(client: openai.OpenAI):
    plain = chat(client, seed=5).choices[0].message
    text = plain.content + "\n"
    hints = {"drafts": [text, "def main():\n    pass"], "prediction": {"type": "content", "content": text}}
    assert chat(client, seed=5, extra_body={**hints, "prompt_cache_key": "s1"}).choices[0].message == plain


def test_completions(client: openai.OpenAI):
    options = {"model": "tiny-k2", "prompt": "def main(", "max_tokens": 40, "seed": 3}
    whole = client.completions.create(**options)
    chunks = list(client.completions.create(**options, stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == whole.choices[0].text
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert client.completions.create(**options | {"prompt": [100, 101]}).choices[0].text
    found = client.completions.create(**options, logprobs=2, stop=whole.choices[0].text[5:7]).choices[0]
    assert found.text == whole.choices[0].text[:5]
    assert len(found.logprobs.tokens) == len(found.logprobs.token_logprobs) == len(found.logprobs.text_offset)
    for wrong in ({"prompt": []}, {"prompt": [10**9]}, {"prompt": ["a", "b"]}, {"echo": True}, {"best_of": 2}):
        with pytest.raises(openai.BadRequestError):
            client.completions.create(**options | wrong)


BAD = {
    "n": {"n": 2},
    "giant n": {"n": 10**30},
    "no tokens": {"max_tokens": 0},
    "max_tokens": {"max_tokens": 10**12},
    "temperature": {"temperature": 3},
    "temperature as text": {"temperature": "1"},
    "top_p": {"top_p": -1},
    "penalty": {"presence_penalty": 9},
    "seed": {"seed": 1 << 70},
    "too many stops": {"stop": ["x"] * 17},
    "a long stop": {"stop": "x" * 2000},
    "an empty stop": {"stop": ""},
    "top_logprobs": {"logprobs": True, "top_logprobs": 21},
    "top_logprobs alone": {"top_logprobs": 2},
    "logit_bias": {"logit_bias": {"1": 200}},
    "logit_bias of a word": {"logit_bias": {"x": 1}},
    "logit_bias beyond": {"logit_bias": {"999999999": 1}},
    "many biases": {"logit_bias": {str(i): 1 for i in range(2000)}},
    "stream": {"stream": "yes"},
    "no messages": {"messages": []},
    "messages as text": {"messages": "hi"},
    "role": {"messages": [{"role": "admin", "content": "x"}]},
    "image": {
        "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}]
    },
    "functions": {"functions": [{"name": "f"}]},
    "tool without a name": {"tools": [{"type": "function", "function": {}}]},
    "tool_choice": {"tool_choice": "required"},
    "tool_choice of another": {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "Rm"}}},
    "response_format": {"response_format": {"type": "xml"}},
    "schema": {"response_format": {"type": "json_schema", "json_schema": {"schema": 3}}},
    "thinking": {"thinking": {"type": "maybe"}},
    "kwargs": {"chat_template_kwargs": {"thinking": "yes"}},
    "drafts": {"drafts": ["x"] * 65},
    "drafts of numbers": {"drafts": [1]},
    "cache key": {"prompt_cache_key": "x" * 1000},
    "stream_options": {"stream_options": []},
}


@pytest.mark.parametrize("name", BAD)
def test_wrong_fields_are_named(server: Server, name: str):
    secret = "the prompt that nobody repeats"
    value = {"messages": [{"role": "user", "content": secret}], **BAD[name]}
    answer = server.post("/v1/chat/completions", value)
    assert answer.status == 400, answer.body
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    assert secret not in answer.body.decode()
    assert str(Path.home()) not in answer.body.decode()


def test_errors_of_the_sdk(server: Server, client: openai.OpenAI):
    with pytest.raises(openai.NotFoundError) as missing:
        chat(client, model="gpt-5")
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as long:
        chat(client, messages=[{"role": "user", "content": "x y " * 20_000}])
    assert long.value.code == "context_length_exceeded"
    assert "16,384" in long.value.message
    with pytest.raises(openai.AuthenticationError):
        chat(client.with_options(api_key="sk-wrong"))
    with pytest.raises(openai.PermissionDeniedError):
        chat(client.with_options(default_headers={"Origin": "https://evil.example"}))


def test_a_grammar_bomb_is_refused_or_survived(server: Server):
    bombs = (
        {"anyOf": [{"type": "string", "pattern": f"(a|b{number})*c{{1,40}}"} for number in range(2000)]},
        {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(5000)}},
        {"type": "string", "pattern": "(a+)+$" * 200},
        {"type": "string", "pattern": "(.{1,1000}){1,1000}"},
        {"type": "array", "minItems": 10**9},
        {"$ref": "#"},
    )
    for schema in bombs:
        body = {
            "messages": HELLO,
            "max_tokens": 4,
            "response_format": {"type": "json_schema", "json_schema": {"schema": schema}},
        }
        assert server.post("/v1/chat/completions", body).status in (200, 400, 413)
    assert server.request("GET", "/health").json()["status"] == "ready"


def running(server: Server) -> int:
    return server.request("GET", "/health").json()["running"]


def metric(server: Server, name: str) -> float:
    text = server.request("GET", "/metrics").body.decode()
    return float(next(line for line in text.splitlines() if line.startswith(f"{name} ")).split()[1])


def abandoned(server: Server) -> float:
    return metric(server, "kimi_abandoned_total")


def endless(server: Server) -> dict:
    """A request whose answer goes on until the context is full: minutes, for the tiny model."""
    return {"messages": HELLO, "logit_bias": {str(token): -100 for token in range(376, 376 + 16)}, "ignored": "field"}


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_frees_its_place(server: Server, stream: bool):
    data = json.dumps({**endless(server), "stream": stream}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost:{server.port}\r\nAuthorization: Bearer {server.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    left = abandoned(server)
    with closing(server.connect()) as wire:
        wire.sendall(head.encode() + data)
        until(lambda: running(server) == 1)
        if stream:
            assert b"text/event-stream" in wire.recv(4096)
    until(lambda: running(server) == 0)
    until(lambda: abandoned(server) == left + 1)


def until(what) -> None:
    waiter = threading.Event()
    for _ in range(1000):
        if what():
            return
        waiter.wait(0.01)
    raise AssertionError("it never came to pass")


def test_progress_of_a_long_prompt_is_a_comment(server: Server):
    body = {"messages": [{"role": "user", "content": "0123456789" * 70}], "stream": True, "max_tokens": 2}
    text = server.post("/v1/chat/completions", body).body.decode()
    found = [json.loads(line[7:])["prefill"] for line in text.split("\n\n") if line.startswith(": kimi ")]
    assert found
    assert all(0 < each["done"] < each["total"] for each in found)
    assert text.endswith("data: [DONE]\n\n")


def test_metrics_count(server: Server, client: openai.OpenAI):
    def read() -> dict[str, float]:
        lines = server.request("GET", "/metrics").body.decode().splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}

    assert server.request("GET", "/metrics", Authorization=None).status == 401
    before = read()
    used = chat(client, seed=9, max_tokens=5).usage
    after = read()

    def grew(name: str) -> float:
        return after.get(name, 0) - before.get(name, 0)

    assert grew('kimi_requests_total{path="/v1/chat/completions",status="200"}') == 1
    assert grew("kimi_output_tokens_total") == used.completion_tokens == 5
    assert grew("kimi_prompt_tokens_total") == used.prompt_tokens
    assert grew('kimi_answers_total{api="chat",finish="length"}') == 1
    assert grew("kimi_steps_total") >= 5
    assert grew("kimi_first_token_seconds_count") == 1
    assert after["kimi_running"] == 0


def test_health_says_little_to_strangers(server: Server):
    assert server.request("GET", "/health", Authorization=None).json() == {"status": "ready"}
    assert server.request("GET", "/health").json()["context_length"] == 16384
    assert server.request("GET", "/health", Origin="https://evil.example").status == 403


def test_many_clients_at_once(server: Server):
    """Answers do not depend on who is served beside."""
    bodies = [{"messages": HELLO, "seed": seed, "max_tokens": 12} for seed in range(12)]
    alone = [server.post("/v1/chat/completions", body).json()["choices"] for body in bodies]
    found: dict[int, list] = {}

    def ask(number: int) -> None:
        with httpx.Client() as web:
            answer = web.post(
                f"{server.url}/chat/completions",
                json=bodies[number],
                headers={"Authorization": f"Bearer {server.token}"},
                timeout=60,
            )
            found[number] = answer.json()["choices"]

    threads = [threading.Thread(target=ask, args=[number]) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] for number in range(12)] == alone


def test_clients_that_come_and_go_leave_nothing_behind(server: Server):
    def come_and_go(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(10):
            body = {
                "messages": [{"role": "user", "content": "x" * dice.randint(1, 300)}],
                "max_tokens": dice.randint(1, 40),
            }
            body |= {
                "stream": dice.random() < 0.7,
                "seed": dice.randint(0, 9),
                "prompt_cache_key": f"k{dice.randint(0, 3)}",
            }
            post = {"url": f"{server.url}/chat/completions", "json": body, "timeout": 60, "verify": False}
            with httpx.stream("POST", **post, headers={"Authorization": f"Bearer {server.token}"}) as answer:
                found.append(answer.status_code)
                if dice.random() < 0.5:
                    answer.read()

    found: list[int] = []
    before = metric(server, "kimi_connections")
    threads = [threading.Thread(target=come_and_go, args=[seed]) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [200] * 60
    until(lambda: running(server) == 0)
    until(lambda: metric(server, "kimi_connections") <= before)
    assert metric(server, "kimi_waiting") == 0
    assert metric(server, "kimi_pinned_sessions") <= 6
