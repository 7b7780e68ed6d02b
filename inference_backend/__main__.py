"""`python -m inference_backend`: inspect, convert and serve checkpoints; make data, and train on it."""

import sys

import typer

from inference_backend.commands.average import average
from inference_backend.commands.convert import convert
from inference_backend.commands.inspect import inspect
from inference_backend.commands.reinforce import reinforce
from inference_backend.commands.retoken import retoken
from inference_backend.commands.serve import serve
from inference_backend.commands.synthesise import synthesise
from inference_backend.commands.train import train
from inference_backend.errors import EngineError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
for command in (inspect, convert, serve, synthesise, train, average, retoken, reinforce):
    app.command()(command)


def main() -> None:
    """Runs the command line; an error is one line, and what to do about it, on standard error: exit code 1."""
    try:
        app(prog_name="python -m inference_backend")
    except EngineError as error:
        sys.stderr.write(f"{error}\n{error.hint}\n" if error.hint else f"{error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
