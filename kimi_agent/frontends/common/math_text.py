"""LaTeX math as Unicode text: `x^2` is x², `\\frac{a}{b}` is a/b. What is not understood is shown as it is written."""

import re
import unicodedata
from functools import lru_cache
from typing import Any

MAX_CHARACTERS = 4000
MAX_DEPTH = 40

_TOKEN = re.compile(r"\\[A-Za-z]+\*?|\\.|\s+|.", re.DOTALL)
_SUPERSCRIPTS = dict(
    zip("0123456789+-−=()abcdefghijklmnoprstuvwxyzABDEGHIJKLMNOPRTUVWβγδθφ′∘*⊤†",
        "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻᴬᴮᴰᴱᴳᴴᴵᴶᴷᴸᴹᴺᴼᴾᴿᵀᵁⱽᵂᵝᵞᵟᶿᵠ′°*ᵀ†", strict=True)
)  # fmt: skip
_SUBSCRIPTS = dict(zip("0123456789+-−=()aehijklmnoprstuvxβγρφχ", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓᵦᵧᵨᵩᵪ", strict=True))
_SYMBOLS = {
    "implies": "⟹", "impliedby": "⟸", "iff": "⟺", "ne": "≠", "land": "∧", "lor": "∨", "neg": "¬", "Re": "Re", "Im": "Im",
    "degree": "°", "bot": "⊥", "models": "⊨", "checkmark": "✓", "colon": ":", "gets": "←", "coloneqq": "≔", "top": "⊤",
    "triangle": "△", "Box": "□", "square": "□", "Diamond": "◇", "cdot": "·", "ast": "*", "circ": "∘", "mid": "|", "prime": "′",
    "vert": "|", "lvert": "|", "rvert": "|", "Vert": "‖", "lVert": "‖", "rVert": "‖", "lbrace": "{", "rbrace": "}", "ell": "ℓ",
    "epsilon": "ε", "phi": "φ", "dots": "…", "bmod": " mod ", "infty": "∞", "emptyset": "∅", "sum": "∑", "prod": "∏",
    "|": "‖", "{": "{", "}": "}", "%": "%", "$": "$", "#": "#", "&": "&", "_": "_", "\\": "\n", "newline": "\n",
    ",": " ", ";": " ", ":": " ", ">": " ", " ": " ", "!": "", "quad": "  ", "qquad": "    ",
}  # fmt: skip
_NOTHING = frozenset({
    "left", "right", "middle", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr", "biggl", "biggr", "Biggl",
    "Biggr", "displaystyle", "textstyle", "scriptstyle", "limits", "nolimits", "nonumber", "notag",
})  # fmt: skip
_FUNCTIONS = frozenset({
    "arccos", "arcsin", "arctan", "arg", "argmax", "argmin", "cos", "cosh", "cot", "coth", "csc", "deg", "det", "dim",
    "exp", "gcd", "hom", "inf", "ker", "lg", "lim", "liminf", "limsup", "ln", "log", "max", "min", "Pr", "sec", "sin",
    "sinh", "sup", "tan", "tanh",
})  # fmt: skip
_AS_IT_IS = frozenset({
    "mathrm", "mathit", "mathbf", "mathsf", "mathtt", "mathnormal", "boldsymbol", "bm", "boxed", "underbrace",
    "overbrace", "operatorname", "operatorname*", "pmb",
})  # fmt: skip
_TEXT = frozenset({
    "text", "textbf", "textit", "textrm", "textsf", "texttt", "mbox", "hbox", "label",
})  # fmt: skip
_ALPHABETS = {
    "mathbb": ("DOUBLE-STRUCK", "MATHEMATICAL DOUBLE-STRUCK"),
    "mathcal": ("SCRIPT", "MATHEMATICAL SCRIPT"),
    "mathscr": ("SCRIPT", "MATHEMATICAL SCRIPT"),
    "mathfrak": ("BLACK-LETTER", "MATHEMATICAL FRAKTUR"),
}
_ACCENTS = {
    "hat": "\u0302", "widehat": "\u0302", "bar": "\u0304", "overline": "\u0305", "underline": "\u0332", "vec": "\u20d7",
    "tilde": "\u0303", "widetilde": "\u0303", "dot": "\u0307", "ddot": "\u0308", "check": "\u030c", "breve": "\u0306",
}  # fmt: skip
_BRACKETS = {"pmatrix": "()", "bmatrix": "[]", "Bmatrix": "{}", "vmatrix": "||", "Vmatrix": "‖‖", "cases": ("{ ", "")}
_INFIX = frozenset("∘≤≥≠≈≡∼≃≅∝∈∉∋⊂⊃⊆⊇⊊→←⇒⇐↔⇔⟹⟸⟺⟶⟵↦×÷±∓·∧∨∪∩⊕⊗≪≫⊢⊨|≔≺≻⩽⩾∖")
_PREFIXES = frozenset("∂∇¬∀∃")
_WORDLIKE = frozenset("∑∏∫√∂")
_SIMPLE = re.compile(r"[−-]?[√∂]?[\w.′%]+|√?\([^()]*\)")
_PRODUCT = re.compile(r"[−-]?[\w.′]*\([^()]*\)")


class _BadMathError(ValueError):
    """Not LaTeX that can be read."""


@lru_cache(maxsize=2048)
def math_text(latex: str) -> str:
    """`latex` without its delimiters, as text; the rows of an environment are lines. Bad LaTeX comes back unchanged."""
    source = latex.strip()
    if len(source) > MAX_CHARACTERS:
        return source
    try:
        reader = _Reader(source)
        text = reader.until("")
    except _BadMathError:
        return source
    lines = [re.sub(r"(?<=\S) {3,}", "  ", line).strip() for line in text.split("\n")]
    return "\n".join(line for line in lines if line) or source


@lru_cache(maxsize=1)
def _known() -> Any:
    from pylatexenc.latex2text import get_default_latex_context_db

    return get_default_latex_context_db()


def _symbol(name: str) -> str | None:
    if name in _SYMBOLS:
        return _SYMBOLS[name]
    spec = _known().get_macro_spec(name)
    text = getattr(spec, "simplify_repl", None)
    return text.strip() or None if isinstance(text, str) and "%" not in text else None


def _begins_word(piece: str) -> bool:
    return piece[0].isalnum() or piece[0] in _WORDLIKE


class _Text:
    """Pieces put together with the blanks that keep them apart."""

    def __init__(self) -> None:
        self.text = ""
        self._apart = False  # the last piece must not run into a word

    def add(self, piece: str, *, before: bool = False, after: bool = False) -> None:
        """`before` and `after`: keep it from running into a word on that side."""
        if piece and (self._apart or before) and self.text[-1:].isalnum() and _begins_word(piece):
            self.text += " "
        self.text += piece.lstrip(" ") if self.text.endswith(" ") and len(piece.strip()) else piece
        self._apart = after if piece else self._apart

    def script(self, piece: str) -> None:
        self.text += piece

    def infix(self, sign: str) -> None:
        self.text = f"{self.text.rstrip(' ')} {sign} " if self.text.strip() else f"{sign} "


class _Reader:
    def __init__(self, source: str) -> None:
        self.tokens: list[str] = _TOKEN.findall(source)
        self.at = 0
        self.depth = 0

    def next(self) -> str:
        if self.at >= len(self.tokens):
            raise _BadMathError
        self.at += 1
        return self.tokens[self.at - 1]

    def skip_blanks(self) -> str:
        """The next part that is no blank, not yet taken; empty at the end."""
        while self.at < len(self.tokens) and self.tokens[self.at].isspace():
            self.at += 1
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def until(self, stop: str) -> str:
        """What comes before the part `stop`, which is taken too; empty: the end."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _BadMathError
        out = _Text()
        while self.at < len(self.tokens):
            part = self.next()
            if part == stop:
                self.depth -= 1
                return out.text
            self.piece(part, out)
        if stop:
            raise _BadMathError
        return out.text

    def argument(self) -> str:
        """A group or a single part."""
        if not self.skip_blanks():
            raise _BadMathError
        part = self.next()
        if part == "{":
            return self.until("}").strip()
        out = _Text()
        self.piece(part, out)
        return out.text.strip()

    def raw(self) -> str:
        """A group as it is written."""
        if self.skip_blanks() != "{":
            return self.argument()
        level = 0
        parts: list[str] = []
        while True:
            part = self.next()
            level += {"{": 1, "}": -1}.get(part, 0)
            if not level:
                return "".join(parts[1:])
            parts.append(part)

    def option(self) -> str:
        """What stands in brackets, if anything."""
        if self.skip_blanks() != "[":
            return ""
        self.next()
        return self.until("]").strip()

    def piece(self, part: str, out: _Text) -> None:
        if part[0] == "\\":
            self.macro(part[1:], out)
        elif part in "^_":
            out.script(script(self.argument(), part))
        elif part == "{":
            out.add(self.until("}"))
        elif part == "}":
            raise _BadMathError
        elif part in "~&" or part.isspace():
            out.add("" if not out.text or out.text.endswith((" ", "\n")) or part == "&" else " ")
        else:
            out.add({"'": "′", "*": "*"}.get(part, part))

    def macro(self, name: str, out: _Text) -> None:
        if name in _FUNCTIONS:
            out.add(name, before=True, after=True)
        elif name in _NOTHING:
            if name in ("left", "right") and self.skip_blanks() == ".":
                self.next()
        elif name in _TEXT:
            text = self.raw()
            out.add("" if name == "label" else text)
        elif name in _AS_IT_IS:
            out.add(self.argument(), before=name.startswith("operatorname"), after=name.startswith("operatorname"))
        elif name in _ALPHABETS:
            out.add("".join(letter(char, _ALPHABETS[name]) for char in self.argument()))
        elif name in _ACCENTS:
            out.add(accented(self.argument(), name))
        else:
            self.construction(name, out)

    def construction(self, name: str, out: _Text) -> None:
        if name in ("frac", "dfrac", "tfrac", "cfrac"):
            out.add(fraction(self.argument(), self.argument()), before=True, after=True)
        elif name in ("binom", "dbinom", "tbinom"):
            out.add(f"({self.argument()} choose {self.argument()})")
        elif name == "sqrt":
            out.add(root(self.option(), self.argument()), after=True)
        elif name in ("pmod", "tag"):
            out.add(f" ({'mod ' if name == 'pmod' else ''}{self.argument()})")
        elif name in ("overset", "stackrel", "underset"):
            over, base = self.argument(), self.argument()
            out.add(base + script(over, "_" if name == "underset" else "^"))
        elif name == "not":
            out.infix(unicodedata.normalize("NFC", self.argument() + "\u0338"))
        elif name == "begin":
            out.add(self.environment(self.raw()))
        else:
            self.symbol(name, out)

    def symbol(self, name: str, out: _Text) -> None:
        symbol = _symbol(name)
        if name in ("end", "right") or (symbol is None and not name.isalpha()):
            raise _BadMathError
        if symbol is None:  # unknown: its arguments keep their braces
            out.add(f"\\{name}", after=True)
            while self.at < len(self.tokens) and self.tokens[self.at] == "{":
                self.next()
                out.add(f"{{{self.until('}')}}}")
        elif symbol in _INFIX and name not in ("vert", "lvert", "rvert"):
            out.infix(symbol)
        else:
            out.add(symbol)
            if symbol in _PREFIXES:
                self.skip_blanks()

    def environment(self, name: str) -> str:
        """Rows of equations as lines; a matrix on one line, its rows apart by semicolons."""
        star = name.rstrip("*")
        if star in ("array", "alignedat", "alignat"):
            self.raw()
        rows: list[list[_Text]] = [[_Text()]]
        while (part := self.next()) != "\\end":
            if part == "\\\\":
                self.option()
                rows.append([_Text()])
            elif part == "&":
                rows[-1].append(_Text())
            else:
                self.piece(part, rows[-1][-1])
        if self.raw() != name:
            raise _BadMathError
        matrix = star in _BRACKETS or star in ("matrix", "smallmatrix", "array")
        cells = [[cell.text.strip() for cell in row] for row in rows]
        told = [("  " if matrix else " ").join(filter(None, row)) for row in cells if any(row)]
        if not matrix:
            return "\n".join(told)
        opening, closing = _BRACKETS.get(star, ("", ""))
        return f"{opening}{'; '.join(told)}{closing}"


def script(text: str, sign: str) -> str:
    """`text` raised (`^`) or lowered (`_`), with the sign itself where Unicode has no such letters."""
    table = _SUPERSCRIPTS if sign == "^" else _SUBSCRIPTS
    tight = text.replace(" ", "")
    if tight and all(char in table for char in tight):
        return "".join(table[char] for char in tight)
    return f"{sign}{text}" if len(text) == 1 or (sign == "_" and text.isalnum()) else f"{sign}({text})"


def fraction(over: str, under: str) -> str:
    left = over if _SIMPLE.fullmatch(over) or _PRODUCT.fullmatch(over) else f"({over})"
    return f"{left}/{under if _SIMPLE.fullmatch(under) else f'({under})'}"


def root(degree: str, text: str) -> str:
    sign = {"": "√", "2": "√", "3": "∛", "4": "∜"}.get(degree) or f"{script(degree, '^')}√"
    return f"{sign}{text}" if len(text) == 1 or text.isdecimal() else f"{sign}({text})"


def letter(char: str, alphabets: tuple[str, str]) -> str:
    """`char` in the first of these Unicode alphabets that has it."""
    size = "CAPITAL" if char.isupper() else "SMALL"
    for alphabet in alphabets:
        try:
            return unicodedata.lookup(f"{alphabet} {size} {char.upper()}")
        except KeyError:
            continue
    return char


def accented(text: str, name: str) -> str:
    mark = _ACCENTS[name]
    if len(text) == 1 or name in ("overline", "underline"):
        return unicodedata.normalize("NFC", "".join(char if char.isspace() else char + mark for char in text))
    return f"{name}({text})"
