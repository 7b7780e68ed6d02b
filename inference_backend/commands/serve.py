"""`python -m inference_backend serve MODEL`: an OpenAI-compatible server on loopback."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from inference_backend.errors import EngineError


def serve(
    model: Annotated[Path, typer.Argument(help="Folder of the checkpoint.")],
    host: Annotated[str, typer.Option(help="Address to listen on; localhost is this machine alone.")] = "localhost",
    port: Annotated[int, typer.Option(help="0: a free one.", min=0, max=65535)] = 8000,
    socket: Annotated[Path | None, typer.Option(help="A unix socket in place of host and port.")] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A further name that clients call the server by.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="The token that clients show; made when it is not there.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the model for clients; else that of the folder.")] = "",
    runner: Annotated[
        Literal["auto", "numpy", "torch"], typer.Option(help="What runs the model: auto takes torch where it is.")
    ] = "auto",
    device: Annotated[str, typer.Option(help="torch's device: cpu, cuda, cuda:1.")] = "",
    template: Annotated[
        str, typer.Option(help="Chat template by name; else the one that the checkpoint asks for.")
    ] = "",
    context: Annotated[int, typer.Option(help="Most tokens of prompt and answer.", min=0)] = 0,
    cache_gb: Annotated[float, typer.Option("--cache-gb", help="Memory for the cache, in 10^9 bytes.", min=0)] = 0.0,
    snapshots: Annotated[
        Path | None, typer.Option(help="Folder that keeps the cache of sessions over restarts.")
    ] = None,
    snapshot_gb: Annotated[float, typer.Option("--snapshot-gb", help="Most bytes in it, in 10^9.", min=0)] = 20.0,
    speculate: Annotated[
        bool, typer.Option("--speculate/--no-speculate", help="Guess ahead from texts in play.")
    ] = True,
    queue: Annotated[int, typer.Option(help="Requests that run or wait at once; more get 429.", min=1, max=1000)] = 48,
    max_body_mb: Annotated[int, typer.Option("--max-body-mb", help="Largest request.", min=1, max=1024)] = 32,
    drain_seconds: Annotated[float, typer.Option(help="Time for answers on their way at the end.", min=0)] = 30.0,
    progress: Annotated[
        Literal["auto", "lines", "json"], typer.Option(help="How load and state are told; json: on standard output.")
    ] = "auto",
) -> None:
    """Serve a model over the OpenAI API, to this machine alone, with a random token."""
    from inference_backend.server.announce import announcer
    from inference_backend.server.loading import ModelOptions
    from inference_backend.server.message import Limits
    from inference_backend.server.serve import ServeOptions
    from inference_backend.server.serve import serve as run

    chosen = ModelOptions(
        model, name, runner, device, template, context, cache_gb, snapshots, snapshot_gb, speculate
    )  # fmt: skip
    limits = Limits(body_bytes=max_body_mb << 20, connections=queue + 16, answers=queue)
    options = ServeOptions(
        chosen, host, port, socket, tuple(allow_host or ()), token_file, drain_seconds, limits
    )  # fmt: skip
    with announcer(progress) as told:
        try:
            code = run(options, told)
        except EngineError as error:
            told.failed(str(error), error.hint)
            code = 1
    sys.exit(code)
