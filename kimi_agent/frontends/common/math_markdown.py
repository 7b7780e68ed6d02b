"""Math in Markdown: `$..$`, `$$..$$`, `\\(..\\)` and `\\[..\\]` become tokens `math_inline` and `math_block`.

Their `content` is the LaTeX, their `markup` the opening delimiter. Shell text and prices are no math: as with pandoc no blank
follows the opening `$` or precedes the closing one, and no letter or digit touches either from outside.
"""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_core import StateCore
    from markdown_it.rules_inline import StateInline

CLOSING = {"$": "$", "$$": "$$", "\\(": "\\)", "\\[": "\\]"}

_ESCAPED = re.compile(r"(?<!\\)(?:\\\\)*\\$")
_AFTER = re.compile(r"[\w${(]")
_DOLLARS = re.compile(r"\$\$((?:\\.|[^\\$])+)\$\$(?![\w$])", re.DOTALL)
_BRACKET = re.compile(r"\\([(\[])((?:(?!\\[()\[\]])(?:\\.|[^\\]))+)\\([)\]])", re.DOTALL)
_LATEX = re.compile(r"[\\^_=]")
_GROUP = re.compile(r"\{[^{}]*\}")
_PROSE = re.compile(r"(?<![\\\w])[^\W\d_]{2,},?\s+[^\W\d_]{2,}(?!\w)|^\d.*\s[^\W\d_]{2,}\s", re.DOTALL)


def math_plugin(parser: "MarkdownIt") -> None:
    parser.inline.ruler.before("escape", "math_inline", _inline)
    parser.block.ruler.before("fence", "math_block", _block, {"alt": ["paragraph", "reference", "blockquote", "list"]})


def as_text(parser: "MarkdownIt") -> None:
    """Make the math of `math_plugin` ordinary text: for renderers that know no such tokens."""
    parser.core.ruler.push("math_as_text", _to_text)


def may_be_math(lines: list[str]) -> bool:
    """Whether a formula that began in these lines, after their last blank one, may go on below them."""
    for line in reversed(lines):
        if not line.strip():
            return False
        if line.lstrip(" >").startswith(("$$", "\\[")):
            return True
    return False


def _found(source: str, at: int) -> tuple[str, str, int] | None:
    """Opening delimiter, LaTeX and end of the formula that begins at `at`."""
    before = source[at - 1 : at]
    if before.isalnum() or before in ("$", "_"):
        return None
    if source[at] == "\\":
        match = _BRACKET.match(source, at)
        if match is None or match[1] + match[3] not in ("()", "[]") or not match[2].strip():
            return None
        return "\\" + match[1], match[2], match.end()
    if source.startswith("$$", at):
        match = _DOLLARS.match(source, at)
        if match is None or not (match[1] == match[1].strip() or (match[1].strip() and _LATEX.search(match[1]))):
            return None
        return "$$", match[1], match.end()
    return _one_dollar(source, at)


def _one_dollar(source: str, at: int) -> tuple[str, str, int] | None:
    end = source.find("$", at + 1)
    while end > 0 and source[end - 1] == "\\" and _ESCAPED.search(source, at, end):
        end = source.find("$", end + 1)
    content = source[at + 1 : max(end, 0)]
    if not content or content != content.strip() or _AFTER.match(source, end + 1):
        return None
    return None if _PROSE.search(_GROUP.sub("", content)) else ("$", content, end + 1)


def _inline(state: "StateInline", silent: bool) -> bool:
    if state.src[state.pos] not in "$\\":
        return False
    found = _found(state.src, state.pos)
    if found is None or found[2] > state.posMax:
        return False
    markup, content, end = found
    if not silent:
        token = state.push("math_inline", "math", 0)
        token.content, token.markup = content, markup
    state.pos = end
    return True


def _block(state: "StateBlock", first: int, last: int, silent: bool) -> bool:
    """A formula on lines of its own, up to the next blank line at most."""
    if state.is_code_block(first):
        return False
    lines: list[str] = []
    for number in range(first, last):
        line = state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]].rstrip()
        outside = number > first and state.sCount[number] < state.blkIndent
        if not line or outside:
            return False
        lines.append(line)
        markup = lines[0][:2]
        if markup not in ("$$", "\\["):
            return False
        told = "\n".join(lines)[2:]
        closing = told.find(CLOSING[markup])
        if closing < 0:
            continue
        after = told[closing + 2 :].strip()
        if after.strip(".,;:") or not told[:closing].strip():
            return False
        if not silent:
            token = state.push("math_block", "math", 0)
            token.block, token.markup, token.content, token.info = True, markup, told[:closing], after
            token.map = [first, number + 1]
        state.line = number + 1
        return True
    return False


def _to_text(state: "StateCore") -> None:
    from markdown_it.token import Token

    from kimi_agent.frontends.common.math_text import math_text

    tokens: list[Token] = []
    for token in state.tokens:
        for child in token.children or ():
            if child.type == "math_inline":
                child.type, child.content = "text", math_text(child.content).replace("\n", "; ")
        if token.type != "math_block":
            tokens.append(token)
            continue
        rows = (math_text(token.content) + token.info).split("\n")
        children = [Token("text", "", 0, content=row) for row in rows]
        breaks = [each for child in children for each in (Token("hardbreak", "br", 0), child)][1:]
        tokens += [
            Token("paragraph_open", "p", 1, block=True, level=token.level),
            Token("inline", "", 0, content="", children=breaks, block=True, level=token.level + 1),
            Token("paragraph_close", "p", -1, block=True, level=token.level),
        ]
    state.tokens = tokens
