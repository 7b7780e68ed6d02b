"""Which of many parameters are tried at every change; `make nightly` tries the others, too. docs/reliability.md lists them."""

from collections.abc import Collection, Iterable
from typing import Any

import pytest
from hypothesis import settings


def all_but(everyday: Collection[Any], values: Iterable[Any]) -> list[Any]:
    """The values as parameters of a test, tuples for several: those of `everyday` as they are, the others marked `nightly`."""
    parameters = list(values)
    unknown = [value for value in everyday if value not in parameters]
    assert not unknown, f"no parameters: {unknown}"
    return [value if value in everyday else _at_night(value) for value in parameters]


def examples(number: int) -> int:
    """How many examples Hypothesis tries of the `number` that it tries at night: as many in a hundred as the profile says."""
    return max(min(number, 5), number * settings.default.max_examples // 100)


def _at_night(value: Any) -> Any:
    values = value if isinstance(value, tuple) else (value,)
    return pytest.param(*values, marks=pytest.mark.nightly)
