"""The wire below the SDK: JSON-RPC messages, one a line, on descriptors that nothing else of this process can touch.

A thread reads. What is no message it answers at once, and so it does `initialize`: nothing that is still being loaded is in
the way of either. It knows no asyncio, so that the first answer need not wait for that either. Another thread writes, so a client
that does not read holds up nothing but itself.
"""

import contextlib
import json
import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

Message: TypeAlias = dict[str, Any]

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL = -32700, -32600, -32601, -32602, -32603
CANCELLED, AUTH_REQUIRED, NOT_FOUND = -32800, -32000, -32002
MAX_LINE = 128 * 1024 * 1024
"""Bytes. A longer line is no message; a prompt may hold pictures."""
LAST_WORDS_S = 0.5
"""How long what is written at the end may take."""


def apart() -> tuple[int, int]:
    """Standard input and output as descriptors of our own; what else writes to 1 reaches standard error, 0 is empty."""
    stdin, stdout = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    os.set_blocking(stdout, True)  # a parent may have left a shared pipe non-blocking
    return stdin, stdout


class Wire:
    """`hello` answers the params of `initialize`. `arrived` has what came for others, in order, None at the end of the input."""

    def __init__(self, stdin: int, stdout: int, hello: Callable[[Message], Message]) -> None:
        self._stdin, self._stdout, self._hello = stdin, stdout, hello
        self.arrived: deque[Message | None] = deque()
        self.client: Message = {}
        """The params of `initialize` as they came: the SDK would drop what it does not know."""
        self._tell: Callable[[], object] = lambda: None
        self._going: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="acp out", daemon=True)
        self._writer.start()
        threading.Thread(target=self._read, name="acp in", daemon=True).start()

    def tell(self, news: Callable[[], object]) -> None:
        """Call `news`, in a thread of the wire's, whenever something has arrived; now, too."""
        self._tell = news
        news()

    def put(self, message: Message) -> None:
        """Write a message after those that were put before."""
        self._going.put(message)

    def answer(self, request: Any, code: int, text: str) -> None:
        self.put({"jsonrpc": "2.0", "id": request, "error": {"code": code, "message": text}})

    def end(self) -> None:
        """Write what is left, as far as the client still reads."""
        self._going.put(None)
        self._writer.join(LAST_WORDS_S)

    # --- the threads --------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        rest = bytearray()
        try:
            while chunk := os.read(self._stdin, 1 << 16):
                *lines, tail = chunk.split(b"\n")
                for line in lines:
                    rest += line
                    self._line(bytes(rest))
                    rest.clear()
                if len(rest) <= MAX_LINE:
                    rest += tail
        except OSError:  # the terminal went away
            pass
        if rest:
            self._line(bytes(rest))
        self._deliver(None)

    def _line(self, line: bytes) -> None:
        if not line.strip():
            return
        if len(line) > MAX_LINE:
            self.answer(None, PARSE_ERROR, f"Parse error: a line is longer than {MAX_LINE >> 20} MiB")
            return
        try:
            message = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError):
            self.answer(None, PARSE_ERROR, "Parse error: a line is not JSON")
            return
        if (reason := _not_a_message(message)) is None:
            self._take(message)
        elif reason:
            known = message.get("id") if isinstance(message, dict) else None
            self.answer(known if _is_id(known) else None, INVALID_REQUEST, f"Invalid request: {reason}")

    def _take(self, message: Message) -> None:
        if message.get("method") != "initialize" or "id" not in message:
            self._deliver(message)
            return
        params = message.get("params")
        if not isinstance(params, dict):
            self.answer(message["id"], INVALID_PARAMS, "Invalid params: `params` must be an object")
            return
        result = self._hello(params)
        self.client = params
        self.put({"jsonrpc": "2.0", "id": message["id"], "result": result})

    def _deliver(self, message: Message | None) -> None:
        self.arrived.append(message)
        with contextlib.suppress(RuntimeError):  # the loop was closed
            self._tell()

    def _write(self) -> None:
        while (message := self._going.get()) is not None:
            data = memoryview(encode(message))
            try:
                while data:
                    data = data[os.write(self._stdout, data) :]
            except OSError:  # nobody reads any more: who could allow a call, or stop it, has gone
                self._deliver(None)
                return


def _is_id(value: Any) -> bool:
    return isinstance(value, str | int | float | None) and not isinstance(value, bool)


def _not_a_message(value: Any) -> str | None:
    """Why a JSON value is no message; None for one that is, empty for one that may not be answered."""
    if not isinstance(value, dict):
        return "a message is an object"
    if "method" not in value:
        if "result" not in value and "error" not in value:
            return "there is no method"
        known = value.get("id")
        return None if isinstance(known, str | int) and not isinstance(known, bool) else ""
    if not isinstance(value["method"], str):
        return "`method` must be a text"
    if "id" in value and not _is_id(value["id"]):
        return "`id` must be a text or a number"
    return None


def encode(message: Message) -> bytes:
    """One line. A lone surrogate becomes a question mark, a number that JSON does not have null."""
    try:
        text = json.dumps(message, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(message), ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace") + b"\n"


def _finite(value: Any) -> Any:
    match value:
        case float():
            return value if value - value == 0 else None
        case dict():
            return {key: _finite(item) for key, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case _:
            return value
