"""Math as text: what formulas become, what is no formula, and that bad LaTeX is shown as it is written."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from nightly import examples

from kimi_agent.frontends.common.math_markdown import as_text, math_plugin
from kimi_agent.frontends.common.math_text import math_text

FORMULAS = {
    r"x^2 + y_1": "x² + y₁",
    r"\sum_{i=1}^{n} i = \frac{n(n+1)}{2}": "∑ᵢ₌₁ⁿ i = n(n+1)/2",
    r"\frac{a+b}{2}": "(a+b)/2",
    r"\frac{\partial f}{\partial x}": "∂f/∂x",
    r"-b \pm \sqrt{b^2-4ac}": "-b ± √(b²-4ac)",
    r"\sqrt[3]{x}": "∛x",
    r"\alpha\le\beta_{ij}": "α ≤ βᵢⱼ",
    r"e^{i\pi}": "e^(iπ)",
    r"O(n \log n)": "O(n log n)",
    r"\mathbb{R}^n": "ℝⁿ",
    r"\text{if } x > 0": "if x > 0",
    r"a \implies b \iff c": "a ⟹ b ⟺ c",
    r"\left(\frac{1}{2}\right)^2": "(1/2)²",
    r"A \not= B, x \not\in A": "A ≠ B, x ∉ A",
    r"\begin{pmatrix}a & b\\ c & d\end{pmatrix}": "(a  b; c  d)",
    r"\begin{aligned} a &= b \\ c &= d \end{aligned}": "a = b\nc = d",
    r"90^\circ": "90°",
    r"\hat{y}_i": "ŷᵢ",
    r"\unknown{x}": r"\unknown{x}",
}
BAD = [r"\frac{a", "x^", "}", r"\begin{x}", r"\end{x}", "{" * 200 + "}" * 200, "\\", r"\left", "x" * 5000]


@pytest.mark.parametrize("latex", FORMULAS)
def test_a_formula_becomes_text(latex: str) -> None:
    assert math_text(latex) == FORMULAS[latex]


@pytest.mark.parametrize("latex", [latex for latex in BAD if latex != r"\left"])
def test_bad_latex_stays_as_it_is(latex: str) -> None:
    assert math_text(latex) == latex


@settings(max_examples=examples(300))
@given(st.lists(st.sampled_from([*"\\{}^_&abx1 $()[]'%~", r"\frac", r"\sqrt", r"\begin{cases}", r"\\"])).map("".join))
@example(r"\left")
def test_no_latex_breaks_it_or_loses_a_letter(latex: str) -> None:
    told = math_text(latex)
    assert isinstance(told, str)
    assert bool(told) == bool(latex.strip())


def parsed(source: str) -> list[str]:
    """The formulas that Markdown finds."""
    parser = MarkdownIt("commonmark").enable(["table"])
    math_plugin(parser)
    tokens = [each for token in parser.parse(source) for each in (token, *(token.children or ()))]
    return [token.content.strip() for token in tokens if token.type.startswith("math")]


@pytest.mark.parametrize(
    ("source", "formulas"),
    [
        ("so $x^2$, $y$.", ["x^2", "y"]),
        (r"so \(a+b\) and \[c\]", ["a+b", "c"]),
        ("$$\nx = 1\n$$", ["x = 1"]),
        ("text:\n\\[\nx\n\\]\nmore", ["x"]),
        ("> $$\n> x\n> $$", ["x"]),
        ("- $$x$$ in an item", ["x"]),
        ("| a |\n|---|\n| $x_1$ |", ["x_1"]),
    ],
)
def test_formulas_are_found(source: str, formulas: list[str]) -> None:
    assert parsed(source) == formulas


@pytest.mark.parametrize(
    "source",
    [
        "$HOME and $PATH", "$HOME/bin:$PATH", "${A}/x:${B}", "$(a)$(b)", "$FOO\n$BAR", "kill $$ and $$", "echo $$; echo $$",
        "costs $5 and $10", "costs $5 or 10$ more", "US$5–US$10", "$1,000 and $2,000", "$20M vs. $30M", r"\$5 and \$6$",
        "`$a$`", "``\\(a\\)``", "```\n$a$\n```", "    $a$", "$x\n\ny$", "$", "$$", "\\[", "\\(", r"\\(a\\)", r"foo\(bar\)",
    ],
)  # fmt: skip
def test_shell_text_prices_and_code_are_no_formulas(source: str) -> None:
    assert parsed(source) == []


def test_line_mode_reads_formulas_as_text() -> None:
    parser = MarkdownIt("commonmark")
    math_plugin(parser)
    as_text(parser)
    assert parser.render("So $x^2$.\n\n$$\na \\\\ b\n$$\n") == "<p>So x².</p>\n<p>a<br />\nb</p>\n"
