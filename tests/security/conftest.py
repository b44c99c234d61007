"""Figures of the security suite, printed when pytest has ended."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Report = Callable[[str], None]

_FIGURES = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FIGURES] = []


@pytest.fixture(scope="session")
def report(request: pytest.FixtureRequest) -> Report:
    """Give a function that adds a line to the figures below the test results."""
    return request.config.stash[_FIGURES].append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    figures = config.stash.get(_FIGURES, [])
    if figures:
        terminalreporter.section("security")
        for line in figures:
            terminalreporter.write_line(line)
