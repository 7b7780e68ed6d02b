"""Small Python functions: what each is to do in words, how it is written, and how somebody wrote it wrongly once.

Code and words determine one another, so that a bug can be mended by reading, not by guessing.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from inference_backend.training.synthesis.draw import Draw


class Function(Struct, frozen=True):
    """`right` and `wrong` are what it returns, in terms of `parameters`; `cases` are calls and what they must answer.

    `en` and `zh` say what it returns; in code the docstring is `en`.
    """

    parameters: str
    right: str
    wrong: tuple[str, ...]
    en: str
    zh: str
    cases: tuple[tuple[str, str], ...]


def _read() -> Mapping[str, Function]:
    """The table in `functions.txt`."""
    found = {}
    for line in Path(__file__).with_suffix(".txt").read_text("utf-8").splitlines():
        if not line.startswith("#"):
            kind, parameters, right, wrong, en, zh, cases = line.split(" | ")
            pairs = [case.split(" => ") for case in cases.split("; ")]
            wrongs = tuple(wrong.split("; "))
            found[kind] = Function(parameters, right, wrongs, en, zh, tuple((given, wanted) for given, wanted in pairs))
    return found


FUNCTIONS: Mapping[str, Function] = _read()


def code_of(name: str, kind: str, *, wrong: str = "") -> str:
    """The function in Python; with `wrong` it returns that."""
    function = FUNCTIONS[kind]
    return (
        f'def {name}({function.parameters}):\n    """Return {function.en}."""\n    return {wrong or function.right}\n'
    )


def module_of(draw: Draw, functions: Sequence[tuple[str, str, bool]]) -> str:
    """A module of functions: name, kind, and whether it is written wrongly."""
    return "\n\n".join(
        code_of(name, kind, wrong=draw.pick(FUNCTIONS[kind].wrong) if broken else "")
        for name, kind, broken in functions
    )


def test_of(draw: Draw, module: str, functions: Sequence[tuple[str, str]]) -> str:
    """The tests of a module, one each."""
    names = ", ".join(sorted(name for name, _ in functions))
    tests = [
        f"def test_{name}():\n    assert {name}({given}) == {wanted}\n"
        for name, kind in functions
        for given, wanted in [case(draw, kind)]
    ]
    return "\n\n".join([f"from {module} import {names}\n", *tests])


def case(draw: Draw, kind: str) -> tuple[str, str]:
    return draw.pick(FUNCTIONS[kind].cases)
