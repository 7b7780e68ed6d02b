"""JSON as it is meant: no key twice, no NaN, bounded depth. What two parsers could read differently is refused."""

import json
import math
from typing import Any

from inference_backend.server.message import HttpError

MAX_DEPTH = 64


def read_object(data: bytes) -> dict[str, Any]:
    """The object in `data`. Raises HttpError (400), whose message quotes nothing of it."""
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite
        )
    except HttpError:
        raise
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        where = f" (at byte {error.pos})" if isinstance(error, json.JSONDecodeError) else ""
        raise HttpError(400, f"the body is not valid JSON{where}", code="invalid_json") from None
    if not isinstance(value, dict):
        raise HttpError(400, "the body must be a JSON object", code="invalid_json")
    _check_depth(value)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise HttpError(400, "the body has an object with the same key twice", code="invalid_json")
    return found


def _no_constant(name: str) -> Any:
    raise HttpError(400, f"the body has {name}, which is not JSON", code="invalid_json")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise HttpError(400, "the body has a number that is too large", code="invalid_json")
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> HttpError:
    return HttpError(400, f"the body is nested deeper than {MAX_DEPTH}", code="invalid_json")
