"""The film in the README: it can be recorded, plays as a picture anywhere, and asks nobody for anything."""

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pyte
import pytest

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "docs" / "images" / "demo.svg"
SVG = "{http://www.w3.org/2000/svg}"
MAX_BYTES = 400_000

RECORD = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import demo
demo.play = demo.play_shortly
print(demo.record(Path(sys.argv[2])).svg())
"""


def check(svg: str) -> ElementTree.Element:
    """A well-formed picture without scripts that refers only to itself."""
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    ids = {element.get("id") for element in root.iter()}
    for element in root.iter():
        assert element.tag.removeprefix(SVG) in {"svg", "title", "style", "defs", "g", "use", "rect", "circle", "text"}
        for name, value in element.attrib.items():
            assert not name.lower().startswith("on")
            if name.endswith("href"):
                assert value.removeprefix("#") in ids
    assert "url(" not in svg
    assert "@import" not in svg
    return root


def texts(root: ElementTree.Element) -> str:
    return "\n".join(element.text or "" for element in root.iter(f"{SVG}text"))


def test_the_film_in_the_tree() -> None:
    svg = DEMO.read_text(encoding="utf-8")
    assert len(svg.encode()) < MAX_BYTES
    shown = texts(check(svg))
    for scene in ("wants to run a command", "wants to change a file", "tests pass", "git diff --stat", "/context"):
        assert scene in shown
    assert re.search(r"animation:film [\d.]+s steps\(1,end\) infinite", svg)


def test_a_short_film_is_recorded(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RECORD, str(ROOT / "docs"), str(tmp_path / "film")],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    root = check(done.stdout)
    assert "your own shell" in texts(root)
    assert "@shop.py" in texts(root)


@pytest.fixture(autouse=True)
def docs_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))


def film_of(*writes: str, columns: int = 12) -> str:
    from film import Film

    screen = pyte.Screen(columns, 2)
    stream, film = pyte.Stream(screen), Film(columns, 2)
    for text in writes:
        stream.feed(text)
        film.take(screen, 1.0)
    return film.svg()


@pytest.mark.parametrize(("text", "cells"), [("ab", 2), ("你好", 4), ("<&>", 3), ("é", 1)])
def test_a_text_is_as_wide_as_its_cells(text: str, cells: int) -> None:
    from film import CELL

    root = check(film_of(text))
    (drawn,) = root.iter(f"{SVG}text")
    assert drawn.text == text
    assert float(drawn.get("textLength", "0")) == pytest.approx(cells * CELL, abs=0.01)


def test_wide_characters_stay_in_their_columns() -> None:
    from film import CELL

    drawn = list(check(film_of("ab你好cd")).iter(f"{SVG}text"))
    assert [(each.text, round(float(each.get("x", "0")) / CELL)) for each in drawn] == [
        ("ab", 0),
        ("你好", 2),
        ("cd", 6),
    ]


def test_frames_that_do_not_differ_are_one_and_rows_are_kept_once() -> None:
    root = check(film_of("same", "", "\r\nmore"))
    frames = [group for group in root.iter(f"{SVG}g") if "translate" in group.get("transform", "")]
    assert [len(list(frame)) for frame in frames] == [1, 2]
    assert texts(root).split() == ["same", "more"]
