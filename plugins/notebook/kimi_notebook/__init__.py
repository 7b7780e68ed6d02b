"""Stateful Python for the agent: a Jupyter kernel per session, its plots as pictures, the session as a notebook file."""

from collections.abc import Iterable
from importlib.util import find_spec

from kimi_agent import __version__
from kimi_agent.core.tool import Tool
from kimi_agent.plugin import Host, Plugin

_NEEDED = ("ipykernel", "jupyter_client", "nbformat")


def plugin() -> Plugin:
    """Without the libraries of a kernel it offers no tool, and says what to install."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    return Plugin(
        name="notebook",
        description="stateful Python through a Jupyter kernel, with plots, and as an .ipynb",
        version=__version__,
        tools=None if missing else _tools,
        problems=[f"it needs {', '.join(missing)}: pip install 'kimi-agent[notebook]'"] if missing else [],
    )


def _tools(host: Host) -> Iterable[Tool]:
    from kimi_notebook.export import ExportNotebook
    from kimi_notebook.tool import Notebook

    sees = not host.model.capabilities or "image_in" in host.model.capabilities
    return [Notebook(python=host.options.get("python", ""), sees=sees), ExportNotebook()]
