"""The text that tells the model about a tool lies beside the tool, as Markdown."""

from pathlib import Path


def prompt(module_file: str) -> str:
    """The text beside a module: `read_file.md` for `read_file.py`. Give it `__file__`."""
    return Path(module_file).with_suffix(".md").read_text("utf-8").strip()
