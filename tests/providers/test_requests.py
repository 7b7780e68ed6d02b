"""What is sent. Snapshots of every history for every kind of provider (written anew with UPDATE_SNAPSHOTS=1), each trap of
Moonshot's API, and the bytes that must not change from step to step."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from histories import HISTORIES, SYSTEM, assistant, call, request
from hypothesis import given
from hypothesis import strategies as st
from moonshot_rules import objection

from kimi_agent.core.message import Message, Text, ToolCall, tool_message, user_message
from kimi_agent.core.provider import Endpoint, Model, Request
from kimi_agent.providers import anthropic, responses
from kimi_agent.providers.chat_request import RequestEncoder, wire_arguments, wire_id, wire_name

SNAPSHOTS = Path(__file__).parent / "snapshots"
KEY = {"authorization": "Bearer sk-test"}
KIMI = Endpoint("kimi", "kimi", "https://api.moonshot.ai/v1", "sk-test", sampling={"thinking": {"keep": "all"}})
VLLM = Endpoint("vllm", "openai_legacy", "http://localhost:8000/v1")
BUILDERS: dict[str, Callable[[Request], Any]] = {}


def chat(endpoint: Endpoint, model_id: str) -> Callable[[Request], Any]:
    return lambda req: json.loads(RequestEncoder(endpoint, Model("m", model_id, endpoint.name)).encode(req))


BUILDERS["kimi"] = chat(KIMI, "kimi-k2.6")
BUILDERS["openai_compatible"] = chat(VLLM, "qwen3")
BUILDERS["openai"] = chat(Endpoint("openai", "openai", "https://api.openai.com/v1"), "gpt-5")
BUILDERS["kimi_on_vllm"] = chat(VLLM, "moonshotai/Kimi-K2.6")
BUILDERS["groq"] = chat(Endpoint("groq", "openai_legacy", "https://api.groq.com/openai/v1"), "qwen3")
BUILDERS["reasoning_field"] = chat(Endpoint("x", "openai_legacy", "http://x/v1", reasoning_field="reasoning"), "m")
OPENAI = Endpoint("openai", "openai_responses", "https://api.openai.com/v1")
BUILDERS["responses"] = lambda req: responses.request_body(req, OPENAI, Model("m", "gpt-5", "openai"))
CLAUDE = Endpoint("anthropic", "anthropic", "https://api.anthropic.com")
BUILDERS["anthropic"] = lambda req: anthropic.request_body(req, CLAUDE, Model("m", "claude-sonnet-4-5", "anthropic"))


@pytest.mark.parametrize("provider", BUILDERS)
def test_snapshots(provider: str) -> None:
    built = {name: BUILDERS[provider](request(name)) for name in HISTORIES}
    built["thinking"] = {level: BUILDERS[provider](request("hello", level)) for level in ("off", "on", "high")}
    path = SNAPSHOTS / f"{provider}.json"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(built, indent=1, ensure_ascii=True) + "\n")
    assert json.loads(json.dumps(built)) == json.loads(path.read_text())


# --- Moonshot's traps -------------------------------------------------------------------------------------------------


def refusal_of(req: Request, model: Model | None = None) -> str | None:
    return objection(KEY, json.loads(RequestEncoder(KIMI, model or Model("m", "kimi-k2.6", "kimi")).encode(req)))


@pytest.mark.parametrize("name", HISTORIES)
def test_moonshot_takes_every_history(name: str) -> None:
    assert refusal_of(request(name)) is None


PARTS = st.one_of(
    st.builds(Text, st.text(max_size=8)),
    st.builds(ToolCall, st.just(""), st.text(max_size=8), st.one_of(st.text(max_size=12), st.just('{"a": 1}'))),
)
STEPS = st.lists(st.tuples(st.text(max_size=5), st.lists(PARTS, max_size=4), st.text(max_size=5)), max_size=6)


def test_kimi_models_elsewhere_see_ids_as_they_number_them() -> None:
    """vLLM and SGLang pass ids on as they are; a conversation may have begun with another provider."""
    encoder = RequestEncoder(VLLM, Model("m", "moonshotai/Kimi-K2.6", "vllm"))
    history = [
        user_message("look"),
        Message("assistant", (ToolCall("call_9f", "Glob", "{}"), ToolCall("toolu_01", "Grep", "{}"))),
        tool_message("toolu_01", "b"),
        tool_message("call_9f", "a"),
        Message("assistant", (ToolCall("functions.Shell:7", "Shell", "{}"),)),
        tool_message("functions.Shell:7", "c"),
    ]
    for length in (1, 4, 6, 4):  # step by step, and after a rewind
        sent = json.loads(encoder.encode(Request("s", SYSTEM, history[:length])))["messages"][1:]
        ids = [[c["id"] for c in m["tool_calls"]] if "tool_calls" in m else m.get("tool_call_id") for m in sent]
        first = ["functions.Glob:0", "functions.Grep:1"]
        assert ids == [None, first, first[1], first[0], ["functions.Shell:2"], "functions.Shell:2"][:length]


@given(STEPS)
def test_moonshot_takes_any_history_that_is_well_formed(steps: list[tuple[str, list[Text | ToolCall], str]]) -> None:
    history = [user_message("start")]
    for number, (said, parts, output) in enumerate(steps):
        named = tuple(
            ToolCall(f"{part.name}:{number}:{n}", part.name, part.arguments) if isinstance(part, ToolCall) else part
            for n, part in enumerate(parts)
        )
        message = Message("assistant", named, "model")
        history += [user_message(said), message, *(tool_message(c.id, output) for c in message.calls)]
    assert refusal_of(Request("s", SYSTEM, history)) is None


def test_a_text_model_is_sent_no_pictures() -> None:
    for name in ("image", "image_only", "image_in_results"):
        body = RequestEncoder(KIMI, Model("m", "k", "kimi", capabilities=frozenset({"thinking"}))).encode(request(name))
        assert b"image_url" not in body
        assert b"pixel.png" in body
        assert objection(KEY, json.loads(body)) is None


def test_sampling_wins_over_defaults() -> None:
    endpoint = Endpoint(
        "x", "openai_legacy", "http://x/v1", sampling={"temperature": 0.5, "max_tokens": 7, "stream_options": {}}
    )
    body = json.loads(RequestEncoder(endpoint, Model("m", "m", "x")).encode(request("hello")))
    assert (body["temperature"], body["max_tokens"], body["stream_options"]) == (0.5, 7, {})
    assert "max_completion_tokens" not in body


# --- bytes that stay --------------------------------------------------------------------------------------------------


def step(number: int) -> list[Message]:
    output = "line\n" * 200
    return [assistant(Text(f"Step {number}."), call(f"ReadFile:{number}")), tool_message(f"ReadFile:{number}", output)]


@pytest.mark.parametrize("endpoint", [KIMI, VLLM], ids=["kimi", "vllm"])
def test_each_request_begins_with_the_one_before(endpoint: Endpoint) -> None:
    encoder = RequestEncoder(endpoint, Model("m", "m", "x"))
    history = [user_message("Go")]
    tools, before = request("image").tools, b""
    for number in range(300):
        body = encoder.encode(Request("s", SYSTEM, list(history), list(tools), 8000 - number))
        tail = body.rindex(b'],"max_')
        assert body.startswith(before)
        assert json.loads(body)["messages"][-1]["role"] in ("user", "tool")
        before = body[:tail]
        history += step(number)


def test_a_message_is_encoded_once_and_kept_while_it_is_used() -> None:
    encoder = RequestEncoder(KIMI, Model("m", "m", "x"))
    history = [user_message("Go"), *step(1)]
    encoder.encode(Request("s", SYSTEM, history))
    kept = list(encoder._bodies)
    encoder.encode(Request("s", SYSTEM, [*history, *step(2)]))
    assert all(now is before for now, before in zip(encoder._bodies, kept, strict=False))
    assert len(encoder._bodies) == 5
    encoder.encode(Request("s", SYSTEM, history[:1]))
    assert len(encoder._bodies) == 1


def test_a_history_that_changed_is_encoded_anew() -> None:
    encoder, fresh = RequestEncoder(KIMI, Model("m", "m", "x")), RequestEncoder(KIMI, Model("m", "m", "x"))
    history = [user_message("Go"), *step(1), *step(2)]
    encoder.encode(Request("s", SYSTEM, history))
    changed = [user_message("Other"), *history[1:]]
    assert encoder.encode(Request("s", SYSTEM, changed)) == fresh.encode(Request("s", SYSTEM, changed))
    assert encoder.call_ids == fresh.call_ids


# --- small forms ------------------------------------------------------------------------------------------------------


@given(st.lists(st.text(min_size=1, max_size=100), unique=True, max_size=20))
def test_ids_stay_apart_and_in_form(ids: list[str]) -> None:
    wired = [wire_id(value, keep=False) for value in ids]
    assert len(set(wired)) == len(ids)
    assert all(0 < len(value) <= 64 and value.replace("-", "_").replace("_", "a").isalnum() for value in wired)
    assert all(value.isascii() for value in wired)
    assert [wire_id(value, keep=True) for value in ids] == ids


@given(st.text(max_size=100))
def test_names_are_in_form(name: str) -> None:
    wired = wire_name(name)
    assert wire_name(wired) == wired
    assert wired.isascii()
    assert 0 < len(wired) <= 64


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), JSON), st.booleans(), st.sampled_from([None, 2]))
def test_good_arguments_are_kept(value: dict[str, Any], ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert wire_arguments(text) == text


@given(st.text() | st.text(alphabet='{}[]":, a1\\\n\x00'))
def test_any_arguments_become_an_object(text: str) -> None:
    wired = wire_arguments(text)
    assert isinstance(json.loads(wired), dict)
    assert wire_arguments(wired) == wired


def test_our_engine_is_told_the_files_in_play() -> None:
    """The newest files, without line numbers, behind everything that the next request repeats; nobody else is told."""
    read = "     1\tdef f():\n     2\t    return '1\t2'\n"
    history = [
        user_message("look"),
        Message("assistant", (ToolCall("functions.ReadFile:0", "ReadFile", "{}"),)),
        tool_message("functions.ReadFile:0", f"{read}(2 lines)"),
        Message("assistant", (ToolCall("functions.Shell:1", "Shell", "{}"),)),
        tool_message("functions.Shell:1", "no numbers here\n", is_error=False),
        Message("assistant", (ToolCall("functions.ReadFile:2", "ReadFile", "{}"),)),
        tool_message("functions.ReadFile:2", "     1\t" + "x" * 200_001),
    ]
    engine = Endpoint("local", "kimi_engine", "http://127.0.0.1:1/v1")
    encoder = RequestEncoder(engine, Model("m", "tiny", "local"))
    body = encoder.encode(Request("s", SYSTEM, history))
    assert json.loads(body)["drafts"] == ["def f():\n    return '1\t2'\n"]
    assert body.index(b'"drafts"') > body.index(b'"messages"') + len(b"x" * 200_001)
    assert "drafts" not in json.loads(encoder.encode(Request("s", SYSTEM, history[:1])))
    assert "drafts" not in BUILDERS["kimi"](Request("s", SYSTEM, history))
    assert "drafts" not in BUILDERS["kimi_on_vllm"](Request("s", SYSTEM, history))
