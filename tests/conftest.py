"""A test that fails is run once more, and named in the summary.

Most tests here drive real processes, terminals and servers, and a loaded machine may delay any of them. What is wrong in the
program fails twice: Hypothesis, too, tries its failing example again.
"""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.flaky(reruns=1))
