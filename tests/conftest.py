"""What holds for all tests.

Finding seven thousand of them makes a million objects that stay: they are passed over when garbage is looked for.
"""

import gc

import pytest
from hypothesis import settings

gc.disable()
# how many examples Hypothesis tries where a test says nothing else, and of a hundred that it says: nightly.examples
settings.register_profile("change", max_examples=25, deadline=None)  # a loaded machine meets no deadline
settings.register_profile("nightly", max_examples=100, deadline=None)
settings.load_profile("change")  # `--hypothesis-profile nightly` comes later
FORKING = "_at_every_call.py"
"""Tests that fork this process some hundred times: they go first, while it is small."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.path.name.endswith(FORKING))


def pytest_collection_finish() -> None:
    gc.enable()
    gc.freeze()
