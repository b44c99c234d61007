"""What was measured, as a table and a plot, and where they stand in the docs."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import median

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
_BEGIN, _END = "<!-- make bench: begin -->", "<!-- make bench: end -->"
_WIDTH = 48
Figures = dict[str, dict[str, list[dict[str, float]]]]


def write_report(figures: Figures, scenarios: list[str], *, into_docs: bool) -> None:
    """Print the report; `into_docs` also puts it between the marks of the page."""
    text = report(figures, scenarios)
    print(text)  # noqa: T201
    if into_docs:
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(between_marks(page, text), encoding="utf-8")


def between_marks(page: str, text: str) -> str:
    """Return the page with the report in its place. Raises `ValueError` where the marks are missing."""
    if page.count(_BEGIN) != 1 or page.count(_END) != 1:
        raise ValueError(f"expected {_BEGIN} and {_END} once each")
    return re.sub(f"{_BEGIN}.*{_END}", lambda _: f"{_BEGIN}\n\n{text}\n{_END}", page, flags=re.DOTALL)


def report(figures: Figures, scenarios: list[str]) -> str:
    """Return the table of CPU time per request, and the same drawn as bars."""
    peers = list(dict.fromkeys(peer for scenario in scenarios for peer in figures[scenario]))
    lines = [f"| CPU, µs per request | {' | '.join(peers)} |", f"| --- |{' --- |' * len(peers)}"]
    for scenario in scenarios:
        cells = [_cell(figures[scenario].get(peer)) for peer in peers]
        lines.append(f"| {scenario} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", "```text", *_bars(figures, scenarios, peers), "```", ""])


def _cell(rounds: list[dict[str, float]] | None) -> str:
    return "" if not rounds else f"{_middle(rounds):.0f}"


def _middle(rounds: list[dict[str, float]]) -> float:
    return median(one["cpu_us"] for one in rounds)


def _bars(figures: Figures, scenarios: list[str], peers: list[str]) -> list[str]:
    lines: list[str] = []
    wide = max(map(len, peers), default=0)
    for scenario in scenarios:
        found = {peer: _middle(rounds) for peer, rounds in figures[scenario].items()}
        longest = max(found.values(), default=1.0)
        lines += [scenario]
        for peer in (peer for peer in peers if peer in found):
            bar = "█" * max(1, round(found[peer] / longest * _WIDTH))
            lines.append(f"  {peer:<{wide}}  {bar} {found[peer]:.0f}")
    return lines
