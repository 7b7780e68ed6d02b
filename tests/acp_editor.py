"""An editor at the other end of a real `kimi acp`: a raw client that says what it wants, and records every line."""

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import warm_program
from kimi_program import Program

Message = dict[str, Any]
ALL: Message = {
    "fs": {"readTextFile": False, "writeTextFile": False},
    "elicitation": {"form": {}},
    "session": {"notices": {}, "compaction": {}, "configOptions": {"boolean": {}}},
    "_meta": {"terminal_output": True},
}
"""Everything that our own screen would do."""


class Refused(Exception):
    """The agent answered with an error."""

    def __init__(self, error: Message) -> None:
        super().__init__(error["message"])
        self.code, self.data, self.error = error["code"], error.get("data"), error


def text(words: str) -> Message:
    return {"type": "text", "text": words}


def call(name: str, **arguments: Any) -> Message:
    return {"call": {"name": name, "arguments": arguments}}


class Editor:
    """`answers` are functions by method, for requests of the agent; the result is what they answer, or an Exception.

    `around` is a command that runs the agent, whose own command it is given.
    """

    def __init__(
        self,
        program: Program,
        *flags: str,
        capabilities: Message | None = None,
        around: Sequence[str] = (),
        **env: str,
    ) -> None:
        self.program = program
        self.scenario_file = program.folder / "scenario.json"
        if not self.scenario_file.exists():
            self.play([text("Hello.")])
        given = flags if "--config-file" in flags else ("--provider", f"scripted:{self.scenario_file}", *flags)
        self.errors = (program.folder / "stderr").open("w+")
        environment = program.environment(**env)
        if around:
            argv, pipe = [*around, sys.executable, "-m", "kimi_agent", "acp", *given], subprocess.PIPE
            self.process = subprocess.Popen(
                argv, stdin=pipe, stdout=pipe, stderr=self.errors, cwd=program.work, env=environment
            )
        else:
            self.process = warm_program.start(["acp", *given], program.work, environment, errors=self.errors)
        self.transcript: list[tuple[str, Message]] = []
        self.answers: dict[str, Callable[[Message], Any]] = {"session/request_permission": allow}
        self._ids = 0
        self._waiting: dict[Any, queue.SimpleQueue[Message]] = {}
        self._news = threading.Condition()
        self._writing = threading.Lock()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if capabilities is not None:
            self.hello = self.request("initialize", protocolVersion=1, clientCapabilities=capabilities)

    def play(self, *steps: Any) -> None:
        """What the model does in sessions whose first prompt is still to come."""
        self.scenario_file.write_text(json.dumps([_step(step) for step in steps]))

    # --- the wire -----------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        with self._writing:
            self.process.stdin.write(data)
            self.process.stdin.flush()

    def send(self, message: Any) -> None:
        if isinstance(message, dict):
            self.transcript.append((">", message))
        self.write(json.dumps(message).encode() + b"\n")

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            message = json.loads(line.decode("utf-8"))  # a line that is no JSON ends the thread, and the test
            with self._news:
                self.transcript.append(("<", message))
                self._news.notify_all()
            if "method" not in message:
                self._waiting.setdefault(str(message["id"]), queue.SimpleQueue()).put(message)
            elif "id" in message:
                threading.Thread(target=self._answer, args=(message,), daemon=True).start()

    def _answer(self, message: Message) -> None:
        answer = self.answers.get(message["method"])
        if answer is None:
            error = {"code": -32601, "message": "Method not found"}
            self.send({"jsonrpc": "2.0", "id": message["id"], "error": error})
            return
        result = answer(message["params"])
        if isinstance(result, Exception):
            error = {"code": -32603, "message": str(result)}
            self.send({"jsonrpc": "2.0", "id": message["id"], "error": error})
        elif result is not None:
            self.send({"jsonrpc": "2.0", "id": message["id"], "result": result})

    # --- requests -----------------------------------------------------------------------------------------------------

    def begin(self, method: str, params: Any, id: Any = None) -> Any:  # noqa: A002 - as the protocol calls it
        """Send a request; answers its id."""
        self._ids += 1
        request = self._ids if id is None else id
        self.send({"jsonrpc": "2.0", "id": request, "method": method, "params": params})
        return request

    def answer(self, request: Any, timeout: float = 30.0) -> Message:
        """The whole answer to a request."""
        try:
            return self._waiting.setdefault(str(request), queue.SimpleQueue()).get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"no answer to {request}: {self.transcript[-5:]}") from None

    def result(self, request: Any, timeout: float = 30.0) -> Any:
        answer = self.answer(request, timeout)
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["result"]

    def request(self, method: str, **params: Any) -> Any:
        return self.result(self.begin(method, params))

    def notify(self, method: str, **params: Any) -> None:
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    def until(self, found: Callable[[], Any], timeout: float = 30.0) -> Any:
        """What `found` answers, once it is something."""
        deadline = time.monotonic() + timeout
        with self._news:
            while not (value := found()):
                left = deadline - time.monotonic()
                assert left > 0, f"it never came: {self.transcript[-5:]}"
                self._news.wait(min(left, 0.1))
        return value

    # --- sessions -----------------------------------------------------------------------------------------------------

    def new(self, *steps: Any, **params: Any) -> str:
        """A new session in the program's folder that plays these steps."""
        if steps:
            self.play(*steps)
        given = {"cwd": str(self.program.work), "mcpServers": [], **params}
        session: str = self.request("session/new", **given)["sessionId"]
        return session

    def prompt(self, session: str, *blocks: Message | str) -> Message:
        result: Message = self.result(self.begin_prompt(session, *blocks))
        return result

    def begin_prompt(self, session: str, *blocks: Message | str) -> Any:
        given = [text(block) if isinstance(block, str) else block for block in blocks or ("Go.",)]
        return self.begin("session/prompt", {"sessionId": session, "prompt": given})

    def updates(self, session: str, kind: str = "", since: int = 0) -> list[Message]:
        """What the agent has told of a session, in order."""
        with self._news:
            found = [
                m["params"] for way, m in self.transcript[since:] if way == "<" and m.get("method") == "session/update"
            ]
        return [p["update"] for p in found if p["sessionId"] == session and kind in ("", p["update"]["sessionUpdate"])]

    def said(self, session: str, kind: str = "agent_message_chunk", since: int = 0) -> str:
        return "".join(update["content"].get("text", "") for update in self.updates(session, kind, since))

    def asked(self, method: str = "session/request_permission") -> list[Message]:
        """Params of the requests of the agent."""
        return [m["params"] for way, m in self.transcript if way == "<" and m.get("method") == method and "id" in m]

    def card(self, session: str, number: int = 0, since: int = 0) -> Message:
        """A tool call as an editor has it when all updates have come."""
        cards: dict[str, Message] = {}
        for update in self.updates(session, since=since):
            if update["sessionUpdate"] in ("tool_call", "tool_call_update"):
                cards.setdefault(update["toolCallId"], {}).update(update)
        return list(cards.values())[number]

    # --- the end ------------------------------------------------------------------------------------------------------

    def close(self, timeout: float = 20.0) -> int:
        """End the input; the exit code."""
        assert self.process.stdin is not None
        if not self.process.stdin.closed:
            self.process.stdin.close()
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError("it did not end with its input") from None
        finally:
            self._reader.join(5)

    @property
    def stderr(self) -> str:
        return Path(self.errors.name).read_text()


def _step(step: Any) -> Any:
    return [step] if isinstance(step, dict) and "steps" not in step else step


def pick(kind: str) -> Callable[[Message], Message]:
    """Answers every question for permission by the first option of a kind."""

    def answer(params: Message) -> Message:
        option = next(option for option in params["options"] if option["kind"] == kind)
        return {"outcome": {"outcome": "selected", "optionId": option["optionId"]}}

    return answer


allow, reject = pick("allow_once"), pick("reject_once")


def same(updates: Iterable[Message]) -> list[Message]:
    """Updates with what streams in pieces joined, and without times: as a later look at the same session has them."""
    joined: list[Message] = []
    for update in updates:
        last = joined[-1] if joined else {}
        alike = last.get("sessionUpdate") == update["sessionUpdate"] and last.get("messageId") == update.get(
            "messageId"
        )
        if "messageId" in update and alike and update["content"].get("type") == last["content"].get("type") == "text":
            last["content"] = text(last["content"]["text"] + update["content"]["text"])
        else:
            joined.append({key: value for key, value in update.items() if key != "updatedAt"})
    return joined
