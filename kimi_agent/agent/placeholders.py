"""Arguments in the text of a skill, a custom command or a flow: `$ARGUMENTS`, `$1`, `$name`."""

import re
from collections.abc import Sequence

_PLACEHOLDER = re.compile(
    r"\\\$|\$\{(?:KIMI|CLAUDE)_SKILL_DIR\}|\$ARGUMENTS(?:\[(?P<index>\d{1,3})\])?|\$(?P<number>\d{1,3})(?!\d|\.\d)"
    r"|\$(?P<name>[A-Za-z_]\w*)"
)


def fill(body: str, arguments: str, names: Sequence[str] = (), folder: str = "", *, append: bool = True) -> str:
    """`body` with `$ARGUMENTS`, `$1`, `$ARGUMENTS[0]` and declared `$name`s replaced, in one pass.

    `$1` is the first argument, or the second in a text that uses `$0`. What was not given stays as it is written (so does
    `awk '{print $1}'`), `\\$` is a dollar sign. With `append`, arguments that the text does not
    place are put below it.
    """
    values = _words(arguments)
    first = 0 if re.search(r"\$0(?!\d|\.\d)", body) else 1
    placed = False

    def value(match: re.Match[str]) -> str:
        nonlocal placed
        whole = match[0]
        if whole == "\\$":
            return "$"
        if whole.startswith("${"):
            return folder
        if whole == "$ARGUMENTS":
            placed = True
            return arguments
        name = match["name"]
        if name is not None:
            index = names.index(name) if name in names else -1
        else:
            index = int(match["index"]) if match["index"] is not None else int(match["number"]) - first
        if not 0 <= index < len(values):
            return whole
        placed = True
        return values[index]

    text = _PLACEHOLDER.sub(value, body)
    return text if placed or not arguments or not append else f"{text}\n\nARGUMENTS: {arguments}"


def _words(arguments: str) -> list[str]:
    """As a shell splits them; quotes that do not match are ordinary characters."""
    import shlex

    try:
        return shlex.split(arguments)
    except ValueError:
        return arguments.split()
