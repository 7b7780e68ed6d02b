"""How formulas, tasks, wide tables, diffs side by side and plans look. `pytest -m '' --snapshot-update` accepts a new look."""

from typing import Any

import pytest
from nightly import all_but
from tui_look import HIGH_CONTRAST, THEMES, every_look, tool

from kimi_agent.core import event as ev
from kimi_agent.core.display import Diff, Plain, Terminal
from kimi_agent.core.message import Message, Text, user_message

MATH = r"""The sample variance of $x_1, \ldots, x_n$ costs $5 or $10 of `$HOME`:

$$
\sigma^2 = \frac{1}{n-1} \sum_{i=1}^{n} (x_i - \bar{x})^2
$$

\[
\begin{aligned} a &= \sqrt{b^2 - 4ac} \\ \alpha &\le \beta \implies \mathbb{E}[X] \in \mathbb{R} \end{aligned}
\]
"""
LISTS = """- [x] read the failing test
- [ ] mend the discount, and say in the changelog what was wrong with it
  - in `shop/prices.py`
    1. divide by 100
- see [the rules](https://example.org/rules)

| Option | Type | Default | Description | Where it is used |
|---|:-:|--:|---|---|
| `max_tokens` | int | 32000 | How many tokens a reply may have at most, thinking included | `providers/chat_completions.py` |
| `temperature` | float | 1.0 | The higher, the more varied | everywhere |
"""
DIFF = """@@ -1,4 +1,6 @@
 # all in cents: 价格 and discounts, which are given in percent of the whole sum and never of a single price in the list
-def total(prices, discount=0):
+def total(prices: list[float], discount: float = 0) -> float:
-    return sum(prices) * (1 - discount / 10)
+    if not 0 <= discount <= 100:
+        raise ValueError(f"no such discount: {discount}")
+    return sum(prices) * (1 - discount / 100)
 print(total([1]))
"""
PLAN = '{"plan": "## Mend the discount\\n\\n1. `prices.py`: divide by 100\\n2. run `pytest -q`"}'
LONG = "pytest -q --maxfail=1 " + " ".join(f"tests/test_{number}.py" for number in range(30))


def answered(text: str) -> list[ev.Event]:
    return [*begun(), ev.MessageAdded(Message("assistant", (Text(text),), "model")), ev.TurnEnded("done")]


def begun() -> list[ev.Event]:
    return [ev.ModelChanged("kimi-k2"), ev.TurnStarted(1), ev.MessageAdded(user_message("Show it."))]


@every_look
def test_formulas(look: Any, size: Any, theme: str) -> None:
    assert look(size, theme, answered(MATH))


@every_look
def test_tasks_and_a_wide_table(look: Any, size: Any, theme: str) -> None:
    assert look(size, theme, answered(LISTS))


@pytest.mark.parametrize("theme", all_but(["dark"], THEMES))
@pytest.mark.parametrize("size", [(40, 40), (200, 30)], ids=str)
def test_a_table_in_narrow_and_wide_windows(look: Any, size: Any, theme: str) -> None:
    assert look(size, theme, answered(LISTS))


@pytest.mark.parametrize("theme", all_but(["light", "high-contrast-dark"], [*THEMES, *HIGH_CONTRAST]))
def test_a_diff_side_by_side(look: Any, theme: str) -> None:
    log = [*begun(), *tool(1, "StrReplaceFile", '{"path": "prices.py"}', Diff("/srv/shop/prices.py", DIFF, 4, 2))]
    assert look((140, 30), theme, log)


@every_look
def test_cards_with_a_plan_and_a_long_command(look: Any, size: Any, theme: str) -> None:
    log = [
        *begun(),
        *tool(1, "ExitPlanMode", PLAN, Plain("approved")),
        *tool(2, "Shell", f'{{"command": "{LONG}"}}', Terminal(LONG, "..F\n1 failed", 1), "", 95.0, True),
        *tool(3, "StrReplaceFile", '{"path": "prices.py"}', Diff("/srv/shop/prices.py", DIFF, 4, 2)),
    ]
    assert look(size, theme, log)
