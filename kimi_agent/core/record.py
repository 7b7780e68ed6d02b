"""The base of every value that crosses a border: frozen, compared by value, with a stable JSON form.

A subclass `ToolStarted` is written as `{"type": "tool_started", ...}`; that one definition is the session log, the
`stream-json` protocol and its documentation (see docs/decisions/0001-msgspec-records.md).
"""

import re
from typing import TYPE_CHECKING, dataclass_transform

import msgspec


def _tag(class_name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", class_name).lower()


if TYPE_CHECKING:
    # msgspec does not tell type checkers that `frozen` is inherited
    @dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
    class Record:
        __struct_fields__: tuple[str, ...]

else:

    class Record(msgspec.Struct, frozen=True, tag=_tag, tag_field="type", omit_defaults=True):
        """Immutable value with a tagged JSON form. Fields that hold their default are left out of the JSON."""
