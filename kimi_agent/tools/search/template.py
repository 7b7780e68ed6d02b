"""How a search service is asked and its answer read, as data: every service is a `Template`, the user's own one too."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias
from urllib.parse import quote

_PLACE = re.compile(r"\{(query|limit|include_content|call_id|api_key)\}")


class Paths(Protocol):
    """Dotted paths inside one result."""

    @property
    def title(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def snippet(self) -> str: ...
    @property
    def date(self) -> str: ...
    @property
    def content(self) -> str: ...


class Service(Protocol):
    """A `[services.NAME]` of the configuration. `method` to `fields` are for the type `http`."""

    @property
    def type(self) -> str: ...
    @property
    def base_url(self) -> str: ...
    @property
    def api_key(self) -> str: ...
    @property
    def custom_headers(self) -> Mapping[str, str]: ...
    @property
    def method(self) -> Literal["GET", "POST"]: ...
    @property
    def body(self) -> Mapping[str, Any]: ...
    @property
    def results(self) -> str: ...
    @property
    def fields(self) -> Paths: ...


@dataclass(frozen=True, slots=True)
class Fields:
    title: str = "title"
    url: str = "url"
    snippet: str = "snippet"
    date: str = "date"
    content: str = "content"


@dataclass(frozen=True, slots=True)
class Query:
    text: str
    limit: int
    include_content: bool
    call_id: str


@dataclass(frozen=True, slots=True)
class Template:
    """`{query} {limit} {include_content} {call_id} {api_key}` are filled in: percent-encoded in `url`, as JSON values in `body`.

    `results` is the dotted path of the list of results, empty when the answer is the list; `optional` says that the list is
    left out when nothing was found. `gives_content` is for services that can send whole pages. `advice` says what to check
    at an HTTP status where this service has its own reason for it.
    """

    url: str
    method: Literal["GET", "POST"] = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    results: str = "results"
    fields: Paths = Fields()
    optional: bool = False
    gives_content: bool = False
    advice: Mapping[int, str] = field(default_factory=dict)


MakeTemplate: TypeAlias = Callable[[Service], Template]


@dataclass(frozen=True, slots=True)
class Provider:
    """`needs` is the key of the service's table without which it cannot be asked."""

    needs: Literal["api_key", "base_url"]
    template: MakeTemplate


def values_of(query: Query, api_key: str) -> dict[str, Any]:
    """What the places of a template stand for. The id comes from the model's side and goes into a header."""
    call_id = re.sub(r"[^A-Za-z0-9._:-]", "_", query.call_id)
    return {
        "query": query.text,
        "limit": query.limit,
        "include_content": query.include_content,
        "call_id": call_id,
        "api_key": api_key.strip(),
    }


def fill(value: Any, values: Mapping[str, Any]) -> Any:
    """`value` with its places filled, through tables and lists; a text that is one place becomes a number or a boolean."""
    if isinstance(value, str):
        whole = _PLACE.fullmatch(value)
        return values[whole[1]] if whole else _PLACE.sub(lambda place: _text(values[place[1]]), value)
    if isinstance(value, Mapping):
        return {key: fill(item, values) for key, item in value.items()}
    return [fill(item, values) for item in value] if isinstance(value, list) else value


def fill_url(url: str, values: Mapping[str, Any]) -> str:
    return _PLACE.sub(lambda place: quote(_text(values[place[1]]), safe=""), url)


def fill_header(text: str, values: Mapping[str, Any]) -> str:
    return _PLACE.sub(lambda place: _text(values[place[1]]), text)


def dig(value: Any, path: str) -> Any:
    """What stands at a dotted path (`web.results`, `items.0.link`); None where there is nothing."""
    for key in path.split(".") if path else ():
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
