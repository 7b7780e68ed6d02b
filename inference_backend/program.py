"""`kimi serve`: the engine's own command line, entered from the agent's by an entry point."""

import importlib.util
import sys
from collections.abc import Sequence


def serve(arguments: Sequence[str]) -> int:
    """Runs `serve` with these arguments; answers its exit code."""
    if any(importlib.util.find_spec(name) is None for name in ("numpy", "tiktoken", "llguidance")):
        sys.stderr.write("kimi: the local engine is not installed\npip install kimi-agent brings what is missing.\n")
        return 2
    from typer.main import get_command

    from inference_backend.__main__ import app
    from inference_backend.errors import EngineError

    try:
        get_command(app).main(["serve", *arguments], prog_name="kimi")
    except EngineError as error:
        sys.stderr.write(f"kimi: {error}\n{error.hint}\n" if error.hint else f"kimi: {error}\n")
        return 1
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0
