"""Hypothesis strategies for events, built from the types themselves: a new event or field is covered without a change here."""

from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from kimi_agent.core import event as ev
from kimi_agent.core.record import Record

# What JSON can carry unchanged: no lone surrogates, integers within 64 bits, finite floats.
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=32)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


def _record(cls: type[Record]) -> st.SearchStrategy[Any]:
    hints = get_type_hints(cls)
    return st.builds(cls, **{name: _value(hints[name]) for name in cls.__struct_fields__})


_SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    Any: JSON,
    str: TEXT,
    float: FLOATS,
    int: st.integers(-(2**53), 2**53),
    bool: st.booleans(),
    type(None): st.none(),
}


def _value(hint: Any) -> st.SearchStrategy[Any]:
    if hint in _SIMPLE:
        return _SIMPLE[hint]
    if isinstance(hint, type) and issubclass(hint, Record):
        return st.deferred(lambda: _record(hint))
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, UnionType):
        return st.one_of([_value(argument) for argument in arguments])
    if origin is tuple:
        return st.lists(_value(arguments[0]), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(_value(arguments[0]), _value(arguments[1]), max_size=3)
    raise TypeError(f"no strategy for {hint}")


EVENT_TYPES: tuple[type[Any], ...] = get_args(ev.Event)
_FLAT = [_record(cls) for cls in EVENT_TYPES if cls is not ev.Nested]
EVENTS: st.SearchStrategy[ev.Event] = st.recursive(
    st.one_of(_FLAT), lambda inner: st.builds(ev.Nested, TEXT, inner), max_leaves=3
)
