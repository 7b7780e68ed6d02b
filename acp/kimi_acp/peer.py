"""The client as one speaks with it: requests in both directions, each of which can be cancelled, and updates.

The SDK's connection carries the messages, through its public seams alone: `acp.run_agent` and extension methods, under whose
names every method travels as it came, because the SDK routes only some, validates away what is new, and lets `_meta` replace
arguments. It takes a second to be loaded; what comes before that is answered without it.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from kimi_acp.wire import CANCELLED, INTERNAL, INVALID_PARAMS, Message, Wire

SPEC = "spec/"
DRAIN_S = 5.0
"""How long requests that came before the end of the input may take to be answered. A prompt is not waited for."""
BEGINNING = 4
"""Rounds of the loop in which a request that came before a notification is on its way: it may be what the notification ends."""
_log = logging.getLogger(__name__)


class RpcError(Exception):
    """An error as JSON-RPC has it: the message is one line for a person."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(" ".join(message.split()))
        self.code, self.data = code, data


class Request(dict[str, Any]):
    """Params of a request of ours; `id` is what the SDK has called it."""

    id: Any = None


class Peer:
    """`handle` answers a request of the client by method, params and id, and raises RpcError; `notified` hears notifications.

    A request that the client cancels is cut off: what answers it may catch that, and still answer.
    """

    def __init__(
        self,
        wire: Wire,
        handle: Callable[[str, Message, Any], Awaitable[Message]],
        notified: Callable[[str, Message], None],
    ) -> None:
        self._wire, self._handle, self._notified = wire, handle, notified
        self._open: dict[str, tuple[asyncio.Future[Message], str]] = {}
        self._after: dict[str, list[Callable[[], object]]] = {}
        self._news, self._wanted = asyncio.Event(), asyncio.Event()
        self._answers: set[asyncio.Future[None]] = set()
        self._connected: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    @property
    def client(self) -> Message:
        """The params of `initialize`, as they came."""
        return self._wire.client

    # --- out ----------------------------------------------------------------------------------------------------------

    def update(self, session: str, update: Message) -> None:
        self.notify("session/update", {"sessionId": session, "update": update})

    def notify(self, method: str, params: Message) -> None:
        self._wire.put({"jsonrpc": "2.0", "method": method, "params": params})

    async def request(self, method: str, params: Message) -> Any:
        """What the client answers. Cancelled, it tells the client so. Raises RpcError."""
        self.warm()
        connection = await asyncio.shield(self._connected)
        from acp import RequestError

        request = Request(params)
        try:
            return await connection.ext_method(SPEC + method, request)
        except RequestError as error:
            raise RpcError(error.code, str(error), error.data) from None
        except ConnectionError:
            raise RpcError(INTERNAL, "the client has gone") from None
        except asyncio.CancelledError:
            if request.id is not None:
                self.notify("$/cancel_request", {"requestId": request.id})
            raise

    def after(self, request: Any, then: Callable[[], object]) -> None:
        """Call `then` once the answer to the client's request of this id is on its way."""
        self._after.setdefault(json.dumps(request), []).append(then)

    # --- in -----------------------------------------------------------------------------------------------------------

    def warm(self) -> None:
        """Load the SDK: it will be needed."""
        self._wanted.set()

    def stop(self) -> None:
        """As if the input had ended."""
        self._wire.arrived.append(None)
        self._news.set()

    async def serve(self) -> None:
        """Until the input ends. What is still being done for the client then is cut off."""
        loop = asyncio.get_running_loop()
        self._wire.tell(lambda: loop.call_soon_threadsafe(self._news.set))
        loading = asyncio.ensure_future(self._load())
        try:
            if await self._answer_alone(loading):
                import acp

                loading.result()
                await acp.run_agent(_Agent(self), _Transport(self), use_unstable_protocol=True)  # type: ignore[arg-type]
        finally:
            loading.cancel()
            for answer in self._answers:
                answer.cancel()
            for task, _ in self._open.values():
                task.cancel()

    async def _load(self) -> None:
        await self._wanted.wait()
        await asyncio.to_thread(_import_sdk)

    async def _answer_alone(self, loading: "asyncio.Future[None]") -> bool:
        """Answer what comes until the SDK is loaded; False when the input ended before that."""
        while True:
            coming = asyncio.ensure_future(self.next())
            both: set[asyncio.Future[Any]] = {coming, loading}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                coming.cancel()
                return True
            if (message := coming.result()) is None:
                await self.drain()
                return False
            if "method" in message:
                task = asyncio.ensure_future(self._answer(message))
                self._answers.add(task)
                task.add_done_callback(self._answers.discard)

    async def _answer(self, message: Message) -> None:
        request = message["id"]
        try:
            result = await self.run(message["method"], message.get("params"), request)
            answer: Message = {"jsonrpc": "2.0", "id": request, "result": result}
        except RpcError as error:
            told = {"code": error.code, "message": str(error), **({"data": error.data} if error.data else {})}
            answer = {"jsonrpc": "2.0", "id": request, "error": told}
        self.put(answer)

    async def next(self) -> Message | None:
        """The next request, or answer to one of ours; None at the end. Notifications are heard here, in their order."""
        while True:
            while not self._wire.arrived:
                self._news.clear()
                await self._news.wait()
            message = self._wire.arrived.popleft()
            if message is None:
                self._wire.arrived.append(None)
                return None
            if "method" not in message or "id" in message:
                return message
            for _ in range(BEGINNING):
                await asyncio.sleep(0)
            self._hear(message["method"], message.get("params"))

    def _hear(self, method: str, params: Any) -> None:
        if not isinstance(params, dict | None):
            return
        if method == "$/cancel_request":
            found = self._open.get(json.dumps((params or {}).get("requestId")))
            if found is not None:
                found[0].cancel()
            return
        try:
            self._notified(method, params or {})
        except Exception:
            _log.exception("the notification %s", method)

    async def run(self, method: str, params: Any, request: Any) -> Message:
        """The result of a request of the client. Raises RpcError."""
        if not isinstance(params, dict | None):
            raise RpcError(INVALID_PARAMS, "Invalid params: `params` must be an object")
        key, task = json.dumps(request), asyncio.ensure_future(self._handle(method, params or {}, request))
        self._open[key] = (task, method)
        try:
            return await task
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            raise RpcError(CANCELLED, "Request cancelled") from None
        except RpcError:
            raise
        except Exception as error:
            _log.exception("the request %s", method)
            raise RpcError(INTERNAL, f"Internal error: {type(error).__name__}: {error}") from None
        finally:
            self._open.pop(key, None)

    async def drain(self) -> None:
        """The input has ended: let be answered what came before that."""
        await asyncio.sleep(0)
        short = [task for task, method in self._open.values() if method != "session/prompt"]
        if short:
            await asyncio.wait(short, timeout=DRAIN_S)
            await asyncio.sleep(0.01)  # their answers are being written

    def put(self, message: Message) -> None:
        """Write a message of the SDK's, or of ours."""
        if "method" not in message:
            self._wire.put(message)
            for then in self._after.pop(json.dumps(message.get("id")), ()):
                then()
            return
        request = message.get("params")
        if isinstance(request, Request):
            request.id = message["id"]
            message = {**message, "method": message["method"].removeprefix(f"_{SPEC}")}
        self._wire.put(message)

    def connected(self, connection: Any) -> None:
        if not self._connected.done():
            self._connected.set_result(connection)


class _Agent:
    """What the SDK calls."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def on_connect(self, connection: Any) -> None:
        self._peer.connected(connection)

    async def ext_method(self, name: str, given: Message) -> Message:
        from acp import RequestError

        try:
            return await self._peer.run(given["method"], given["params"], given["id"])
        except RpcError as error:
            raise RequestError(error.code, str(error), error.data) from None


class _Transport:
    """What the SDK reads from and writes to."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def receive(self) -> Message | None:
        message = await self._peer.next()
        if message is None:
            await self._peer.drain()
            return None
        if "method" not in message:
            return message
        given = {"method": message["method"], "params": message.get("params"), "id": message["id"]}
        return {"jsonrpc": "2.0", "id": message["id"], "method": f"_{SPEC}request", "params": given}

    async def send(self, message: Message) -> None:
        self._peer.put(message)

    async def close(self) -> None:
        pass


def _import_sdk() -> None:
    with contextlib.suppress(ImportError):  # told by whoever uses it
        import acp

        assert acp
