"""What was measured, as a table and a plot, and where they stand in the docs."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import median

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
_WIDTH = 48
Figures = dict[str, dict[str, list[dict[str, float]]]]  # by scenario and side, a round each


def write_into_docs(part: str, text: str) -> None:
    """Put a part's text between its marks on the page."""
    PAGE.write_text(between_marks(PAGE.read_text(encoding="utf-8"), part, text), encoding="utf-8")


def between_marks(page: str, part: str, text: str) -> str:
    """Return the page with a part's text in its place. Raises `ValueError` where the marks are missing."""
    begin, end = f"<!-- make bench, {part}: begin -->", f"<!-- make bench, {part}: end -->"
    if page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(f"expected {begin} and {end} once each")
    return re.sub(f"{begin}.*{end}", lambda _: f"{begin}\n\n{text}\n{end}", page, flags=re.DOTALL)


def report(figures: Figures, scenarios: list[str]) -> str:
    """Return the table of CPU time per request, and the same drawn as bars."""
    peers = list(dict.fromkeys(peer for scenario in scenarios for peer in figures[scenario]))
    lines = [f"| CPU, µs per request | {' | '.join(peers)} |", f"| --- |{' --- |' * len(peers)}"]
    for scenario in scenarios:
        cells = [_cell(figures[scenario].get(peer)) for peer in peers]
        lines.append(f"| {scenario} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", "```text", *_bars(figures, scenarios, peers), "```", ""])


def _cell(rounds: list[dict[str, float]] | None) -> str:
    return "" if not rounds else f"{middle(rounds):.0f}"


def middle(rounds: list[dict[str, float]]) -> float:
    """Return the CPU time per request of the middle round, in microseconds."""
    return median(one["cpu_us"] for one in rounds)


def _bars(figures: Figures, scenarios: list[str], peers: list[str]) -> list[str]:
    lines: list[str] = []
    wide = max(map(len, peers), default=0)
    for scenario in scenarios:
        found = {peer: middle(rounds) for peer, rounds in figures[scenario].items()}
        longest = max(found.values(), default=1.0)
        lines += [scenario]
        for peer in (peer for peer in peers if peer in found):
            bar = "█" * max(1, round(found[peer] / longest * _WIDTH))
            lines.append(f"  {peer:<{wide}}  {bar} {found[peer]:.0f}")
    return lines
