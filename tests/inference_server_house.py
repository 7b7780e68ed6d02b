"""The engine's server as a real process, with a tiny model whose weights are random, and raw HTTP to speak to it."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from checkpoint_house import stored, write_folder
from inference_chat_house import write_tokenizer
from inference_house import random_weights, raw_config

from inference_backend.chat.tokenizer import Tokenizer
from inference_backend.config import read_config
from inference_backend.reference import Reference, Segment

END = "<|im_end|>"
ROOT = Path(__file__).parent.parent


def make_model(folder: Path, *, eager: float = 3.0, context: int = 16384, merges: int = 120, **tokenizer: Any) -> Path:
    """A checkpoint that can be served. `eager`: how much likelier than others the tokens are that end an answer or its parts.

    One hidden value is the same for every token, and the head gives it to those tokens alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder, merges=merges, **tokenizer)
    known = Tokenizer.load(folder)
    raw = raw_config(
        vocab_size=known.vocab_size, max_position_embeddings=context, num_hidden_layers=2,
        bos_token_id=known.special["[BOS]"], eos_token_id=known.special[END],
    )  # fmt: skip
    config = read_config(raw)
    weights = random_weights(config)
    weights["model.embed_tokens.weight"][:, 0] = 10 * np.abs(weights["model.embed_tokens.weight"]).max()
    ends = [known.special[name] for name in (END, "<think>", "</think>") if name in known.special]
    ends += [known.encode(text)[0] for text in ('"', "}", "]")]
    model = Reference(config, {**weights, "lm_head.weight": np.eye(*weights["lm_head.weight"].shape, dtype=np.float32)})
    seen = model.forward([Segment(range(300, 340), model.new_cache(), 40)])[
        :, 0
    ].mean()  # what is left of it in the end
    weights["lm_head.weight"] *= 0.5
    weights["lm_head.weight"][:, 0] = 0
    weights["lm_head.weight"][ends, 0] = eager / seen
    weights["lm_head.weight"][ends[0], 0] *= 0.75  # answers that say something before they end
    write_folder(folder, raw, stored(config, weights))
    return folder


@dataclass
class Server:
    """A running server. `events` are those that it has told; `token` and `port` come from them."""

    process: subprocess.Popen[str]
    events: list[dict[str, Any]] = field(default_factory=list)
    errors: str = ""

    def wait_for(self, name: str) -> dict[str, Any]:
        """The next event of that name. Fails when the server ends before."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.append(json.loads(line))
            if self.events[-1]["event"] == name:
                return self.events[-1]
        raise AssertionError(
            f"it ended without {name}: {self.events}, {self.process.stderr and self.process.stderr.read()}"
        )

    def told(self, name: str) -> dict[str, Any]:
        return next(event for event in self.events if event["event"] == name)

    @property
    def url(self) -> str:
        return str(self.told("listening")["url"])

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1].split("/")[0])

    @property
    def token(self) -> str:
        return Path(self.told("listening")["token_file"]).read_text().strip()

    def end(self) -> int:
        """SIGTERM, and the exit code; what it wrote to standard error is in `errors`."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            out, self.errors = self.process.communicate(timeout=60)
        finally:
            self.process.kill()
        self.events += [json.loads(line) for line in out.splitlines()]
        return self.process.returncode

    def request(
        self, method: str = "GET", path: str = "/v1/models", body: bytes | None = None, **fields: str | None
    ) -> "Answer":
        """One request with the fields that a good client sends; `fields` changes them (None: leaves one out)."""
        head = {
            "Host": f"localhost:{self.port}",
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json" if body is not None else None,
            "Content-Length": str(len(body)) if body is not None else None,
            "Connection": "close",
            **{name.replace("_", "-"): value for name, value in fields.items()},
        }
        lines = [
            f"{method} {path} HTTP/1.1",
            *(f"{name}: {value}" for name, value in head.items() if value is not None),
        ]
        return self.raw("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b""))

    def post(self, path: str, value: Any, **fields: str | None) -> "Answer":
        return self.request("POST", path, json.dumps(value).encode(), **fields)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def raw(self, data: bytes) -> "Answer":
        """These bytes on a connection of their own, and all that comes back."""
        with self.connect() as wire:
            wire.sendall(data)
            return read_answer(wire)


@dataclass
class Answer:
    status: int
    head: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        return str(self.json()["error"]["message"])


def read_answer(wire: socket.socket) -> Answer:
    """All that comes until the other side closes; status 0 where it closes without a word."""
    data = b""
    try:
        while piece := wire.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    if not data:
        return Answer(0, {}, b"")
    top, _, body = data.partition(b"\r\n\r\n")
    first, *lines = top.decode("latin-1").split("\r\n")
    head = dict(line.lower().split(": ", 1) for line in lines)
    return Answer(
        int(first.split()[1]), head, _dechunked(body) if "chunked" in head.get("transfer-encoding", "") else body
    )


def _dechunked(body: bytes) -> bytes:
    out = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        out, body = out + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return out


@contextmanager
def serving(model: Path, state: Path, *arguments: str, until: str = "ready") -> Iterator[Server]:
    """A server of `model` on a free port, whose token lies in `state`."""
    environment = {**os.environ, "XDG_STATE_HOME": str(state), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    argv = [sys.executable, "-m", "inference_backend", "serve", str(model), "--port", "0", "--progress", "json"]
    process = subprocess.Popen(
        [*argv, "--runner", "numpy", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT,
    )  # fmt: skip
    server = Server(process)
    try:
        server.wait_for(until)
        yield server
    finally:
        server.end()


def open_stream(server: Server, body: dict[str, Any]) -> socket.socket:
    """The connection of a chat whose answer has begun."""
    data = json.dumps({**body, "stream": True}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost:{server.port}\r\nAuthorization: Bearer {server.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    wire = server.connect()
    wire.sendall(head.encode() + data)
    seen = b""
    while b"data: " not in seen:
        seen += wire.recv(4096)
    return wire
