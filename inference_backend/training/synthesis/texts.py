"""What tools answer, taken apart as an expert reads it."""

import re


def lines_of(seen: str) -> list[str]:
    """The lines of a result, without notes in square brackets."""
    return [line for line in seen.splitlines() if line.strip() and not re.fullmatch(r"\[[^\]]*\]", line)]


def numbered(seen: str) -> list[str]:
    """The lines of a file as ReadFile shows it, without their numbers."""
    return [line.partition("\t")[2] for line in seen.splitlines() if re.match(r" *\d+\t", line)]


def page(seen: str) -> list[str]:
    """The lines of a page as FetchURL shows it: its address and an empty line stand before them."""
    return lines_of(seen)[1:]
