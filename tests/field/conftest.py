"""The peers of a situation, for one test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.field.gateways import Field, FieldOfProcesses


@pytest.fixture(params=[Field, pytest.param(FieldOfProcesses, marks=pytest.mark.slow)], ids=["loop", "process"])
def field(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Field]:
    """Give a field whose gateways run in the test's own loop; in the slow step once more as processes."""
    with ExitStack() as stack:
        yield request.param(tmp_path, stack)


@pytest.fixture
def paper(tmp_path: Path) -> Iterator[Field]:
    """Give a field for what commands say, where nothing is served."""
    with ExitStack() as stack:
        yield Field(tmp_path, stack)
