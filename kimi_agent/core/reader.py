"""Readers: how the text of a document that is no text file (PDF, office, notebook) comes out of its bytes."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

Reader: TypeAlias = Callable[[bytes], Awaitable[str]]
"""The text of a document, with marks that can be cited: `[page 3]`, `[sheet Costs]` and cell names.

Can be cancelled: what computes for long runs in a process of its own. Raises ToolError, worded for the model, for a document
that is damaged, locked or beyond its limits.
"""
