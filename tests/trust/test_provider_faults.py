"""Every way in which a model's server can fail, and the ledger: no tool call runs twice, no half call runs at all (T44, T45)."""

import asyncio
import email.utils
import json
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from moonshot_rules import objection
from nightly import all_but
from raw_api import DONE, RESET, Answer, calls, event, head, raw_api, status, text, tool_call

from kimi_agent import Agent
from kimi_agent.core import event as ev

DAY = 86_400.0


def shell(words: str, call_id: str = "c:1", index: int = 0, more: str = "") -> bytes:
    return tool_call("Shell", {"command": f"echo {words} >> ledger{more}"}, call_id, index)


def date(seconds: float) -> str:
    return f"Retry-After: {email.utils.formatdate(time.time() + seconds, usegmt=True)}"


def half(piece: bytes) -> bytes:
    return piece[: len(piece) // 2]


FIRST, TWO, END = calls(shell("one", "c:0")), calls(shell("two")), text("Done.")
WHOLE = shell("two") + event(finish="tool_calls") + DONE
MESSAGE = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c:1", "function": {"name": "Shell", "arguments": '{"command": "echo two >> ledger"}'}}],
}
BOTH, ONCE = ["one", "two"], ["one"]

# What the server answers to the second request, after a call has run; the same request is answered well when it comes again.
AGAIN: dict[str, Answer] = {
    **{f"status {code}": [status(code)] for code in (408, 409, 425, 500, 501, 502, 503, 504, 520, 529)},
    "429 with seconds": [status(429, "Retry-After: 0.01")],
    "429 with a date, and a clock that went back a day": [status(429, date(-DAY))],
    "429 with rubbish": [status(429, "Retry-After: soon")],
    "reset before the first byte": [RESET],
    "closed before the first byte": [],
    "reset behind the head": [head(), RESET],
    "reset behind some words": [head(), event({"content": "I wi"}), RESET],
    "reset in the middle of a call": [head(), half(shell("two")), RESET],
    "reset behind a whole call": [head(), shell("two"), RESET],
    "silence before the first byte": [60.0],
    "silence behind a whole call": [head(), shell("two"), 60.0],
    "the end in the middle of an event": [head(), half(shell("two"))],
    "the end behind a whole call": [head(), shell("two")],
    "nothing": [head()],
    "comments alone": [head(), b": keep-alive\n\n" * 3],
    "no choices at all": [head(), b'data: {"choices": []}\n\n', DONE],
    "two events glued": [head(), shell("two").strip() + b"\n" + event(finish="tool_calls"), DONE],
    "an error in the stream": [head(), shell("two"), b'data: {"error": {"message": "boom", "code": 500}}\n\n'],
    "rubbish": [head(), shell("two"), b"data: {no json\n\n", DONE],
    "compressed rubbish": [head(200, "text/event-stream", "Content-Encoding: gzip"), b"no gzip at all"],
    "a broken chunk": [head(200, "text/event-stream", "Transfer-Encoding: chunked"), b"zz\r\n", shell("two")],
    "less than was announced": [head(200, "text/event-stream", "Content-Length: 9999"), shell("two")],
    "a head without end": [b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n", WHOLE],
    "no HTTP": [b"SSH-2.0-OpenSSH_9.6\r\n"],
}

# Odd answers that are good: the call in them runs, once, and nothing is asked again.
GOOD: dict[str, Answer] = {
    "no [DONE]": [head(), shell("two"), event(finish="tool_calls")],
    "no finish reason": [head(), shell("two"), DONE],
    "an unknown finish reason": [head(), shell("two"), event(finish="whatever"), DONE],
    "silence behind the finish reason": [head(), shell("two"), event(finish="tool_calls"), RESET],
    "byte by byte": [head(), *(bytes([byte]) for byte in shell("two", more=" # 漢字") + event(finish="stop") + DONE)],
    "events in one piece": [head() + WHOLE],
    "CRLF, a BOM and no blank": [head(), b"\xef\xbb\xbf" + WHOLE.replace(b"\n", b"\r\n").replace(b"data: ", b"data:")],
    "nulls": [head(), event({"content": None, "tool_calls": None, "role": None}, usage=None), b"data: null\n\n", WHOLE],
    "empty choices first": [head(), b'data: {"choices": []}\n\ndata: {"choices": null}\n\n', WHOLE],
    "comments between": [head(), b": wait\n\n", 0.05, b":\n\n", WHOLE],
    "called plain text": [head(200, "text/plain"), WHOLE],
    "one object": [
        head(200, "application/json"),
        json.dumps({"choices": [{"message": MESSAGE, "finish_reason": "stop"}]}).encode(),
    ],
    "trailing rubbish": [head(), WHOLE, b"\0\0data: {"],
    "the id of an earlier call": calls(shell("two", "c:0")),
    "the same call twice": calls(shell("two", "c:7", 0), shell("two", "c:7", 1)),
    "ten megabytes of arguments": calls(shell("two", more=f" # {'x' * 10_000_000}")),
}

# The model's own mistakes: it is told, and goes on with the next answer.
TOLD: dict[str, Answer] = {
    "arguments that are no JSON": calls(tool_call("Shell", '{"command": "echo bad >> ledger"')),
    "arguments that do not fit": calls(tool_call("Shell", {"command": ["echo", "bad"]})),
    "an unknown tool": calls(tool_call("__proto__", {"command": "echo bad >> ledger"})),
    "no name": calls(tool_call("", {"command": "echo bad >> ledger"})),
    "cut off in the middle of a call": [
        head(), tool_call("Shell", '{"command": "echo bad >> led'), event(finish="length"), DONE,
    ],
}  # fmt: skip

# What ends the turn at once, and what it is called.
ENDS: dict[str, tuple[Answer, str]] = {
    "401 in the middle of a session": ([status(401)], "AuthError"),
    "403": ([status(403)], "AuthError"),
    "402": ([status(402)], "QuotaError"),
    "400": ([status(400)], "BadRequestError"),
    "404": ([status(404)], "BadRequestError"),
    "422": ([status(422)], "BadRequestError"),
    "a redirect": ([status(307, "Location: http://127.0.0.1:1/")], "BadRequestError"),
    "the page of a proxy": ([head(200, "text/html"), b"<html><title>Sign in</title></html>"], "BadRequestError"),
    "429 with an absurd wait": ([status(429, "Retry-After: 99999999")], "RateLimitError"),
    "429 with a date, and a clock that went ahead a day": ([status(429, date(DAY))], "RateLimitError"),
}

OVERFLOW = [status(400, error={"message": "too long", "code": "context_length_exceeded"})]

LONG = calls(shell("one", "c:0", more="; seq 20000"))

SETTINGS = """
default_model = "m"
[providers.p]
type = "kimi"
base_url = "{url}"
api_key = "sk-test"
connect_timeout = {patience}
first_byte_timeout = {patience}
idle_timeout = {patience}
[models.m]
provider = "p"
model = "fake-model"
max_context_size = 30000000
"""


AT_ONCE = asyncio.Semaphore(8)

# Those that are like another one in all that we do: they are tried at night.
ALIKE = {
    *(f"status {code}" for code in (408, 425, 501, 502, 504, 520, 529)), "429 with seconds", "closed before the first byte",
    "reset behind some words", "the end behind a whole call", "nothing", "comments alone", "an error in the stream",
    "compressed rubbish", "less than was announced", "no HTTP", "no finish reason", "an unknown finish reason",
    "events in one piece", "nulls", "empty choices first", "comments between", "called plain text", "trailing rubbish",
    "ten megabytes of arguments", "arguments that do not fit", "no name", "403", "402", "404", "422",
}  # fmt: skip


async def play(name: str, folder: Path, answers: Sequence[Answer]) -> tuple[str, list[str], list[str], int]:
    """How a turn ended, what its calls did, what the server objects to in the requests, and how many there were."""
    folder.mkdir()
    patience = 2 if "silence before" in name or "silence behind a whole" in name else 60  # seconds
    async with AT_ONCE, raw_api(answers) as api:
        options = {
            "config": SETTINGS.format(url=api.url, patience=patience),
            "home": folder.with_name(f"{folder.name}-home"),  # in the folder, commands could write nothing there
            "load_plugins": False,
        }
        async with Agent(folder, mode="yolo", **options) as agent:
            end = [event async for event in agent.prompt("go on") if isinstance(event, ev.TurnEnded)][-1]
        objections = [
            found for headers, body in api.requests if (found := objection(headers, body)) and "size" not in found
        ]
        ledger = (folder / "ledger").read_text().split()
        return end.kind or end.stop, ledger, objections, len(api.requests)


@pytest.mark.parametrize("tried", all_but(["different"], ["different", "alike"]))
async def test_whatever_the_server_does_no_call_runs_twice(tmp_path: Path, tried: str) -> None:
    plans: dict[str, tuple[Sequence[Answer], tuple[str, list[str], list[str], int]]] = {
        "nothing wrong": ([FIRST, TWO, END], ("done", BOTH, [], 3)),
        "the context overflows": ([LONG, OVERFLOW, text("A summary."), TWO, END], ("done", BOTH, [], 5)),
        **{name: ([FIRST, fault, TWO, END], ("done", BOTH, [], 4)) for name, fault in (AGAIN | TOLD).items()},
        **{name: ([FIRST, answer, END], ("done", BOTH, [], 3)) for name, answer in GOOD.items()},
        **{name: ([FIRST, answer, TWO, END], (kind, ONCE, [], 2)) for name, (answer, kind) in ENDS.items()},
    }
    assert plans.keys() >= ALIKE
    plans = {name: plan for name, plan in plans.items() if (name in ALIKE) is (tried == "alike")}
    played = [play(name, tmp_path / str(number), answers) for number, (name, (answers, _)) in enumerate(plans.items())]
    found = dict(zip(plans, await asyncio.gather(*played), strict=True))
    wrong = {name: (found[name], expected) for name, (_, expected) in plans.items() if found[name] != expected}
    assert not wrong, "\n".join(f"{name}: {got}, not {expected}" for name, (got, expected) in wrong.items())
