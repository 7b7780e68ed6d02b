"""The fields of a request's body, each checked for type and bounds. What is wrong is told by the field's name."""

from collections.abc import Mapping, Sequence
from typing import Any

from inference_backend.server.message import HttpError

MAX_STOPS, MAX_STOP_CHARS = 16, 1024
MAX_BIASES = 1024
MAX_DRAFTS, MAX_DRAFT_CHARS = 64, 4 << 20


def wrong(name: str, wanted: str) -> HttpError:
    return HttpError(400, f"{name} must be {wanted}", param=name, code="invalid_value")


class Fields:
    """A body read field by field; null counts as absent. Every reader raises HttpError (400)."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self._raw = raw

    def take(self, name: str) -> Any:
        return self._raw.get(name)

    def flag(self, name: str, default: bool) -> bool:
        value = self.take(name)
        if value is not None and not isinstance(value, bool):
            raise wrong(name, "true or false")
        return default if value is None else value

    def text(self, name: str, most: int) -> str:
        value = self.take(name)
        if value is not None and (not isinstance(value, str) or len(value) > most):
            raise wrong(name, f"a text of at most {most} characters")
        return value or ""

    def count(self, name: str, least: int, most: int) -> int | None:
        value = self.take(name)
        if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 53:
            value = int(value)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most):
            raise wrong(name, f"a whole number from {least} to {most}")
        return value

    def number(self, name: str, default: float, least: float, most: float) -> float:
        value = self.take(name)
        if value is None:
            return default
        if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
            raise wrong(name, f"a number from {least:g} to {most:g}")
        return float(value)

    def object(self, name: str) -> Mapping[str, Any]:
        value = self.take(name)
        if value is not None and not isinstance(value, dict):
            raise wrong(name, "an object")
        return value or {}

    def stops(self) -> tuple[str, ...]:
        value = self.take("stop")
        texts = [value] if isinstance(value, str) else value or []
        good = isinstance(texts, list) and all(isinstance(one, str) and 0 < len(one) <= MAX_STOP_CHARS for one in texts)
        if not good or len(texts) > MAX_STOPS:
            raise wrong("stop", f"a text, or up to {MAX_STOPS} texts, of 1 to {MAX_STOP_CHARS} characters")
        return tuple(texts)

    def biases(self) -> dict[int, float]:
        """`logit_bias`: ids of tokens, written as texts, to numbers."""
        raw = self.object("logit_bias")
        found: dict[int, float] = {}
        for token, bias in raw.items():
            is_id = token.isascii() and token.isdigit() and len(token) < 10
            if not is_id or not isinstance(bias, int | float) or isinstance(bias, bool) or not abs(bias) <= 100:
                raise wrong("logit_bias", "an object of token ids to numbers from -100 to 100")
            found[int(token)] = float(bias)
        if len(found) > MAX_BIASES:
            raise wrong("logit_bias", f"an object of at most {MAX_BIASES} tokens")
        return found

    def drafts(self) -> Sequence[str]:
        value = self.take("drafts") or []
        good = isinstance(value, list) and all(isinstance(one, str) for one in value)
        if not good or len(value) > MAX_DRAFTS or sum(map(len, value)) > MAX_DRAFT_CHARS:
            raise wrong("drafts", f"up to {MAX_DRAFTS} texts of together at most {MAX_DRAFT_CHARS} characters")
        return value

    def prediction(self) -> str:
        """OpenAI's predicted output: a text, or text parts."""
        raw = self.object("prediction")
        content = raw.get("content") if raw else ""
        if isinstance(content, list):
            content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
        if not isinstance(content, str) or len(content) > MAX_DRAFT_CHARS:
            raise wrong("prediction", f"an object with a content of at most {MAX_DRAFT_CHARS} characters")
        return content
