"""`python -m inference_backend serve MODEL`: an OpenAI-compatible server on loopback."""

import math
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
    ranks: Annotated[
        int,
        typer.Option(
            help="GPUs, or processes on the CPU, that share the model; else as many as it needs.", min=0, max=64
        ),
    ] = 0,
    split_context: Annotated[
        bool, typer.Option("--split-context", help="Spread the cache over the ranks: so many times the context.")
    ] = False,
    queue: Annotated[int, typer.Option(help="Requests that run or wait at once; more get 429.", min=1, max=1000)] = 48,
    max_body_mb: Annotated[int, typer.Option("--max-body-mb", help="Largest request.", min=1, max=1024)] = 32,
    drain_seconds: Annotated[float, typer.Option(help="Time for answers on their way at the end.", min=0)] = 30.0,
    idle_exit: Annotated[
        float, typer.Option(help="End after so many seconds without a request; 0: never.", min=0)
    ] = 0.0,
    users: Annotated[
        Path | None, typer.Option(help="... or while a program holds a lock on this file.", dir_okay=False)
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only tell what the model takes, and what fits; see --gpus.")
    ] = False,
    gpus: Annotated[str, typer.Option(metavar="GPUS", help="Plan for these: 8xH200, 4x141GB@4.8TB.")] = "",
    engine: Annotated[
        Literal["own", "vllm", "sglang"], typer.Option(help="Hand the model over to vLLM or SGLang.")
    ] = "own",
    nodes: Annotated[int, typer.Option(help="... on so many hosts,", min=1, max=512)] = 1,
    node: Annotated[int, typer.Option(help="... of which this is number N, from 0,", min=0)] = 0,
    head: Annotated[str, typer.Option(metavar="HOST:PORT", help="... at the address of the first one.")] = "",
    only_print: Annotated[bool, typer.Option("--print", help="... but only print the commands.")] = False,
    progress: Annotated[
        Literal["auto", "lines", "json"], typer.Option(help="How load and state are told; json: on standard output.")
    ] = "auto",
) -> None:
    """Serve a model over the OpenAI API, to this machine alone, with a random token."""
    if not all(map(math.isfinite, (cache_gb, snapshot_gb, drain_seconds, idle_exit))):
        raise typer.BadParameter("sizes and seconds are finite numbers")
    if plan:
        from inference_backend.commands.inspect import inspect

        return inspect(model, gpus)
    if engine != "own":
        from inference_backend.commands.elsewhere import serve_elsewhere
        from inference_backend.handover import Serving

        serving = Serving(
            model, name or model.resolve().name, "127.0.0.1" if host == "localhost" else host, port, context=context
        )
        return serve_elsewhere(engine, serving, nodes, node, head, gpus, token_file, only_print=only_print)
    from inference_backend.server.announce import announcer
    from inference_backend.server.loading import ModelOptions
    from inference_backend.server.message import Limits
    from inference_backend.server.serve import ServeOptions
    from inference_backend.server.serve import serve as run

    chosen = ModelOptions(
        model, name, runner, device, template, context, cache_gb, snapshots, snapshot_gb, speculate, ranks, split_context
    )  # fmt: skip
    limits = Limits(body_bytes=max_body_mb << 20, connections=queue + 16, answers=queue)
    options = ServeOptions(
        chosen, host, port, socket, tuple(allow_host or ()), token_file, drain_seconds, limits, idle_exit, users
    )  # fmt: skip
    with announcer(progress) as told:
        try:
            code = run(options, told)
        except EngineError as error:
            told.failed(str(error), error.hint)
            code = 1
    sys.exit(code)
