"""How keys of the configuration are marked that are not plainly optional."""

from dataclasses import field
from typing import Any


def internal(**options: Any) -> Any:
    return field(metadata={"internal": True}, **options)


def required(default: Any) -> Any:
    return field(default=default, metadata={"required": True})
