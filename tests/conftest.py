"""Tests of a real terminal run once more when they fail, and say so in the summary: keys and redraws race on a loaded machine.

Every other test counts at its first run.
"""

import pytest

TERMINALS = {"PtyScreen", "FullScreen", "TmuxScreen"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        module = getattr(item, "module", None)
        if module is not None and TERMINALS & vars(module).keys():
            item.add_marker(pytest.mark.flaky(reruns=1))
