"""Curves of a run as SVG pictures: a few lines of XML, readable in any browser and in the documentation."""

from collections.abc import Mapping, Sequence
from html import escape
from math import floor, isfinite, log10

WIDTH, HEIGHT = 720, 320
LEFT, RIGHT, TOP, BOTTOM = 58, 16, 34, 40
COLOURS = "#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#0891b2", "#be185d", "#4b5563"
POINTS = 600
"""Most points of a line; more are averaged."""

Line = Sequence[tuple[float, float]]


def picture(title: str, lines: Mapping[str, Line], *, logarithmic: bool = False, across: str = "step") -> str:
    """An SVG with all `lines`, by name. Numbers that are not finite, or not positive on a log axis, are left out."""
    kept = {
        name: [(x, y) for x, y in line if isfinite(y) and (y > 0 or not logarithmic)] for name, line in lines.items()
    }
    points = [point for line in kept.values() for point in line] or [(0.0, 1.0)]
    x0, x1 = min(x for x, _ in points), max(x for x, _ in points)
    y0, y1 = min(y for _, y in points), max(y for _, y in points)
    if not logarithmic:
        y0 = min(y0, 0.0)
    y1 = y1 if y1 > y0 else y0 + 1
    x1 = x1 if x1 > x0 else x0 + 1

    def place(x: float, y: float) -> tuple[float, float]:
        up = (log10(y) - log10(y0)) / (log10(y1) - log10(y0)) if logarithmic else (y - y0) / (y1 - y0)
        return LEFT + (x - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="14" font-weight="bold">{escape(title)}</text>',
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 6}" text-anchor="end" fill="#555">{escape(across)}</text>',
    ]
    for y in _log_ticks(y0, y1) if logarithmic else _ticks(y0, y1):
        _, at = place(x0, y)
        parts.append(f'<path d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}" stroke="#e5e7eb"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end" fill="#555">{y:g}</text>')
    for x in _ticks(x0, x1):
        at, _ = place(x, y1)
        parts.append(f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle" fill="#555">{x:g}</text>')
    for number, (name, line) in enumerate(kept.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in _thinned(line)))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts.append(f'<text x="{LEFT + 10 + 110 * number}" y="{TOP + 12}" fill="{colour}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _thinned(line: Line) -> Line:
    size = -(-len(line) // POINTS)
    groups = [line[begin : begin + size] for begin in range(0, len(line), size)] if size > 1 else []
    return [(g[0][0], sum(y for _, y in g) / len(g)) for g in groups] if groups else line


def _ticks(low: float, high: float) -> list[float]:
    """Four to eight round numbers between."""
    step = 10 ** floor(log10((high - low) / 4))
    step *= next(by for by in (1, 2, 5, 10) if (high - low) / (step * by) <= 8)
    first = -(-low // step)
    return [round((first + i) * step, 10) for i in range(int((high - first * step) / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    ticks = [by * 10.0**power for power in range(floor(log10(low)), floor(log10(high)) + 1) for by in (1, 2, 5)]
    return [tick for tick in ticks if low <= tick <= high]
