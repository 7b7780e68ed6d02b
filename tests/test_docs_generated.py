"""The generated pages are those that the code gives today."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = runpy.run_path(str(ROOT / "docs" / "generate.py"), run_name="docs")["pages"]()


@pytest.mark.parametrize("name", PAGES)
def test_generated_pages_are_current(name: str):
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == PAGES[name], "run `make docs`"
