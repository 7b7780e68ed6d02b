"""Subcommands of `python -m inference_backend`: one file each, and a line in `__main__.py`."""
