"""Glob patterns as regular expressions: `*` and `?` stay within a name, `**` spans folders, `[a-z]`, `{a,b}`, `\\` escapes."""

import re
from pathlib import PurePosixPath

_MAGIC = re.compile(r"[*?\[{\\]")
_MAX_ALTERNATIVES = 500


def glob_regex(pattern: str) -> re.Pattern[str]:
    """Matches whole relative paths with `/` between names. Raises ValueError for a pattern that cannot be one."""
    try:
        return re.compile("|".join(_path_regex(one) for one in expand_braces(pattern)), re.DOTALL)
    except re.error as error:
        raise ValueError(f"{pattern[:60]!r}: {error}") from None


def filter_regex(pattern: str) -> re.Pattern[str]:
    """Like `glob_regex`, but a pattern without `/` matches names at any depth, as a line of .gitignore does."""
    anywhere = "/" not in pattern.rstrip("/")
    return glob_regex(f"**/{pattern}" if anywhere else pattern.lstrip("/"))


def split_literal(pattern: str) -> tuple[str, str]:
    """The leading folders of `pattern` that hold no wildcard, and the rest: `/a/b/*.py` gives `/a/b` and `*.py`."""
    names = PurePosixPath(pattern).parts
    literal = 0
    while literal < len(names) - 1 and not _MAGIC.search(names[literal]):
        literal += 1
    return str(PurePosixPath(*names[:literal])) if literal else "", "/".join(names[literal:])


def expand_braces(pattern: str) -> list[str]:
    """`a{b,c}` as `ab`, `ac`; braces may nest; an unbalanced one stands for itself."""
    done: list[str] = []
    todo = [pattern]
    while todo:
        current = todo.pop()
        group = _first_group(current)
        if group is None:
            done.append(current)
        else:
            start, end, choices = group
            todo.extend(current[:start] + choice + current[end:] for choice in reversed(choices))
        if len(done) + len(todo) > _MAX_ALTERNATIVES:
            raise ValueError(f"the braces of {pattern[:60]!r} stand for more than {_MAX_ALTERNATIVES} patterns")
    return done


def _first_group(pattern: str) -> tuple[int, int, list[str]] | None:
    start, depth, choices, begin = -1, 0, [], 0
    skip = False
    for index, char in enumerate(pattern):
        if skip or char == "\\":
            skip = not skip
        elif char == "{":
            if depth == 0:
                start, begin = index, index + 1
            depth += 1
        elif char == "," and depth == 1:
            choices.append(pattern[begin:index])
            begin = index + 1
        elif char == "}" and depth:
            depth -= 1
            if depth == 0:
                return start, index + 1, [*choices, pattern[begin:index]]
    return None


def _path_regex(pattern: str) -> str:
    names = [name for name in pattern.removeprefix("./").split("/") if name not in ("", ".")]
    parts = []
    for index, name in enumerate(names):
        last = index == len(names) - 1
        if name == "**":
            parts.append(".+" if last else "(?:[^/]+/)*")
        else:
            parts.append(_name_regex(name) + ("" if last else "/"))
    return "".join(parts)


def _name_regex(name: str) -> str:
    out: list[str] = []
    index = 0
    while index < len(name):
        char = name[index]
        index += 1
        if char == "*":
            out.append("" if out and out[-1] == "[^/]*" else "[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif char == "[" and (end := name.find("]", index + (2 if name[index : index + 1] in "!^" else 1))) > 0:
            negate = name[index] in "!^"
            inside = name[index + negate : end].replace("\\", r"\\").replace("[", r"\[").replace("^", r"\^")
            inside = re.sub(r"([&~|])\1", r"\1\\\1", inside)  # future set operations of `re`
            out.append(f"[{'^/' if negate else ''}{inside}]")
            index = end + 1
        elif char == "\\" and index < len(name):
            out.append(re.escape(name[index]))
            index += 1
        else:
            out.append(re.escape(char))
    return "".join(out)
