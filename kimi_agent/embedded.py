"""kimi-tiny, the model that comes with the program: for who has set up no other one. The local engine runs it."""

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path

from kimi_agent.config.load import EMBEDDED
from kimi_agent.core.errors import ConfigError
from kimi_agent.local_engine import NEEDED, Engine, Tell, local_engine

TOLD = (
    f"No model is set up: this is {EMBEDDED}, a demonstration model inside of the program, for small tasks in this folder (read, "
    "search, write, edit, run). /login leads to a real one."
)
ONE_THREAD = {"OMP_NUM_THREADS": "1", "VECLIB_MAXIMUM_THREADS": "1"}
"""Its matrices are so small that a second thread costs more than it brings, and many times more on a busy machine."""
FLAGS = ("--name", EMBEDDED, "--runner", "numpy", "--snapshot-gb", "0.2")


def embedded_folder(setting: str) -> Path | None:
    """The checkpoint; None where there is none in the package, or nothing to run it with. `setting` is `embedded_model`.

    Raises ConfigError for a folder of a person's own that holds no model.
    """
    if setting == "off" or any(importlib.util.find_spec(name) is None for name in NEEDED):
        return None
    if setting != "auto":
        folder = Path(setting).expanduser()
        if not (folder / "config.json").is_file():
            raise ConfigError(f"embedded_model: there is no model in {folder}", '"off" does without one.')
        return folder
    package = importlib.util.find_spec("inference_backend")
    assert package is not None
    folders = [Path(place) / "tiny" for place in package.submodule_search_locations or ()]
    return next((folder for folder in folders if (folder / "model.safetensors").is_file()), None)


def start_embedded(home: Path, folder: Path, tell: Tell, env: Mapping[str, str] = os.environ) -> Engine:
    """The engine that serves it, shared by all sessions. Raises as `local_engine` does."""
    return local_engine(home, str(folder), tell, {**ONE_THREAD, **env}, flags=FLAGS)
