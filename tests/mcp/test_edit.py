"""Changing files of servers: all else stays as it was."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimi_agent.core.errors import ConfigError
from kimi_agent.mcp.document import parse_document
from kimi_agent.mcp.edit import Place, place_of, places
from kimi_agent.mcp.splice import with_key, without_key

ENTRY = {"command": "x", "args": ["y"]}


TABS = '{\r\n\t"x" : 1.50,\r\n\t"mcpServers": {\r\n\t\t"b": { "url":"u" }\r\n\t},\r\n\t"y": 1e3\r\n}'
MARK = '\ufeff{\n    "x": "\\u00e9"\n}'
TABS_AFTER = TABS.replace(
    "\r\n\t},",
    ',\r\n\t\t"a": {\r\n\t\t\t"k": [\r\n\t\t\t\t1,\r\n\t\t\t\t2\r\n\t\t\t]\r\n\t\t}\r\n\t},',
)
MARK_AFTER = MARK.replace(
    '"\n}',
    '",\n    "mcpServers": {\n        "a": {\n            "k": [\n'
    "                1,\n                2\n            ]\n        }\n    }\n}",
)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "home", "user", tmp_path / "home" / "mcp.json")


def write(place: Place, text: str) -> None:
    place.path.parent.mkdir(exist_ok=True)
    place.path.write_bytes(text.encode("utf-8"))


def read(place: Place) -> str:
    return place.path.read_bytes().decode("utf-8")


def test_a_new_file(place: Place) -> None:
    assert not place.put("a", ENTRY)
    assert place.put("a", ENTRY | {"command": "z"})
    assert read(place) == (
        '{\n  "mcpServers": {\n    "a": {\n      "command": "z",\n      "args": [\n        "y"\n      ]\n    }\n  }\n}\n'
    )
    assert place.path.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in place.path.parent.iterdir() if not path.name.startswith(".")] == ["mcp.json"]
    assert place.remove("a")
    assert not place.remove("a")
    assert read(place) == '{\n  "mcpServers": {}\n}\n'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"mcpServers": {"b": {"url": "u"}}}', '{"mcpServers": {"b": {"url": "u"}, "a": {"k": [1, 2]}}}'),
        ('{"mcpServers":{"b":{"url":"u"}}}', '{"mcpServers":{"b":{"url":"u"},"a":{"k":[1,2]}}}'),
        ("{}", '{"mcpServers":{"a":{"k":[1,2]}}}'),
        (TABS, TABS_AFTER),
        (MARK, MARK_AFTER),
    ],
    ids=["one line", "minified", "empty", "tabs and CR LF", "BOM"],
)
def test_layout_and_all_else_stay(place: Place, before: str, after: str) -> None:
    write(place, before)
    assert not place.put("a", {"k": [1, 2]})
    assert read(place) == after
    assert place.remove("a")
    if "mcpServers" in before:
        assert read(place) == before


def test_turning_on_and_off(place: Place) -> None:
    text = '{"mcpServers": {"a": {"disabled": true, "command": "x", "enabled": true, "mine": 1}, "b": {}, "c": null}}'
    write(place, text)
    assert place.enable("a", False)
    assert place.enable("b", False)
    off = '{"mcpServers": {"a": {"command": "x", "mine": 1, "enabled": false}, "b": {"enabled": false}, "c": null}}'
    assert read(place) == off
    assert place.enable("a", True)
    assert place.enable("b", True)
    assert read(place) == '{"mcpServers": {"a": {"command": "x", "mine": 1}, "b": {}, "c": null}}'
    assert not place.enable("c", True)
    assert not place.enable("none", False)
    assert place.remove("c")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"mcpServers": {},}',
        '{"mcpServers": []}',
        '{"a": 1, "a": 2}',
        '{"mcpServers": {"x": {"k": 1, "k": 1}}}',
    ],
)
def test_what_is_not_understood_is_not_touched(place: Place, text: str) -> None:
    write(place, text)
    with pytest.raises(ConfigError) as caught:
        place.put("a", ENTRY)
    assert str(place.path) in str(caught.value)
    assert caught.value.hint == "Mend the file first; nothing was changed."
    assert read(place) == text


def test_a_link_stays_one_and_the_file_is_for_nobody_else(place: Place, tmp_path: Path) -> None:
    (tmp_path / "dotfiles.json").write_text("{}")
    (tmp_path / "dotfiles.json").chmod(0o644)
    place.path.parent.mkdir()
    place.path.symlink_to(tmp_path / "dotfiles.json")
    place.put("a", ENTRY)
    assert place.path.is_symlink()
    assert "mcpServers" in (tmp_path / "dotfiles.json").read_text()
    assert (tmp_path / "dotfiles.json").stat().st_mode & 0o777 == 0o600


def test_a_file_of_the_project_keeps_its_mode(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    place = place_of(tmp_path / "home", work, "project")
    (work / ".mcp.json").write_text("{}")
    (work / ".mcp.json").chmod(0o644)
    place.put("a", ENTRY)
    assert (work / ".mcp.json").stat().st_mode & 0o777 == 0o644
    assert [path.name for path in work.iterdir()] == [".mcp.json"]


def test_local_servers_are_one_projects(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / ".git").mkdir(parents=True)
        place_of(tmp_path, tmp_path / name, "local").put(name, ENTRY)
    (tmp_path / "link").symlink_to(tmp_path / "one")
    place_of(tmp_path, tmp_path / "link", "local").put("more", ENTRY)
    data = json.loads((tmp_path / "mcp-local.json").read_text())
    assert {key: list(value["mcpServers"]) for key, value in data["projects"].items()} == {
        str(tmp_path / "one"): ["one", "more"],
        str(tmp_path / "two"): ["two"],
    }
    (local, *_) = places(tmp_path, tmp_path / "two")
    assert list(local.entries()) == ["two"]


keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)
layouts = st.sampled_from([{"indent": 2}, {"indent": "\t"}, {"indent": 0}, {}, {"separators": (",", ":")}])


@given(st.dictionaries(keys, values, max_size=4), layouts, keys, values)
def test_one_key_changes_and_no_other(data: dict[str, Any], layout: dict[str, Any], key: str, value: Any) -> None:
    text = json.dumps(data, **layout)
    changed = with_key(text, parse_document(text, "t").data, key, value)
    again = parse_document(changed, "t").data
    assert list(again.items()) == list((data | {key: value}).items())
    gone = parse_document(without_key(changed, again, key), "t").data
    assert gone == {name: item for name, item in data.items() if name != key}
