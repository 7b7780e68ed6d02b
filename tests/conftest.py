"""Finding seven thousand tests makes a million objects that stay: they are passed over when garbage is looked for."""

import gc

import pytest

gc.disable()
FORKING = "_at_every_call.py"
"""Tests that fork this process some hundred times: they go first, while it is small."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.path.name.endswith(FORKING))


def pytest_collection_finish() -> None:
    gc.enable()
    gc.freeze()
