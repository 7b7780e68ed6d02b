"""What a session cost, in tables: the whole, each model, the dearest turns, its subagents. From the events of its log."""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from kimi_agent.core import event as ev

DEAREST = 5


class Spent(Struct):
    """The requests of one thing. `cost` counts those whose model has prices; `unpriced` is how many have none."""

    name: str
    requests: int = 0
    input: int = 0
    cached: int = 0
    output: int = 0
    cost: float = 0.0
    unpriced: int = 0

    def add(self, usage: ev.Usage) -> None:
        self.requests += 1
        self.input += usage.input
        self.cached += usage.cached
        self.output += usage.output
        self.cost += usage.cost or 0.0
        self.unpriced += usage.cost is None

    @property
    def tokens(self) -> int:
        return self.input + self.output


class Bill(Struct):
    """`turns` are in order, a compaction belongs to the turn before it; `agents` are the subagents and side questions."""

    whole: Spent
    models: list[Spent]
    turns: list[Spent]
    agents: list[Spent]


def bill(events: Iterable[ev.Event]) -> Bill:
    whole = Spent("session")
    models: dict[str, Spent] = {}
    turns: list[Spent] = []
    agents: dict[str, Spent] = {}
    for event in events:
        if isinstance(event, ev.TurnStarted):
            turns.append(Spent(""))
        elif isinstance(event, ev.MessageAdded) and turns and not turns[-1].name and event.message.role == "user":
            turns[-1].name = event.message.text if event.message.origin == "person" else ""
        elif isinstance(event, ev.Nested) and (agent := _agent(event)):
            agents.setdefault(event.call_id, Spent(agent))
        for usage in ev.usages([event]):
            shares = [whole, models.setdefault(usage.model, Spent(usage.model)), *turns[-1:]]
            if isinstance(event, ev.Nested):
                shares.append(agents.setdefault(event.call_id, Spent(event.call_id)))
            for spent in shares:
                spent.add(usage)
    return Bill(whole, list(models.values()), turns, [agent for agent in agents.values() if agent.requests])


def _agent(event: ev.Nested) -> str:
    """The name of the subagent whose first event it is."""
    if isinstance(inner := event.event, ev.SubagentStarted):
        return f"{inner.agent_type}: {inner.description}"
    return "side questions" if event.call_id == "btw" else ""


def report(events: Sequence[ev.Event]) -> str:
    """Markdown."""
    found = bill(events)
    priced = any(spent.unpriced < spent.requests for spent in found.models)
    tables = [_summary(found, events, priced)]
    if len(found.models) > 1:
        tables.append(_table("model", found.models, priced))
    if len(found.turns) > 1:
        numbered = [_numbered(number, turn) for number, turn in enumerate(found.turns, 1) if turn.requests]
        dearest = sorted(numbered, key=lambda turn: (-turn.cost, -turn.tokens))[:DEAREST]
        tables.append(_table("dearest turns", dearest, priced))
    if found.agents:
        tables.append(_table("subagents", sorted(found.agents, key=lambda agent: (-agent.cost, -agent.tokens)), priced))
    return "\n\n".join([*tables, _money(found, priced)])


def _numbered(number: int, turn: Spent) -> Spent:
    name = f"{number}. {turn.name or '(begun by the program)'}"
    return Spent(name, turn.requests, turn.input, turn.cached, turn.output, turn.cost, turn.unpriced)


def _summary(found: Bill, events: Sequence[ev.Event], priced: bool) -> str:
    whole, turn = found.whole, found.turns[-1] if found.turns else Spent("")
    lines = [
        "| | session | last turn |",
        "|---|--:|--:|",
        f"| requests | {whole.requests} | {turn.requests} |",
        f"| input tokens | {whole.input:,} | {turn.input:,} |",
        f"| of it cached | {_cached(whole)} | {_cached(turn)} |",
        f"| output tokens | {whole.output:,} | {turn.output:,} |",
    ]
    if own := [event for event in events if isinstance(event, ev.Usage)]:
        size = f" of {own[-1].context_size:,}" if own[-1].context_size else ""
        lines.append(f"| context now | {own[-1].context:,}{size} | |")
    if priced:
        lines.append(f"| cost | {_cost(whole)} | {_cost(turn)} |")
    return "\n".join(lines)


def _table(title: str, rows: Sequence[Spent], priced: bool) -> str:
    columns = [title, "requests", "input", "cached", "output", *(["cost"] if priced else [])]
    lines = [f"| {' | '.join(columns)} |", f"|---|{'--:|' * (len(columns) - 1)}"]
    for row in rows:
        cells = [_cell(row.name), str(row.requests), f"{row.input:,}", _share(row), f"{row.output:,}"]
        lines.append(f"| {' | '.join([*cells, *([_cost(row)] if priced else [])])} |")
    return "\n".join(lines)


def _money(found: Bill, priced: bool) -> str:
    if not found.whole.requests:
        return "Nothing has been asked of a model yet."
    if not priced:
        return "What it cost is not known: no prices are configured for this model."
    free = [model.name for model in found.models if model.unpriced]
    return f"Not in the cost: {', '.join(map(_cell, free))}, without prices." if free else _PRICES


_PRICES = "The cost is counted with the prices in the configuration; the provider's bill decides."


def _cost(spent: Spent) -> str:
    """Empty where no request had a price."""
    return f"{spent.cost:.4f}" if spent.unpriced < spent.requests else ""


def _cached(spent: Spent) -> str:
    return f"{spent.cached:,} ({_share(spent)})" if spent.input else f"{spent.cached:,}"


def _share(spent: Spent) -> str:
    return f"{spent.cached / spent.input:.0%}" if spent.input else ""


def _cell(text: str) -> str:
    """On one line of a table, cut to 50 characters, with nothing in it that is markup."""
    text = " ".join(text.split())
    text = text if len(text) <= 50 else f"{text[:49]}…"
    return "".join(f"\\{char}" if char in "\\`*_[]<>|#~&" else char for char in text)
