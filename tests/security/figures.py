"""What the security suite says below the test results, summed over the processes that ran it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.security.tally import Tally

FIGURES = pytest.StashKey["Figures"]()


class Figures:
    """Lines of single tests, and the count of all cases."""

    def __init__(self) -> None:
        self.reports: list[str] = []
        self.tally = Tally()

    def packed(self) -> dict[str, Any]:
        """Return them as what a worker can send to the process that prints."""
        return {"reports": self.reports, "tally": self.tally.packed()}

    def add(self, packed: dict[str, Any]) -> None:
        """Add those of a worker."""
        self.reports += packed["reports"]
        self.tally.add(packed["tally"])

    def lines(self) -> Iterator[str]:
        """Yield the lines of the tests, and what all cases come to."""
        yield from self.reports
        yield from self.tally.lines()
