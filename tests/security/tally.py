"""How many attacks were tried, and how many got through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.security.casebook import Case
from tests.security.judge import Reached
from tests.security.strict import Violation


class Tally:
    """Counts cases by family."""

    def __init__(self) -> None:
        self._tried: Counter[str] = Counter()
        self._controls: Counter[str] = Counter()
        self._reached: list[str] = []

    @contextmanager
    def of(self, case: Case) -> Iterator[None]:
        """Count a case; one that raises `Reached` or `Violation` in the block got through."""
        (self._tried if case.is_attack else self._controls)[case.family] += 1
        try:
            yield
        except (Reached, Violation):
            self._reached.append(case.id)
            raise

    def packed(self) -> dict[str, Any]:
        """Return the counts as plain values."""
        return {"tried": dict(self._tried), "controls": dict(self._controls), "reached": self._reached}

    def add(self, packed: dict[str, Any]) -> None:
        """Add the counts of another process."""
        self._tried.update(packed["tried"])
        self._controls.update(packed["controls"])
        self._reached += packed["reached"]

    def lines(self) -> Iterator[str]:
        """Yield the sum, and what it is made of."""
        if not self._tried:
            return
        families = ", ".join(f"{family} {count}" for family, count in sorted(self._tried.items()))
        yield f"{self._tried.total()} attacks tried, {len(self._reached)} reached the upstream ({families})"
        yield f"{self._controls.total()} controls: what is honest passes"
        for name in self._reached:
            yield f"REACHED: {name}"
