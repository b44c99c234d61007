"""Tables of plain text, at most 80 columns wide, of what the scenarios of users cost."""

from __future__ import annotations

from statistics import median

from tests.bench.report import Figures, middle
from tests.bench.scenarios import CURVES, USERS, Curve, Scenario

WIDTH = 80
_GAP = 2
Row = tuple[str, list[str]]


def table(title: str, columns: list[str], rows: list[Row]) -> list[str]:
    """Return the lines of a table. Columns for which there is no room stand below, under the same names of rows."""
    whole = [(title, columns), *rows]
    names = max(len(name) for name, _ in whole)
    widths = [_GAP + max(len(cells[at]) for _, cells in whole if at < len(cells)) for at in range(len(columns))]
    lines: list[str] = []
    first = 0
    while first < len(columns):
        last = first + 1
        while last < len(columns) and names + sum(widths[first : last + 1]) <= WIDTH:
            last += 1
        for name, cells in whole:
            shown = [f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=False)]
            lines.append(f"{name:<{names}}{''.join(shown[first:last])}".rstrip())
        lines.append("")
        first = last
    return lines


def users_text(figures: Figures, gateways: list[str], peers: list[str]) -> str:
    """Return the scenarios of users: what each costs, and how many times that the other sides use.

    Without any figures all rows are there, empty.
    """
    sides, measured = [*gateways, *peers], [scenario for scenario in USERS if not figures or figures.get(scenario.name)]
    costs = [(scenario.name, [_cost(figures, scenario, side) for side in sides]) for scenario in measured]
    times: list[Row] = []
    for scenario in measured:
        # Others of ours are measured by the first one, not by each other.
        others = [*(gateways[:1] if len(gateways) > 1 else []), *(peer for peer in peers if peer in scenario.peers)]
        if others:
            times.append((scenario.name, []))
        for other in others:
            cells = ["" if own == other else ratio(figures, scenario.name, other, own) for own in gateways]
            times.append((f"  {other}", cells))
    return "\n".join([*table("CPU, µs per request", sides, costs), *table("times the CPU of", gateways, times)])


def curves_text(figures: Figures, gateways: list[str]) -> str:
    """Return what a request costs each gateway, in CPU, as one thing after the other grows."""
    measured = [
        curve for curve in CURVES if not figures or any(figures.get(scenario.name) for _, scenario in curve.points)
    ]
    return "\n".join(line for curve in measured for line in _curve(figures, curve, gateways))


def _curve(figures: Figures, curve: Curve, gateways: list[str]) -> list[str]:
    rows = [(f"  {name}", [_cost(figures, scenario, name) for _, scenario in curve.points]) for name in gateways]
    return table(f"CPU, µs: {curve.name}", [label for label, _ in curve.points], rows)


def _cost(figures: Figures, scenario: Scenario, side: str) -> str:
    rounds = figures.get(scenario.name, {}).get(side)
    return amount(middle(rounds)) if rounds else ""


def amount(number: float) -> str:
    """Return three digits of a number, or all before its point."""
    return f"{number:.1f}" if number < 99.95 else f"{number:.0f}"


def ratio(figures: Figures, scenario: str, other: str, own: str) -> str:
    """Return how many times the CPU of one side another uses: the middle of the ratios of neighbouring rounds."""
    sides = figures.get(scenario, {})
    pairs = list(zip(sides.get(other, []), sides.get(own, []), strict=False))
    return f"{median(there['cpu_us'] / here['cpu_us'] for there, here in pairs):.2f}" if pairs else ""
