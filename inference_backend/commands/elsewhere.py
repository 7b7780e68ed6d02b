"""`serve --engine vllm|sglang`: the model handed over to another server, the command written, checked and run."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from inference_backend.chat.template import choose_template
from inference_backend.config import load_config
from inference_backend.errors import EngineError
from inference_backend.gpus import read_gpus, this_machine
from inference_backend.handover import Cluster, Command, Serving, check_fits, check_installed, commands
from inference_backend.plan import sizes_of
from inference_backend.server.secret import read_token, state_folder, write_token


def serve_elsewhere(
    engine: str,
    serving: Serving,
    nodes: int,
    node: int,
    head: str,
    gpus: str,
    token_file: Path | None,
    *,
    only_print: bool,
) -> None:
    """Replaces this process by the server (or prints what would run). Raises EngineError where it cannot work."""
    config = load_config(serving.model)
    found = read_gpus(gpus) if gpus else this_machine().gpus
    if not found:
        raise EngineError("no GPU is seen here", "Name those of the host that will serve, such as --gpus 8xH200.")
    cluster = Cluster(len(found), nodes, node, head)
    weights, memory = sizes_of(config).total.stored, min(gpu.memory for gpu in found)
    check_fits(weights, memory, serving.memory, cluster)
    if not only_print:
        check_installed(engine, cluster)
    thinks = choose_template(serving.model).thinking != "never"
    path = token_file or state_folder() / f"serve-{serving.port}.token"
    token = "" if only_print else read_token(path) if token_file is not None and path.exists() else write_token(path)
    todo = commands(engine, replace(serving, token=token or "TOKEN", thinks=thinks), cluster)
    say = sys.stdout.write if only_print else sys.stderr.write
    for command in todo:
        say(f"# {command.why}\n{command}\n")
    if only_print:
        return
    sys.stderr.write(f"{engine} runs Python files that lie in {serving.model}: serve only what you trust.\n")
    if node == 0:
        where = f"http://{serving.host}:{serving.port}/v1"
        sys.stderr.write(f"When it is up: OPENAI_API_KEY=$(cat {path}) kimi --base-url {where}\n")
    for command in todo[:-1]:
        _run(command)
    last = todo[-1]
    os.execvpe(last.words[0], last.words, {**os.environ, **last.environment})  # noqa: S606  # takes this process's place


def _run(command: Command) -> None:
    try:
        subprocess.run(command.words, env={**os.environ, **command.environment}, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise EngineError(f"{command.words[0]} failed: {error}") from None
