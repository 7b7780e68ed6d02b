"""`--json-schema`: the instruction that asks for a JSON answer, and the check of what came back."""

import json
import math
import re
from typing import Any, NoReturn

from kimi_agent.core.errors import ConfigError

TRIES = 3
_MAX_ERRORS = 20
_FENCE = re.compile(
    r"^[ \t]*(```+|~~~+)[ \t]*(?:json\w*)?[ \t]*\n(.*?)\n[ \t]*\1[ \t]*$", re.DOTALL | re.MULTILINE | re.IGNORECASE
)


class StructuredAnswer:
    """A JSON Schema that the final answer must match. Raises ConfigError when the schema itself is wrong."""

    def __init__(self, schema: dict[str, Any]) -> None:
        import jsonschema
        import referencing

        checker = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
        try:
            checker.check_schema(schema)
        except jsonschema.SchemaError as error:
            raise ConfigError(f"The JSON schema is wrong at {error.json_path}: {error.message}") from None
        # An empty registry: a `$ref` to the network is an error, never a request.
        self._validator = checker(schema, registry=referencing.Registry())
        self._schema = schema
        if any("refers to itself" in error for error in self.check("null")[1]):
            raise ConfigError("The JSON schema refers to itself without end.")

    def instruction(self) -> str:
        """Added to the person's prompt."""
        schema = json.dumps(self._schema, ensure_ascii=False)
        return (
            "\n\nWhen the work is done, end with one message that holds only a JSON value, without any other text, "
            f"that is valid against this JSON Schema:\n{schema}"
        )

    def check(self, text: str) -> tuple[Any, list[str]]:
        """The value in `text` (bare, or the last fenced block) and what is wrong with it; no errors: it matches."""
        import referencing.exceptions

        try:
            value = _parse(text)
        except (ValueError, RecursionError) as error:
            return None, [f"The answer is not JSON: {error}"]
        try:
            errors = sorted(self._validator.iter_errors(value), key=lambda error: error.json_path)
        except referencing.exceptions.Unresolvable as error:
            return None, [f"The schema refers to {error.ref!r}, which is not in it."]
        except RecursionError:
            return None, ["The answer is nested too deeply, or the schema refers to itself without end."]
        return value, [f"{error.json_path}: {error.message}" for error in errors[:_MAX_ERRORS]]

    def correction(self, errors: list[str]) -> str:
        """The next prompt after an answer that did not match."""
        listed = "\n".join(f"- {error}" for error in errors)
        return (
            f"The answer does not match the JSON Schema:\n{listed}\n"
            "Answer again with only the corrected JSON value, without any other text."
        )


def _parse(text: str) -> Any:
    """Raises ValueError with the reason when there is no JSON value in `text`."""
    fences = _FENCE.findall(text)
    try:
        return _loads(text.strip())
    except ValueError:
        if not fences:
            raise
    return _loads(fences[-1][1])


def _loads(text: str) -> Any:
    return json.loads(text, parse_constant=_refuse, parse_float=_float)


def _float(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(text)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number that JSON can carry")
