"""The local engine of `kimi --local MODEL`: found where it runs already, started where it does not, shared by all sessions.

The engine is a program of its own that speaks HTTP on loopback. What it needs to be reached lies in KIMI_HOME/engine, for this
user alone: one file per model, written by the engine when it is ready and removed when it ends.
"""

import fcntl
import hashlib
import http.client
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import urlsplit

from kimi_agent.core.errors import ConfigError, NoModelError
from kimi_agent.core.sanitize import plain, visible
from kimi_agent.core.whole_file import write_whole

IDLE_EXIT = 900
"""Seconds without a session and without a request after which the engine ends by itself."""

KEPT_ENVIRONMENT = frozenset({
    "PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "XDG_CACHE_HOME", "CC",
    "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "KIMI_KERNELS", "VIRTUAL_ENV",
})  # fmt: skip
"""The engine needs no keys; what begins with CUDA_, NVIDIA_ or NCCL_ comes besides."""


class Engine(NamedTuple):
    """Where a running engine is reached. `token` is sent with every request, and shown nowhere."""

    url: str
    token: str


ANSWER_SECONDS = 10
"""One that computes on all cores may take so long to answer; one that is gone is known at once."""

NEEDED = ("inference_backend", "numpy", "tiktoken", "llguidance")

Tell = Callable[[str, float | None], None]
"""Told what the engine is doing and how much of it is done, 0 to 1 (None: not known)."""


def local_engine(
    home: Path,
    model: str,
    tell: Tell,
    env: Mapping[str, str] = os.environ,
    *,
    flags: Sequence[str] = ("--snapshot-gb", "4"),
) -> Engine:
    """The engine that serves `model`: a folder, or the name of one in KIMI_HOME/models. `flags` are more of `kimi serve`.

    Waits until it is ready; a start takes as long as reading the weights. Raises ConfigError where there is no such model or no
    engine installed, NoModelError with the engine's own words when it cannot start.
    """
    folder = _folder(home, model)
    place = home / "engine"
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    # the same model under another name is another engine
    asked = b"\0".join([os.fsencode(folder), *map(str.encode, flags)])
    state = place / f"{hashlib.sha256(asked).hexdigest()[:16]}.json"
    _stay(state.with_suffix(".users"))
    if found := _running(state):
        return found
    if any(importlib.util.find_spec(name) is None for name in NEEDED):
        raise ConfigError("the local engine is not installed", "pip install kimi-agent brings what is missing.")
    with _alone(state.with_suffix(".lock"), tell):
        return _running(state) or _start(folder, state, tell, env, flags)


def _stay(path: Path) -> None:
    """The engine does not take itself for idle while this process lives: it holds a lock, and lets go when it ends."""
    held = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(held, fcntl.LOCK_SH)


def _folder(home: Path, model: str) -> Path:
    candidates = [Path(model).expanduser(), home / "models" / model]
    for candidate in candidates:
        if (candidate / "config.json").is_file():
            return candidate.resolve()
    there = sorted(path.parent.name for path in (home / "models").glob("*/config.json"))
    known = f" There are: {', '.join(there)}." if there else ""
    raise ConfigError(
        f"there is no model in {candidates[0]}",
        f"A model is a folder with config.json and its .safetensors files.{known}",
    )


def _running(state: Path) -> Engine | None:
    """The engine that `state` tells of, when it answers there."""
    try:
        told = json.loads(state.read_bytes())
        engine = Engine(str(told["url"]), Path(told["token_file"]).read_text(encoding="ascii").strip())
        os.kill(told["pid"], 0)
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None
    return engine if _answers(engine) else None


def _answers(engine: Engine) -> bool:
    parts = urlsplit(engine.url)
    if parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        return False
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", f"{parts.path}/models", headers={"Authorization": f"Bearer {engine.token}"})
        return connection.getresponse().status in (200, 503)  # 503: all its places are taken
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@contextmanager
def _alone(path: Path, tell: Tell) -> Any:
    """Two sessions that begin at once start one engine: the second waits for the first."""
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell("another kimi is starting the local engine", None)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _start(folder: Path, state: Path, tell: Tell, env: Mapping[str, str], flags: Sequence[str]) -> Engine:
    kept = {k: v for k, v in env.items() if k in KEPT_ENVIRONMENT or k.startswith(("CUDA_", "NVIDIA_", "NCCL_"))}
    command = [
        sys.executable, "-P", "-m", "inference_backend", "serve", str(folder), "--port", "0", "--progress", "json",
        "--token-file", str(state.with_suffix(".token")),
        "--idle-exit", str(IDLE_EXIT), "--users", str(state.with_suffix(".users")),
        "--snapshots", str(state.with_suffix(".kv")), *flags,
    ]  # fmt: skip
    state.with_suffix(".token").unlink(
        missing_ok=True
    )  # of an engine that was killed: what listens there now may have seen it
    tell("starting the local engine", None)
    log = state.with_suffix(".log")
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as said:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, env=kept, start_new_session=True
        )
    assert child.stdout is not None
    ready = False
    try:
        with child.stdout:
            told = _follow(child.stdout, tell)
        if told.get("event") == "ready":
            write_whole(state, json.dumps({"pid": child.pid, "url": told["url"], "token_file": told["token_file"]}))
            if engine := _running(state):
                ready = True
                return engine
        words = f"{told['message']}. {told.get('hint', '')}" if told.get("event") == "error" else _last_words(log)
        raise NoModelError("the local engine did not start", visible(plain(words)).strip()[:600])
    finally:
        if not ready:  # also where a person gives up waiting
            child.terminate()


def _follow(lines: IO[bytes], tell: Tell) -> dict[str, Any]:
    """Passes on how far the load is; answers the engine's last word on its start, empty where it ended without one."""
    for line in lines:
        try:
            told = json.loads(line)
            event = told.get("event")
            if event in ("ready", "error"):
                return dict(told)
            if event == "loading":
                share = told["done"] / told["total"] if told["total"] else None
                tell(visible(plain(str(told["what"])))[:60], share)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return {}


def _last_words(log: Path) -> str:
    said = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f"It said: {' '.join(said[-3:])}" if said else f"It said nothing; see {log}."
