"""Where one visible character ends and the next begins: an emoji with its modifiers or a letter with its accents is one."""


def after(line: str, column: int) -> int:
    """The boundary behind the character at `column`; the line's end stays where it is."""
    if column >= len(line) or (line[column].isascii() and line[column + 1 : column + 2].isascii()):
        return min(column + 1, len(line))
    from wcwidth import iter_graphemes

    return column + len(next(iter_graphemes(line[column:])))


def before(line: str, column: int) -> int:
    """The boundary before `column`; 0 stays."""
    if column <= 1 or line[column - 2 : column].isascii():
        return max(0, column - 1)
    from wcwidth import grapheme_boundary_before

    return grapheme_boundary_before(line, column)
